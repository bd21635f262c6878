//! Judges the results of anything that computes, a device or a function, and counts what it found. The tests use this file
//! too.

use std::ops::Range;

use rayon::prelude::*;

use super::sample::Sample;
use crate::judge::{Judge, Verdict};

/// One result, as bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) x: u64,
    pub(crate) grad: u64,
    pub(crate) y: u64,
}

/// What many verdicts are gathered in.
pub(crate) trait Findings: Send {
    fn add(&mut self, case: Case);
    fn and(self, other: Self) -> Self;
}

/// Results, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    /// How many break the contract.
    pub(crate) broken: u64,
    pub(crate) nearest: u64,
    pub(crate) sum_ulp: f64,
    pub(crate) max_ulp: f64,
    pub(crate) worst: Option<Worst>,
}

/// The worst result: one that breaks the contract, if any, and of those the one that is farthest off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Worst {
    pub(crate) judge: Judge,
    pub(crate) case: Case,
    pub(crate) verdict: Verdict,
}

impl Tally {
    pub(crate) fn add(&mut self, judge: Judge, case: Case, verdict: Verdict) {
        self.count += 1;
        self.broken += u64::from(!verdict.is_allowed);
        self.nearest += u64::from(verdict.is_nearest);
        self.sum_ulp += verdict.ulp;
        self.max_ulp = self.max_ulp.max(verdict.ulp);
        self.take_worst(Some(Worst {
            judge,
            case,
            verdict,
        }));
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.count += other.count;
        self.broken += other.broken;
        self.nearest += other.nearest;
        self.sum_ulp += other.sum_ulp;
        self.max_ulp = self.max_ulp.max(other.max_ulp);
        self.take_worst(other.worst);
        self
    }

    fn take_worst(&mut self, other: Option<Worst>) {
        let rank = |worst: &Worst| (!worst.verdict.is_allowed, worst.verdict.ulp);
        if let Some(other) = other
            && self.worst.is_none_or(|worst| rank(&other) > rank(&worst))
        {
            self.worst = Some(other);
        }
    }
}

/// The ranges of a sample's numbers that are tried together: so many that a device has enough to do, in memory that does not
/// grow.
pub(crate) fn pieces(sample: &Sample, len: u64) -> impl Iterator<Item = Range<u64>> {
    let end = sample.len();
    (0..end)
        .step_by(usize::try_from(len).unwrap_or(usize::MAX))
        .map(move |start| start..end.min(start + len))
}

/// Judges what `compute` makes of one piece of the sample: it takes `x` and gradients, which are as many, and gives as many
/// results.
pub(crate) fn examine<F: Findings, E>(
    sample: &Sample,
    piece: Range<u64>,
    empty: impl Fn() -> F + Sync,
    compute: impl FnOnce(&[u64], &[u64]) -> Result<Vec<u64>, E>,
) -> Result<F, E> {
    let len = usize::try_from(piece.end - piece.start).expect("a piece fits in memory");
    let pairs = (0..len).into_par_iter().with_min_len(1 << 8);
    let pairs = pairs.map(|i| sample.pair(piece.start + i as u64));
    let (x, grad): (Vec<u64>, Vec<u64>) = pairs.unzip();
    let y = compute(&x, &grad)?;
    let cases = x.into_par_iter().zip(grad).zip(y).with_min_len(1 << 8);
    let found = cases.fold(&empty, |mut findings, ((x, grad), y)| {
        findings.add(Case { x, grad, y });
        findings
    });
    Ok(found.reduce(&empty, F::and))
}
