//! The formulas for [`Rounding::Nearest`](crate::Rounding::Nearest).
//!
//! ```text
//! 1. Compute the result with many more bits than the element type has, and a known bound on its error.
//! 2. Round it. If the middle between two numbers is so close that the error could decide the rounding, the element is
//!    undecided.
//! 3. Compute undecided elements again, with integers of so many bits that they are decided.
//! ```
//!
//! Why each step is needed:
//!
//! 1. [`mod@f32`] computes in `f64`, and [`mod@f64`] in pairs of `f64` (double-double arithmetic). Both are vector
//!    code.
//! 2. A result with an error of 2^-49 is undecided for one element in 2^24, on average. This is Ziv's rounding test:
//!    Abraham Ziv, "Fast evaluation of elementary mathematical functions with correctly rounded last bit", ACM TOMS 17,
//!    1991.
//! 3. [`exact`] is much slower, but only one element in 2^24 needs it.
//!
//! A result can also be exactly in the middle, or closer to it than any feasible error: products without an
//! exponential, and those for which the exponential is almost 1 or almost 0. They would always be undecided, so
//! the module `f32` computes them without an error.

mod exact;
pub(super) mod f32;
pub(super) mod f64;

use fearless_simd::prelude::*;

use super::has_fma;

// ---- Internals ----

/// 1.5 * 2^52. Adding it to a number rounds the number to an integer.
const ROUNDER: f64 = (3u64 << 51) as f64;

/// The exact sum high + low, where `low` is small compared with `high`.
#[derive(Clone, Copy)]
struct Pair<S: Simd> {
    high: S::f64s,
    low: S::f64s,
}

/// Knuth's `TwoSum`: returns a + b as an exact pair.
#[inline(always)]
fn two_sum<S: Simd>(a: S::f64s, b: S::f64s) -> Pair<S> {
    let sum = a + b;
    let part = sum - a;
    Pair {
        high: sum,
        low: (a - (sum - part)) + (b - part),
    }
}

/// Dekker's `Fast2Sum`: returns a + b as an exact pair, if |a| >= |b|.
#[inline(always)]
fn fast_two_sum<S: Simd>(a: S::f64s, b: S::f64s) -> Pair<S> {
    let high = a + b;
    Pair {
        high,
        low: b - (high - a),
    }
}

/// Dekker's `TwoProduct`: returns a * b as a pair. It is exact with FMA, or if a factor has at most 48 bits. Otherwise
/// it is accurate to 2^-104.
#[inline(always)]
fn two_product<S: Simd>(simd: S, a: S::f64s, b: S::f64s) -> Pair<S> {
    let high = a * b;
    if has_fma(simd.level()) {
        let low = a.mul_add(b, S::f64s::splat(simd, 0.0) - high);
        return Pair { high, low };
    }
    let leading_bits = |v: S::f64s| -> S::f64s {
        (v.bitcast::<S::u64s>() & S::u64s::splat(simd, 0xffff_ffff_f800_0000)).bitcast()
    };
    let (a_high, b_high) = (leading_bits(a), leading_bits(b));
    let (a_low, b_low) = (a - a_high, b - b_high);
    let most = (a_high * b_high - high) + a_high * b_low + a_low * b_high;
    Pair {
        high,
        low: most + a_low * b_low,
    }
}

/// Returns 2^n, which must be normal, for a float n with an integer value.
#[inline(always)]
fn power_of_two<S: Simd>(simd: S, n: S::f64s) -> S::f64s {
    let biased = n + S::f64s::splat(simd, ROUNDER + 1023.0);
    (biased.bitcast::<S::u64s>() << 52).bitcast()
}

/// Numbers, and whether the error could have decided the rounding.
struct Rounded<S: Simd> {
    value: S::f64s,
    undecided: <S::f64s as SimdBase<S>>::Mask,
}

/// Replaces the undecided elements of `y` with `exact(x, grad)`.
#[inline(always)]
fn replace<S: Simd, V: SimdFloat<S>>(
    undecided: V::Mask,
    [x, grad]: [V; 2],
    mut y: V,
    exact: impl Fn(V::Element, V::Element) -> V::Element,
) -> V {
    let mut pending = undecided.to_bitmask();
    while pending != 0 {
        let lane = pending.trailing_zeros() as usize;
        y[lane] = exact(x[lane], grad[lane]);
        pending &= pending - 1;
    }
    y
}

/// Returns `x` where it is NaN, else `y` with every NaN replaced by `quiet_nan`.
#[inline(always)]
fn keep_nan<S: Simd, V: SimdFloat<S>>(simd: S, x: V, y: V, quiet_nan: V::Element) -> V {
    let canonical = y.simd_eq(y).select(y, V::splat(simd, quiet_nan));
    x.simd_eq(x).select(canonical, x)
}

/// Returns whether `negative` is 0, infinite or NaN.
fn is_degenerate(negative: f64) -> bool {
    negative == 0.0 || !negative.is_finite()
}

/// Returns 0, an infinity or NaN if the slope is, else a number with the slope's sign. The slope is `negative` times an
/// exponential, which may underflow.
#[inline(always)]
fn sign_of_slope<S: Simd>(
    simd: S,
    negative: f64,
    underflows: <S::f64s as SimdBase<S>>::Mask,
) -> S::f64s {
    let sign = if is_degenerate(negative) {
        negative
    } else {
        1f64.copysign(negative)
    };
    let splat = |v: f64| S::f64s::splat(simd, v);
    underflows.select(splat(sign * 0.0), splat(sign))
}

/// Returns whether `v` is neither 0 nor infinite nor NaN.
#[inline(always)]
fn is_number<S: Simd>(simd: S, v: S::f64s) -> <S::f64s as SimdBase<S>>::Mask {
    let splat = |v: f64| S::f64s::splat(simd, v);
    v.abs().simd_gt(splat(0.0)) & v.abs().simd_lt(splat(f64::INFINITY))
}

/// Returns 0 if y + negative is 0, `y` if it is infinite, else 1 with the sign of the sum.
#[inline(always)]
fn sign_of_sum<S: Simd>(simd: S, y: S::f64s, sum: S::f64s) -> S::f64s {
    let splat = |v: f64| S::f64s::splat(simd, v);
    let sign = y
        .simd_eq(splat(f64::NEG_INFINITY))
        .select(y, splat(1.0).copysign(sum));
    sum.simd_eq(splat(0.0)).select(splat(0.0), sign)
}

#[cfg(test)]
mod tests;
