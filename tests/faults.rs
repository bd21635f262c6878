//! Plants faults that implementations of ELU have had, one at a time. The default run of `elu check` must find each of
//! them.
//!
//! A fault is a formula with one wrong step. All other steps are computed in `f64`. The formula's result is used where
//! x is negative and finite, and neither alpha * scale nor the gradient is 0, infinite or NaN. Elsewhere the result is
//! correct.

use rayon::prelude::*;
use wgpu_elu::{DType, Error, Op};

use wgpu_elu::accuracy::{
    Case, Extent, Findings, Judge, RoundedFactors, Sample, Tally, Worst, bits, examine,
    other_judges, pieces, smallest_normal, value,
};

/// Computes a result from the factors, x and the incoming gradient. The result is not yet rounded to the dtype. Forward
/// ignores the gradient.
type Formula = fn(RoundedFactors, f64, f64) -> f64;

/// Returns the result of `formula` where it applies, and the correct result elsewhere.
fn result_with(judge: Judge, formula: Formula, x_bits: u64, grad_bits: u64) -> u64 {
    let factors = judge.rounded_factors();
    let [x, grad] = [x_bits, grad_bits].map(|bits| value(judge.dtype, bits));
    let is_regular = |v: f64| v.is_finite() && v != 0.0;
    let has_regular_grad = judge.op == Op::Forward || is_regular(grad);
    if x < 0.0 && is_regular(x) && is_regular(factors.negative) && has_regular_grad {
        bits(judge.dtype, formula(factors, x, grad))
    } else {
        judge.nearest(x_bits, grad_bits).unwrap_or(0)
    }
}

/// Judges and counts results, except those for inputs that cannot occur.
struct PossibleResults(Judge, Tally);

impl Findings for PossibleResults {
    fn add(&mut self, case: Case) {
        if self.0.is_possible(case.x) {
            let verdict = self.0.judge(case.x, case.grad, case.y);
            self.1.add(self.0, case, verdict);
        }
    }

    fn merge(self, other: Self) -> Self {
        Self(self.0, self.1.merge(other.1))
    }
}

/// Returns the judges and samples of the default run. The sample of the table comes last, because it takes the longest.
fn default_run(op: Op, dtype: DType) -> impl Iterator<Item = (Judge, Extent)> {
    let others = other_judges(op, dtype, false);
    // In reverse order, so that SELU, CELU and the combinations of all three factors come first.
    let samples = others.into_iter().rev().map(|judge| (judge, Extent::Few));
    samples.chain([table(op, dtype)])
}

/// Returns the judge and sample of the table that `elu check` prints, which is for alpha = 1.
fn table(op: Op, dtype: DType) -> (Judge, Extent) {
    let elu = 1.0.into();
    (Judge { op, dtype, elu }, Extent::Default)
}

/// Returns the tally of the first piece of these samples in which a result breaks the contract.
fn find(
    samples: impl IntoIterator<Item = (Judge, Extent)>,
    compute: impl Fn(Judge, u64, u64) -> u64 + Sync,
) -> Option<Tally> {
    samples.into_iter().find_map(|(judge, extent)| {
        let sample = Sample::new(judge, extent);
        pieces(&sample, 1 << 14).find_map(|piece| {
            let compute = |x: &[u64], grad: &[u64]| {
                let pairs = x.par_iter().zip(grad);
                let results = pairs.map(|(&x, &grad)| compute(judge, x, grad));
                Ok::<_, Error>(results.collect())
            };
            let empty = || PossibleResults(judge, Tally::default());
            let PossibleResults(_, tally) = examine(&sample, piece, empty, compute).unwrap();
            (tally.broken > 0).then_some(tally)
        })
    })
}

/// Checks that the default run finds the fault.
#[track_caller]
fn assert_found(op: Op, dtype: DType, formula: Formula) {
    assert_found_in(default_run(op, dtype), formula);
}

/// Checks that the default run finds the fault, and that its sample for alpha = 1 is enough to find it. An
/// implementation may have separate arithmetic for alpha = 1.
#[track_caller]
fn assert_found_with_alpha_1(op: Op, dtype: DType, formula: Formula) {
    assert_found(op, dtype, formula);
    assert_found_in([table(op, dtype)], formula);
}

#[track_caller]
fn assert_found_in(samples: impl IntoIterator<Item = (Judge, Extent)>, formula: Formula) {
    let compute = |judge, x, grad| result_with(judge, formula, x, grad);
    let tally = find(samples, compute).expect("the fault was not found");
    let Worst {
        judge,
        case: Case { x, grad, y },
        verdict,
    } = tally.worst.unwrap();
    assert_eq!(y, result_with(judge, formula, x, grad));
    assert!(!verdict.is_allowed && verdict.ulp > 0.5, "{verdict:?}");
}

#[expect(clippy::cast_possible_truncation, reason = "the purpose is to round")]
fn round_to_f32(v: f64) -> f64 {
    (v as f32).into()
}

/// Replaces a number that is subnormal in `f32` by a zero of the same sign.
fn flush_subnormal(v: f64) -> f64 {
    if v.abs() < smallest_normal(DType::F32) {
        0.0f64.copysign(v)
    } else {
        v
    }
}

// ---- Correct formulas ----

fn forward(f: RoundedFactors, x: f64, _: f64) -> f64 {
    f.negative * (f.input_scale * x).exp_m1()
}

fn backward(f: RoundedFactors, x: f64, grad: f64) -> f64 {
    grad * (f.negative * (f.input_scale * x).exp() * f.input_scale)
}

fn from_output(f: RoundedFactors, y: f64, grad: f64) -> f64 {
    grad * (f.input_scale * (y + f.negative))
}

/// If the judge rejected correct results, it would seem to find every fault. The formulas are computed in `f64`, so
/// they are not accurate enough for float64.
#[test]
fn correct_formulas_keep_the_contract() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for (op, formula) in [
            (Op::Forward, forward as Formula),
            (Op::Backward, backward),
            (Op::BackwardFromOutput, from_output),
        ] {
            // Skips the sample of the table, which would take a minute.
            for judge in other_judges(op, dtype, false) {
                let sample = Sample::new(judge, Extent::Few);
                for i in 0..sample.len() {
                    let (x, grad) = sample.pair(i);
                    let y = result_with(judge, formula, x, grad);
                    let verdict = judge.judge(x, grad, y);
                    assert!(
                        verdict.is_allowed || !judge.is_possible(x),
                        "{judge:?}, x {x:#x}, grad {grad:#x}, y {y:#x}: {verdict:?}"
                    );
                }
            }
        }
    }
}

// ---- Forward ----

#[test]
fn exp_minus_one_is_found() {
    let in_f32: Formula = |f, x, _| {
        let exp = round_to_f32(round_to_f32(f.input_scale * x).exp());
        f.negative * round_to_f32(exp - 1.0)
    };
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        assert_found_with_alpha_1(Op::Forward, dtype, in_f32);
    }
    assert_found_with_alpha_1(Op::Forward, DType::F64, |f, x, _| {
        f.negative * ((f.input_scale * x).exp() - 1.0)
    });
}

#[test]
fn a_flushed_subnormal_x_is_found() {
    let formula: Formula = |f, x, grad| forward(f, flush_subnormal(x), grad);
    assert_found_with_alpha_1(Op::Forward, DType::F32, formula);
    assert_found_with_alpha_1(Op::Forward, DType::BF16, formula);
}

#[test]
fn a_flushed_subnormal_factor_is_found() {
    assert_found(Op::Forward, DType::F32, |mut f, x, grad| {
        f.negative = flush_subnormal(f.negative);
        forward(f, x, grad)
    });
}

#[test]
fn a_flushed_subnormal_result_is_found() {
    assert_found_with_alpha_1(Op::Forward, DType::F32, |f, x, grad| {
        flush_subnormal(forward(f, x, grad))
    });
    assert_found_with_alpha_1(Op::Backward, DType::F32, |f, x, grad| {
        flush_subnormal(backward(f, x, grad))
    });
    assert_found_with_alpha_1(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        flush_subnormal(from_output(f, y, grad))
    });
}

#[test]
fn an_underflowed_zero_of_the_wrong_sign_is_found() {
    fn positive_zero(v: f64) -> f64 {
        if round_to_f32(v) == 0.0 { 0.0 } else { v }
    }
    assert_found(Op::Forward, DType::F32, |f, x, grad| {
        positive_zero(forward(f, x, grad))
    });
    assert_found_with_alpha_1(Op::Backward, DType::F32, |f, x, grad| {
        positive_zero(backward(f, x, grad))
    });
    assert_found_with_alpha_1(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        positive_zero(from_output(f, y, grad))
    });
}

/// The contract refers to the three factors after rounding. The slope is the exact product of two of them. Here it is
/// rounded like a fourth factor.
#[test]
fn a_rounded_slope_is_found() {
    assert_found(Op::Forward, DType::F32, |f, x, grad| {
        if f.input_scale * x > -0.5f64.powi(30) {
            round_to_f32(f.negative * f.input_scale) * x
        } else {
            forward(f, x, grad)
        }
    });
    assert_found(Op::Backward, DType::F32, |f, x, grad| {
        grad * (round_to_f32(f.negative * f.input_scale) * (f.input_scale * x).exp())
    });
}

// ---- Gradients ----

#[test]
fn an_overflowing_intermediate_product_is_found() {
    assert_found(Op::Backward, DType::F32, |f, x, grad| {
        round_to_f32(grad * f.negative) * f.input_scale * (f.input_scale * x).exp()
    });
    assert_found(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        round_to_f32(grad * f.input_scale) * (y + f.negative)
    });
}

#[test]
fn a_gradient_lost_to_an_underflowing_exp_is_found() {
    for dtype in [DType::F32, DType::BF16] {
        assert_found_with_alpha_1(Op::Backward, dtype, |f, x, grad| {
            grad * f.negative * f.input_scale * round_to_f32((f.input_scale * x).exp())
        });
    }
    // For float64, the formula that is correct for the other dtypes has this fault: its own exp underflows.
    assert_found_with_alpha_1(Op::Backward, DType::F64, backward);
}

#[test]
fn a_flushed_subnormal_gradient_is_found() {
    assert_found_with_alpha_1(Op::Backward, DType::F32, |f, x, grad| {
        backward(f, x, flush_subnormal(grad))
    });
    assert_found_with_alpha_1(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        from_output(f, y, flush_subnormal(grad))
    });
}

/// Here the range reduction subtracts a multiple of ln 2 rounded to `f32`, without a second constant for the rest.
#[test]
fn a_range_reduction_with_a_single_constant_is_found() {
    assert_found_with_alpha_1(Op::Backward, DType::F32, |f, x, grad| {
        let t = f.input_scale * x;
        let n = (t * std::f64::consts::LOG2_E).round();
        let r = t - n * f64::from(std::f32::consts::LN_2);
        grad * (f.negative * f.input_scale * r.exp() * n.exp2())
    });
}

/// Here the sum is rounded to `f32` before the multiplication, so its low part is lost.
#[test]
fn a_rounded_sum_of_output_and_alpha_is_found() {
    assert_found_with_alpha_1(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        grad * (f.input_scale * round_to_f32(y + f.negative))
    });
}

/// Here the sum loses its low part only if alpha is so small that this part may underflow in `f32`.
#[test]
fn a_rounded_sum_with_a_tiny_alpha_is_found() {
    assert_found(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        if f.negative < 1e-25 {
            grad * (f.input_scale * round_to_f32(y + f.negative))
        } else {
            from_output(f, y, grad)
        }
    });
}

// ---- float64 ----

/// Checks that the default run finds a fault of float64. `fault` receives the factors, x, the gradient and the number
/// nearest to the exact result. It returns this number, or a wrong one.
#[track_caller]
fn assert_found_in_f64(op: Op, fault: fn(RoundedFactors, f64, f64, f64) -> f64) {
    let compute = |judge: Judge, x_bits, grad_bits| {
        let nearest = judge.nearest(x_bits, grad_bits).unwrap_or(0);
        let [x, grad, nearest] = [x_bits, grad_bits, nearest].map(f64::from_bits);
        fault(judge.rounded_factors(), x, grad, nearest).to_bits()
    };
    let tally = find(default_run(op, DType::F64), compute);
    assert!(tally.is_some(), "the fault was not found");
}

#[test]
fn an_overflowing_intermediate_product_of_float64_is_found() {
    assert_found_in_f64(Op::Backward, |f, x, grad, nearest| {
        let overflows =
            grad.is_finite() && f.negative.is_finite() && (grad * f.negative).is_infinite();
        if x < 0.0 && overflows {
            grad * f.negative
        } else {
            nearest
        }
    });
}

/// Mesa 26 treats a subnormal float64 as 0. An x that is subnormal is then not negative, and a shader returns x.
#[test]
fn a_subnormal_float64_treated_as_zero_is_found() {
    assert_found_in_f64(
        Op::Forward,
        |_, x, _, nearest| {
            if x.is_subnormal() { x } else { nearest }
        },
    );
}

/// The errors of earlier arithmetic were largest at these x, which are near -ln(2) / 2.
#[test]
fn float64_gradients_that_are_3_ulp_off_are_found() {
    assert_found_in_f64(Op::Backward, |_, x, _, nearest| {
        if (-0.3466..-0.3462).contains(&x) && nearest.is_normal() {
            f64::from_bits(nearest.to_bits() + 3)
        } else {
            nearest
        }
    });
}

/// A shader can split `x` into its leading bits and the rest by a conversion to `f32` and back. A compiler may drop the
/// conversion. The shader then multiplies all bits of `x`, the product `input_scale * x` is rounded, and the low part
/// does not make up for the rounding error.
#[test]
fn a_float64_that_is_not_split_is_found() {
    let tally = find(
        default_run(Op::Backward, DType::F64),
        |judge, x_bits, grad_bits| {
            let RoundedFactors { input_scale, .. } = judge.rounded_factors();
            let x = f64::from_bits(x_bits);
            let nearest = judge.nearest(x_bits, grad_bits).unwrap_or(0);
            let scale = f64::from_bits(input_scale.to_bits() & !((1 << 27) - 1)); // 26 bits
            let rounding_error = scale.mul_add(x, -(scale * x));
            if x < 0.0 && rounding_error.is_finite() {
                // exp(t - error) is about exp(t) * (1 - error).
                (f64::from_bits(nearest) * (1.0 - rounding_error)).to_bits()
            } else {
                nearest
            }
        },
    );
    assert!(tally.is_some(), "the fault was not found");
}
