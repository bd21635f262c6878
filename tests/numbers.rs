//! The CPU path and every adapter against the oracle.

use wgpu_elu::{
    DType, Elu, Error, Factors, cpu,
    half::{bf16, f16},
    shader::Op,
};

use crate::{
    common::{
        SPECIAL_BITS, check, check_results, compute, f32_bits, judge, on_every_device,
        special_alphas, supports, varied,
    },
    judge::{bits, value},
};

const HALVES: [DType; 2] = [DType::F16, DType::BF16];

/// Gradients of every kind.
const GRADS: [f64; 12] = [
    1.0, -1.0, 0.731_058_6, -3.14159, 1e-3, 1234.567, -1e10, 1e-20, -1e-35, 3e38, 0.0, -0.0,
];

/// ELU, SELU, CELU and all three factors at once.
fn families() -> Vec<Factors> {
    vec![
        Factors::SELU,
        Factors::celu(2.0).unwrap(),
        Factors::celu(0.3).unwrap(),
        Factors::celu(1e10).unwrap(),
        Factors::new(0.5, 3.0, 0.7).unwrap(),
        Factors::new(-1.5, 0.2, 5.0).unwrap(),
    ]
}

/// The special values of a format: those of `f32` as far as it has them, and its own ends.
fn specials(dtype: DType) -> Vec<u64> {
    let mut all: Vec<u64> = SPECIAL_BITS
        .iter()
        .map(|&special| bits(dtype, f32::from_bits(special).into()))
        .collect();
    let [infinity, sign] = match dtype {
        DType::F16 => [0x7c00, 0x8000],
        DType::BF16 => [0x7f80, 0x8000],
        DType::F32 => [0x7f80_0000, 0x8000_0000],
        _ => [f64::INFINITY.to_bits(), (-0.0f64).to_bits()],
    };
    // The smallest, the largest, infinity, and NaN with the smallest payload.
    let ends = [0, 1, 2, infinity - 1, infinity, infinity + 1];
    all.extend(ends.into_iter().flat_map(|bits| [bits, bits | sign]));
    all
}

fn ops(factors: Factors) -> impl Iterator<Item = Op> {
    let invertible = factors.alpha() > 0.0 && factors.alpha().is_finite();
    Op::ALL
        .into_iter()
        .filter(move |&op| op != Op::BackwardFromOutput || invertible)
}

/// Every pair of `x` and `grad`.
fn pairs(x: &[u64], grad: &[u64]) -> (Vec<u64>, Vec<u64>) {
    x.iter()
        .flat_map(|&x| grad.iter().map(move |&grad| (x, grad)))
        .unzip()
}

#[test]
fn special_values_with_special_alphas() {
    on_every_device(|place| {
        for dtype in DType::ALL {
            if !supports(place.device, dtype) {
                continue;
            }
            let x = specials(dtype);
            let (xs, grads) = pairs(&x, &x);
            let alphas = special_alphas().into_iter().map(|alpha| Factors::elu(alpha.into()));
            for factors in alphas.chain(families()) {
                // A product of three with numbers at both ends: what rounds where is told in the documentation.
                let moderate = factors.alpha().abs() < 1e4 && factors.alpha().abs() > 1e-4;
                for op in ops(factors) {
                    let judge = judge(place, op, dtype, factors);
                    if op == Op::Forward {
                        check(place, judge, &x, &[]);
                    } else if moderate {
                        check(place, judge, &xs, &grads);
                    }
                }
            }
        }
    });
}
