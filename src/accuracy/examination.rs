//! Judges the results of a device or of a function, piece by piece.

use std::ops::Range;

#[cfg(feature = "threads")]
use rayon::prelude::*;

use super::{
    judge::Judge,
    sample::Sample,
    tally::{Case, Findings},
};
#[cfg(feature = "threads")]
use crate::threads;
use crate::{
    device::Device,
    dtype::DType,
    error::{Error, Result, Role},
    tensor::Tensor,
};

/// Judges the results of `compute` for one of the [`pieces`] of the sample. `compute` takes the `x` and the incoming
/// gradients of the piece, as bits, and returns one result for each pair. `empty` creates the collection that the
/// results are added to.
///
/// # Errors
///
/// Returns the errors of `compute`, and [`Error::LengthMismatch`] if it returns another number of results.
pub fn examine<F: Findings, E: From<Error>>(
    sample: &Sample,
    piece: Range<u64>,
    empty: impl Fn() -> F + Sync,
    compute: impl FnOnce(&[u64], &[u64]) -> Result<Vec<u64>, E>,
) -> Result<F, E> {
    let (x, grad) = pairs(sample, piece);
    let y = compute(&x, &grad)?;
    Ok(judge_all(&x, &grad, &y, &empty)?)
}

/// Divides a sample into ranges of at most `len` pairs. Each range is judged in memory; the whole sample may be larger
/// than memory.
pub fn pieces(sample: &Sample, len: u64) -> impl Iterator<Item = Range<u64>> + use<> {
    let (end, len) = (sample.len(), len.max(1));
    (0..end.div_ceil(len)).map(move |i| i * len..end.min((i + 1) * len))
}

/// Judges a device's results for the whole sample. `empty` creates the collection that the results are added to.
/// `progress` is called after each piece with the number of its results.
///
/// # Errors
///
/// Returns the errors of [`Elu::apply`](crate::Elu::apply) and [`Tensor::to_bytes`].
pub async fn examine_device<F: Findings>(
    device: &Device,
    sample: &Sample,
    empty: impl Fn() -> F + Sync,
    mut progress: impl FnMut(u64),
) -> Result<F> {
    let judge = sample.judge();
    let mut findings = empty();
    for piece in pieces(sample, piece_len(judge.dtype)) {
        let (x, grad) = pairs(sample, piece);
        let y = compute(device, judge, &x, &grad).await?;
        findings = findings.merge(judge_all(&x, &grad, &y, &empty)?);
        progress(x.len() as u64);
    }
    Ok(findings)
}

/// Computes the device's results, as bits. Forward ignores `grad`.
///
/// # Errors
///
/// Returns the errors of [`Elu::apply`](crate::Elu::apply) and [`Tensor::to_bytes`].
pub async fn compute(device: &Device, judge: Judge, x: &[u64], grad: &[u64]) -> Result<Vec<u64>> {
    let Judge { op, dtype, elu } = judge;
    let tensor = |bits: &[u64]| {
        let bytes = to_bytes(dtype, bits);
        Tensor::from_bytes(device, dtype, &bytes, &[bits.len()])
    };
    let grad = op.has_grad().then(|| tensor(grad)).transpose()?;
    let y = elu.apply(op, &tensor(x)?, grad.as_ref())?;
    Ok(from_bytes(dtype, &y.to_bytes().await?))
}

/// Converts bits to elements of `dtype` in this machine's byte order.
pub fn to_bytes(dtype: DType, bits: &[u64]) -> Vec<u8> {
    let size = dtype.size();
    let mut bytes = vec![0; bits.len() * size];
    for (bytes, bits) in bytes.chunks_exact_mut(size).zip(bits) {
        bytes.copy_from_slice(&bits.to_le_bytes()[..size]);
        if cfg!(target_endian = "big") {
            bytes.reverse();
        }
    }
    bytes
}

/// Converts elements of `dtype` in this machine's byte order to bits. An incomplete element at the end is ignored.
pub fn from_bytes(dtype: DType, bytes: &[u8]) -> Vec<u64> {
    let join = |all: u64, &byte: &u8| all << 8 | u64::from(byte);
    let elements = bytes.chunks_exact(dtype.size());
    if cfg!(target_endian = "big") {
        elements.map(|bytes| bytes.iter().fold(0, join)).collect()
    } else {
        elements
            .map(|bytes| bytes.iter().rev().fold(0, join))
            .collect()
    }
}

// ---- Internals ----

/// Returns the number of results in a piece, which is large enough to occupy a device.
fn piece_len(dtype: DType) -> u64 {
    match dtype {
        DType::F64 => 1 << 12, // judging a float64 result takes a hundred times as long
        DType::F32 | DType::F16 | DType::BF16 => 1 << 21,
    }
}

/// The smallest number of results that a thread judges at a time.
#[cfg(feature = "threads")]
const MIN_LEN_PER_THREAD: usize = 1 << 8;

fn pairs(sample: &Sample, piece: Range<u64>) -> (Vec<u64>, Vec<u64>) {
    #[cfg(feature = "threads")]
    if threads::count() > 1 {
        return piece.into_par_iter().map(|i| sample.pair(i)).unzip();
    }
    piece.map(|i| sample.pair(i)).unzip()
}

/// Judges the results `y`. Fails unless there is one for each `x`.
fn judge_all<F: Findings>(
    x: &[u64],
    grad: &[u64],
    y: &[u64],
    empty: &(impl Fn() -> F + Sync),
) -> Result<F> {
    if y.len() != x.len() {
        return Err(Error::LengthMismatch {
            role: Role::Output,
            needed: x.len() as u64,
            found: y.len() as u64,
        });
    }
    let add = |mut findings: F, ((&x, &grad), &y): ((&u64, &u64), &u64)| {
        findings.add(Case { x, grad, y });
        findings
    };
    #[cfg(feature = "threads")]
    if threads::count() > 1 {
        let cases = x
            .par_iter()
            .zip(grad)
            .zip(y)
            .with_min_len(MIN_LEN_PER_THREAD);
        return Ok(cases.fold(empty, add).reduce(empty, F::merge));
    }
    Ok(x.iter().zip(grad).zip(y).fold(empty(), add))
}
