//! Converts elements in memory to vectors of floats, and applies formulas to slices.

mod conversions;

use std::ops::Add;

use bytemuck::Pod;
use fearless_simd::prelude::*;
use half::{bf16, f16};

use super::{
    arithmetic::{
        self, Formula, NarrowBackward, NarrowBackwardFromOutput, narrow_expm1, q_of_bf16, q_of_f16,
    },
    has_fma,
};
use crate::{factors::RoundedFactors, op::Op};
use conversions::{
    map_negative_bf16, map_negative_bf16_without_ties, map_negative_f16, narrow_bf16,
    narrow_bf16_numbers, narrow_f16, narrow_f16_numbers, widen_bf16, widen_f16, widen_f16_numbers,
};

/// An element type, with the vectors in which its elements are processed.
pub(super) trait Lanes<S: Simd>: Pod {
    /// A vector of elements as they are in memory.
    type Elements: Copy;
    /// A vector of the floats that the arithmetic uses. Two of them hold a vector of 16-bit elements.
    type Floats: Copy + Add<Output = Self::Floats>;
    /// The type of the arithmetic.
    type Float;
    /// The number of elements that are processed together, at most [`MAX_LEN`].
    const LEN: usize;

    /// Loads `LEN` elements.
    fn load(simd: S, elements: &[Self]) -> Self::Elements;
    /// Stores `LEN` elements.
    fn store(simd: S, elements: Self::Elements, to: &mut [Self]);
    /// Converts the elements to floats, applies the formula, and converts the results back.
    fn apply<F: Formula<S, Self::Floats>>(
        simd: S,
        formula: F,
        x: Self::Elements,
        grad: Self::Elements,
    ) -> Self::Elements;

    /// Returns ELU for unit factors: x, or expm1(x).
    fn unit_forward(simd: S, x: Self::Elements) -> Self::Elements;
    /// Returns a function that computes ELU, x or `negative * expm1(x)`, for an `input_scale` of 1 and factors that are not
    /// degenerate. Returns `None` if the general formula is needed.
    fn alpha_forward(
        simd: S,
        factors: RoundedFactors<Self::Float>,
    ) -> Option<impl Fn(Self::Elements) -> Self::Elements>;
    /// Returns a faster formula for the gradient from the input than the general one, or `None` if there is none for
    /// these factors.
    fn fast_backward(
        simd: S,
        factors: RoundedFactors<Self::Float>,
    ) -> Option<impl Formula<S, Self::Floats>>;
    /// Does the same as [`Lanes::fast_backward`] for the gradient from the output.
    fn fast_backward_from_output(
        simd: S,
        factors: RoundedFactors<Self::Float>,
    ) -> Option<impl Formula<S, Self::Floats>>;

    /// Returns a vector of zeros, with which a sum starts.
    fn zeros(simd: S) -> Self::Floats;
    /// Applies the formula to the elements. If two elements share a lane of the floats, adds their results.
    fn terms<F: Formula<S, Self::Floats>>(simd: S, formula: F, x: Self::Elements) -> Self::Floats;
    /// Converts a vector of sums to `f64`. Two lanes of `f32` are added up in one lane of `f64`.
    fn total(floats: Self::Floats) -> S::f64s;
}

/// The largest number of elements that any SIMD level processes together: `u16`s in 512 bits.
const MAX_LEN: usize = 32;

macro_rules! floats {
    ($float:ident, $floats:ident, $total:expr) => {
        impl<S: Simd> Lanes<S> for $float {
            type Elements = S::$floats;
            type Floats = S::$floats;
            type Float = $float;
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
            fn apply<F: Formula<S, Self::Floats>>(
                simd: S,
                formula: F,
                x: Self::Elements,
                grad: Self::Elements,
            ) -> Self::Elements {
                apply(simd, formula, x, grad)
            }

            #[inline(always)]
            fn unit_forward(simd: S, x: Self::Elements) -> Self::Elements {
                arithmetic::$float::UnitForward.apply(simd, x, x)
            }

            #[inline(always)]
            fn alpha_forward(
                simd: S,
                factors: RoundedFactors<$float>,
            ) -> Option<impl Fn(Self::Elements) -> Self::Elements> {
                let formula = arithmetic::$float::AlphaForward::new(simd, factors)?;
                Some(
                    #[inline(always)]
                    move |x| formula.apply(simd, x, x),
                )
            }

            #[inline(always)]
            fn fast_backward(
                simd: S,
                factors: RoundedFactors<$float>,
            ) -> Option<impl Formula<S, Self::Floats>> {
                // `UnitBackward` is accurate only with FMA: without it, its result would be rounded twice.
                let is_possible = factors.class(Op::Backward).unit_factors && has_fma(simd.level());
                is_possible.then(|| arithmetic::$float::UnitBackward::new(simd, factors))
            }

            #[inline(always)]
            fn fast_backward_from_output(
                _: S,
                _: RoundedFactors<$float>,
            ) -> Option<impl Formula<S, Self::Floats>> {
                None::<arithmetic::$float::BackwardFromOutput<S>> // of any type of formula
            }

            #[inline(always)]
            fn zeros(simd: S) -> Self::Floats {
                S::$floats::splat(simd, 0.0)
            }

            #[inline(always)]
            fn terms<F: Formula<S, Self::Floats>>(
                simd: S,
                formula: F,
                x: Self::Elements,
            ) -> Self::Floats {
                apply(simd, formula, x, x)
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

/// Processes 16-bit formats in `f32`. NaN keeps its payload, even if the machine's own conversions would change it.
///
/// - `unit` and `alpha`: the functions that apply expm1, and its product with alpha, to negative elements.
/// - `q`: the polynomial of expm1.
/// - `any`: the conversions for all elements; `numbers`: those without NaN.
macro_rules! halves {
    ($half:ident, unit: $map_unit:ident, alpha: $map_alpha:ident, q: $q:ident, any: $widen:ident, $narrow:ident, numbers: $widen_numbers:ident, $narrow_numbers:ident) => {
        impl<S: Simd> Lanes<S> for $half {
            type Elements = S::u16s;
            type Floats = S::f32s;
            type Float = f32;
            const LEN: usize = S::u16s::LEN;

            #[inline(always)]
            fn load(simd: S, elements: &[Self]) -> Self::Elements {
                S::u16s::from_slice(simd, bytemuck::cast_slice(elements))
            }

            #[inline(always)]
            fn store(_: S, elements: Self::Elements, to: &mut [Self]) {
                elements.store_slice(bytemuck::cast_slice_mut(to));
            }

            #[cfg_attr(not(unoptimized), inline(always))]
            fn apply<F: Formula<S, Self::Floats>>(
                simd: S,
                formula: F,
                x: Self::Elements,
                grad: Self::Elements,
            ) -> Self::Elements {
                let magnitude = S::u16s::splat(simd, 0x7fff);
                let infinity = S::u16s::splat(simd, $half::INFINITY.to_bits());
                let is_nan = (x & magnitude).max(grad & magnitude).simd_gt(infinity);
                // If no element is NaN, faster conversions can be used. For numbers, both versions give the same
                // bits.
                if is_nan.any_true() {
                    let (x, grad) = ($widen(simd, x), $widen(simd, grad));
                    let results = [
                        apply(simd, formula, x[0], grad[0]),
                        apply(simd, formula, x[1], grad[1]),
                    ];
                    return $narrow(simd, results);
                }
                let (x, grad) = ($widen_numbers(simd, x), $widen_numbers(simd, grad));
                let results = [
                    apply(simd, formula, x[0], grad[0]),
                    apply(simd, formula, x[1], grad[1]),
                ];
                $narrow_numbers(simd, results)
            }

            #[inline(always)]
            fn unit_forward(simd: S, x: Self::Elements) -> Self::Elements {
                $map_unit(
                    simd,
                    x,
                    #[inline(always)]
                    |x| narrow_expm1(simd, x, $q),
                )
            }

            #[inline(always)]
            fn alpha_forward(
                simd: S,
                factors: RoundedFactors<f32>,
            ) -> Option<impl Fn(Self::Elements) -> Self::Elements> {
                let negative = S::f32s::splat(simd, factors.negative);
                (factors.positive == 1.0).then_some(
                    #[inline(always)]
                    move |x: Self::Elements| {
                        $map_alpha(
                            simd,
                            x,
                            #[inline(always)]
                            |x| narrow_expm1(simd, x, $q) * negative,
                        )
                    },
                )
            }

            #[inline(always)]
            fn fast_backward(
                simd: S,
                factors: RoundedFactors<f32>,
            ) -> Option<impl Formula<S, Self::Floats>> {
                NarrowBackward::new(simd, factors, $q)
            }

            #[inline(always)]
            fn fast_backward_from_output(
                simd: S,
                factors: RoundedFactors<f32>,
            ) -> Option<impl Formula<S, Self::Floats>> {
                NarrowBackwardFromOutput::new(simd, factors)
            }

            #[inline(always)]
            fn zeros(simd: S) -> Self::Floats {
                S::f32s::splat(simd, 0.0)
            }

            #[inline(always)]
            fn terms<F: Formula<S, Self::Floats>>(
                simd: S,
                formula: F,
                x: Self::Elements,
            ) -> Self::Floats {
                let [a, b] = $widen_numbers(simd, x);
                apply(simd, formula, a, a) + apply(simd, formula, b, b)
            }

            #[inline(always)]
            fn total(floats: Self::Floats) -> S::f64s {
                total::<S>(floats)
            }
        }
    };
}

halves!(f16, unit: map_negative_f16, alpha: map_negative_f16, q: q_of_f16, any: widen_f16, narrow_f16, numbers: widen_f16_numbers, narrow_f16_numbers);
halves!(bf16, unit: map_negative_bf16_without_ties, alpha: map_negative_bf16, q: q_of_bf16, any: widen_bf16, narrow_bf16, numbers: widen_bf16, narrow_bf16_numbers);

/// Applies a function to vectors of `x` and writes the results to `y`. If `x` is `None`, `y` holds it.
///
/// The function must be `#[inline(always)]`, as every closure here: only then does the compiler use the instructions of
/// the SIMD level in it.
#[inline(always)]
pub(super) fn map_vectors<S: Simd, E: Lanes<S>>(
    simd: S,
    function: impl Fn(E::Elements) -> E::Elements,
    x: Option<&[E]>,
    y: &mut [E],
) {
    let mut ys = y.chunks_exact_mut(E::LEN);
    let Some(x) = x else {
        for y in ys.by_ref() {
            E::store(simd, function(E::load(simd, y)), y);
        }
        let y = ys.into_remainder();
        let x = padded(y);
        return tail(
            simd,
            #[inline(always)]
            |x, _| function(x),
            x,
            x,
            y,
        );
    };
    let mut xs = x.chunks_exact(E::LEN);
    for (x, y) in xs.by_ref().zip(ys.by_ref()) {
        E::store(simd, function(E::load(simd, x)), y);
    }
    let x = padded(xs.remainder());
    tail(
        simd,
        #[inline(always)]
        |x, _| function(x),
        x,
        x,
        ys.into_remainder(),
    );
}

/// Applies the formula to `x` and writes the results to `y`. If `x` is `None`, `y` holds it.
#[inline(always)]
pub(super) fn map<S: Simd, E: Lanes<S>, F: Formula<S, E::Floats>>(
    simd: S,
    formula: F,
    x: Option<&[E]>,
    y: &mut [E],
) {
    map_vectors(
        simd,
        #[inline(always)]
        |x| E::apply(simd, formula, x, x),
        x,
        y,
    );
}

/// Applies the formula to `x` and `grad` and writes the results to `out`. If `grad` is `None`, `out` holds it.
#[inline(always)]
pub(super) fn map_with_grad<S: Simd, E: Lanes<S>, F: Formula<S, E::Floats>>(
    simd: S,
    formula: F,
    x: &[E],
    grad: Option<&[E]>,
    out: &mut [E],
) {
    let (mut xs, mut outs) = (x.chunks_exact(E::LEN), out.chunks_exact_mut(E::LEN));
    let (x, grad, out) = if let Some(grad) = grad {
        let mut grads = grad.chunks_exact(E::LEN);
        for ((x, grad), out) in xs.by_ref().zip(grads.by_ref()).zip(outs.by_ref()) {
            let (x, grad) = (E::load(simd, x), E::load(simd, grad));
            E::store(simd, E::apply(simd, formula, x, grad), out);
        }
        let out = outs.into_remainder();
        (padded(xs.remainder()), padded(grads.remainder()), out)
    } else {
        for (x, out) in xs.by_ref().zip(outs.by_ref()) {
            let (x, grad) = (E::load(simd, x), E::load(simd, out));
            E::store(simd, E::apply(simd, formula, x, grad), out);
        }
        let out = outs.into_remainder();
        (padded(xs.remainder()), padded(out), out)
    };
    tail(
        simd,
        #[inline(always)]
        |x, grad| E::apply(simd, formula, x, grad),
        x,
        grad,
        out,
    );
}

// ---- Internals ----

/// Applies the formula to two vectors of floats.
///
/// Without optimization, the variables of each call of an inlined function take their own part of the stack: up to 4 MiB,
/// where most threads have 2 MiB or less.
#[cfg_attr(not(unoptimized), inline(always))]
fn apply<S: Simd, V, F: Formula<S, V>>(simd: S, formula: F, x: V, grad: V) -> V {
    formula.apply(simd, x, grad)
}

/// Adds the two halves of a vector in `f64`.
#[inline(always)]
fn total<S: Simd>(floats: S::f32s) -> S::f64s {
    let (low, high) = floats.widen();
    low + high
}

/// Processes the tail, which has fewer than `LEN` elements, as a full vector. It therefore passes through the same code
/// as all other elements.
#[inline(always)]
fn tail<S: Simd, E: Lanes<S>>(
    simd: S,
    function: impl Fn(E::Elements, E::Elements) -> E::Elements,
    mut x: [E; MAX_LEN],
    grad: [E; MAX_LEN],
    y: &mut [E],
) {
    if y.is_empty() {
        return;
    }
    let elements = E::load(simd, &x[..E::LEN]);
    let results = function(elements, E::load(simd, &grad[..E::LEN]));
    E::store(simd, results, &mut x[..E::LEN]);
    y.copy_from_slice(&x[..y.len()]);
}

/// Copies up to `MAX_LEN` elements and fills the rest with zeros.
#[inline(always)]
pub(super) fn padded<E: Pod>(elements: &[E]) -> [E; MAX_LEN] {
    let mut lanes = [E::zeroed(); MAX_LEN];
    lanes[..elements.len()].copy_from_slice(elements);
    lanes
}
