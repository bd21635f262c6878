//! Compares the vector code, at every SIMD level of this machine, with the integers of [`exact`].

use super::*;
use crate::{
    cpu::{VectorCode, tests::levels},
    dtype::DType,
    elu::Elu,
    factors::{Factors, RoundedFactors},
    op::Op,
    rounding::Rounding,
};

/// A generator of numbers of all sizes. (Steele and Vigna, "LXM", OOPSLA 2021, give the multiplier.)
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        let mixed = self.0 ^ (self.0 >> 29);
        mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (mixed >> 31)
    }

    /// Returns a number from 1 to 2: half of them have only a few bits, so that products are often in the middle
    /// between two numbers.
    fn significand(&mut self) -> f64 {
        let bits = self.next();
        if bits.is_multiple_of(2) {
            1.0 + (bits >> 61) as f64 / 8.0
        } else {
            f64::from_bits(1f64.to_bits() | bits >> 12)
        }
    }

    fn below(&mut self, bound: u64) -> i32 {
        i32::try_from(self.next() % bound).unwrap()
    }
}

/// Compares results of all operations for random factors, inputs and gradients.
fn compare<E: VectorCode>(rounds: usize, round_to_dtype: fn(f64) -> E, value: fn(E) -> f64) {
    let dtype = E::DTYPE;
    let smallest = if dtype == DType::F64 { 1074 } else { 149 };
    let mut random = Random(7);
    let mut compared = 0;
    for round in 0..rounds {
        let op = Op::ALL[round % 3];
        let alpha = random.significand() * 2f64.powi(random.below(40) - 20);
        let is_negative = op != Op::BackwardFromOutput && random.below(3) == 0;
        let alpha = if is_negative { -alpha } else { alpha };
        let input_scale = if random.below(2) == 0 {
            1.0
        } else {
            random.significand() * 2f64.powi(random.below(128) - 64)
        };
        let factors = Factors::new(alpha, 1.0, input_scale).unwrap();
        let elu = Elu::from(factors).with_rounding(Rounding::Nearest);
        let rounded: RoundedFactors<f64> = match dtype {
            DType::F64 => factors.in_f64(),
            _ => factors.in_f32().into(),
        };
        let x: Vec<E> = (0..64)
            .map(|_| {
                let exponent = match random.below(4) {
                    0 => -random.below(smallest),
                    _ => 5 - random.below(60),
                };
                let x = -random.significand() * 2f64.powi(exponent) / input_scale;
                // An output is greater than -negative.
                let is_output = op != Op::BackwardFromOutput || x > -rounded.negative;
                round_to_dtype(if is_output {
                    x
                } else {
                    -0.5 * rounded.negative
                })
            })
            .collect();
        let grad: Vec<E> = (0..64)
            .map(|_| {
                let exponent = random.below(30) - 15;
                round_to_dtype(random.significand() * 2f64.powi(exponent))
            })
            .collect();
        for level in levels() {
            let mut y = x.clone();
            if op == Op::Forward {
                E::forward(level, elu, Some(&x), &mut y);
            } else {
                E::gradient(level, op, elu, &x, Some(&grad), &mut y);
            }
            for ((&x, &grad), &y) in x.iter().zip(&grad).zip(&y) {
                let (x, grad, y) = (value(x), value(grad), value(y));
                if !x.is_finite() || x == 0.0 || !grad.is_finite() || grad == 0.0 {
                    continue;
                }
                let bits = if dtype == DType::F64 {
                    exact_bits::<{ exact::F64_LIMBS }>(op, dtype, rounded, x, grad)
                } else {
                    exact_bits::<{ exact::F32_LIMBS }>(op, dtype, rounded, x, grad)
                };
                let expected = match dtype {
                    DType::F64 => std::primitive::f64::from_bits(bits),
                    _ => f32::from_bits(dtype, bits).into(),
                };
                assert_eq!(
                    y.to_bits(),
                    expected.to_bits(),
                    "{op} {dtype} at {}, {factors:?}: x {x:e}, grad {grad:e}, y {y:e}, expected {expected:e}",
                    crate::cpu::name(level)
                );
                compared += 1;
            }
        }
    }
    assert!(
        compared > rounds * 64,
        "only {compared} results were compared"
    );
}

fn exact_bits<const N: usize>(
    op: Op,
    dtype: DType,
    factors: RoundedFactors<std::primitive::f64>,
    x: std::primitive::f64,
    grad: std::primitive::f64,
) -> u64 {
    match op {
        Op::Forward => exact::forward::<N>(dtype, factors, x),
        Op::Backward => exact::backward::<N>(dtype, factors, x, grad),
        Op::BackwardFromOutput => exact::backward_from_output::<N>(dtype, factors, x, grad),
    }
}

#[test]
fn every_level_agrees_with_the_integers() {
    #[expect(clippy::cast_possible_truncation, reason = "rounding is wanted")]
    compare::<std::primitive::f32>(600, |v| v as std::primitive::f32, Into::into);
    compare::<half::f16>(600, half::f16::from_f64, Into::into);
    compare::<half::bf16>(600, half::bf16::from_f64, Into::into);
    compare::<std::primitive::f64>(150, |v| v, |v| v);
}
