//! Tests of the vector code at every SIMD level of this machine, not only at the best one.

use super::*;
use crate::{factors::Factors, reference};

/// Returns every SIMD level that this machine has.
pub(super) fn levels() -> Vec<Level> {
    let best = Level::new();
    let mut levels = vec![best, Level::baseline()];
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        levels.extend(best.as_avx2().map(Level::Avx2));
        levels.extend(best.as_sse4_2().map(Level::Sse4_2));
    }
    levels
}

#[test]
fn every_level_is_within_1_ulp() {
    for level in levels() {
        let x: Vec<f32> = (0..=u32::MAX).step_by(9973).map(f32::from_bits).collect();
        let mut y = vec![0.0; x.len()];
        f32::forward(level, 1.0.into(), Some(&x), &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            if x < 0.0 {
                let exact = reference::elu(f64::from(x), 1.0);
                let power =
                    exact.abs().max(f32::MIN_POSITIVE.into()).to_bits() & f64::INFINITY.to_bits();
                let ulp = f64::from_bits(power) / f64::from(1 << 23);
                assert!(
                    (f64::from(y) - exact).abs() <= ulp,
                    "{}: x {x:e}, y {y:e}, exact {exact:e}",
                    name(level)
                );
            } else {
                assert_eq!(x.to_bits(), y.to_bits(), "{}", name(level));
            }
        }
    }
}

/// The range of x in which the errors are largest, and the x below which the result is `-negative`. The first four alphas
/// gave up to 1.05 ULP in an earlier version.
#[test]
fn other_alphas_of_every_level_are_within_1_ulp() {
    let worst = (0x3e8f_5c29..0x3eb8_51ec).step_by(11);
    let earlier_failures = [0x3e9a_e34c, 0x3e9a_074a, 0x3e9b_c800, 0x3e98_afd0];
    let largest = (0x4180_0000..0x41a0_0000u32).step_by(101);
    let magnitudes = worst.chain(earlier_failures).chain(largest);
    let x: Vec<f32> = magnitudes.map(|bits| -f32::from_bits(bits)).collect();
    let mut y = vec![0.0; x.len()];
    for alpha in [
        0x3fe1_0966,
        0x3ff3_3333,
        0x3fef_4ceb,
        0x3ff7_724e,
        0x3f00_0000,
        0xbf7f_ffff,
    ] {
        let alpha = f64::from(f32::from_bits(alpha));
        for level in levels() {
            f32::forward(level, alpha.into(), Some(&x), &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                let exact = reference::elu(f64::from(x), alpha);
                let power = f64::from_bits(exact.to_bits() & f64::INFINITY.to_bits());
                let error = (f64::from(y) - exact).abs() * f64::from(1 << 23) / power.abs();
                assert!(
                    error <= 1.0,
                    "{}: alpha {alpha:e}, x {x:e}: {error} ULP",
                    name(level)
                );
            }
        }
    }
}

/// Returns the 16-bit number nearest to ELU for unit factors.
fn nearest_16<T: Element>(x: T, to_f64: fn(T) -> f64, from_f64: fn(f64) -> T) -> T {
    let v = to_f64(x);
    if v < 0.0 {
        from_f64(reference::elu(v, 1.0))
    } else {
        x
    }
}

#[test]
fn every_16_bit_result_for_unit_factors_is_the_nearest() {
    fn check<T: VectorCode + Copy>(to_f64: fn(T) -> f64, from_f64: fn(f64) -> T) {
        let x: Vec<u16> = (0..=u16::MAX).collect();
        let x: &[T] = bytemuck::cast_slice(&x);
        let expected: Vec<T> = x.iter().map(|&x| nearest_16(x, to_f64, from_f64)).collect();
        for level in levels() {
            let mut y = x.to_vec();
            T::forward(level, 1.0.into(), Some(x), &mut y);
            let bits = |v: &[T]| bytemuck::cast_slice::<T, u16>(v).to_vec();
            assert_eq!(bits(&y), bits(&expected), "{}", name(level));
        }
    }
    check::<f16>(f16::to_f64, f16::from_f64);
    check::<bf16>(bf16::to_f64, bf16::from_f64);
}

/// For -infinity, the result is `-negative`, rounded once.
#[test]
fn every_16_bit_result_for_negative_infinity_is_the_nearest() {
    fn check<T: VectorCode + Copy + PartialEq + std::fmt::Debug>(from_f64: fn(f64) -> T) {
        // The first ones are in the middle between two numbers: of float16, and of bfloat16.
        for alpha in [
            65520.0f32,
            1.0 + 3.0 / 2048.0,
            1.0 + 3.0 / 256.0,
            1.0,
            0.3,
            -2.5,
        ] {
            for level in levels() {
                let mut y = [from_f64(f64::NEG_INFINITY); 5];
                T::forward(level, f64::from(alpha).into(), None, &mut y);
                let expected = from_f64((-alpha).into());
                assert_eq!(y, [expected; 5], "alpha {alpha}, {}", name(level));
            }
        }
    }
    check::<f16>(f16::from_f64);
    check::<bf16>(bf16::from_f64);
}

/// The same formula on one number, with each of its multiply-adds fused or not: six for bfloat16, and seven for float16.
/// The shaders have the same coefficients, and a GPU's compiler may choose.
#[test]
fn no_16_bit_result_for_unit_factors_depends_on_fused_multiply_adds() {
    fn expm1<const N: usize>(x: f32, coefficients: [f32; N], fused: u32) -> f32 {
        let mut site = 0;
        let mut multiply_add = |a: f32, b: f32, c: f32| {
            site += 1;
            if fused >> (site - 1) & 1 == 1 {
                a.mul_add(b, c)
            } else {
                a * b + c
            }
        };
        let rounder = (3 << 22) as f32 + 127.0;
        let sum = multiply_add(x, std::f32::consts::LOG2_E, rounder);
        let power = f32::from_bits(sum.to_bits() << 23);
        let r = multiply_add(sum - rounder, -std::f32::consts::LN_2, x);
        let q = match coefficients[..] {
            [c0, c1, c2] => {
                let q = multiply_add(r, c2, c1);
                multiply_add(r, q, c0)
            }
            [c0, c1, c2, c3] => {
                let low = multiply_add(r, c1, c0);
                let high = multiply_add(r, c3, c2);
                multiply_add(r * r, high, low)
            }
            _ => unreachable!(),
        };
        let e = multiply_add(r * r, q, r);
        multiply_add(power, e, power - 1.0)
    }
    for bits in 0x8001..=0xcc80u16 {
        let (half, bfloat) = (f16::from_bits(bits), bf16::from_bits(bits));
        let nearest_f16 = nearest_16(half, f16::to_f64, f16::from_f64);
        let nearest_bf16 = nearest_16(bfloat, bf16::to_f64, bf16::from_f64);
        for fused in 0..128 {
            let y = expm1(half.to_f32(), super::arithmetic::Q_OF_F16, fused);
            assert_eq!(f16::from_f32(y), nearest_f16, "{half:e}, {fused:#b}");
            let y = expm1(
                bfloat.to_f32().max(-18.0),
                super::arithmetic::Q_OF_BF16,
                fused,
            );
            assert_eq!(bf16::from_f32(y), nearest_bf16, "{bfloat:e}, {fused:#b}");
        }
    }
}

/// The shaders for unit factors have the coefficients of the CPU path.
#[test]
fn shaders_have_the_coefficients_of_16_bit_polynomials() {
    use super::arithmetic::{Q_OF_BF16, Q_OF_F16};
    for (shader, coefficients) in [
        (
            include_str!("../../shaders/halves/float16.wgsl"),
            &Q_OF_F16[..],
        ),
        (
            include_str!("../../shaders/halves/bfloat16.wgsl"),
            &Q_OF_BF16,
        ),
    ] {
        for c in coefficients {
            assert!(shader.contains(&format!("vec4({c})")), "{c} in {shader}");
        }
    }
}

/// The factors at both ends of those for which the short formulas are used, and beyond them.
#[cfg(feature = "accuracy")]
#[test]
fn every_16_bit_gradient_is_almost_the_nearest() {
    use crate::accuracy::{Judge, from_bytes};

    fn check<T: VectorCode>(op: Op, elu: Elu) {
        let judge = Judge {
            op,
            dtype: T::DTYPE,
            elu,
        };
        // Every third number, so that all lanes get numbers of each kind, and gradients of every size, NaN included.
        let x: Vec<u16> = (0..=u16::MAX).step_by(3).collect();
        let grad: Vec<u16> = x
            .iter()
            .map(|x| x.wrapping_mul(0x9e37).rotate_left(5))
            .collect();
        let (x, grad): (&[T], &[T]) = (bytemuck::cast_slice(&x), bytemuck::cast_slice(&grad));
        let mut out = vec![T::zeroed(); x.len()];
        for level in levels() {
            T::gradient(level, op, elu, x, Some(grad), &mut out);
            let as_bits = |v: &[T]| from_bytes(T::DTYPE, bytemuck::cast_slice(v));
            for ((x, grad), y) in as_bits(x).into_iter().zip(as_bits(grad)).zip(as_bits(&out)) {
                let verdict = judge.judge(x, grad, y);
                assert!(
                    verdict.is_allowed && verdict.ulp <= 0.51,
                    "{}, {op:?}, {elu:?}: x {x:#x}, grad {grad:#x}, result {y:#x}",
                    name(level)
                );
            }
        }
    }
    for alpha in [1.0, 0.3, 256.0, 300.0, 2f64.powi(-64), 1e-30, 3e38, 1e-40] {
        for sign in [1.0, -1.0] {
            let elu = Elu::new(sign * alpha);
            check::<f16>(Op::Backward, elu);
            check::<bf16>(Op::Backward, elu);
        }
        check::<f16>(Op::BackwardFromOutput, Elu::new(alpha));
        check::<bf16>(Op::BackwardFromOutput, Elu::new(alpha));
    }
    for op in [Op::Backward, Op::BackwardFromOutput] {
        check::<f16>(op, Elu::selu());
        check::<bf16>(op, Elu::selu());
    }
}

#[test]
fn gradients_of_every_level_are_within_1_ulp() {
    let mut random = 1u32;
    for level in levels() {
        let x: Vec<f32> = (0x8000_0000..0xc2e0_0000u32)
            .step_by(4999)
            .chain((0xbf80_0000..0xc1a0_0000).step_by(101))
            .map(f32::from_bits)
            .collect();
        // Magnitudes from 1 to 2 with either sign. Every 16th gradient is an arbitrary bit pattern.
        let grads = (0..x.len()).map(|i| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let kept = if i % 16 == 0 { u32::MAX } else { 0x807f_ffff };
            f32::from_bits(random.rotate_right(9) & kept | (!kept & 0x3f80_0000))
        });
        let grad: Vec<f32> = grads.collect();
        let mut out = vec![0.0; x.len()];
        f32::gradient(level, Op::Backward, 1.0.into(), &x, Some(&grad), &mut out);
        for ((&x, &grad), &out) in x.iter().zip(&grad).zip(&out) {
            let exact = f64::from(grad) * reference::elu_grad(f64::from(x), 1.0);
            if !grad.is_finite() {
                continue;
            }
            let power =
                exact.abs().max(f32::MIN_POSITIVE.into()).to_bits() & f64::INFINITY.to_bits();
            let ulp = f64::from_bits(power) / f64::from(1 << 23);
            assert!(
                (f64::from(out) - exact).abs() <= ulp
                    && out.is_sign_negative() == grad.is_sign_negative(),
                "{}: x {x:e}, grad {grad:e}, out {out:e}, exact {exact:e}",
                name(level)
            );
        }
    }
}

/// Results that are too small for the format are 0 with the sign of the exact value.
#[test]
fn every_level_keeps_the_sign_of_zero() {
    fn signs<T: VectorCode + Copy>(
        level: Level,
        alpha: f64,
        negative_tiny: T,
        negative_zero: T,
        bits: fn(T) -> u64,
    ) {
        for input_scale in [1.0, 0.5] {
            for sign in [1.0, -1.0] {
                let factors = Factors::new(sign * alpha, 1.0, input_scale).unwrap();
                let sign_bit = bits(negative_zero);
                let expected = if sign < 0.0 { 0 } else { sign_bit };
                let mut y = [negative_zero; 5];
                T::forward(level, factors.into(), Some(&[negative_tiny; 5]), &mut y);
                assert_eq!(
                    y.map(bits),
                    [expected; 5],
                    "forward, {}, {factors:?}",
                    name(level)
                );
                T::gradient(
                    level,
                    Op::Backward,
                    factors.into(),
                    &[negative_tiny; 5],
                    Some(&[negative_tiny; 5]),
                    &mut y,
                );
                assert_eq!(
                    y.map(bits),
                    [expected; 5],
                    "backward, {}, {factors:?}",
                    name(level)
                );
                if sign > 0.0 {
                    let output = &[negative_zero; 5];
                    T::gradient(
                        level,
                        Op::BackwardFromOutput,
                        factors.into(),
                        output,
                        Some(&[negative_tiny; 5]),
                        &mut y,
                    );
                    assert_eq!(y.map(bits), [expected; 5], "{}, {factors:?}", name(level));
                }
            }
        }
    }
    for level in levels() {
        let bits = |v: f32| v.to_bits().into();
        signs(level, 1e-30, f32::from_bits(0x8080_0000), -0.0, bits);
        signs(level, 1e-300, -f64::MIN_POSITIVE, -0.0, f64::to_bits);
        // `AlphaForward` and `NarrowBackward` are for factors of ordinary size.
        signs(level, 0.1, -f32::from_bits(1), -0.0, bits);
        signs(level, 0.1, -f64::from_bits(1), -0.0, f64::to_bits);
        signs(level, 0.1, -f16::from_bits(1), f16::NEG_ZERO, |v| {
            v.to_bits().into()
        });
        signs(level, 0.1, -bf16::from_bits(1), bf16::NEG_ZERO, |v| {
            v.to_bits().into()
        });
    }
}

/// Checks the results that were wrong in earlier versions, as `tests/conformance/src/numbers.rs` does on devices. Each
/// case has alpha, `input_scale`, `x`, an incoming gradient, and the expected result.
#[test]
fn every_level_passes_earlier_failures() {
    let cases: [(f64, f64, [u32; 3]); 7] = [
        (0.0, 1.0, [0xbf80_0000, 0x5f80_0000, 0]),
        (1e-33, 1.0, [0xbf80_0000, 0x60ad_78ec, 0x2925_ad9d]),
        (
            0.523_782_138_320_668_2,
            1.0 / 0.523_782_138_320_668_2,
            [0xc018_6d35, 0xbfbb_56ac, 0xbc7e_2468],
        ),
        (
            2_421.174_787_929_769_5,
            1.0 / 2_421.174_787_929_769_5,
            [0xc713_802e, 0x3fa9_43b8, 0x346f_6072],
        ),
        (1.0, 1.0, [0xc31a_e666, 0x7136_8fb4, 0x0183_7cdc]),
        (1.0, 1.0, [0xc2d6_b852, 0xd3ed_7cbd, 0x8680_5a33]),
        (3e38, 2f64.powi(64), [0x8000_0100, 0x8001_2345, 0xdd00_6507]),
    ];
    for level in levels() {
        for (alpha, input_scale, [x, grad, expected]) in cases {
            let factors = Factors::new(alpha, 1.0, input_scale).unwrap();
            let [x, grad] = [x, grad].map(f32::from_bits);
            let mut y = [0.0];
            f32::gradient(
                level,
                Op::Backward,
                factors.into(),
                &[x],
                Some(&[grad]),
                &mut y,
            );
            let y = y[0].to_bits();
            assert!(
                y.abs_diff(expected) <= 1,
                "{}: {factors:?}, {y:#x}",
                name(level)
            );
        }
    }
}

#[test]
fn penalties_of_every_level_are_accurate() {
    for level in levels() {
        for len in (0..=67u16).chain([1023, 4099]) {
            let y: Vec<f32> = (0..len).map(|i| f32::from(i) - 33.0).collect();
            let exact: f64 = y
                .iter()
                .map(|&y| 0.5 * f64::from(y.abs()) + 0.25 * f64::from(y).powi(2))
                .sum();
            let penalty = Penalty::new(0.5, 0.25).unwrap();
            let sum = f32::penalty(level, penalty, &y).value();
            assert!(
                (sum - exact).abs() <= 8e-7 * exact,
                "{}: {sum} instead of {exact}",
                name(level)
            );
        }
    }
}

#[test]
fn every_level_handles_every_length() {
    for level in levels() {
        for len in 0..=67u16 {
            let x: Vec<f32> = (0..len).map(|i| f32::from(i) - 33.0).collect();
            let mut y = vec![f32::NAN; x.len()];
            f32::forward(level, 0.5.into(), Some(&x), &mut y);
            let mut in_place = x.clone();
            f32::forward(level, 0.5.into(), None, &mut in_place);
            assert_eq!(y, in_place, "{}", name(level));
            for (&x, &y) in x.iter().zip(&y) {
                assert!(
                    (f64::from(y) - reference::elu(x.into(), 0.5)).abs() < 1e-6,
                    "{}: {x} {y}",
                    name(level)
                );
            }
        }
    }
}
