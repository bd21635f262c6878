//! Plants faults that implementations of ELU have had, one at a time. The default run of `elu check` must find each of
//! them.
//!
//! Each fault is a formula in which one step is wrong, and all others are at least as accurate as `f64`. It replaces
//! the correct result where x < 0 and all numbers are finite and not 0.

use rayon::prelude::*;
use wgpu_elu::{DType, Error, Op};

use wgpu_elu::accuracy::{
    Case, Extent, Findings, Judge, Rounded, Sample, Tally, Worst, bits, examine, other_judges,
    pieces, smallest_normal, value,
};

/// Computes a result from the factors, x and the gradient, before it is rounded to the dtype. Forward ignores the
/// gradient.
type Formula = fn(Rounded, f64, f64) -> f64;

/// Returns the result of `formula` where it applies, and the correct result elsewhere.
fn planted(judge: Judge, formula: Formula, x_bits: u64, grad_bits: u64) -> u64 {
    let products = judge.products();
    let [x, grad] = [x_bits, grad_bits].map(|bits| value(judge.dtype, bits));
    let is_regular = |v: f64| v.is_finite() && v != 0.0;
    let has_regular_grad = judge.op == Op::Forward || is_regular(grad);
    if x < 0.0 && is_regular(x) && is_regular(products.negative) && has_regular_grad {
        bits(judge.dtype, formula(products, x, grad))
    } else {
        judge.nearest(x_bits, grad_bits).unwrap_or(0)
    }
}

struct Found(Judge, Tally);

impl Findings for Found {
    fn add(&mut self, case: Case) {
        if self.0.is_possible(case.x) {
            let verdict = self.0.judge(case.x, case.grad, case.y);
            self.1.add(self.0, case, verdict);
        }
    }

    fn and(self, other: Self) -> Self {
        Self(self.0, self.1.and(other.1))
    }
}

/// Returns the samples of the default run. Those of the table come last, because they take the longest.
fn default_run(op: Op, dtype: DType) -> impl Iterator<Item = (Judge, Extent)> {
    let others = other_judges(op, dtype, false);
    // SELU, CELU and the combinations of all three factors come first.
    let samples = others.into_iter().rev().map(|judge| (judge, Extent::Few));
    samples.chain([table(op, dtype)])
}

/// Returns the sample of the table of `elu check`.
fn table(op: Op, dtype: DType) -> (Judge, Extent) {
    let elu = 1.0.into();
    (Judge { op, dtype, elu }, Extent::Default)
}

/// Returns the first result in these samples that breaks the contract.
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
            let empty = || Found(judge, Tally::default());
            let Found(_, tally) = examine(&sample, piece, empty, compute).unwrap();
            (tally.broken > 0).then_some(tally)
        })
    })
}

#[track_caller]
fn is_found(op: Op, dtype: DType, formula: Formula) {
    is_found_in(default_run(op, dtype), formula);
}

/// Checks that the run finds a fault, even if only the arithmetic for alpha = 1 has it.
#[track_caller]
fn is_found_with_alpha_1(op: Op, dtype: DType, formula: Formula) {
    is_found(op, dtype, formula);
    is_found_in([table(op, dtype)], formula);
}

#[track_caller]
fn is_found_in(samples: impl IntoIterator<Item = (Judge, Extent)>, formula: Formula) {
    let compute = |judge, x, grad| planted(judge, formula, x, grad);
    let tally = find(samples, compute).expect("the fault is not found");
    let Worst {
        judge,
        case: Case { x, grad, y },
        verdict,
    } = tally.worst.unwrap();
    assert_eq!(y, planted(judge, formula, x, grad));
    assert!(!verdict.is_allowed && verdict.ulp > 0.5, "{verdict:?}");
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
fn single(v: f64) -> f64 {
    (v as f32).into()
}

/// Replaces a subnormal number of `f32` by zero.
fn flushed(v: f64) -> f64 {
    if v.abs() < smallest_normal(DType::F32) {
        0.0f64.copysign(v)
    } else {
        v
    }
}

// ---- Without a fault ----

fn forward(f: Rounded, x: f64, _: f64) -> f64 {
    f.negative * (f.input_scale * x).exp_m1()
}

fn backward(f: Rounded, x: f64, grad: f64) -> f64 {
    grad * (f.negative * (f.input_scale * x).exp() * f.input_scale)
}

fn from_output(f: Rounded, y: f64, grad: f64) -> f64 {
    grad * (f.input_scale * (y + f.negative))
}

/// Without this test, the others could find every fault for a wrong reason.
#[test]
fn a_good_implementation_has_no_fault() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for (op, formula) in [
            (Op::Forward, forward as Formula),
            (Op::Backward, backward),
            (Op::BackwardFromOutput, from_output),
        ] {
            // The rest of the default run would take a minute.
            for judge in other_judges(op, dtype, false) {
                let sample = Sample::new(judge, Extent::Few);
                for i in 0..sample.len() {
                    let (x, grad) = sample.pair(i);
                    let y = planted(judge, formula, x, grad);
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
fn exp_less_one() {
    let in_f32: Formula = |f, x, _| {
        let exp = single(single(f.input_scale * x).exp());
        f.negative * single(exp - 1.0)
    };
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        is_found_with_alpha_1(Op::Forward, dtype, in_f32);
    }
    is_found_with_alpha_1(Op::Forward, DType::F64, |f, x, _| {
        f.negative * ((f.input_scale * x).exp() - 1.0)
    });
}

#[test]
fn a_subnormal_x_is_flushed() {
    let formula: Formula = |f, x, grad| forward(f, flushed(x), grad);
    is_found_with_alpha_1(Op::Forward, DType::F32, formula);
    is_found_with_alpha_1(Op::Forward, DType::BF16, formula);
}

#[test]
fn a_subnormal_factor_is_flushed() {
    is_found(Op::Forward, DType::F32, |mut f, x, grad| {
        f.negative = flushed(f.negative);
        forward(f, x, grad)
    });
}

#[test]
fn a_subnormal_result_is_flushed() {
    is_found_with_alpha_1(Op::Forward, DType::F32, |f, x, grad| {
        flushed(forward(f, x, grad))
    });
    is_found_with_alpha_1(Op::Backward, DType::F32, |f, x, grad| {
        flushed(backward(f, x, grad))
    });
    is_found_with_alpha_1(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        flushed(from_output(f, y, grad))
    });
}

#[test]
fn an_underflowed_zero_has_the_wrong_sign() {
    fn positive_zero(v: f64) -> f64 {
        if single(v) == 0.0 { 0.0 } else { v }
    }
    is_found(Op::Forward, DType::F32, |f, x, grad| {
        positive_zero(forward(f, x, grad))
    });
    is_found_with_alpha_1(Op::Backward, DType::F32, |f, x, grad| {
        positive_zero(backward(f, x, grad))
    });
    is_found_with_alpha_1(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        positive_zero(from_output(f, y, grad))
    });
}

/// The contract refers to three rounded factors. The slope is the exact product of two of them.
#[test]
fn the_slope_is_a_fourth_number() {
    is_found(Op::Forward, DType::F32, |f, x, grad| {
        if f.input_scale * x > -0.5f64.powi(30) {
            single(f.negative * f.input_scale) * x
        } else {
            forward(f, x, grad)
        }
    });
    is_found(Op::Backward, DType::F32, |f, x, grad| {
        grad * (single(f.negative * f.input_scale) * (f.input_scale * x).exp())
    });
}

// ---- Gradients ----

#[test]
fn a_product_overflows_on_the_way() {
    is_found(Op::Backward, DType::F32, |f, x, grad| {
        single(grad * f.negative) * f.input_scale * (f.input_scale * x).exp()
    });
    is_found(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        single(grad * f.input_scale) * (y + f.negative)
    });
}

#[test]
fn the_gradient_is_lost_where_exp_underflows() {
    for dtype in [DType::F32, DType::BF16] {
        is_found_with_alpha_1(Op::Backward, dtype, |f, x, grad| {
            grad * f.negative * f.input_scale * single((f.input_scale * x).exp())
        });
    }
    is_found_with_alpha_1(Op::Backward, DType::F64, |f, x, grad| {
        grad * (f.negative * (f.input_scale * x).exp() * f.input_scale)
    });
}

#[test]
fn a_subnormal_gradient_is_flushed() {
    is_found_with_alpha_1(Op::Backward, DType::F32, |f, x, grad| {
        backward(f, x, flushed(grad))
    });
    is_found_with_alpha_1(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        from_output(f, y, flushed(grad))
    });
}

#[test]
fn one_number_for_ln_2() {
    is_found_with_alpha_1(Op::Backward, DType::F32, |f, x, grad| {
        let t = f.input_scale * x;
        let n = (t * std::f64::consts::LOG2_E).round();
        let r = t - n * f64::from(std::f32::consts::LN_2);
        grad * (f.negative * f.input_scale * r.exp() * n.exp2())
    });
}

/// Here the sum is rounded before it is multiplied.
#[test]
fn the_sum_of_output_and_negative_loses_its_low_part() {
    is_found_with_alpha_1(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        grad * (f.input_scale * single(y + f.negative))
    });
}

/// Low parts that underflow are lost.
#[test]
fn the_sum_loses_its_low_part_where_alpha_is_tiny() {
    is_found(Op::BackwardFromOutput, DType::F32, |f, y, grad| {
        if f.negative < 1e-25 {
            grad * (f.input_scale * single(y + f.negative))
        } else {
            from_output(f, y, grad)
        }
    });
}

// ---- float64 ----

/// Plants a fault in results that are otherwise the nearest numbers. `fault` receives the factors, x, the gradient and
/// that number.
#[track_caller]
fn is_found_in_f64(op: Op, fault: fn(Rounded, f64, f64, f64) -> f64) {
    let compute = |judge: Judge, x_bits, grad_bits| {
        let right = judge.nearest(x_bits, grad_bits).unwrap_or(0);
        let [x, grad, right] = [x_bits, grad_bits, right].map(f64::from_bits);
        fault(judge.products(), x, grad, right).to_bits()
    };
    let tally = find(default_run(op, DType::F64), compute);
    assert!(tally.is_some(), "the fault is not found");
}

#[test]
fn a_product_of_float64_overflows_on_the_way() {
    is_found_in_f64(Op::Backward, |f, x, grad, right| {
        let overflows =
            grad.is_finite() && f.negative.is_finite() && (grad * f.negative).is_infinite();
        if x < 0.0 && overflows {
            grad * f.negative
        } else {
            right
        }
    });
}

/// Mesa 26 replaces the number by 0.
#[test]
fn a_subnormal_float64_is_not_negative() {
    is_found_in_f64(
        Op::Forward,
        |_, x, _, right| {
            if x.is_subnormal() { x } else { right }
        },
    );
}

/// At these x the errors of earlier arithmetic were largest.
#[test]
fn gradients_of_float64_are_3_numbers_off_near_half_of_ln_2() {
    is_found_in_f64(Op::Backward, |_, x, _, right| {
        if (-0.3466..-0.3462).contains(&x) && right.is_normal() {
            f64::from_bits(right.to_bits() + 3)
        } else {
            right
        }
    });
}

/// A compiler may drop a conversion to `f32` and back. A shader that takes the leading bits of `x` by such a conversion
/// then multiplies all bits of `x`. The product `input_scale * x` is rounded, and its low part does not compensate for
/// that.
#[test]
fn the_leading_bits_of_float64_are_all_bits() {
    let tally = find(
        default_run(Op::Backward, DType::F64),
        |judge, x_bits, grad_bits| {
            let Rounded { input_scale, .. } = judge.products();
            let x = f64::from_bits(x_bits);
            let right = judge.nearest(x_bits, grad_bits).unwrap_or(0);
            let scale = f64::from_bits(input_scale.to_bits() & !((1 << 27) - 1)); // 26 bits
            let lost = scale.mul_add(x, -(scale * x));
            if x < 0.0 && lost.is_finite() {
                // exp(t - lost) = exp(t) (1 - lost)
                (f64::from_bits(right) * (1.0 - lost)).to_bits()
            } else {
                right
            }
        },
    );
    assert!(tally.is_some(), "the fault is not found");
}
