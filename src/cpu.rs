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
//! Results are within 1 ULP of the exact value at `alpha = 1` for every `f32`. Every element goes through the same vector
//! code wherever it stands, so the same `x` gives the same bits on a given machine; machines with and without fused
//! multiply-add may differ by 1 ULP.

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

/// Elements from which on handing work to other threads pays: about 20 microseconds of work for one.
#[cfg(feature = "threads")]
const THREADS_FROM: usize = 1 << 16;

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

fn forward_at(level: Level, alpha: f32, x: &[f32], y: &mut [f32]) {
    dispatch!(level, simd => forward_simd(simd, alpha, x, y));
}

fn forward_in_place_at(level: Level, alpha: f32, x: &mut [f32]) {
    dispatch!(level, simd => forward_in_place_simd(simd, alpha, x));
}

#[inline(always)]
fn forward_simd<S: Simd>(simd: S, alpha: f32, x: &[f32], y: &mut [f32]) {
    let alpha = S::f32s::splat(simd, alpha);
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
fn forward_in_place_simd<S: Simd>(simd: S, alpha: f32, x: &mut [f32]) {
    let alpha = S::f32s::splat(simd, alpha);
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
fn tail<S: Simd>(simd: S, alpha: S::f32s, x: &[f32], y: &mut [f32]) {
    let mut lanes = [0.0; LANES];
    lanes[..x.len()].copy_from_slice(x);
    let lanes = &mut lanes[..S::f32s::LEN];
    elu(simd, alpha, S::f32s::from_slice(simd, lanes)).store_slice(lanes);
    y.copy_from_slice(&lanes[..y.len()]);
}

/// `x` where `x >= 0` or NaN, else `alpha * expm1(x)`.
///
/// With x = n ln 2 + r and |r| <= ln 2 / 2: expm1(x) = 2^n expm1(r) + (2^n - 1). At most 0.89 ULP off before the product
/// with alpha, fused or not. The coefficients are a minimax fit from `scripts/expm1-coefficients`.
#[inline(always)]
fn elu<S: Simd>(simd: S, alpha: S::f32s, x: S::f32s) -> S::f32s {
    let splat = |v: f32| S::f32s::splat(simd, v);
    // Below -18 the result rounds to -1. The result of any x > 0 is thrown away.
    let clamped = x.max(splat(-18.0));
    // Adding 1.5 * 2^23 rounds to an integer; 127 more makes the last bits f32's biased exponent, and so 2^n.
    let magic = splat(12_583_039.0);
    let t = clamped.mul_add(splat(std::f32::consts::LOG2_E), magic);
    let n = t - magic;
    let s: S::f32s = (t.bitcast::<S::u32s>() << 23).bitcast();
    let r = n.mul_add(splat(-std::f32::consts::LN_2), clamped);
    let mut q = splat(0.000_150_461_45);
    for c in [0.001_393_054, 0.008_341_51, 0.041_666_51, 0.166_666_36, 0.5] {
        q = q.mul_add(r, splat(c));
    }
    let e = (r * r).mul_add(q, r);
    let expm1 = s.mul_add(e, s - splat(1.0));
    x.simd_lt(splat(0.0)).select(alpha * expm1, x)
}
