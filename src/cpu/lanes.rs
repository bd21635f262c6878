//! Elements in memory as vectors of floats, and walks over slices of them.

use std::ops::Add;

use bytemuck::Pod;
use fearless_simd::prelude::*;
use half::{bf16, f16};

use super::arithmetic::Op;

/// Elements that are worked on together.
pub(super) trait Lanes<S: Simd>: Pod {
    /// The elements as they are in memory.
    type Elements: Copy;
    /// The floats that arithmetic is done in.
    type Floats: Copy + Add<Output = Self::Floats>;
    /// How many; at most [`MOST`].
    const LEN: usize;

    /// `LEN` of them, and so back.
    fn load(simd: S, elements: &[Self]) -> Self::Elements;
    fn store(simd: S, elements: Self::Elements, to: &mut [Self]);
    fn apply<O: Op<S, Self::Floats>>(
        simd: S,
        op: O,
        x: Self::Elements,
        grad: Self::Elements,
    ) -> Self::Elements;

    /// Zeros to add to, `op` of the elements with those added that share a lane, and the sum of floats in half as many lanes.
    fn zeros(simd: S) -> Self::Floats;
    fn terms<O: Op<S, Self::Floats>>(simd: S, op: O, x: Self::Elements) -> Self::Floats;
    fn total(floats: Self::Floats) -> S::f64s;
}

/// The most elements that any level works on together: `u16`s of 512 bits.
const MOST: usize = 32;

macro_rules! floats {
    ($float:ident, $floats:ident, $total:expr) => {
        impl<S: Simd> Lanes<S> for $float {
            type Elements = S::$floats;
            type Floats = S::$floats;
            const LEN: usize = S::$floats::LEN;

            #[inline(always)]
            fn load(simd: S, elements: &[Self]) -> Self::Elements {
                S::$floats::from_slice(simd, elements)
            }

            #[inline(always)]
            fn store(_: S, elements: Self::Elements, to: &mut [Self]) {
                elements.store_slice(to);
            }

            #[inline(always)]
            fn apply<O: Op<S, Self::Floats>>(
                simd: S,
                op: O,
                x: Self::Elements,
                grad: Self::Elements,
            ) -> Self::Elements {
                op.apply(simd, x, grad)
            }

            #[inline(always)]
            fn zeros(simd: S) -> Self::Floats {
                S::$floats::splat(simd, 0.0)
            }

            #[inline(always)]
            fn terms<O: Op<S, Self::Floats>>(simd: S, op: O, x: Self::Elements) -> Self::Floats {
                op.apply(simd, x, x)
            }

            #[inline(always)]
            fn total(floats: Self::Floats) -> S::f64s {
                $total(floats)
            }
        }
    };
}

floats!(f32, f32s, total::<S>);
floats!(f64, f64s, std::convert::identity);

/// 16-bit formats by way of `f32`, with conversions by bits: NaN keeps its payload, whatever the machine's own do.
macro_rules! halves {
    ($half:ident, $widen:ident, $narrow:ident) => {
        impl<S: Simd> Lanes<S> for $half {
            type Elements = S::u16s;
            type Floats = S::f32s;
            const LEN: usize = S::u16s::LEN;

            #[inline(always)]
            fn load(simd: S, elements: &[Self]) -> Self::Elements {
                S::u16s::from_slice(simd, bytemuck::cast_slice(elements))
            }

            #[inline(always)]
            fn store(_: S, elements: Self::Elements, to: &mut [Self]) {
                elements.store_slice(bytemuck::cast_slice_mut(to));
            }

            #[inline(always)]
            fn apply<O: Op<S, Self::Floats>>(
                simd: S,
                op: O,
                x: Self::Elements,
                grad: Self::Elements,
            ) -> Self::Elements {
                let (x_low, x_high) = x.widen();
                let (grad_low, grad_high) = grad.widen();
                let low = op.apply(simd, $widen(simd, x_low), $widen(simd, grad_low));
                let high = op.apply(simd, $widen(simd, x_high), $widen(simd, grad_high));
                $narrow(simd, low).narrow($narrow(simd, high))
            }

            #[inline(always)]
            fn zeros(simd: S) -> Self::Floats {
                S::f32s::splat(simd, 0.0)
            }

            #[inline(always)]
            fn terms<O: Op<S, Self::Floats>>(simd: S, op: O, x: Self::Elements) -> Self::Floats {
                let (low, high) = x.widen();
                let (low, high) = ($widen(simd, low), $widen(simd, high));
                op.apply(simd, low, low) + op.apply(simd, high, high)
            }

            #[inline(always)]
            fn total(floats: Self::Floats) -> S::f64s {
                total::<S>(floats)
            }
        }
    };
}

halves!(f16, widen_f16, narrow_f16);
halves!(bf16, widen_bf16, narrow_bf16);

/// Writes `op` of `x` to `y`; without `x`, of what `y` holds.
#[inline(always)]
pub(super) fn walk<S: Simd, E: Lanes<S>, O: Op<S, E::Floats>>(
    simd: S,
    op: O,
    x: Option<&[E]>,
    y: &mut [E],
) {
    let mut ys = y.chunks_exact_mut(E::LEN);
    let Some(x) = x else {
        for y in ys.by_ref() {
            let x = E::load(simd, y);
            E::store(simd, E::apply(simd, op, x, x), y);
        }
        let y = ys.into_remainder();
        let x = padded(y);
        return tail(simd, op, x, x, y);
    };
    let mut xs = x.chunks_exact(E::LEN);
    for (x, y) in xs.by_ref().zip(ys.by_ref()) {
        let x = E::load(simd, x);
        E::store(simd, E::apply(simd, op, x, x), y);
    }
    let x = padded(xs.remainder());
    tail(simd, op, x, x, ys.into_remainder());
}

/// Writes `op` of `x` and `grad` to `out`; without `grad`, of what `out` holds.
#[inline(always)]
pub(super) fn walk_with_grad<S: Simd, E: Lanes<S>, O: Op<S, E::Floats>>(
    simd: S,
    op: O,
    x: &[E],
    grad: Option<&[E]>,
    out: &mut [E],
) {
    let (mut xs, mut outs) = (x.chunks_exact(E::LEN), out.chunks_exact_mut(E::LEN));
    let Some(grad) = grad else {
        for (x, out) in xs.by_ref().zip(outs.by_ref()) {
            let x = E::load(simd, x);
            E::store(simd, E::apply(simd, op, x, E::load(simd, out)), out);
        }
        let out = outs.into_remainder();
        return tail(simd, op, padded(xs.remainder()), padded(out), out);
    };
    let mut grads = grad.chunks_exact(E::LEN);
    for ((x, grad), out) in xs.by_ref().zip(grads.by_ref()).zip(outs.by_ref()) {
        let (x, grad) = (E::load(simd, x), E::load(simd, grad));
        E::store(simd, E::apply(simd, op, x, grad), out);
    }
    let (x, grad) = (padded(xs.remainder()), padded(grads.remainder()));
    tail(simd, op, x, grad, outs.into_remainder());
}

// ---- Internals ----

#[inline(always)]
fn total<S: Simd>(floats: S::f32s) -> S::f64s {
    let (low, high) = floats.widen();
    low + high
}

/// Less than `LEN` elements, by way of as many, so that these take the same path as all others.
#[inline(always)]
fn tail<S: Simd, E: Lanes<S>, O: Op<S, E::Floats>>(
    simd: S,
    op: O,
    mut x: [E; MOST],
    grad: [E; MOST],
    y: &mut [E],
) {
    if y.is_empty() {
        return;
    }
    let elements = E::load(simd, &x[..E::LEN]);
    let results = E::apply(simd, op, elements, E::load(simd, &grad[..E::LEN]));
    E::store(simd, results, &mut x[..E::LEN]);
    y.copy_from_slice(&x[..y.len()]);
}

/// Up to `MOST` elements, and zeros.
#[inline(always)]
pub(super) fn padded<E: Pod>(elements: &[E]) -> [E; MOST] {
    let mut lanes = [E::zeroed(); MOST];
    lanes[..elements.len()].copy_from_slice(elements);
    lanes
}

#[inline(always)]
fn widen_bf16<S: Simd>(_: S, h: S::u32s) -> S::f32s {
    (h << 16).bitcast()
}

/// To nearest, ties to even; what is too large becomes infinite by itself.
#[inline(always)]
fn narrow_bf16<S: Simd>(simd: S, v: S::f32s) -> S::u32s {
    let splat = |v: u32| S::u32s::splat(simd, v);
    let bits: S::u32s = v.bitcast();
    let kept = bits >> 16;
    let rounded = (bits + splat(0x7fff) + (kept & 1)) >> 16;
    // A NaN must not lose all of its payload.
    let quiet = (kept & 0x7f).simd_eq(splat(0)).select(kept | 0x40, kept);
    v.simd_eq(v).select(rounded, quiet)
}

#[inline(always)]
fn widen_f16<S: Simd>(simd: S, h: S::u32s) -> S::f32s {
    let splat = |v: u32| S::u32s::splat(simd, v);
    let magnitude = h & 0x7fff;
    let shifted = magnitude << 13;
    // The exponents' biases differ by 112. Subnormals become normal by the product, which is exact.
    let finite = shifted.bitcast::<S::f32s>() * (1u128 << 112) as f32;
    let special = magnitude.simd_ge(splat(0x7c00));
    let bits = special.select(shifted | 0x7f80_0000, finite.bitcast());
    (bits | ((h & 0x8000) << 16)).bitcast()
}

/// To nearest, ties to even.
#[inline(always)]
fn narrow_f16<S: Simd>(simd: S, v: S::f32s) -> S::u32s {
    let splat = |v: u32| S::u32s::splat(simd, v);
    let bits: S::u32s = v.bitcast();
    let magnitude = bits & 0x7fff_ffff;
    let kept = magnitude >> 13;
    let normal = (magnitude - splat(0x3800_0000) + splat(0x0fff) + (kept & 1)) >> 13;
    // Below 2^-14, a sum with 0.5 rounds to a multiple of 2^-24, which its last bits count.
    let sum = magnitude.bitcast::<S::f32s>() + 0.5;
    let subnormal = sum.bitcast::<S::u32s>() - splat(0.5f32.to_bits());
    let finite = magnitude
        .simd_lt(splat(0x3880_0000))
        .select(subnormal, normal);
    let rounded = magnitude
        .simd_lt(splat(0x4780_0000)) // 65536
        .select(finite, splat(0x7c00));
    // A NaN must not lose all of its payload.
    let payload = kept & 0x03ff;
    let payload = payload.simd_eq(splat(0)).select(splat(0x0200), payload);
    let rounded = v.simd_eq(v).select(rounded, payload | 0x7c00);
    rounded | ((bits >> 16) & 0x8000)
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    /// What `half` makes of a float, but for the bits of a NaN.
    #[test]
    fn conversions_are_those_of_half() {
        let level = Level::new();
        let inputs = (0..=u32::MAX)
            .step_by(64_153)
            .chain((0..=u16::MAX).flat_map(|h| {
                // Every f16 and the ties between them, with a neighbour each.
                let bits = f16::from_bits(h).to_f32().to_bits();
                [bits, bits + 0x0fff, bits + 0x1000, bits + 0x1001]
            }));
        let inputs = inputs.chain((0..=u16::MAX).flat_map(|h| {
            let bits = u32::from(h) << 16;
            [bits, bits + 0x7fff, bits + 0x8000, bits + 0x8001]
        }));
        // Half of what is the smallest f16, and ties between subnormal ones.
        let inputs = inputs.chain((0..2048u16).map(|i| (f32::from(i) * 0.5f32.powi(25)).to_bits()));
        let inputs: Vec<f32> = inputs.map(f32::from_bits).collect();
        for v in inputs {
            let (f16_bits, bf16_bits) = dispatch!(level, simd => narrowed(simd, v));
            if v.is_nan() {
                assert!(f16::from_bits(f16_bits).is_nan() && bf16::from_bits(bf16_bits).is_nan());
            } else {
                assert_eq!(f16_bits, f16::from_f32(v).to_bits(), "{v:e} to float16");
                assert_eq!(bf16_bits, bf16::from_f32(v).to_bits(), "{v:e} to bfloat16");
            }
        }
        for h in 0..=u16::MAX {
            let (from_f16, from_bf16) = dispatch!(level, simd => widened(simd, h));
            let (half, brain) = (f16::from_bits(h), bf16::from_bits(h));
            if half.is_nan() {
                assert!(from_f16.is_nan());
            } else {
                assert_eq!(from_f16.to_bits(), half.to_f32().to_bits());
            }
            assert_eq!(from_bf16.to_bits(), u32::from(brain.to_bits()) << 16);
            let back = dispatch!(level, simd => narrowed(simd, from_f16)).0;
            assert_eq!(back, h, "there and back");
            let back = dispatch!(level, simd => narrowed(simd, from_bf16)).1;
            assert_eq!(back, h, "there and back");
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the upper half is zero")]
    fn narrowed<S: Simd>(simd: S, v: f32) -> (u16, u16) {
        let v = S::f32s::splat(simd, v);
        (
            narrow_f16(simd, v)[0] as u16,
            narrow_bf16(simd, v)[0] as u16,
        )
    }

    fn widened<S: Simd>(simd: S, h: u16) -> (f32, f32) {
        let h = S::u32s::splat(simd, h.into());
        (widen_f16(simd, h)[0], widen_bf16(simd, h)[0])
    }
}
