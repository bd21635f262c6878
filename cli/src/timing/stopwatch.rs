//! Takes samples of times, and computes their statistics.

use std::time::{Duration, Instant};

use anyhow::Result;

/// The statistics of the samples of one measurement.
#[derive(Clone, Copy, Debug)]
pub struct Stats {
    /// The median, in seconds.
    pub median: f64,
    /// The first quartile in seconds: a quarter of the samples are at most this long.
    pub first_quartile: f64,
    /// The third quartile in seconds: a quarter of the samples are at least this long.
    pub third_quartile: f64,
    /// The number of samples.
    pub samples: usize,
}

impl Stats {
    /// Computes the statistics of samples in seconds. Without samples, the result is that of one sample of 0.
    pub fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        if seconds.is_empty() {
            seconds.push(0.0);
        }
        let last = seconds.len() - 1;
        // Interpolates linearly between neighbouring samples.
        let quartile = |n: usize| {
            let (index, part) = (last * n / 4, (last * n % 4) as f64 / 4.0);
            seconds[index] + part * (seconds[(index + 1).min(last)] - seconds[index])
        };
        Self {
            median: quartile(2),
            first_quartile: quartile(1),
            third_quartile: quartile(3),
            samples: seconds.len(),
        }
    }

    /// Returns half of the distance between the first and the third quartile, divided by the median.
    pub fn spread(&self) -> f64 {
        (self.third_quartile - self.first_quartile) / (2.0 * self.median)
    }
}

/// The time before the first sample, in which clock rates rise and caches fill.
const WARM_UP: Duration = Duration::from_millis(50);
/// The time for the samples of each measurement. Sampling takes longer if [`MIN_SAMPLES`] samples take longer.
const SAMPLING_TIME: Duration = Duration::from_millis(250);
/// The smallest number of samples of each measurement.
const MIN_SAMPLES: usize = 5;
/// The largest number of samples of each measurement.
const MAX_SAMPLES: usize = 101;

/// Takes samples of all `measurements` in turn, so that a change in the machine's speed affects all of them equally.
/// `sample` runs a measurement once and returns its time in seconds.
///
/// Before the first sample, the measurements run until 50 ms have passed since `started`, to warm up. The caller must
/// have run each measurement at least once after `started`.
///
/// # Errors
///
/// Returns the first error of `sample`.
pub fn rounds<M: Copy>(
    measurements: &[M],
    started: Instant,
    mut sample: impl FnMut(M) -> Result<f64>,
) -> Result<Vec<(M, Stats)>> {
    while started.elapsed() < WARM_UP {
        for &measurement in measurements {
            sample(measurement)?;
        }
    }
    let time_for_all = SAMPLING_TIME * u32::try_from(measurements.len()).unwrap_or(u32::MAX);
    let sampling_started = Instant::now();
    let mut samples = vec![Vec::new(); measurements.len()];
    for round in 0..MAX_SAMPLES {
        if round >= MIN_SAMPLES && sampling_started.elapsed() >= time_for_all {
            break;
        }
        for (&measurement, seconds) in measurements.iter().zip(&mut samples) {
            seconds.push(sample(measurement)?);
        }
    }
    let stats = samples.into_iter().map(Stats::of);
    Ok(measurements.iter().copied().zip(stats).collect())
}

/// Returns the time that `work` takes, in seconds. The time for dropping its result is not included.
///
/// # Errors
///
/// Returns the error of `work`.
pub fn seconds<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    let result = work()?;
    let seconds = start.elapsed().as_secs_f64();
    drop(result);
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles() {
        let quartiles = |seconds: &[f64]| {
            let stats = Stats::of(seconds.to_vec());
            [stats.first_quartile, stats.median, stats.third_quartile]
        };
        assert_eq!(quartiles(&[7.0]), [7.0; 3]);
        assert_eq!(quartiles(&[5.0, 1.0, 4.0, 2.0, 3.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(&[1.0, 2.0]), [1.25, 1.5, 1.75]);
        assert_eq!(quartiles(&[1.0, 3.0, 5.0, 7.0]), [2.5, 4.0, 5.5]);
        assert_eq!(Stats::of(vec![1.0, 2.0, 3.0, 4.0, 5.0]).spread(), 1.0 / 3.0);
    }

    #[test]
    fn measurements_are_sampled_in_turn() {
        let measurements = ["one", "other"];
        let mut calls = Vec::new();
        let long_ago = Instant::now() - WARM_UP;
        let result = rounds(&measurements, long_ago, |measurement| {
            calls.push(measurement);
            Ok(1.0)
        });
        let result = result.unwrap();
        assert!(calls.chunks(2).all(|pair| pair == measurements));
        assert!(result.iter().all(|(_, stats)| stats.samples == MAX_SAMPLES));
    }
}
