//! Counts of judged results.

use super::{
    format::value,
    judge::{Judge, Verdict},
};

/// One result, as bits.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The input `x`; for [`Op::BackwardFromOutput`](crate::Op::BackwardFromOutput), the output.
    pub x: u64,
    /// The incoming gradient; 0 for forward.
    pub grad: u64,
    /// The result.
    pub y: u64,
}

/// A collection that judged results are added to.
pub trait Findings: Send {
    /// Judges and counts one result.
    fn add(&mut self, case: Case);
    /// Merges the results of both.
    #[must_use]
    fn merge(self, other: Self) -> Self;
}

/// The number of judged results, and their errors.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The number of results.
    pub count: u64,
    /// The number of results that break the contract.
    pub broken: u64,
    /// The number of results that are nearest to the exact value.
    pub nearest: u64,
    /// The sum of all errors, in ULP.
    pub sum_ulp: f64,
    /// The largest error, in ULP.
    pub max_ulp: f64,
    /// The worst result, or `None` if there are no results.
    pub worst: Option<Worst>,
}

/// The worst result: the farthest from the exact value of those that break the contract, or of all if none breaks it.
#[derive(Clone, Copy, Debug)]
pub struct Worst {
    /// The judge, with the factors.
    pub judge: Judge,
    /// The result and its inputs.
    pub case: Case,
    /// The verdict on it.
    pub verdict: Verdict,
}

impl Tally {
    /// Counts one result.
    pub fn add(&mut self, judge: Judge, case: Case, verdict: Verdict) {
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

    /// Merges the results of both.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
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

impl Worst {
    /// Returns all numbers of the case with their names and bits: the factors as `float64`, all others in the judge's
    /// dtype.
    pub fn numbers(&self) -> Vec<(&'static str, f64, u64)> {
        let Self { judge, case, .. } = *self;
        let factors = judge.elu.factors();
        let factors = [
            ("alpha", factors.alpha()),
            ("scale", factors.scale()),
            ("input_scale", factors.input_scale()),
        ];
        let mut results = vec![("x", case.x)];
        if judge.op.has_grad() {
            results.push(("grad", case.grad));
        }
        results.push(("y", case.y));
        results.extend(
            judge
                .nearest(case.x, case.grad)
                .map(|bits| ("nearest", bits)),
        );
        let factors = factors.map(|(name, v)| (name, v, v.to_bits()));
        let results = results
            .into_iter()
            .map(|(name, bits)| (name, value(judge.dtype, bits), bits));
        factors.into_iter().chain(results).collect()
    }
}
