//! The other factors that are tested, in addition to those that the user chose.

use super::{judge::Judge, sample::mix};
use crate::{dtype::DType, elu::Elu, factors::Factors, op::Op};

/// Returns judges for alphas with exponents from the whole range, special alphas, SELU, CELU, and combinations of all
/// three factors up to the limits of their ranges. If `exhaustive` is true, alpha takes more exponents: every exponent
/// of `f32`, or every 7th of `f64`.
pub fn other_judges(op: Op, dtype: DType, exhaustive: bool) -> Vec<Judge> {
    let alphas = alphas(dtype, exhaustive).into_iter().map(Factors::elu);
    alphas
        .chain(families())
        .map(|factors| Judge {
            op,
            dtype,
            elu: Elu::from(factors),
        })
        .filter(|judge| op != Op::BackwardFromOutput || is_invertible(judge))
        .collect()
}

/// Returns whether the slope can be computed from the output.
fn is_invertible(judge: &Judge) -> bool {
    let negative = judge.rounded_factors().negative;
    negative > 0.0 && negative.is_finite()
}

/// Returns alphas of every size, of which some are zero, subnormal, infinite or NaN in the type of the arithmetic.
fn alphas(dtype: DType, exhaustive: bool) -> Vec<f64> {
    let (exponents, step, ends) = match dtype {
        DType::F64 => (
            -1074..1024,
            if exhaustive { 7 } else { 53 },
            [f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1)],
        ),
        _ => (
            -149..128,
            if exhaustive { 1 } else { 7 },
            [f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1)].map(f64::from),
        ),
    };
    // Alphas of both signs with arbitrary significands.
    let scattered = exponents.step_by(step).enumerate().map(|(i, exponent)| {
        let random = mix(i as u64);
        let significand = 1.0 + (random >> 12) as f64 * 0.5f64.powi(52);
        let sign = if i % 3 == 2 { -1.0 } else { 1.0 };
        // Multiplies by 2^exponent in two steps, because `powi` may give 0 for a power that is subnormal.
        let half = 2f64.powi(exponent / 2);
        sign * significand * half * 2f64.powi(exponent - exponent / 2)
    });
    let special = [
        0.0,
        -0.0,
        -1.0,
        1e-40,
        1e-50,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    let usual = [0.3, 1.673_263_2, 1.999_999_9, 2.0, 50.0];
    let ends = ends.into_iter().flat_map(|end| [end, -end, 0.75 * end]);
    scattered.chain(special).chain(usual).chain(ends).collect()
}

/// Returns SELU, CELU and combinations of all three factors.
fn families() -> Vec<Factors> {
    const LARGEST: f64 = (1u128 << 64) as f64;
    const SMALLEST: f64 = 1.0 / LARGEST;
    let mut all = vec![Factors::SELU];
    // For the two alphas with all digits, earlier versions gave wrong gradients: see tests/conformance/src/numbers.rs.
    let celu = [
        SMALLEST,
        1e-10,
        0.3,
        0.523_782_138_320_668_2,
        2.0,
        2_421.174_787_929_769_5,
        1e10,
        LARGEST,
    ];
    all.extend(celu.map(Factors::celu).into_iter().flatten());
    let scales = [SMALLEST, 0.7, LARGEST];
    for scale in scales {
        for input_scale in scales {
            for alpha in [1.5, -0.7, 1e-30, 3e30] {
                all.extend(Factors::new(alpha, scale, input_scale));
            }
        }
    }
    // Arbitrary significands, with exponents from the whole range.
    let scattered = |i: u64, exponents: f64| {
        let fraction = (mix(i) >> 11) as f64 * 0.5f64.powi(53);
        ((2.0 * fraction - 1.0) * exponents).exp2()
    };
    for i in 0..24 {
        let [alpha, scale, input_scale] = [(0, 150.0), (1, 64.0), (2, 64.0)]
            .map(|(k, exponents)| scattered(3 * i + k, exponents));
        let alpha = if i % 3 == 0 { -alpha } else { alpha };
        all.extend(Factors::new(alpha, scale, input_scale));
    }
    all
}
