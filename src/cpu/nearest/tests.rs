//! Compares the vector code, at every SIMD level of this machine, with the integers of [`exact`].

use super::*;
use crate::{
    cpu::{VectorCode, name, tests::levels},
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

    fn below(&mut self, bound: i32) -> i32 {
        let bound = u64::try_from(bound).unwrap();
        i32::try_from(self.next() % bound).unwrap()
    }
}

/// Compares results of all operations for random factors, inputs and gradients, of both signs.
fn compare<E: VectorCode>(rounds: usize, round_to_dtype: fn(f64) -> E, value: fn(E) -> f64) {
    let dtype = E::DTYPE;
    let smallest = if dtype == DType::F64 { 1074 } else { 149 };
    let largest = if dtype == DType::F64 { 1023 } else { 127 };
    let mut random = Random(7);
    let mut compared = 0;
    for round in 0..rounds {
        let op = Op::ALL[round % 3];
        let alpha = random.significand() * 2f64.powi(random.below(40) - 20);
        let is_negative = op != Op::BackwardFromOutput && random.below(3) == 0;
        let alpha = if is_negative { -alpha } else { alpha };
        let scale = if random.below(2) == 0 {
            1.0
        } else {
            random.significand() * 2f64.powi(random.below(20) - 10)
        };
        let input_scale = if random.below(2) == 0 {
            1.0
        } else {
            random.significand() * 2f64.powi(random.below(128) - 64)
        };
        let factors = Factors::new(alpha, scale, input_scale).unwrap();
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
                match random.below(8) {
                    0 => return round_to_dtype(-x),
                    1 => return round_to_dtype(0.0),
                    _ => {}
                }
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
                let exponent = match random.below(4) {
                    0 => random.below(smallest + largest) - smallest,
                    _ => random.below(30) - 15,
                };
                let sign = if random.below(2) == 0 { 1.0 } else { -1.0 };
                round_to_dtype(sign * random.significand() * 2f64.powi(exponent))
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
                let is_zero = match op {
                    Op::Forward => x == 0.0,
                    Op::Backward => grad == 0.0,
                    Op::BackwardFromOutput => grad == 0.0 || x == -rounded.negative,
                };
                if !x.is_finite() || !grad.is_finite() || is_zero {
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
                    name(level)
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
    if x > 0.0 {
        // The product with `positive`, as a gradient at 0.
        let positive = RoundedFactors {
            negative: factors.positive,
            positive: factors.positive,
            input_scale: 1.0,
        };
        let v = if op == Op::Forward { x } else { grad };
        return exact::backward::<N>(dtype, positive, 0.0, v);
    }
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

/// Unit factors have code of their own for float32. The first three inputs have the results that are closest to the
/// middle between two floats.
#[test]
fn unit_forward_agrees_with_the_integers_at_every_level() {
    let all = (0..=u32::MAX).step_by(9973);
    let x: Vec<std::primitive::f32> = [0xb675_cbfc, 0xbeb9_8797, 0xbb7b_3b6c]
        .into_iter()
        .chain(all)
        .map(std::primitive::f32::from_bits)
        .collect();
    let factors = Factors::elu(1.0).in_f32().into();
    let expected = x.iter().map(|&x| {
        if x < 0.0 && x.is_finite() {
            let bits = exact::forward::<{ exact::F32_LIMBS }>(DType::F32, factors, x.into());
            f32::from_bits(DType::F32, bits).to_bits()
        } else {
            x.max(-1.0).to_bits()
        }
    });
    let expected: Vec<u32> = expected.collect();
    let elu = Elu::new(1.0).with_rounding(Rounding::Nearest);
    for level in levels() {
        let mut y = vec![0.0; x.len()];
        std::primitive::f32::forward(level, elu, Some(&x), &mut y);
        for ((x, y), &expected) in x.iter().zip(&y).zip(&expected) {
            let expected = if x.is_nan() { x.to_bits() } else { expected };
            assert_eq!(y.to_bits(), expected, "{}: x {x:e}, y {y:e}", name(level));
        }
    }
}

/// Gradients without an exponential can be exactly in the middle between two numbers. If `x` is negative, the exact
/// result is closer to 0 than the middle.
#[test]
fn ties_of_gradients_are_decided_at_every_level() {
    for level in levels() {
        // x, grad in units of 2^-23, alpha, scale, and the result in units of 2^-23. The odd multiples of 1.5 are ties.
        let unit = 1 << 23;
        let cases = [
            // At 0 and above, ties go to the even number.
            (0.0, unit + 1, 1.5, 1.0, 3 * unit / 2 + 2),
            (-0.0, unit + 3, 1.5, 1.0, 3 * unit / 2 + 4),
            (0.0, -unit - 5, 1.5, 1.0, -3 * unit / 2 - 8),
            (2.0, unit + 1, 1.0, 1.5, 3 * unit / 2 + 2),
            (2.0, -unit - 3, 1.0, 1.5, -3 * unit / 2 - 4),
            // The exponential is a little less than 1.
            (-1e-9, unit + 1, 1.5, 1.0, 3 * unit / 2 + 1),
            (-1e-15, unit + 3, 1.5, 1.0, 3 * unit / 2 + 4),
            (-1e-20, unit + 1, 1.5, 1.0, 3 * unit / 2 + 1),
            (-1e-30, -unit - 1, 1.5, 1.0, -3 * unit / 2 - 1),
            (-1e-44, unit + 5, 1.5, 1.0, 3 * unit / 2 + 7),
        ];
        for (x, grad, alpha, scale, expected) in cases {
            let float = |units: i32| units as std::primitive::f32 / unit as std::primitive::f32;
            let factors = Factors::new(alpha, scale, 1.0).unwrap();
            let elu = Elu::from(factors).with_rounding(Rounding::Nearest);
            let mut y = [0.0];
            std::primitive::f32::gradient(
                level,
                Op::Backward,
                elu,
                &[x],
                Some(&[float(grad)]),
                &mut y,
            );
            assert_eq!(
                y,
                [float(expected)],
                "{}: x {x:e}, grad {grad}",
                name(level)
            );
        }
    }
}

/// The inputs are those of `accuracy::digest`. Therefore a digest that one level computes holds for all.
#[test]
fn every_level_has_the_same_digests() {
    fn compare<E: VectorCode + bytemuck::Pod>(step: usize, from_bits: fn(u64) -> E) {
        let bits = (8 * size_of::<E>()).min(32);
        let numbers = (0..1u64 << bits).step_by(step);
        let is_f64 = E::DTYPE == DType::F64;
        let factor = if is_f64 { 0x9e37_79b9_7f4a_7c15 } else { 1 };
        let x = numbers.clone().map(|n| from_bits(n.wrapping_mul(factor)));
        let x: Vec<E> = x.collect();
        let shift = 64 - 8 * size_of::<E>();
        let grad = numbers.map(|n| from_bits(n.wrapping_mul(0xd134_2543_de82_ef95) >> shift));
        let grad: Vec<E> = grad.collect();
        for factors in [
            Factors::elu(1.0),
            Factors::SELU,
            Factors::celu(2.0).unwrap(),
        ] {
            let elu = Elu::from(factors).with_rounding(Rounding::Nearest);
            for op in Op::ALL {
                let results = |level| {
                    let mut y = grad.clone();
                    match op {
                        Op::Forward => E::forward(level, elu, Some(&x), &mut y),
                        _ => E::gradient(level, op, elu, &x, None, &mut y),
                    }
                    bytemuck::cast_slice::<E, u8>(&y).to_vec()
                };
                let [best, others @ ..] = &levels()[..] else {
                    panic!("no level")
                };
                let expected = results(*best);
                for &level in others {
                    let what = format!("{op} {} {factors:?} at {}", E::DTYPE, name(level));
                    assert!(results(level) == expected, "{what}");
                }
            }
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "the bits fit")]
    fn run() {
        compare(9797, |bits| std::primitive::f32::from_bits(bits as u32));
        compare(1, |bits| half::f16::from_bits(bits as u16));
        compare(1, |bits| half::bf16::from_bits(bits as u16));
    }
    run();
    // Every 37th number of the digest, because most of its numbers need the integers.
    compare(9797 * 37, std::primitive::f64::from_bits);
}
