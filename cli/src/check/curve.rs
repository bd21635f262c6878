//! The largest errors by x of the device and of the naive formula, for `--plot`.

use std::ops::Range;

use wgpu_elu::{
    DType, Op,
    accuracy::{Case, Findings, Judge, bits, value},
};

/// The largest errors by the logarithm of -x: those of the device and those of the naive formula.
pub(super) struct Curve {
    judge: Judge,
    buckets: Vec<[f64; 2]>,
}

/// The range of -x as powers of ten, and the number of buckets in each.
const DECADES: Range<i32> = -10..2;
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

    /// Returns -x in the middle of each bucket, and the largest errors there.
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
        let at = ((-x).log10() - f64::from(DECADES.start)) * PER_DECADE;
        if let Some(most) = self.buckets.get_mut(bucket(at)).filter(|_| at >= 0.0) {
            let verdict = judge.judge(case.x, case.grad, case.y);
            let naive = naive(judge, x, value(judge.dtype, case.grad));
            let naive = judge.judge(case.x, case.grad, bits(judge.dtype, naive));
            *most = [most[0].max(verdict.ulp), most[1].max(naive.ulp)];
        }
    }

    fn and(mut self, other: Self) -> Self {
        for (most, other) in self.buckets.iter_mut().zip(other.buckets) {
            *most = [most[0].max(other[0]), most[1].max(other[1])];
        }
        self
    }
}

// ---- Internals ----

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "negative and too large numbers become the ends, which are left out"
)]
fn bucket(at: f64) -> usize {
    at as usize
}

/// Computes the textbook formula in the floating-point type of the arithmetic.
fn naive(judge: Judge, x: f64, grad: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "the rounding is intended")]
    fn narrow(v: f64) -> f32 {
        v as f32
    }
    let alpha = judge.elu.alpha();
    if judge.dtype == DType::F64 {
        return match judge.op {
            Op::Forward => alpha * (x.exp() - 1.0),
            Op::Backward => grad * (alpha * x.exp()),
            Op::BackwardFromOutput => grad * (x + alpha),
        };
    }
    let [x, grad, alpha] = [x, grad, alpha].map(narrow);
    f64::from(match judge.op {
        Op::Forward => alpha * (x.exp() - 1.0),
        Op::Backward => grad * (alpha * x.exp()),
        Op::BackwardFromOutput => grad * (x + alpha),
    })
}
