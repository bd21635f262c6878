//! ELU over slices, on the CPU: SIMD chosen at run time, and all cores for long slices.
//!
//! ```
//! let x = [-2.0, -0.5, 0.0, 1.5];
//! let mut y = [0.0; 4];
//! wgpu_elu::cpu::forward(1.0, &x, &mut y)?;
//! assert_eq!(y, [-0.86466473, -0.39346933, 0.0, 1.5]);
//! # Ok::<(), wgpu_elu::Error>(())
//! ```
//!
//! Results are within 1 ULP of the exact value for every `f32` and every alpha (unless `alpha` is 1, those below 2^-120
//! are within 2^-148). Every element goes through the same vector code wherever it stands, so the same `x` gives the same
//! bits on a given machine; machines with and without fused multiply-add may differ by 1 ULP.

use fearless_simd::{Level, dispatch, prelude::*};

use crate::{
    dtype::round_to_f32,
    error::{Error, Result},
};

/// Writes ELU of `x` to `y`; `alpha` is rounded to `f32`.
///
/// # Errors
///
/// [`Error::LengthMismatch`] if the slices differ in length; `y` is then untouched.
pub fn forward(alpha: f64, x: &[f32], y: &mut [f32]) -> Result<()> {
    if x.len() != y.len() {
        return Err(Error::LengthMismatch {
            needed: x.len() as u64,
            found: y.len() as u64,
        });
    }
    let (alpha, level) = (round_to_f32(alpha), Level::new());
    #[cfg(feature = "threads")]
    if x.len() >= THREADS_FROM {
        use rayon::prelude::*;
        let chunk = chunk_len(x.len());
        y.par_chunks_mut(chunk)
            .zip(x.par_chunks(chunk))
            .for_each(|(y, x)| forward_at(level, alpha, x, y));
        return Ok(());
    }
    forward_at(level, alpha, x, y);
    Ok(())
}

/// Replaces `x` by its ELU; `alpha` is rounded to `f32`.
pub fn forward_in_place(alpha: f64, x: &mut [f32]) {
    let (alpha, level) = (round_to_f32(alpha), Level::new());
    #[cfg(feature = "threads")]
    if x.len() >= THREADS_FROM {
        use rayon::prelude::*;
        let chunk = chunk_len(x.len());
        x.par_chunks_mut(chunk)
            .for_each(|x| forward_in_place_at(level, alpha, x));
        return;
    }
    forward_in_place_at(level, alpha, x);
}

/// The instruction set in use on this machine.
pub fn simd_level() -> &'static str {
    name(Level::new())
}

/// The threads that a long slice is shared out over; 1 without the feature `threads`.
pub fn threads() -> usize {
    #[cfg(feature = "threads")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "threads"))]
    1
}

// ---- Internals ----

/// Elements from which on handing work to other threads pays. With 2^16, two threads that had to be woken took 34
/// microseconds where one took 23.
#[cfg(feature = "threads")]
const THREADS_FROM: usize = 1 << 18;

/// Elements that a thread takes at a time: a few takes each, so that they finish together, but long ones.
#[cfg(feature = "threads")]
fn chunk_len(len: usize) -> usize {
    (len / (4 * threads())).clamp(1 << 14, 1 << 17)
}

fn name(level: Level) -> &'static str {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    match level {
        Level::Avx512(_) => return "AVX-512",
        Level::Avx2(_) => return "AVX2+FMA",
        Level::Sse4_2(_) => return "SSE4.2",
        Level::Sse2(_) => return "SSE2",
        _ => {}
    }
    #[cfg(target_arch = "aarch64")]
    if level.as_neon().is_some() {
        return "NEON";
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    if level.as_wasm_simd128().is_some() {
        return "SIMD128";
    }
    let _ = level;
    "portable"
}

/// With alpha zero, infinite or NaN, every product with a negative number is -alpha.
fn is_odd(alpha: f32) -> bool {
    alpha == 0.0 || !alpha.is_finite()
}

fn forward_at(level: Level, alpha: f32, x: &[f32], y: &mut [f32]) {
    if is_odd(alpha) {
        for (x, y) in x.iter().zip(y) {
            *y = if *x < 0.0 { -alpha } else { *x };
        }
    } else if alpha == 1.0 {
        dispatch!(level, simd => forward_simd(simd, One, x, y));
    } else {
        dispatch!(level, simd => forward_simd(simd, Split::new(simd, alpha), x, y));
    }
}

fn forward_in_place_at(level: Level, alpha: f32, x: &mut [f32]) {
    if is_odd(alpha) {
        for x in x {
            *x = if *x < 0.0 { -alpha } else { *x };
        }
    } else if alpha == 1.0 {
        dispatch!(level, simd => forward_in_place_simd(simd, One, x));
    } else {
        dispatch!(level, simd => forward_in_place_simd(simd, Split::new(simd, alpha), x));
    }
}

#[inline(always)]
fn forward_simd<S: Simd>(simd: S, alpha: impl Alpha<S>, x: &[f32], y: &mut [f32]) {
    let (mut xs, mut ys) = (
        x.chunks_exact(S::f32s::LEN),
        y.chunks_exact_mut(S::f32s::LEN),
    );
    for (x, y) in xs.by_ref().zip(ys.by_ref()) {
        elu(simd, alpha, S::f32s::from_slice(simd, x)).store_slice(y);
    }
    tail(simd, alpha, xs.remainder(), ys.into_remainder());
}

#[inline(always)]
fn forward_in_place_simd<S: Simd>(simd: S, alpha: impl Alpha<S>, x: &mut [f32]) {
    let mut xs = x.chunks_exact_mut(S::f32s::LEN);
    for x in xs.by_ref() {
        elu(simd, alpha, S::f32s::from_slice(simd, x)).store_slice(x);
    }
    let x = xs.into_remainder();
    let mut copy = [0.0; LANES];
    copy[..x.len()].copy_from_slice(x);
    tail(simd, alpha, &copy[..x.len()], x);
}

/// The most lanes that any level has.
const LANES: usize = 16;

/// Less than a vector, by way of one, so that these elements take the same path as all others.
#[inline(always)]
fn tail<S: Simd>(simd: S, alpha: impl Alpha<S>, x: &[f32], y: &mut [f32]) {
    let mut lanes = [0.0; LANES];
    lanes[..x.len()].copy_from_slice(x);
    let lanes = &mut lanes[..S::f32s::LEN];
    elu(simd, alpha, S::f32s::from_slice(simd, lanes)).store_slice(lanes);
    y.copy_from_slice(&lanes[..y.len()]);
}

/// `x` where `x >= 0` or NaN, else `alpha * expm1(x)`.
///
/// With x = n ln 2 + r and |r| <= ln 2 / 2: expm1(x) = s expm1(r) + (s - 1), s = 2^n, and expm1(r) = r + r^2 q(r). The
/// coefficients are a minimax fit from `scripts/expm1-coefficients`.
#[inline(always)]
fn elu<S: Simd>(simd: S, alpha: impl Alpha<S>, x: S::f32s) -> S::f32s {
    let splat = |v: f32| S::f32s::splat(simd, v);
    // Below -18 the result rounds to -1. The result of any x > 0 is thrown away.
    let clamped = x.max(splat(-18.0));
    // Adding 1.5 * 2^23 rounds to an integer; 127 more makes the last bits f32's biased exponent, and so 2^n.
    let magic = splat(12_583_039.0);
    let t = clamped.mul_add(splat(std::f32::consts::LOG2_E), magic);
    let n = t - magic;
    let s: S::f32s = (t.bitcast::<S::u32s>() << 23).bitcast();
    let r = n.mul_add(splat(-std::f32::consts::LN_2), clamped);
    // In Estrin's order: the chain of dependent operations is what limits a core, not their number.
    let rr = r * r;
    let q01 = r.mul_add(splat(0.166_666_36), splat(0.5));
    let q23 = r.mul_add(splat(0.008_341_51), splat(0.041_666_51));
    let q45 = r.mul_add(splat(0.000_150_461_45), splat(0.001_393_054));
    let q = rr.mul_add(rr.mul_add(q45, q23), q01);
    x.simd_lt(splat(0.0))
        .select(alpha.times_expm1(simd, s, r, q), x)
}

/// alpha in every lane, and how to multiply by it.
trait Alpha<S: Simd>: Copy {
    /// `alpha * (s * (r + r * r * q) + (s - 1))`, within 0.93 ULP whether `mul_add` is fused or not.
    fn times_expm1(self, simd: S, s: S::f32s, r: S::f32s, q: S::f32s) -> S::f32s;
}

#[derive(Clone, Copy)]
struct One;

impl<S: Simd> Alpha<S> for One {
    #[inline(always)]
    fn times_expm1(self, simd: S, s: S::f32s, r: S::f32s, q: S::f32s) -> S::f32s {
        s.mul_add((r * r).mul_add(q, r), s - S::f32s::splat(simd, 1.0))
    }
}

/// Any other: the value is kept as high + low, and alpha is split alike. The 12 bits of each high part have an exact
/// product, so that only the last sum rounds.
#[derive(Clone, Copy)]
struct Split<S: Simd> {
    alpha: S::f32s,
    high: S::f32s,
    low: S::f32s,
    scale: S::f32s,
}

/// An f32's first 12 bits of precision.
const HIGH_BITS: u32 = 0xffff_f000;

impl<S: Simd> Split<S> {
    #[inline(always)]
    fn new(simd: S, alpha: f32) -> Self {
        // A small alpha grows by 2^64, so that what is left of it within the sums is not subnormal.
        let factor = if alpha.abs() < SMALL {
            SMALL.recip()
        } else {
            1.0
        };
        let alpha = alpha * factor;
        let high = f32::from_bits(alpha.to_bits() & HIGH_BITS);
        let splat = |v: f32| S::f32s::splat(simd, v);
        Self {
            alpha: splat(alpha),
            high: splat(high),
            low: splat(alpha - high),
            scale: splat(factor.recip()),
        }
    }
}

const SMALL: f32 = 1.0 / (1u128 << 64) as f32;

impl<S: Simd> Alpha<S> for Split<S> {
    #[inline(always)]
    fn times_expm1(self, simd: S, s: S::f32s, r: S::f32s, q: S::f32s) -> S::f32s {
        let rest = r * r * q;
        let less = s - S::f32s::splat(simd, 1.0);
        let high = s.mul_add(r + rest, less).bitcast::<S::u32s>() & S::u32s::splat(simd, HIGH_BITS);
        let high: S::f32s = high.bitcast();
        let low = s.mul_add(rest, s.mul_add(r, less - high));
        let inner = self.alpha.mul_add(low, self.low * high);
        self.high.mul_add(high, inner) * self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    /// All that this machine has, not just the best.
    fn levels() -> Vec<Level> {
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
    fn every_level_is_within_an_ulp() {
        for level in levels() {
            let x: Vec<f32> = (0..=u32::MAX).step_by(9973).map(f32::from_bits).collect();
            let mut y = vec![0.0; x.len()];
            forward_at(level, 1.0, &x, &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                if x < 0.0 {
                    let exact = reference::elu(f64::from(x), 1.0);
                    let power = exact.abs().max(f32::MIN_POSITIVE.into()).to_bits()
                        & f64::INFINITY.to_bits();
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

    #[test]
    fn every_level_does_every_length() {
        for level in levels() {
            for len in 0..=67u16 {
                let x: Vec<f32> = (0..len).map(|i| f32::from(i) - 33.0).collect();
                let mut y = vec![f32::NAN; x.len()];
                forward_at(level, 0.5, &x, &mut y);
                let mut in_place = x.clone();
                forward_in_place_at(level, 0.5, &mut in_place);
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
}
