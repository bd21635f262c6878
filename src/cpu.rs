//! ELU over slices, on the CPU: SIMD chosen at run time, and all cores for long slices.
//!
//! ```
//! let x = [-2.0f32, -0.5, 0.0, 1.5];
//! let mut y = [0.0; 4];
//! wgpu_elu::cpu::forward(1.0, &x, &mut y)?;
//! assert_eq!(y, [-0.86466473, -0.39346933, 0.0, 1.5]);
//! # Ok::<(), wgpu_elu::Error>(())
//! ```
//!
//! Slices hold any [`Element`]: `f32`, `f64`, and [`half::f16`] and [`half::bf16`], for which arithmetic is in `f32`. Where a
//! function takes `impl Into<Elu>`, a number is alpha.
//!
//! How near the results are to the exact values is told [in the crate's documentation](crate#numbers). Every element goes
//! through the same vector code wherever it stands, so the same `x` gives the same bits on a given machine; machines with
//! and without fused multiply-add may differ by 1 ULP.

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

/// `$run::<T, E>($arguments)`, where `T` is the type with the vector code of `E`, which is `E` itself.
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

/// Applies `op` to `x` (for [`Op::BackwardFromOutput`], the output `y`), and to `grad` if `op` takes a gradient, and writes the
/// result to `out`. The functions below are this one by name.
///
/// # Errors
///
/// [`Error::Inputs`] if `grad` is missing, or is given to [`Op::Forward`]; [`Error::NotInvertible`] for
/// [`Op::BackwardFromOutput`] unless `alpha * scale` is positive and finite; [`Error::LengthMismatch`] if the slices differ in
/// length. `out` is then unchanged.
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

/// Does what [`apply`] does, and replaces the last input: for [`Op::Forward`] `values` is `x`, and no other input is given; for
/// a gradient `values` is `grad`, and `x` is given.
///
/// # Errors
///
/// Those of [`apply`].
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
/// [`Error::LengthMismatch`] if the slices differ in length; `y` is then unchanged.
pub fn forward<E: Element>(elu: impl Into<Elu>, x: &[E], y: &mut [E]) -> Result<()> {
    apply(Op::Forward, elu, x, None, y)
}

/// Replaces `x` by its ELU.
pub fn forward_in_place<E: Element>(elu: impl Into<Elu>, x: &mut [E]) {
    run_forward(elu.into(), None, x);
}

/// Writes the gradient with respect to `x` to `out`: `grad`, the gradient with respect to the output, times the slope at `x`.
/// The slope is 1 where `x > 0`, else `alpha * exp(x)`: alpha at 0.
///
/// NaN in `x` or `grad` gives NaN, and so does an infinite `grad` where the slope rounds to zero.
///
/// # Errors
///
/// [`Error::LengthMismatch`] if the slices differ in length; `out` is then unchanged.
pub fn backward<E: Element>(elu: impl Into<Elu>, x: &[E], grad: &[E], out: &mut [E]) -> Result<()> {
    apply(Op::Backward, elu, x, Some(grad), out)
}

/// Replaces `grad` by the gradient that [`backward`] writes.
///
/// # Errors
///
/// [`Error::LengthMismatch`] if the slices differ in length; `grad` is then unchanged.
pub fn backward_in_place<E: Element>(elu: impl Into<Elu>, x: &[E], grad: &mut [E]) -> Result<()> {
    apply_in_place(Op::Backward, elu, Some(x), grad)
}

/// Writes the gradient with respect to `x` to `out`, computed from the output `y`: the slope is 1 where `y > 0`, else
/// `y + alpha`. Use it where [`forward_in_place`] has overwritten `x`.
///
/// # Errors
///
/// [`Error::NotInvertible`] unless `alpha * scale` is positive and finite; [`Error::LengthMismatch`] if the slices differ in
/// length. `out` is then unchanged.
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
/// Those of [`backward_from_output`]; `grad` is then unchanged.
pub fn backward_from_output_in_place<E: Element>(
    elu: impl Into<Elu>,
    y: &[E],
    grad: &mut [E],
) -> Result<()> {
    apply_in_place(Op::BackwardFromOutput, elu, Some(y), grad)
}

/// The sum over all elements of `l1 * |y| + l2 * y^2`, each term only if its factor is not 0: Keras' activity regularizer,
/// [`Regularizer`](crate::Regularizer), on a slice. NaN if a factor is negative, infinite or NaN.
///
/// A slice has the same sum however many threads share it. How near that is to the exact value is told
/// [there](crate::Regularizer#accuracy), but for the rounding to `f32`.
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

/// Whether `mul_add` is known to round once.
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

/// Applies `op`. The input that is `None` is the last one, and `out` holds it.
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

/// Writes ELU of `x` to `y`, which is as long, or of what `y` holds.
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

/// Writes the gradient of `op` to `out`, which is as long as `x`. Without `grad`, `out` holds it.
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

/// Runs `work` on pieces of slices of one length, by several threads if they are long.
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

/// Elements that are summed one after the other: the sum must not depend on how many threads there are.
const SUMMED_TOGETHER: usize = 1 << 15;

/// The sum of all pieces' sums, by several threads if there are many.
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

/// A type with its vector code.
trait Walk: Element {
    /// Writes ELU of `x` to `y`, or of what `y` holds.
    fn forward(level: Level, factors: Factors, x: Option<&[Self]>, y: &mut [Self]);
    /// Writes the gradient of `op` to `out`. Without `grad`, `out` holds it.
    fn gradient(
        level: Level,
        op: Op,
        factors: Factors,
        x: &[Self],
        grad: Option<&[Self]>,
        out: &mut [Self],
    );
    fn penalty(level: Level, penalty: Penalty, y: &[Self]) -> Sum;
    /// What a sum of penalties is to be multiplied by.
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
