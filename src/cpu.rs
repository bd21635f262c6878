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
//! multiply-add may differ by 1 ULP (`f64`: 2 ULP), unless results are rounded to [nearest](Rounding::Nearest).

mod arithmetic;
mod lanes;
mod nearest;
mod sum;

use fearless_simd::{Level, dispatch};
use half::{bf16, f16};

use crate::{
    dtype::{DType, Element},
    elu::Elu,
    error::{Error, Result, Role, check_inputs},
    factors::Penalty,
    op::Op,
    rounding::Rounding,
    threads,
};
use lanes::{Lanes, map, map_vectors, map_with_grad};
use sum::{Sum, sum};

/// Calls `$run::<T, E>($arguments)`, where `T` is the concrete type that the generic type `E` stands for. `T` is needed
/// because `VectorCode` is implemented for concrete types only.
macro_rules! with_vector_code {
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
/// writes the result to `out`. The functions that are named after an operation call this one.
///
/// # Errors
///
/// - Returns [`Error::Inputs`] if `grad` is missing, or is given to [`Op::Forward`].
/// - Returns [`Error::NotInvertible`] for [`Op::BackwardFromOutput`] unless `alpha * scale` is positive and finite.
/// - Returns [`Error::LengthMismatch`] if the slices differ in length.
///
/// After an error `out` is unchanged.
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

/// Applies `op` as [`apply`] does, and replaces the operation's last input, which is in `values`, with the result. For
/// [`Op::Forward`] the last input is `x`, and the argument `x` is `None`. For a gradient it is `grad`, and the argument
/// `x` is given.
///
/// # Errors
///
/// Returns the same errors as [`apply`].
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

/// Replaces `x` with its ELU.
pub fn forward_in_place<E: Element>(elu: impl Into<Elu>, x: &mut [E]) {
    run_forward(elu.into(), None, x);
}

/// Writes to `out` the gradient with respect to `x`: the incoming gradient `grad`, which is the gradient with respect
/// to the output, times the slope at `x`. ELU's slope is 1 where `x > 0`, else `alpha * exp(x)`; at 0 it is alpha.
///
/// NaN in `x` or `grad` gives NaN. An infinite `grad` gives NaN where `exp(input_scale * x)` rounds to 0.
///
/// # Errors
///
/// Returns [`Error::LengthMismatch`] if the slices differ in length; `out` is then unchanged.
pub fn backward<E: Element>(elu: impl Into<Elu>, x: &[E], grad: &[E], out: &mut [E]) -> Result<()> {
    apply(Op::Backward, elu, x, Some(grad), out)
}

/// Replaces `grad` with the gradient that [`backward`] writes.
///
/// # Errors
///
/// Returns [`Error::LengthMismatch`] if the slices differ in length; `grad` is then unchanged.
pub fn backward_in_place<E: Element>(elu: impl Into<Elu>, x: &[E], grad: &mut [E]) -> Result<()> {
    apply_in_place(Op::Backward, elu, Some(x), grad)
}

/// Writes to `out` the gradient with respect to `x`, computed from the output `y`. ELU's slope is 1 where `y > 0`, else
/// `y + alpha`. This function needs no `x`, so it can be used after [`forward_in_place`] has overwritten `x`.
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

/// Replaces `grad` with the gradient that [`backward_from_output`] writes.
///
/// # Errors
///
/// Returns the same errors as [`backward_from_output`]; `grad` is then unchanged.
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
    fn run_as<T: VectorCode, E: Element>(penalty: Penalty, y: &[E]) -> f64 {
        let level = Level::new();
        let sum = sum_up(bytemuck::cast_slice(y), &|y| T::penalty(level, penalty, y));
        sum.value() * T::rescale(penalty)
    }
    match Penalty::new(l1, l2) {
        Err(_) => f64::NAN,
        Ok(penalty) if penalty.is_zero() => 0.0,
        Ok(penalty) => with_vector_code!(E, run_as(penalty, y)),
    }
}

/// Returns the name of the SIMD instruction set that the functions of this module use on this machine.
pub fn simd_level() -> &'static str {
    name(Level::new())
}

/// Returns the number of threads that process a long slice: those of rayon's pool, which this crate starts when it
/// first needs the pool, unless the app has started it. Returns 1 if the threads cannot be started, and without the
/// feature `threads`.
pub fn threads() -> usize {
    threads::count()
}

/// Returns the largest number of threads that this crate starts: 256, or one for each core if there are more cores.
/// `RAYON_NUM_THREADS` cannot ask for more.
pub fn max_threads() -> usize {
    threads::max()
}

// ---- Internals ----

/// The length of the shortest slice that several threads process together. Shorter slices run on one thread, because
/// waking threads takes time: 2^16 elements took 34 microseconds on two threads that had to be woken, and 23
/// microseconds on one thread.
#[cfg(feature = "threads")]
const MIN_LEN_FOR_THREADS: usize = 1 << 18;

/// Returns the number of elements that a thread takes at a time. It gives each thread about four pieces, or more if the
/// slice is long, so that all threads finish at about the same time.
#[cfg(feature = "threads")]
fn piece_len(len: usize) -> usize {
    (len / (4 * threads::count())).clamp(1 << 14, 1 << 17)
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

/// Returns whether `mul_add` is known to be a fused multiply-add (FMA), which rounds once.
#[inline(always)]
fn has_fma(level: Level) -> bool {
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

/// Applies `op`. If the last input of the operation is `None`, `out` holds it.
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
        (_, None) => check_inputs(op, 1)?, // always fails: a gradient takes two inputs
    }
    Ok(())
}

/// Writes ELU of `x` to `y`, which has the same length. If `x` is `None`, `y` holds it.
fn run_forward<E: Element>(elu: Elu, x: Option<&[E]>, y: &mut [E]) {
    fn run_as<T: VectorCode, E: Element>(elu: Elu, x: Option<&[E]>, y: &mut [E]) {
        let (x, y) = (x.map(bytemuck::cast_slice), bytemuck::cast_slice_mut(y));
        let level = Level::new();
        match x {
            Some(x) => for_each_piece([x], y, |[x], y| T::forward(level, elu, Some(x), y)),
            None => for_each_piece([], y, |[], y| T::forward(level, elu, None, y)),
        }
    }
    with_vector_code!(E, run_as(elu, x, y));
}

/// Writes the gradient of `op` to `out`, which has the length of `x`. If `grad` is `None`, `out` holds it.
fn run_gradient<E: Element>(op: Op, elu: Elu, x: &[E], grad: Option<&[E]>, out: &mut [E]) {
    fn run_as<T: VectorCode, E: Element>(
        op: Op,
        elu: Elu,
        x: &[E],
        grad: Option<&[E]>,
        out: &mut [E],
    ) {
        let (x, grad) = (bytemuck::cast_slice(x), grad.map(bytemuck::cast_slice));
        let out = bytemuck::cast_slice_mut(out);
        let level = Level::new();
        match grad {
            Some(grad) => for_each_piece([x, grad], out, |[x, grad], out| {
                T::gradient(level, op, elu, x, Some(grad), out);
            }),
            None => for_each_piece([x], out, |[x], out| {
                T::gradient(level, op, elu, x, None, out);
            }),
        }
    }
    with_vector_code!(E, run_as(op, elu, x, grad, out));
}

/// Divides slices of equal length into pieces and runs `work` on each, on several threads if the slices are long.
fn for_each_piece<T: Send + Sync, const N: usize>(
    inputs: [&[T]; N],
    out: &mut [T],
    work: impl Fn([&[T]; N], &mut [T]) + Sync,
) {
    #[cfg(feature = "threads")]
    if out.len() >= MIN_LEN_FOR_THREADS && threads::count() > 1 {
        use rayon::prelude::*;
        let len = piece_len(out.len());
        out.par_chunks_mut(len).enumerate().for_each(|(i, out)| {
            let piece = i * len..i * len + out.len();
            work(inputs.map(|input| &input[piece.clone()]), out);
        });
        return;
    }
    work(inputs, out);
}

/// The number of elements in a piece of a sum. It does not depend on the number of threads, so the sum does not either.
const SUM_PIECE_LEN: usize = 1 << 15;

/// Returns the sum of the sums of all pieces. Divides the slice in halves until one piece is left, on several threads
/// if the slice is long.
fn sum_up<T: Send + Sync>(y: &[T], sum: &(impl Fn(&[T]) -> Sum + Sync)) -> Sum {
    let pieces = y.len().div_ceil(SUM_PIECE_LEN);
    if pieces <= 1 {
        return sum(y);
    }
    let (first, last) = y.split_at(pieces / 2 * SUM_PIECE_LEN);
    #[cfg(feature = "threads")]
    if y.len() >= MIN_LEN_FOR_THREADS && threads::count() > 1 {
        let (first, last) = rayon::join(|| sum_up(first, sum), || sum_up(last, sum));
        return first.add(last);
    }
    sum_up(first, sum).add(sum_up(last, sum))
}

/// An element type for which vector code exists.
trait VectorCode: Element {
    /// Writes ELU of `x` to `y`. If `x` is `None`, `y` holds it.
    fn forward(level: Level, elu: Elu, x: Option<&[Self]>, y: &mut [Self]);
    /// Writes the gradient of `op` to `out`. If `grad` is `None`, `out` holds it.
    fn gradient(
        level: Level,
        op: Op,
        elu: Elu,
        x: &[Self],
        grad: Option<&[Self]>,
        out: &mut [Self],
    );
    /// Returns the sum of the terms of a penalty, divided by the number that [`VectorCode::rescale`] returns.
    fn penalty(level: Level, penalty: Penalty, y: &[Self]) -> Sum;
    /// Returns the power of two by which the penalty's sum must be multiplied.
    fn rescale(penalty: Penalty) -> f64;
}

/// Implements [`VectorCode`] for an element type. `$arithmetic` is the module of its formulas, `$in_float` the method
/// that rounds factors to the type of the arithmetic, and `$forward` the formula of forward if `input_scale` is 1.
macro_rules! vector_code {
    ($type:ty, $arithmetic:ident, $in_float:ident, $($forward:ident)::+) => {
        impl VectorCode for $type {
            fn forward(level: Level, elu: Elu, x: Option<&[Self]>, y: &mut [Self]) {
                use arithmetic::$arithmetic::{DegenerateForward, ScaledForward};
                let rounded = elu.factors().$in_float();
                let class = rounded.class(Op::Forward);
                if elu.rounding() == Rounding::Nearest {
                    let formula = nearest::$arithmetic::Forward::new(rounded, Self::DTYPE);
                    return dispatch!(level, simd => map(simd, formula, x, y));
                }
                if class.degenerate {
                    dispatch!(level, simd => {
                        map(simd, DegenerateForward::new(simd, rounded), x, y)
                    });
                } else if class.unit_factors {
                    dispatch!(level, simd => {
                        map_vectors(simd, #[inline(always)] |x| Self::unit_forward(simd, x), x, y)
                    });
                } else if class.unit_input_scale {
                    dispatch!(level, simd => match Self::alpha_forward(simd, rounded) {
                        Some(function) => map_vectors(simd, function, x, y),
                        None => map(simd, $($forward)::+::new(simd, rounded), x, y),
                    });
                } else {
                    dispatch!(level, simd => map(simd, ScaledForward::new(simd, rounded), x, y));
                }
            }

            fn gradient(
                level: Level,
                op: Op,
                elu: Elu,
                x: &[Self],
                grad: Option<&[Self]>,
                out: &mut [Self],
            ) {
                use arithmetic::$arithmetic::{Backward, BackwardFromOutput};
                let rounded = elu.factors().$in_float();
                if elu.rounding() == Rounding::Nearest {
                    let formula = nearest::$arithmetic::Backward::new(rounded, Self::DTYPE, op);
                    return dispatch!(level, simd => map_with_grad(simd, formula, x, grad, out));
                }
                if op == Op::BackwardFromOutput {
                    dispatch!(level, simd => match Self::fast_backward_from_output(simd, rounded) {
                        Some(formula) => map_with_grad(simd, formula, x, grad, out),
                        None => map_with_grad(simd, BackwardFromOutput::new(simd, rounded), x, grad, out),
                    });
                } else {
                    dispatch!(level, simd => match Self::fast_backward(simd, rounded) {
                        Some(formula) => map_with_grad(simd, formula, x, grad, out),
                        None => map_with_grad(simd, Backward::new(simd, rounded), x, grad, out),
                    });
                }
            }

            fn penalty(level: Level, penalty: Penalty, y: &[Self]) -> Sum {
                use arithmetic::$arithmetic::{L1, L1L2};
                let ([l1, l2], _) = penalty.$in_float();
                if l2 == 0.0 {
                    dispatch!(level, simd => sum(simd, L1::new(simd, l1), y))
                } else {
                    dispatch!(level, simd => sum(simd, L1L2::new(simd, l1, l2), y))
                }
            }

            fn rescale(penalty: Penalty) -> f64 {
                penalty.$in_float().1
            }
        }
    };
}

vector_code!(f32, f32, in_f32, arithmetic::f32::Forward);
vector_code!(f16, f32, in_f32, arithmetic::NarrowForward);
vector_code!(bf16, f32, in_f32, arithmetic::NarrowForward);
vector_code!(f64, f64, in_f64, arithmetic::f64::Forward);

#[cfg(test)]
mod tests;
