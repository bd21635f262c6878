//! Samples of times, and their statistics.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Statistics of samples in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Stats {
    /// The median, in seconds.
    pub median: f64,
    /// A quarter of the samples are at most this, in seconds.
    pub first_quartile: f64,
    /// A quarter of the samples are at least this, in seconds.
    pub third_quartile: f64,
    /// The number of samples.
    pub samples: usize,
}

impl Stats {
    /// Computes the statistics of these samples; all are zero without samples.
    pub fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        if seconds.is_empty() {
            seconds.push(0.0);
        }
        let last = seconds.len() - 1;
        // Interpolates linearly between neighbouring samples. `last * fourth` is at most a few hundred.
        let quartile = |fourth: usize| {
            let (at, part) = (last * fourth / 4, (last * fourth % 4) as f64 / 4.0);
            seconds[at] + part * (seconds[(at + 1).min(last)] - seconds[at])
        };
        Self {
            median: quartile(2),
            first_quartile: quartile(1),
            third_quartile: quartile(3),
            samples: seconds.len(),
        }
    }

    /// Returns half of the distance between the quartiles, relative to the median.
    pub fn spread(&self) -> f64 {
        (self.third_quartile - self.first_quartile) / (2.0 * self.median)
    }
}

/// The time before the first sample, in which clock rates rise and caches fill.
const WARM_UP: Duration = Duration::from_millis(50);
/// The time for sampling each measurement, unless the minimum number of samples takes longer.
const ENOUGH: Duration = Duration::from_millis(250);
const FEWEST: usize = 5;
const MOST: usize = 101;

/// Samples `measurements` in turn, so that a change in the machine's speed affects all of them. `sample` returns
/// seconds.
///
/// The caller must have run each measurement at least once since `started`.
///
/// # Errors
///
/// Returns the errors of `sample`.
pub fn rounds<W: Copy>(
    measurements: &[W],
    started: Instant,
    mut sample: impl FnMut(W) -> Result<f64>,
) -> Result<Vec<(W, Stats)>> {
    while started.elapsed() < WARM_UP {
        for &measurement in measurements {
            sample(measurement)?;
        }
    }
    let enough = ENOUGH * u32::try_from(measurements.len()).unwrap_or(u32::MAX);
    let timing = Instant::now();
    let mut found = vec![Vec::new(); measurements.len()];
    for round in 0..MOST {
        if round >= FEWEST && timing.elapsed() >= enough {
            break;
        }
        for (&measurement, seconds) in measurements.iter().zip(&mut found) {
            seconds.push(sample(measurement)?);
        }
    }
    let stats = found.into_iter().map(Stats::of);
    Ok(measurements.iter().copied().zip(stats).collect())
}

/// Returns the seconds that `work` takes.
///
/// # Errors
///
/// Returns the errors of `work`.
pub fn seconds<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    // The result is dropped after the clock was read.
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
        let of = |seconds: &[f64]| {
            let stats = Stats::of(seconds.to_vec());
            [stats.first_quartile, stats.median, stats.third_quartile]
        };
        assert_eq!(of(&[7.0]), [7.0; 3]);
        assert_eq!(of(&[5.0, 1.0, 4.0, 2.0, 3.0]), [2.0, 3.0, 4.0]);
        assert_eq!(of(&[1.0, 2.0]), [1.25, 1.5, 1.75]);
        assert_eq!(of(&[1.0, 3.0, 5.0, 7.0]), [2.5, 4.0, 5.5]);
        assert_eq!(Stats::of(vec![1.0, 2.0, 3.0, 4.0, 5.0]).spread(), 1.0 / 3.0);
    }

    #[test]
    fn every_way_is_sampled_in_turn() {
        let measurements = ["one", "other"];
        let mut calls = Vec::new();
        let long_ago = Instant::now() - WARM_UP;
        let found = rounds(&measurements, long_ago, |measurement| {
            calls.push(measurement);
            Ok(1.0)
        });
        let found = found.unwrap();
        assert!(calls.chunks(2).all(|pair| pair == measurements));
        assert!(found.iter().all(|(_, stats)| stats.samples == MOST));
    }
}
