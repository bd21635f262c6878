//! Tests of the judge (which results it accepts and rejects) and of the samples of `elu check`.

use std::collections::BTreeSet;

use wgpu_elu::{DType, Elu, Factors, Op, Rounding};

use wgpu_elu::accuracy::{Extent, Judge, Sample, bits, value};

fn judge(op: Op, dtype: DType, alpha: f64) -> Judge {
    Judge {
        op,
        dtype,
        elu: Elu::new(alpha),
    }
}

/// Returns an input and its exact result for alpha = 1 and an incoming gradient of 1, computed with 300 bits.
fn known(op: Op) -> [f64; 2] {
    match op {
        Op::Forward => [-0.5, -0.393_469_340_287_366_576_4],
        Op::Backward => [-0.5, 0.606_530_659_712_633_423_6],
        Op::BackwardFromOutput => [-0.25, 0.75],
    }
}

/// Returns a judge for every dtype and operation, with alpha = 1.
fn every_judge() -> impl Iterator<Item = Judge> {
    DType::ALL
        .into_iter()
        .flat_map(|dtype| Op::ALL.map(|op| judge(op, dtype, 1.0)))
}

/// Returns whether the judge accepts `y` for `x` and `grad`.
fn accepts(judge: Judge, x: f64, grad: f64, y: f64) -> bool {
    let [x, grad, y] = [x, grad, y].map(|v| bits(judge.dtype, v));
    judge.judge(x, grad, y).is_allowed
}

#[test]
fn numbers_within_the_error_bound_are_accepted_and_others_are_refused() {
    for judge in every_judge() {
        let dtype = judge.dtype;
        let [x, exact] = known(judge.op).map(|v| bits(dtype, v));
        let one = bits(dtype, 1.0);
        let verdict = |y| judge.judge(x, one, y);
        let nearest = verdict(exact);
        assert!(
            nearest.is_allowed && nearest.is_nearest && nearest.ulp <= 0.5,
            "{judge:?}: {nearest:?}"
        );
        let must_be_nearest = judge.op == Op::Forward && dtype.size() == 2;
        for off in 1..5 {
            for y in [exact - off, exact + off] {
                let verdict = verdict(y);
                assert!(!verdict.is_nearest, "{judge:?}, {off} off: {verdict:?}");
                assert!(
                    (verdict.ulp - off as f64).abs() <= 0.5,
                    "{judge:?}, {off} off: {verdict:?}"
                );
                let max_ulp = if must_be_nearest {
                    0.0
                } else if dtype == DType::F64 {
                    2.0
                } else {
                    1.0
                };
                assert_eq!(
                    verdict.is_allowed,
                    verdict.ulp <= max_ulp,
                    "{judge:?}, {off} off: {verdict:?}"
                );
            }
        }
    }
}

#[test]
fn the_naive_formula_is_refused() {
    for dtype in DType::ALL {
        let rounded = |v| value(dtype, bits(dtype, v));
        let x = rounded(-1e-7);
        let naive = rounded(rounded(x.exp()) - 1.0);
        let judge = judge(Op::Forward, dtype, 1.0);
        assert!(!accepts(judge, x, 1.0, naive), "{judge:?}: {naive:e}");
        assert!(accepts(judge, x, 1.0, x.exp_m1()), "{judge:?}");
    }
}

#[test]
fn nan_infinity_zero_and_wrong_signs_are_refused() {
    for judge in every_judge() {
        let [x, y] = known(judge.op);
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -y] {
            assert!(!accepts(judge, x, 1.0, wrong), "{judge:?}: {wrong}");
        }
        assert!(accepts(judge, f64::NAN, 1.0, f64::NAN), "{judge:?}");
        assert!(!accepts(judge, f64::NAN, 1.0, 0.0), "{judge:?}");
        for zero in [0.0, -0.0] {
            // A zero x in forward, and a zero gradient in the other operations.
            let (x, grad) = match judge.op {
                Op::Forward => (zero, 1.0),
                Op::Backward | Op::BackwardFromOutput => (x, zero),
            };
            assert!(accepts(judge, x, grad, zero), "{judge:?}: {zero:?}");
            assert!(!accepts(judge, x, grad, -zero), "{judge:?}: {zero:?}");
        }
    }
}

/// Nearest results have the same bits on every device, so NaN must, too.
#[test]
fn only_one_nan_is_accepted_with_nearest_rounding() {
    for faithful in every_judge() {
        let nearest = Judge {
            elu: faithful.elu.with_rounding(Rounding::Nearest),
            ..faithful
        };
        let dtype = faithful.dtype;
        let quiet = match dtype {
            DType::F16 => 0x7e00,
            DType::BF16 => 0x7fc0,
            DType::F32 => 0x7fc0_0000,
            _ => 0x7ff8_0000_0000_0000,
        };
        let sign = 1 << (8 * dtype.size() - 1);
        let [one, minus_half] = [1.0, -0.5].map(|v| bits(dtype, v));
        let is_allowed = |judge: Judge, x, grad, y| judge.judge(x, grad, y).is_allowed;
        for other in [quiet | 1, quiet | sign] {
            // A NaN in x is returned unchanged.
            assert!(is_allowed(nearest, other, one, other), "{nearest:?}");
            assert!(!is_allowed(nearest, other, one, quiet), "{nearest:?}");
            if faithful.op == Op::Forward {
                continue;
            }
            for x in [minus_half, one] {
                assert!(is_allowed(nearest, x, other, quiet), "{nearest:?}");
                assert!(!is_allowed(nearest, x, other, other), "{nearest:?}");
                assert!(is_allowed(faithful, x, other, other), "{faithful:?}");
            }
        }
    }
}

/// A device must not flush subnormal results to 0.
#[test]
fn zero_for_a_subnormal_is_refused() {
    for (dtype, x) in [(DType::F32, -1e-39), (DType::F64, -1e-310)] {
        for alpha in [0.5, 1.0] {
            let judge = judge(Op::Forward, dtype, alpha);
            assert!(!accepts(judge, x, 1.0, -0.0), "{judge:?}");
        }
    }
}

/// A result that rounds to 0 has the sign of the exact value.
#[test]
fn the_wrong_sign_of_an_underflowed_zero_is_refused() {
    for dtype in DType::ALL {
        let tiny = value(dtype, 1);
        for (op, x, grad) in [
            (Op::Forward, -tiny, 0.0),
            (Op::Backward, -2.0, -tiny),
            (Op::BackwardFromOutput, -1e-7, -tiny),
        ] {
            let judge = judge(op, dtype, 1e-6);
            assert!(accepts(judge, x, grad, -0.0), "{judge:?}");
            assert!(!accepts(judge, x, grad, 0.0), "{judge:?}");
            // The smallest number with the wrong sign is less than 2 ULP away, but refused, too.
            assert!(!accepts(judge, x, grad, tiny), "{judge:?}");
        }
    }
}

/// The judge treats infinity as the smallest power of two that is too large for the dtype, here 2^128.
#[test]
fn the_largest_number_and_infinity_are_neighbours() {
    let judge = Judge {
        op: Op::Forward,
        dtype: DType::F32,
        elu: Factors::new(1.0, 1.0 + 0.5f64.powi(23), 1.0)
            .unwrap()
            .into(),
    };
    let [largest, infinity] = [f32::MAX, f32::INFINITY].map(|v| u64::from(v.to_bits()));
    let is_allowed = |x, y| judge.judge(x, 0, y).is_allowed;
    // The exact result is just below 2^128. Infinity is nearest to it, and the largest number is less than 1 ULP away.
    assert!(is_allowed(largest - 1, infinity));
    assert!(is_allowed(largest - 1, largest));
    assert!(!is_allowed(largest - 1, largest - 1));
    assert_eq!(judge.nearest(largest - 1, 0), Some(infinity));
    // The exact result is just below the largest number, and so more than 1 ULP below 2^128.
    assert!(is_allowed(largest - 2, largest));
    assert!(!is_allowed(largest - 2, infinity));
    // The exact result is above 2^128.
    assert!(is_allowed(largest, infinity));
    assert!(!is_allowed(largest, largest - 1));
    assert!(!is_allowed(largest, f32::NEG_INFINITY.to_bits().into()));
}

#[test]
fn an_overflowing_product_of_factors_does_not_make_the_result_nan() {
    // alpha * input_scale is infinite in f64, but exp(input_scale * x) is 0, and so is the result.
    let judge = Judge {
        op: Op::Backward,
        dtype: DType::F64,
        elu: Factors::new(1e300, 1.0, 2f64.powi(40)).unwrap().into(),
    };
    assert!(accepts(judge, -1.0, 1.0, 0.0));
    assert!(accepts(judge, f64::NEG_INFINITY, 1.0, 0.0));
    assert!(accepts(judge, -1.0, 0.0, 0.0));
    assert!(!accepts(judge, -1.0, 1.0, f64::NAN));
}

// ---- Samples ----

fn sample(op: Op, dtype: DType, extent: Extent) -> Sample {
    Sample::new(judge(op, dtype, 1.0), extent)
}

#[test]
fn samples_of_float64_vary_in_every_bit() {
    let sample = sample(Op::Forward, DType::F64, Extent::Default);
    // The last pairs are bit patterns from the whole range of the dtype.
    let all: Vec<u64> = (sample.len() - (1 << 16)..sample.len())
        .map(|i| sample.pair(i).0)
        .collect();
    for bit in 0..64 {
        let set = all.iter().filter(|&pattern| pattern >> bit & 1 == 1);
        let share = set.count() as f64 / all.len() as f64;
        assert!((0.49..0.51).contains(&share), "bit {bit}: {share}");
    }
}

#[test]
fn samples_of_16_bit_dtypes_contain_every_number() {
    for dtype in [DType::F16, DType::BF16] {
        for extent in [Extent::Default, Extent::Exhaustive] {
            let sample = sample(Op::Forward, dtype, extent);
            assert!((0..sample.len()).map(|i| sample.pair(i).0).eq(0..1 << 16));
        }
    }
    let sample = sample(Op::Forward, DType::F32, Extent::Exhaustive);
    assert_eq!(sample.len(), 1 << 32);
    assert_eq!(sample.pair(0x8765_4321).0, 0x8765_4321);
}

/// For negative x, both the incoming gradients and the results have every exponent with both signs. The samples also
/// contain many x below -104, where exp underflows.
#[test]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an exponent is a small integer"
)]
fn samples_have_gradients_and_results_of_every_exponent() {
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for op in [Op::Backward, Op::BackwardFromOutput] {
            let judge = judge(op, dtype, 1.0);
            let sample = Sample::new(judge, Extent::Many);
            let mut seen = [BTreeSet::new(), BTreeSet::new()];
            let mut underflowing = 0;
            for i in 0..sample.len() {
                let (x_bits, grad) = sample.pair(i);
                let x = value(dtype, x_bits);
                let nearest = judge.nearest(x_bits, grad).filter(|_| x < 0.0);
                for (seen, bits) in seen.iter_mut().zip([Some(grad), nearest]) {
                    let v = bits.map_or(f64::NAN, |bits| value(dtype, bits));
                    if v.is_finite() && v != 0.0 {
                        let exponent = v.abs().log2().floor() as i32;
                        seen.insert((exponent, v < 0.0));
                        underflowing += u32::from(x < -104.0);
                    }
                }
            }
            let exponents = match dtype {
                DType::F16 => -24..=15,
                DType::BF16 => -133..=127,
                _ => -149..=127,
            };
            let all = exponents.flat_map(|exponent| [(exponent, false), (exponent, true)]);
            let all: BTreeSet<(i32, bool)> = all.collect();
            assert_eq!(seen, [all.clone(), all], "{judge:?}");
            assert!(underflowing > 1000 || dtype == DType::F16 || op != Op::Backward);
        }
    }
}
