//! The largest errors of the device and of the textbook formula by x, for `--plot`.

use std::ops::Range;

use wgpu_elu::{
    DType, Op,
    accuracy::{Case, Findings, Judge, bits, value},
};

/// The largest errors in buckets of negative x, whose widths are equal in the logarithm of -x.
pub(super) struct Curve {
    judge: Judge,
    /// For each bucket the largest errors in ULP: that of the device and that of the textbook formula.
    buckets: Vec<[f64; 2]>,
}

/// The range of -x, as exponents of ten.
const DECADES: Range<i32> = -10..2;
/// The number of buckets for each power of ten.
const PER_DECADE: f64 = 50.0;

impl Curve {
    /// Creates an empty curve.
    pub(super) fn new(judge: Judge) -> Self {
        let count = bucket(f64::from(DECADES.end - DECADES.start) * PER_DECADE);
        Self {
            judge,
            buckets: vec![[0.0; 2]; count],
        }
    }

    /// Returns -x in the middle of each bucket, with the largest errors of the bucket.
    pub(super) fn points(&self) -> Vec<(f64, [f64; 2])> {
        let x = |i: usize| 10f64.powf(f64::from(DECADES.start) + (i as f64 + 0.5) / PER_DECADE);
        let buckets = self.buckets.iter().enumerate();
        buckets.map(|(i, &errors)| (x(i), errors)).collect()
    }
}

impl Findings for Curve {
    fn add(&mut self, case: Case) {
        let judge = self.judge;
        let x = value(judge.dtype, case.x);
        if x >= 0.0 || x.is_nan() || !judge.is_possible(case.x) {
            return;
        }
        let position = ((-x).log10() - f64::from(DECADES.start)) * PER_DECADE;
        let largest = self.buckets.get_mut(bucket(position));
        if let Some(largest) = largest.filter(|_| position >= 0.0) {
            let verdict = judge.judge(case.x, case.grad, case.y);
            let naive = naive(judge, x, value(judge.dtype, case.grad));
            let naive = judge.judge(case.x, case.grad, bits(judge.dtype, naive));
            *largest = [largest[0].max(verdict.ulp), largest[1].max(naive.ulp)];
        }
    }

    fn merge(mut self, other: Self) -> Self {
        for (largest, other) in self.buckets.iter_mut().zip(other.buckets) {
            *largest = [largest[0].max(other[0]), largest[1].max(other[1])];
        }
        self
    }
}

// ---- Internals ----

/// Returns the index of the bucket at a position on the axis, in units of a bucket's width.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`add` skips negative positions, and positions after the last bucket have no bucket"
)]
fn bucket(position: f64) -> usize {
    position as usize
}

/// Computes the textbook formula for a negative `x` with the dtype's arithmetic: in `f64` for float64, else in `f32`.
fn naive(judge: Judge, x: f64, grad: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "the rounding is intended")]
    fn narrow(v: f64) -> f32 {
        v as f32
    }
    let factors = judge.elu.factors();
    // `a` is the factor of the negative side, and `b` that of x.
    let (a, b) = (factors.alpha() * factors.scale(), factors.input_scale());
    if judge.dtype == DType::F64 {
        return match judge.op {
            Op::Forward => a * ((b * x).exp() - 1.0),
            Op::Backward => grad * (a * b * (b * x).exp()),
            Op::BackwardFromOutput => grad * (b * (x + a)),
        };
    }
    let [x, grad, a, b] = [x, grad, a, b].map(narrow);
    f64::from(match judge.op {
        Op::Forward => a * ((b * x).exp() - 1.0),
        Op::Backward => grad * (a * b * (b * x).exp()),
        Op::BackwardFromOutput => grad * (b * (x + a)),
    })
}
