//! ELU on slices, on the CPU. The SIMD level is chosen at run time, and long slices use all cores.
//!
//! ```
//! let x = [-2.0f32, -0.5, 0.0, 1.5];
//! let mut y = [0.0; 4];
//! wgpu_elu::cpu::forward(1.0, &x, &mut y)?;
//! assert_eq!(y, [-0.86466473, -0.39346933, 0.0, 1.5]);
//! # Ok::<(), wgpu_elu::Error>(())
//! ```
//!
//! Slices hold any [`Element`]: `f32`, `f64`, [`half::f16`] or [`half::bf16`]. The arithmetic for 16-bit elements is in
//! `f32`. Where a function takes `impl Into<Elu>`, a number is alpha.
//!
//! [The crate's documentation](crate#numbers) states the error bounds. Every element passes through the same vector
//! code at every position, so the same `x` gives the same bits on a given machine. Machines with and without fused
//! multiply-add may differ by 1 ULP.

mod arithmetic;
mod lanes;
mod sum;

use fearless_simd::{Level, dispatch};
use half::{bf16, f16};

use crate::{
    dtype::{DType, Element},
    elu::Elu,
    error::{Error, Result, Role, check_inputs},
    factors::{Factors, Penalty},
    op::Op,
};
use lanes::{walk, walk_with_grad};
use sum::{Sum, sum};

/// Expands to `$run::<T, E>($arguments)`. `T` is the concrete type of `E`, for which the vector code is implemented.
macro_rules! with_walk {
    ($E:ident, $run:ident($($argument:expr),*)) => {
        match $E::DTYPE {
            DType::F32 => $run::<f32, $E>($($argument),*),
            DType::F64 => $run::<f64, $E>($($argument),*),
            DType::F16 => $run::<f16, $E>($($argument),*),
            DType::BF16 => $run::<bf16, $E>($($argument),*),
        }
    };
}

/// Applies `op` to `x` (for [`Op::BackwardFromOutput`], the output `y`), and to `grad` if `op` takes a gradient, and
/// writes the result to `out`. The functions below are named after their operation and call this one.
///
/// # Errors
///
/// Returns [`Error::Inputs`] if `grad` is missing, or is given to [`Op::Forward`]; [`Error::NotInvertible`] for
/// [`Op::BackwardFromOutput`] unless `alpha * scale` is positive and finite; [`Error::LengthMismatch`] if the slices
/// differ in length. After an error `out` is unchanged.
pub fn apply<E: Element>(
    op: Op,
    elu: impl Into<Elu>,
    x: &[E],
    grad: Option<&[E]>,
    out: &mut [E],
) -> Result<()> {
    check_inputs(op, 1 + usize::from(grad.is_some()))?;
    run(op, elu.into(), Some(x), grad, out)
}

/// Applies `op` as [`apply`] does, and replaces the last input. For [`Op::Forward`], `values` is `x` and the argument
/// `x` is `None`. For a gradient, `values` is `grad` and the argument `x` is given.
///
/// # Errors
///
/// Returns the errors of [`apply`].
pub fn apply_in_place<E: Element>(
    op: Op,
    elu: impl Into<Elu>,
    x: Option<&[E]>,
    values: &mut [E],
) -> Result<()> {
    check_inputs(op, 1 + usize::from(x.is_some()))?;
    run(op, elu.into(), x, None, values)
}

/// Writes ELU of `x` to `y`.
///
/// # Errors
///
/// Returns [`Error::LengthMismatch`] if the slices differ in length; `y` is then unchanged.
pub fn forward<E: Element>(elu: impl Into<Elu>, x: &[E], y: &mut [E]) -> Result<()> {
    apply(Op::Forward, elu, x, None, y)
}

/// Replaces `x` by its ELU.
pub fn forward_in_place<E: Element>(elu: impl Into<Elu>, x: &mut [E]) {
    run_forward(elu.into(), None, x);
}

/// Writes to `out` the gradient with respect to `x`: `grad`, the gradient with respect to the output, times the slope
/// at `x`. The slope is 1 where `x > 0`, else `alpha * exp(x)`; at 0 it is alpha.
///
/// NaN in `x` or `grad` gives NaN. An infinite `grad` gives NaN where the slope rounds to zero.
///
/// # Errors
///
/// Returns [`Error::LengthMismatch`] if the slices differ in length; `out` is then unchanged.
pub fn backward<E: Element>(elu: impl Into<Elu>, x: &[E], grad: &[E], out: &mut [E]) -> Result<()> {
    apply(Op::Backward, elu, x, Some(grad), out)
}

/// Replaces `grad` by the gradient that [`backward`] writes.
///
/// # Errors
///
/// Returns [`Error::LengthMismatch`] if the slices differ in length; `grad` is then unchanged.
pub fn backward_in_place<E: Element>(elu: impl Into<Elu>, x: &[E], grad: &mut [E]) -> Result<()> {
    apply_in_place(Op::Backward, elu, Some(x), grad)
}

/// Writes to `out` the gradient with respect to `x`, computed from the output `y`: the slope is 1 where `y > 0`, else
/// `y + alpha`. Use it if [`forward_in_place`] has overwritten `x`.
///
/// # Errors
///
/// Returns [`Error::NotInvertible`] unless `alpha * scale` is positive and finite, and [`Error::LengthMismatch`] if the
/// slices differ in length. After an error `out` is unchanged.
pub fn backward_from_output<E: Element>(
    elu: impl Into<Elu>,
    y: &[E],
    grad: &[E],
    out: &mut [E],
) -> Result<()> {
    apply(Op::BackwardFromOutput, elu, y, Some(grad), out)
}

/// Replaces `grad` by the gradient that [`backward_from_output`] writes.
///
/// # Errors
///
/// Returns the errors of [`backward_from_output`]; `grad` is then unchanged.
pub fn backward_from_output_in_place<E: Element>(
    elu: impl Into<Elu>,
    y: &[E],
    grad: &mut [E],
) -> Result<()> {
    apply_in_place(Op::BackwardFromOutput, elu, Some(y), grad)
}

/// Returns the sum over all elements of `l1 * |y| + l2 * y^2`: Keras' activity regularizer,
/// [`Regularizer`](crate::Regularizer), on a slice. A term whose factor is 0 is left out. Returns NaN if a factor is
/// negative, infinite or NaN.
///
/// The sum does not depend on the number of threads. Its error bound is that of
/// [`Regularizer`](crate::Regularizer#accuracy), without the rounding to `f32`.
pub fn penalty<E: Element>(l1: f64, l2: f64, y: &[E]) -> f64 {
    fn run_as<T: Walk, E: Element>(penalty: Penalty, y: &[E]) -> f64 {
        let level = Level::new();
        let sum = sum_up(bytemuck::cast_slice(y), &|y| T::penalty(level, penalty, y));
        sum.value() * T::rescale(penalty)
    }
    match Penalty::new(l1, l2) {
        Err(_) => f64::NAN,
        Ok(penalty) if penalty.is_zero() => 0.0,
        Ok(penalty) => with_walk!(E, run_as(penalty, y)),
    }
}

/// Returns the instruction set that this machine uses.
pub fn simd_level() -> &'static str {
    name(Level::new())
}

/// Returns the number of threads that process a long slice; 1 without the feature `threads`.
pub fn threads() -> usize {
    #[cfg(feature = "threads")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "threads"))]
    1
}

// ---- Internals ----

/// The smallest number of elements for which several threads are faster. With 2^16 elements, two threads that had to be
/// woken took 34 microseconds, and one thread took 23.
#[cfg(feature = "threads")]
const THREADS_FROM: usize = 1 << 18;

/// The number of elements that a thread takes at a time. Each thread takes several long pieces, so that all threads
/// finish at about the same time.
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

/// Returns whether `mul_add` is known to round once.
#[inline(always)]
fn fuses(level: Level) -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return matches!(level, Level::Avx512(_) | Level::Avx2(_));
    #[cfg(target_arch = "aarch64")]
    return level.as_neon().is_some();
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = level;
        false
    }
}

fn check_len(role: Role, needed: usize, found: usize) -> Result<()> {
    if found == needed {
        Ok(())
    } else {
        Err(Error::LengthMismatch {
            role,
            needed: needed as u64,
            found: found as u64,
        })
    }
}

/// Applies `op`. If an input is `None`, it is the last input of the operation, and `out` holds it.
pub(crate) fn run<E: Element>(
    op: Op,
    elu: Elu,
    x: Option<&[E]>,
    grad: Option<&[E]>,
    out: &mut [E],
) -> Result<()> {
    if op == Op::BackwardFromOutput {
        elu.factors().check_invertible(E::DTYPE)?;
    }
    let needed = x.map_or(out.len(), <[E]>::len);
    if let Some(grad) = grad {
        check_len(Role::Gradient, needed, grad.len())?;
    }
    let holds_gradient = op.has_grad() && grad.is_none();
    let role = if holds_gradient {
        Role::Gradient
    } else {
        Role::Output
    };
    check_len(role, needed, out.len())?;
    match (op, x) {
        (Op::Forward, x) => run_forward(elu, x, out),
        (_, Some(x)) => run_gradient(op, elu, x, grad, out),
        (_, None) => check_inputs(op, 1)?,
    }
    Ok(())
}

/// Writes ELU of `x` to `y`, which has the same length. If `x` is `None`, `y` holds it.
fn run_forward<E: Element>(elu: Elu, x: Option<&[E]>, y: &mut [E]) {
    fn run_as<T: Walk, E: Element>(factors: Factors, x: Option<&[E]>, y: &mut [E]) {
        let (x, y) = (x.map(bytemuck::cast_slice), bytemuck::cast_slice_mut(y));
        let level = Level::new();
        match x {
            Some(x) => share_out([x], y, |[x], y| T::forward(level, factors, Some(x), y)),
            None => share_out([], y, |[], y| T::forward(level, factors, None, y)),
        }
    }
    with_walk!(E, run_as(elu.factors(), x, y));
}

/// Writes the gradient of `op` to `out`, which has the length of `x`. If `grad` is `None`, `out` holds it.
fn run_gradient<E: Element>(op: Op, elu: Elu, x: &[E], grad: Option<&[E]>, out: &mut [E]) {
    fn run_as<T: Walk, E: Element>(
        op: Op,
        factors: Factors,
        x: &[E],
        grad: Option<&[E]>,
        out: &mut [E],
    ) {
        let (x, grad) = (bytemuck::cast_slice(x), grad.map(bytemuck::cast_slice));
        let out = bytemuck::cast_slice_mut(out);
        let level = Level::new();
        match grad {
            Some(grad) => share_out([x, grad], out, |[x, grad], out| {
                T::gradient(level, op, factors, x, Some(grad), out);
            }),
            None => share_out([x], out, |[x], out| {
                T::gradient(level, op, factors, x, None, out);
            }),
        }
    }
    with_walk!(E, run_as(op, elu.factors(), x, grad, out));
}

/// Runs `work` on pieces of slices of equal length, on several threads if the slices are long.
fn share_out<T: Send + Sync, const N: usize>(
    inputs: [&[T]; N],
    out: &mut [T],
    work: impl Fn([&[T]; N], &mut [T]) + Sync,
) {
    #[cfg(feature = "threads")]
    if out.len() >= THREADS_FROM {
        use rayon::prelude::*;
        let len = chunk_len(out.len());
        out.par_chunks_mut(len).enumerate().for_each(|(i, out)| {
            let piece = i * len..i * len + out.len();
            work(inputs.map(|input| &input[piece.clone()]), out);
        });
        return;
    }
    work(inputs, out);
}

/// The number of elements in a piece of a sum. The pieces do not depend on the number of threads, so the sum does not
/// either.
const SUMMED_TOGETHER: usize = 1 << 15;

/// Adds the sums of all pieces, on several threads if there are many pieces.
fn sum_up<T: Send + Sync>(y: &[T], sum: &(impl Fn(&[T]) -> Sum + Sync)) -> Sum {
    let pieces = y.len().div_ceil(SUMMED_TOGETHER);
    if pieces <= 1 {
        return sum(y);
    }
    let (first, last) = y.split_at(pieces / 2 * SUMMED_TOGETHER);
    #[cfg(feature = "threads")]
    if y.len() >= THREADS_FROM {
        let (first, last) = rayon::join(|| sum_up(first, sum), || sum_up(last, sum));
        return first.add(last);
    }
    sum_up(first, sum).add(sum_up(last, sum))
}

/// An element type with vector code.
trait Walk: Element {
    /// Writes ELU of `x` to `y`. If `x` is `None`, `y` holds it.
    fn forward(level: Level, factors: Factors, x: Option<&[Self]>, y: &mut [Self]);
    /// Writes the gradient of `op` to `out`. If `grad` is `None`, `out` holds it.
    fn gradient(
        level: Level,
        op: Op,
        factors: Factors,
        x: &[Self],
        grad: Option<&[Self]>,
        out: &mut [Self],
    );
    fn penalty(level: Level, penalty: Penalty, y: &[Self]) -> Sum;
    /// Returns the number by which a sum of penalties must be multiplied.
    fn rescale(penalty: Penalty) -> f64;
}

macro_rules! walks {
    ($type:ty, $arithmetic:ident, $products:ident, $($forward:ident)::+) => {
        impl Walk for $type {
            fn forward(level: Level, factors: Factors, x: Option<&[Self]>, y: &mut [Self]) {
                use arithmetic::$arithmetic::{DegenerateForward, ScaledForward, UnitForward};
                let products = factors.$products();
                let class = products.class(Op::Forward);
                if class.degenerate {
                    dispatch!(level, simd => {
                        walk(simd, DegenerateForward::new(simd, products), x, y)
                    });
                } else if class.unit_factors {
                    dispatch!(level, simd => walk(simd, UnitForward, x, y));
                } else if class.unit_input_scale {
                    dispatch!(level, simd => walk(simd, $($forward)::+::new(simd, products), x, y));
                } else {
                    dispatch!(level, simd => walk(simd, ScaledForward::new(simd, products), x, y));
                }
            }

            fn gradient(
                level: Level,
                op: Op,
                factors: Factors,
                x: &[Self],
                grad: Option<&[Self]>,
                out: &mut [Self],
            ) {
                use arithmetic::$arithmetic::{Backward, BackwardFromOutput, UnitBackward};
                let products = factors.$products();
                let class = products.class(op);
                if op == Op::BackwardFromOutput {
                    dispatch!(level, simd => {
                        walk_with_grad(simd, BackwardFromOutput::new(simd, products), x, grad, out)
                    });
                } else if class.unit_factors && fuses(level) {
                    dispatch!(level, simd => {
                        walk_with_grad(simd, UnitBackward::new(simd, products), x, grad, out)
                    });
                } else {
                    dispatch!(level, simd => {
                        walk_with_grad(simd, Backward::new(simd, products), x, grad, out)
                    });
                }
            }

            fn penalty(level: Level, penalty: Penalty, y: &[Self]) -> Sum {
                use arithmetic::$arithmetic::{L1, L1L2};
                let ([l1, l2], _) = penalty.$products();
                if l2 == 0.0 {
                    dispatch!(level, simd => sum(simd, L1::new(simd, l1), y))
                } else {
                    dispatch!(level, simd => sum(simd, L1L2::new(simd, l1, l2), y))
                }
            }

            fn rescale(penalty: Penalty) -> f64 {
                penalty.$products().1
            }
        }
    };
}

walks!(f32, f32, in_f32, arithmetic::f32::Forward);
walks!(f16, f32, in_f32, arithmetic::NarrowForward);
walks!(bf16, f32, in_f32, arithmetic::NarrowForward);
walks!(f64, f64, in_f64, arithmetic::f64::Forward);

#[cfg(test)]
mod tests;
