//! The planner of a penalty: divides elements, and then their partial sums, into dispatches. It is pure arithmetic and
//! does not call wgpu.
//!
//! ```text
//! while elements are left:                      (one run per binding)
//!     whole vectors of 16 bytes                 -> `vectors`: one partial sum per workgroup
//!     the elements before and after them        -> `elements`: one partial sum
//! while one workgroup cannot sum what is left:
//!     partial sums                              -> `sums`: one partial sum per workgroup, in the other scratch buffer
//! the last partial sums                         -> `last`: the result
//! ```
//!
//! The order of additions depends only on the slice's position and length and on [`Bounds`], so the result is the same
//! every time. Two scratch buffers alternate, because WebGPU does not let a dispatch read and write the same buffer
//! through two bindings.

use std::ops::Range;

use super::super::{
    check::check_limit,
    plan::{Bounds, VECTOR, WORD, folded, most_groups, to_u32},
};
use crate::{
    dtype::DType,
    error::{Error, Result},
    shader::{
        self,
        penalty::{self as source, Params},
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Vectors,
    Elements,
    Sums,
    Last,
}

impl Entry {
    pub(super) const ALL: [Self; 4] = [Self::Vectors, Self::Elements, Self::Sums, Self::Last];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Vectors => shader::VECTORS,
            Self::Elements => shader::ELEMENTS,
            Self::Sums => source::SUMS,
            Self::Last => source::LAST,
        }
    }
}

/// A buffer of a dispatch. `Even` and `Odd` are the two scratch buffers for partial sums. The elements are summed into
/// `Even`, these sums into `Odd`, those into `Even` again, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buffer {
    Input,
    Even,
    Odd,
    Output,
}

/// One dispatch: an entry point, and the ranges of bytes that are bound.
#[derive(Clone, Debug)]
pub(super) struct Dispatch {
    pub(super) entry: Entry,
    pub(super) from: (Buffer, Range<u64>),
    pub(super) to: (Buffer, Range<u64>),
    pub(super) params: Params,
    pub(super) groups: [u32; 2],
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) dispatches: Vec<Dispatch>,
    /// The sizes of [`Buffer::Even`] and [`Buffer::Odd`] in bytes.
    pub(super) scratch: [u64; 2],
}

/// Divides the work for `len` elements of `dtype` that start at the byte `start` into dispatches. The last one writes
/// to the byte `out`.
pub(super) fn plan(start: u64, len: u64, out: u64, dtype: DType, bounds: &Bounds) -> Result<Plan> {
    let (element, sum) = (dtype.size() as u64, source::sum_size(dtype) as u64);
    let group_size = u64::from(bounds.shape.workgroup_size);
    let mut dispatches = Vec::new();
    let mut count = 0;
    let (mut at, mut left) = (start, len);
    while left > 0 {
        let run = Run::at(at, left, element, bounds)?;
        run.dispatch(&mut count, bounds, &mut dispatches);
        at += run.len() * element;
        left -= run.len();
    }
    // The number of sums is known only now. There is room for at least one, because a binding must not be empty.
    let mut scratch = [count.max(1) * sum, sum];
    for dispatch in &mut dispatches {
        dispatch.to.1 = 0..scratch[0];
    }

    let per_group = group_size * u64::from(source::SUMS_PER_INVOCATION);
    let (mut from, mut to) = ((Buffer::Even, 0..scratch[0]), Buffer::Odd);
    while count > per_group {
        let after = count.div_ceil(per_group);
        if to == Buffer::Odd {
            scratch[1] = scratch[1].max(after * sum);
        }
        let to_bytes = 0..after * sum;
        let mut first = 0;
        while first < count {
            let part = (count - first).min(most_groups(bounds).saturating_mul(per_group));
            let groups = part.div_ceil(per_group);
            dispatches.push(Dispatch {
                entry: Entry::Sums,
                from: from.clone(),
                to: (to, to_bytes.clone()),
                params: Params {
                    first: to_u32(first),
                    count: to_u32(part),
                    to: to_u32(first / per_group),
                    ..Params::default()
                },
                groups: folded(groups, bounds),
            });
            first += part;
        }
        (from, to) = ((to, to_bytes), from.0);
        count = after;
    }
    let base = out - out % bounds.alignment;
    let result = dtype.arithmetic_dtype().size() as u64;
    let needed = out + result - base;
    check_limit(
        "max_storage_buffer_binding_size",
        needed,
        bounds.max_binding,
    )?;
    dispatches.push(Dispatch {
        entry: Entry::Last,
        from,
        to: (Buffer::Output, base..out + result),
        params: Params {
            count: to_u32(count),
            to: to_u32((out - base) / result),
            ..Params::default()
        },
        groups: [1, 1],
    });
    for size in scratch {
        check_limit("max_storage_buffer_binding_size", size, bounds.max_binding)?;
    }
    for dispatch in &mut dispatches {
        dispatch.params.groups_per_row = dispatch.groups[0];
    }
    Ok(Plan {
        dispatches,
        scratch,
    })
}

/// The elements that one binding covers. All positions except `base` are counted from the start of the binding.
struct Run {
    /// The size of an element in bytes.
    element: u64,
    /// The start of the binding, in bytes of the buffer.
    base: u64,
    /// The first element.
    begin: u64,
    /// The end: one past the last element.
    end: u64,
    /// The first whole vector.
    first_vector: u64,
    /// The number of whole vectors that `vectors` sums.
    vectors: u64,
}

impl Run {
    /// Returns the first run of `left` elements that start at the byte `start`.
    fn at(start: u64, left: u64, element: u64, bounds: &Bounds) -> Result<Self> {
        let base = start - start % bounds.alignment;
        let (begin, lanes) = ((start - base) / element, VECTOR / element);
        let room = (bounds.max_binding / element).saturating_sub(begin);
        if room == 0 {
            return Err(Error::Limit {
                limit: "max_storage_buffer_binding_size",
                needed: ((begin + 1) * element).next_multiple_of(WORD),
                found: bounds.max_binding,
            });
        }
        let first_vector = begin.div_ceil(lanes);
        let end = begin + left.min(room);
        let most = most_groups(bounds).saturating_mul(vectors_per_group(bounds));
        let vectors = (end / lanes).saturating_sub(first_vector);
        // If another run follows, this one ends after a whole vector, so that the next one begins with a whole vector.
        let ends_after_vector = vectors > most || (vectors > 0 && left > room);
        let vectors = vectors.min(most);
        Ok(Self {
            element,
            base,
            begin,
            end: if ends_after_vector {
                (first_vector + vectors) * lanes
            } else {
                end
            },
            first_vector,
            vectors,
        })
    }

    fn len(&self) -> u64 {
        self.end - self.begin
    }

    /// Adds the dispatches of this run to `dispatches`, and the number of their partial sums to `sums`.
    fn dispatch(&self, sums: &mut u64, bounds: &Bounds, dispatches: &mut Vec<Dispatch>) {
        let lanes = VECTOR / self.element;
        let vectors_end = self.first_vector + self.vectors;
        let mut push = |entry, bytes, groups| {
            dispatches.push(Dispatch {
                entry,
                from: (Buffer::Input, self.base..self.base + bytes),
                to: (Buffer::Even, 0..0),
                params: Params {
                    first: to_u32(self.first_vector),
                    count: to_u32(self.vectors),
                    to: to_u32(*sums),
                    begin: to_u32(self.begin),
                    end: to_u32(self.end),
                    ..Params::default()
                },
                groups: folded(groups, bounds),
            });
            *sums += groups;
        };
        if self.vectors > 0 {
            let groups = self.vectors.div_ceil(vectors_per_group(bounds));
            push(Entry::Vectors, vectors_end * VECTOR, groups);
        }
        if self.begin < self.first_vector * lanes || vectors_end * lanes < self.end {
            let bytes = (self.end * self.element).next_multiple_of(WORD);
            push(Entry::Elements, bytes, 1);
        }
    }
}

fn vectors_per_group(bounds: &Bounds) -> u64 {
    u64::from(bounds.shape.workgroup_size) * u64::from(source::vectors_per_invocation(bounds.shape))
}

#[cfg(test)]
mod tests;
