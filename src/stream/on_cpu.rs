//! The CPU path of a stream for readers: one chunk at a time, in place.

use std::io::{Read, Write};

use super::io::{Filled, read, write_error, zeros};
use crate::{
    cpu,
    dtype::Element,
    elu::Elu,
    error::{Result, Role},
    op::Op,
};

/// Processes all of the inputs in chunks of `chunk` bytes, and returns the number of bytes of each.
pub(super) fn run<E: Element>(
    op: Op,
    elu: Elu,
    chunk: u64,
    mut x: impl Read,
    mut grad: Option<impl Read>,
    sink: &mut impl Write,
) -> Result<u64> {
    let size = size_of::<E>() as u64;
    let mut xs: Vec<E> = zeros(chunk / size)?;
    let mut grads: Vec<E> = zeros(grad.as_ref().map_or(0, |_| chunk / size))?;
    let mut total = 0;
    loop {
        let filled = Filled {
            x: fill(&mut x, Role::Input, &mut xs)?,
            grad: match &mut grad {
                Some(grad) => Some(fill(grad, Role::Gradient, &mut grads)?),
                None => None,
            },
        };
        let bytes = filled.check(size, total)?;
        total += bytes;
        let len = usize::try_from(bytes / size).unwrap_or(usize::MAX);
        let x = &mut xs[..len];
        let results = if op.has_grad() {
            let grad = &mut grads[..len];
            cpu::apply_in_place(op, elu, Some(x), grad)?;
            grad
        } else {
            cpu::apply_in_place(op, elu, None, x)?;
            x
        };
        sink.write_all(bytemuck::cast_slice(results))
            .map_err(write_error)?;
        if len < xs.len() {
            return Ok(total);
        }
    }
}

// ---- Internals ----

/// Reads until `elements` is full or the reader ends, and returns the number of bytes.
fn fill<E: Element>(reader: &mut impl Read, role: Role, elements: &mut [E]) -> Result<u64> {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(elements);
    let mut filled = 0;
    while filled < bytes.len() {
        match read(reader, role, &mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled as u64)
}
