//! The polynomials of expm1, with the coefficients that `scripts/expm1-coefficients` prints:
//!
//! expm1(r) = r + r^2 q(r) = r + r^2 / 2 + r^3 p(r), so that q(r) = 1 / 2 + r p(r).
//!
//! They are evaluated in Estrin's order. It has more operations than Horner's, but a shorter chain of operations that
//! depend on each other, and this chain limits the speed of a core.

use fearless_simd::prelude::*;

#[inline(always)]
pub(super) fn p_of_f32<S: Simd>(simd: S, r: S::f32s) -> S::f32s {
    let splat = |v: f32| S::f32s::splat(simd, v);
    let r2 = r * r;
    let p01 = r.mul_add(splat(0.041_666_51), splat(0.166_666_36));
    let p23 = r.mul_add(splat(0.001_393_054), splat(0.008_341_51));
    r2.mul_add(r2.mul_add(splat(0.000_150_461_45), p23), p01)
}

#[inline(always)]
pub(super) fn p_of_f64<S: Simd>(simd: S, r: S::f64s) -> S::f64s {
    let splat = |v: f64| S::f64s::splat(simd, v);
    let r2 = r * r;
    let r4 = r2 * r2;
    let p01 = r.mul_add(
        splat(0.041_666_666_666_666_664),
        splat(0.166_666_666_666_666_69),
    );
    let p23 = r.mul_add(
        splat(0.001_388_888_888_888_649_8),
        splat(0.008_333_333_333_329_985),
    );
    let p45 = r.mul_add(
        splat(2.480_158_731_741_724_6e-5),
        splat(0.000_198_412_698_634_355_5),
    );
    let p67 = r.mul_add(
        splat(2.755_728_254_697_946e-7),
        splat(2.755_726_786_826_200_7e-6),
    );
    let p89 = r.mul_add(
        splat(2.091_143_704_598_424_6e-9),
        splat(2.510_066_614_291_837_4e-8),
    );
    let p4 = r4.mul_add(p89, r2.mul_add(p67, p45));
    r4.mul_add(p4, r2.mul_add(p23, p01))
}

#[inline(always)]
pub(super) fn q_of_f32<S: Simd>(simd: S, r: S::f32s) -> S::f32s {
    let splat = |v: f32| S::f32s::splat(simd, v);
    let r2 = r * r;
    let q01 = r.mul_add(splat(0.166_666_36), splat(0.5));
    let q23 = r.mul_add(splat(0.008_341_51), splat(0.041_666_51));
    let q45 = r.mul_add(splat(0.000_150_461_45), splat(0.001_393_054));
    r2.mul_add(r2.mul_add(q45, q23), q01)
}

/// The coefficients of q for float16 results. See `narrow.rs` for their choice.
pub(in super::super) const Q_OF_F16: [f32; 4] =
    [0.499_993_86, 0.166_668_27, 0.041_871_857, 0.008_337_892];

/// The coefficients of q for bfloat16 results. See `narrow.rs` for their choice.
pub(in super::super) const Q_OF_BF16: [f32; 3] = [0.500_016_5, 0.167_497_34, 0.041_609_503];

/// Evaluates q for float16 results.
#[inline(always)]
pub(in super::super) fn q_of_f16<S: Simd>(simd: S, r: S::f32s) -> S::f32s {
    let [c0, c1, c2, c3] = Q_OF_F16.map(|v| S::f32s::splat(simd, v));
    let q01 = r.mul_add(c1, c0);
    let q23 = r.mul_add(c3, c2);
    (r * r).mul_add(q23, q01)
}

/// Evaluates q for bfloat16 results.
#[inline(always)]
pub(in super::super) fn q_of_bf16<S: Simd>(simd: S, r: S::f32s) -> S::f32s {
    let [c0, c1, c2] = Q_OF_BF16.map(|v| S::f32s::splat(simd, v));
    let q12 = r.mul_add(c2, c1);
    r.mul_add(q12, c0)
}

/// Evaluates q for r between ln 0.75 and ln 1.5, with the coefficients that `scripts/expm1-coefficients centered`
/// prints.
#[inline(always)]
pub(super) fn q_of_f32_centered<S: Simd>(simd: S, r: S::f32s) -> S::f32s {
    let splat = |v: f32| S::f32s::splat(simd, v);
    let r2 = r * r;
    let q01 = r.mul_add(splat(0.166_666_69), splat(0.5));
    let q23 = r.mul_add(splat(0.008_332_329), splat(0.041_666_552));
    let q45 = r.mul_add(splat(0.000_207_901_32), splat(0.001_392_090_2));
    r2.mul_add(r2.mul_add(q45, q23), q01)
}

#[inline(always)]
pub(in super::super) fn q_of_f64<S: Simd>(simd: S, r: S::f64s) -> S::f64s {
    let splat = |v: f64| S::f64s::splat(simd, v);
    let r2 = r * r;
    let r4 = r2 * r2;
    let q01 = r.mul_add(splat(0.166_666_666_666_666_69), splat(0.5));
    let q23 = r.mul_add(
        splat(0.008_333_333_333_329_985),
        splat(0.041_666_666_666_666_664),
    );
    let q45 = r.mul_add(
        splat(0.000_198_412_698_634_355_5),
        splat(0.001_388_888_888_888_649_8),
    );
    let q67 = r.mul_add(
        splat(2.755_726_786_826_200_7e-6),
        splat(2.480_158_731_741_724_6e-5),
    );
    let q89 = r.mul_add(
        splat(2.510_066_614_291_837_4e-8),
        splat(2.755_728_254_697_946e-7),
    );
    let q8 = r2.mul_add(splat(2.091_143_704_598_424_6e-9), q89);
    let q4 = r4.mul_add(q8, r2.mul_add(q67, q45));
    r4.mul_add(q4, r2.mul_add(q23, q01))
}
