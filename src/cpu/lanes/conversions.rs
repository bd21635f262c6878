//! Conversions of 16-bit formats to `f32` and back.

use fearless_simd::prelude::*;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use fearless_simd::{Level, f32x8, f32x16, u16x8, u16x16};
use half::{bf16, f16};

/// Converts bfloat16 to `f32`: returns the elements at even positions, then those at odd positions. This order needs no
/// moves across lanes.
#[inline(always)]
pub(super) fn widen_bf16<S: Simd>(simd: S, h: S::u16s) -> [S::f32s; 2] {
    let pairs: S::u32s = h.bitcast();
    let upper = S::u32s::splat(simd, 0xffff_0000);
    [(pairs << 16).bitcast(), (pairs & upper).bitcast()]
}

/// Converts to bfloat16 in the order that [`widen_bf16`] returns, rounding to nearest, ties to even. If a number is too
/// large, the carry makes it infinite.
#[inline(always)]
pub(super) fn narrow_bf16<S: Simd>(simd: S, [even, odd]: [S::f32s; 2]) -> S::u16s {
    let (even, odd) = (keep_nan(simd, even), keep_nan(simd, odd));
    narrow_bf16_numbers(simd, [even, odd])
}

/// Sets the quiet bit of a NaN whose payload lies in the lower half only. Cutting off the lower half would turn it into
/// an infinity.
#[inline(always)]
fn keep_nan<S: Simd>(simd: S, v: S::f32s) -> S::f32s {
    let bits: S::u32s = v.bitcast();
    let is_lost = (bits & 0x007f_0000).simd_eq(S::u32s::splat(simd, 0));
    let quiet = is_lost.select(bits | 0x0040_0000, bits);
    v.simd_eq(v).select(v, quiet.bitcast())
}

/// Converts like [`narrow_bf16`], but requires that every NaN has payload bits in its upper half.
#[inline(always)]
pub(super) fn narrow_bf16_numbers<S: Simd>(simd: S, [even, odd]: [S::f32s; 2]) -> S::u16s {
    let (even, odd) = (rounded_to_bf16(simd, even), rounded_to_bf16(simd, odd));
    ((even >> 16) | (odd & S::u32s::splat(simd, 0xffff_0000))).bitcast()
}

/// Converts like [`narrow_bf16_numbers`], but requires that no number is NaN.
#[inline(always)]
fn narrow_bf16_finite<S: Simd>(simd: S, [even, odd]: [S::f32s; 2]) -> S::u16s {
    let below_half = S::u32s::splat(simd, 0x7fff);
    let [even, odd]: [S::u32s; 2] = [even.bitcast(), odd.bitcast()];
    let even = even + below_half + ((even >> 16) & 1);
    let odd = odd + below_half + ((odd >> 16) & 1);
    ((even >> 16) | (odd & S::u32s::splat(simd, 0xffff_0000))).bitcast()
}

/// Converts like [`narrow_bf16_finite`], but rounds ties away from zero, which is faster. It is for expm1, of which no
/// result is a tie.
#[inline(always)]
fn narrow_bf16_without_ties<S: Simd>(simd: S, [even, odd]: [S::f32s; 2]) -> S::u16s {
    let half = S::u32s::splat(simd, 0x8000);
    let (even, odd) = (
        even.bitcast::<S::u32s>() + half,
        odd.bitcast::<S::u32s>() + half,
    );
    ((even >> 16) | (odd & S::u32s::splat(simd, 0xffff_0000))).bitcast()
}

/// The number at which expm1 rounds to -1 in `f32`, so that the result for -infinity is `-negative`.
const LOWEST: f32 = -18.0;

/// Applies a function with finite results to the negative numbers, which are replaced by -18 if they are smaller. Returns
/// all other elements unchanged, NaN with its bits.
#[inline(always)]
pub(super) fn map_negative_bf16<S: Simd>(
    simd: S,
    x: S::u16s,
    function: impl Fn(S::f32s) -> S::f32s,
) -> S::u16s {
    let lowest = S::u16s::splat(simd, bf16::from_f32_const(LOWEST).to_bits());
    let [even, odd] = widen_bf16(simd, x.min(lowest));
    let y = narrow_bf16_finite(simd, [function(even), function(odd)]);
    select_negative(simd, x, y, bf16::INFINITY.to_bits())
}

/// Does the same as [`map_negative_bf16`] for a function whose results are no ties: expm1.
#[inline(always)]
pub(super) fn map_negative_bf16_without_ties<S: Simd>(
    simd: S,
    x: S::u16s,
    function: impl Fn(S::f32s) -> S::f32s,
) -> S::u16s {
    let lowest = S::u16s::splat(simd, bf16::from_f32_const(LOWEST).to_bits());
    let [even, odd] = widen_bf16(simd, x.min(lowest));
    let y = narrow_bf16_without_ties(simd, [function(even), function(odd)]);
    select_negative(simd, x, y, bf16::INFINITY.to_bits())
}

/// Does the same as [`map_negative_bf16`] for float16.
#[inline(always)]
pub(super) fn map_negative_f16<S: Simd>(
    simd: S,
    x: S::u16s,
    function: impl Fn(S::f32s) -> S::f32s,
) -> S::u16s {
    let floats = widen_f16_numbers(simd, x);
    let y = [
        function(floats[0].max(LOWEST)),
        function(floats[1].max(LOWEST)),
    ];
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Level::Avx512(level) = simd.level() {
        // The instruction that converts to float16 also selects.
        let (first, last) = x.as_slice().split_at(S::u16s::LEN / 2);
        let first = x86::narrow_negative_16(
            level,
            u16x16::from_slice(level, first).into(),
            f32x16::from_slice(level, floats[0].as_slice()).into(),
            f32x16::from_slice(level, y[0].as_slice()).into(),
        );
        let last = x86::narrow_negative_16(
            level,
            u16x16::from_slice(level, last).into(),
            f32x16::from_slice(level, floats[1].as_slice()).into(),
            f32x16::from_slice(level, y[1].as_slice()).into(),
        );
        let halves = u16x16::simd_from(level, first).combine(u16x16::simd_from(level, last));
        return S::u16s::from_slice(simd, halves.as_slice());
    }
    select_negative(
        simd,
        x,
        narrow_f16_numbers(simd, y),
        f16::INFINITY.to_bits(),
    )
}

/// Returns `y` for negative x, else `x`. It selects by the bits, so that NaN keeps its bits without further work.
#[inline(always)]
fn select_negative<S: Simd>(simd: S, x: S::u16s, y: S::u16s, infinity: u16) -> S::u16s {
    // The bits of negative numbers are 0x8001 to those of -infinity.
    let distance = x - S::u16s::splat(simd, 0x8001);
    let last = S::u16s::splat(simd, infinity - 1);
    distance.simd_le(last).select(y, x)
}

/// Rounds to bfloat16. The result is in the upper half of each word.
#[inline(always)]
fn rounded_to_bf16<S: Simd>(simd: S, v: S::f32s) -> S::u32s {
    let bits: S::u32s = v.bitcast();
    let rounded = bits + S::u32s::splat(simd, 0x7fff) + ((bits >> 16) & 1);
    v.simd_eq(v).select(rounded, bits)
}

/// Converts float16 to `f32`: returns the elements at even positions, then those at odd positions.
#[inline(always)]
pub(super) fn widen_f16<S: Simd>(simd: S, h: S::u16s) -> [S::f32s; 2] {
    let pairs: S::u32s = h.bitcast();
    [
        widen_upper_f16(simd, pairs << 16),
        widen_upper_f16(simd, pairs),
    ]
}

/// Converts the float16 in the upper half of each word.
#[inline(always)]
fn widen_upper_f16<S: Simd>(simd: S, bits: S::u32s) -> S::f32s {
    let splat = |v: u32| S::u32s::splat(simd, v);
    let shifted = (bits >> 3) & 0x0fff_e000;
    // The exponent biases of the formats differ by 112. The multiplication is exact and normalizes subnormals.
    let finite = shifted.bitcast::<S::f32s>() * (1u128 << 112) as f32;
    let special = shifted.simd_ge(splat(0x7c00 << 13));
    let magnitude = special.select(shifted | 0x7f80_0000, finite.bitcast());
    (magnitude | (bits & splat(0x8000_0000))).bitcast()
}

/// Converts to float16 in the order that [`widen_f16`] returns, rounding to nearest, ties to even.
#[inline(always)]
pub(super) fn narrow_f16<S: Simd>(simd: S, [even, odd]: [S::f32s; 2]) -> S::u16s {
    (narrow_to_f16(simd, even) | (narrow_to_f16(simd, odd) << 16)).bitcast()
}

/// Rounds to float16, to nearest, ties to even. The result is in the lower half of each word.
#[inline(always)]
fn narrow_to_f16<S: Simd>(simd: S, v: S::f32s) -> S::u32s {
    let splat = |v: u32| S::u32s::splat(simd, v);
    let bits: S::u32s = v.bitcast();
    let magnitude = bits & 0x7fff_ffff;
    let kept = magnitude >> 13;
    // Subtracts the difference of the exponent biases, 112, and rounds off the last 13 bits, ties to even.
    let normal = (magnitude - splat(0x3800_0000) + splat(0x0fff) + (kept & 1)) >> 13;
    // Below 2^-14, adding 0.5 rounds to a multiple of 2^-24, and the last bits of the sum are that multiple.
    let sum = magnitude.bitcast::<S::f32s>() + 0.5;
    let subnormal = sum.bitcast::<S::u32s>() - splat(0.5f32.to_bits());
    let finite = magnitude
        .simd_lt(splat(0x3880_0000)) // 2^-14
        .select(subnormal, normal);
    let rounded = magnitude
        .simd_lt(splat(0x4780_0000)) // 65536
        .select(finite, splat(0x7c00));
    // A NaN needs a payload that is not 0, so one whose upper payload bits are 0 gets the quiet bit.
    let payload = kept & 0x03ff;
    let payload = payload.simd_eq(splat(0)).select(splat(0x0200), payload);
    let rounded = v.simd_eq(v).select(rounded, payload | 0x7c00);
    rounded | ((bits >> 16) & 0x8000)
}

/// Converts float16 to `f32`. If the machine has instructions for this, returns the first half of the elements, then
/// the last; the instructions also change the bits of signalling NaNs. Otherwise does the same as [`widen_f16`].
#[inline(always)]
pub(super) fn widen_f16_numbers<S: Simd>(simd: S, h: S::u16s) -> [S::f32s; 2] {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        let (first, last) = h.as_slice().split_at(S::u16s::LEN / 2);
        match simd.level() {
            Level::Avx512(level) => {
                let first = x86::widen_16(level, u16x16::from_slice(level, first).into());
                let last = x86::widen_16(level, u16x16::from_slice(level, last).into());
                let floats = [
                    f32x16::simd_from(level, first),
                    f32x16::simd_from(level, last),
                ];
                return [
                    S::f32s::from_slice(simd, floats[0].as_slice()),
                    S::f32s::from_slice(simd, floats[1].as_slice()),
                ];
            }
            Level::Avx2(level) => {
                let first = x86::widen_8(level, u16x8::from_slice(level, first).into());
                let last = x86::widen_8(level, u16x8::from_slice(level, last).into());
                let floats = [
                    f32x8::simd_from(level, first),
                    f32x8::simd_from(level, last),
                ];
                return [
                    S::f32s::from_slice(simd, floats[0].as_slice()),
                    S::f32s::from_slice(simd, floats[1].as_slice()),
                ];
            }
            _ => {}
        }
    }
    widen_f16(simd, h)
}

/// Converts to float16 in the order that [`widen_f16_numbers`] returns, rounding to nearest, ties to even.
#[inline(always)]
pub(super) fn narrow_f16_numbers<S: Simd>(simd: S, [first, last]: [S::f32s; 2]) -> S::u16s {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    match simd.level() {
        Level::Avx512(level) => {
            let first = x86::narrow_16(level, f32x16::from_slice(level, first.as_slice()).into());
            let last = x86::narrow_16(level, f32x16::from_slice(level, last.as_slice()).into());
            let halves = u16x16::simd_from(level, first).combine(u16x16::simd_from(level, last));
            return S::u16s::from_slice(simd, halves.as_slice());
        }
        Level::Avx2(level) => {
            let first = x86::narrow_8(level, f32x8::from_slice(level, first.as_slice()).into());
            let last = x86::narrow_8(level, f32x8::from_slice(level, last.as_slice()).into());
            let halves = u16x8::simd_from(level, first).combine(u16x8::simd_from(level, last));
            return S::u16s::from_slice(simd, halves.as_slice());
        }
        _ => {}
    }
    narrow_f16(simd, [first, last])
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod x86 {
    #[cfg(target_arch = "x86")]
    use std::arch::x86::*;
    #[cfg(target_arch = "x86_64")]
    use std::arch::x86_64::*;

    use fearless_simd::kernel;

    kernel! {
        #[inline]
        pub(super) fn widen_16(simd: Avx512, h: __m256i) -> __m512 {
            _mm512_cvtph_ps(h)
        }
    }

    kernel! {
        #[inline]
        pub(super) fn narrow_16(simd: Avx512, v: __m512) -> __m256i {
            _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)
        }
    }

    kernel! {
        /// Converts the floats of negative `x`, and returns the halves of the others.
        #[inline]
        pub(super) fn narrow_negative_16(simd: Avx512, halves: __m256i, x: __m512, y: __m512) -> __m256i {
            let is_negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, _mm512_setzero_ps());
            _mm512_mask_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(halves, is_negative, y)
        }
    }

    kernel! {
        #[inline]
        pub(super) fn widen_8(simd: Avx2, h: __m128i) -> __m256 {
            _mm256_cvtph_ps(h)
        }
    }

    kernel! {
        #[inline]
        pub(super) fn narrow_8(simd: Avx2, v: __m256) -> __m128i {
            _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)
        }
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;
    use crate::{
        cpu::{VectorCode, tests::levels},
        elu::Elu,
        factors::Factors,
    };

    /// Conversions agree with the crate `half`, except for the bits of a NaN.
    #[test]
    fn conversions_agree_with_the_half_crate() {
        let inputs = (0..=u32::MAX)
            .step_by(64_153)
            .chain((0..=u16::MAX).flat_map(|h| {
                // Every f16, the ties between them, and the neighbours of the ties.
                let bits = f16::from_bits(h).to_f32().to_bits();
                [bits, bits + 0x0fff, bits + 0x1000, bits + 0x1001]
            }));
        let inputs = inputs.chain((0..=u16::MAX).flat_map(|h| {
            // The same for bf16.
            let bits = u32::from(h) << 16;
            [bits, bits + 0x7fff, bits + 0x8000, bits + 0x8001]
        }));
        // Multiples of half of the smallest f16: subnormal f16, and the ties between them.
        let inputs = inputs.chain((0..2048u16).map(|i| (f32::from(i) * 0.5f32.powi(25)).to_bits()));
        let inputs: Vec<f32> = inputs.map(f32::from_bits).collect();
        for level in levels() {
            for &v in &inputs {
                let (f16_bits, bf16_bits) = dispatch!(level, simd => narrowed(simd, v));
                if v.is_nan() {
                    assert!(f16::from_bits(f16_bits).is_nan());
                    assert!(bf16::from_bits(bf16_bits).is_nan());
                } else {
                    assert_eq!(f16_bits, f16::from_f32(v).to_bits(), "{v:e} to float16");
                    assert_eq!(bf16_bits, bf16::from_f32(v).to_bits(), "{v:e} to bfloat16");
                }
            }
            for h in 0..=u16::MAX {
                let (from_f16, from_bf16) = dispatch!(level, simd => widened(simd, h));
                let (half, bfloat) = (f16::from_bits(h), bf16::from_bits(h));
                if half.is_nan() {
                    assert!(from_f16.is_nan());
                } else {
                    assert_eq!(from_f16.to_bits(), half.to_f32().to_bits());
                }
                assert_eq!(from_bf16.to_bits(), u32::from(bfloat.to_bits()) << 16);
                let back = dispatch!(level, simd => narrowed(simd, from_f16)).0;
                assert_eq!(back, h, "round trip");
                let back = dispatch!(level, simd => narrowed(simd, from_bf16)).1;
                assert_eq!(back, h, "round trip");
            }
        }
    }

    /// Blocks with a NaN are converted by different code, which must also keep every element at its position.
    #[test]
    fn blocks_with_nan_keep_positions_and_payloads() {
        fn check<E: VectorCode>(level: Level, infinity: u16) {
            // Numbers of 0 and more, and NaNs, are returned unchanged. They are tested in order, and then mixed, so
            // that many blocks contain both.
            let is_kept = |&h: &u16| h < 0x8000 || h & 0x7fff > infinity;
            let mixed = (0..=u16::MAX).map(|h| h.wrapping_mul(0x9e37));
            let x: Vec<u16> = (0..=u16::MAX).chain(mixed).filter(is_kept).collect();
            // The first ELU selects by bits, the second one converts all elements.
            for elu in [Elu::new(0.5), Factors::new(0.5, 1.0, 2.0).unwrap().into()] {
                let mut y = vec![0u16; x.len()];
                let results = bytemuck::cast_slice_mut::<u16, E>(&mut y);
                E::forward(level, elu, Some(bytemuck::cast_slice(&x)), results);
                assert_eq!(x, y, "{level:?}, {elu:?}");
            }
        }
        for level in levels() {
            check::<f16>(level, 0x7c00);
            check::<bf16>(level, 0x7f80);
        }
    }

    /// Converts to both formats with both versions of the code, which must agree on numbers.
    fn narrowed<S: Simd>(simd: S, v: f32) -> (u16, u16) {
        let floats = [S::f32s::splat(simd, v); 2];
        let bits = (narrow_f16(simd, floats)[0], narrow_bf16(simd, floats)[0]);
        if !v.is_nan() {
            assert_eq!(narrow_f16_numbers(simd, floats)[0], bits.0, "{v:e}");
            assert_eq!(narrow_bf16_numbers(simd, floats)[0], bits.1, "{v:e}");
        }
        bits
    }

    /// Converts from both formats.
    fn widened<S: Simd>(simd: S, h: u16) -> (f32, f32) {
        let elements = S::u16s::splat(simd, h);
        let from_f16 = widen_f16(simd, elements)[0][0];
        if !from_f16.is_nan() {
            let numbers = widen_f16_numbers(simd, elements)[0][0];
            assert_eq!(numbers.to_bits(), from_f16.to_bits());
        }
        (from_f16, widen_bf16(simd, elements)[0][0])
    }
}
