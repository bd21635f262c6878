//! The planner: divides the elements of slices into dispatches. It is pure arithmetic and does not call wgpu.
//!
//! ```text
//! while elements are left:
//!     base = start of the rest of the slice, rounded down to the device's offset alignment   (for each buffer)
//!     run  = elements of the rest that fit into one binding that starts at the base, and into one dispatch
//!     if the run starts at the same position within 16 bytes in all buffers, and is not short:
//!         head = elements before the first 16-byte boundary
//!         bulk = whole vectors of 16 bytes           -> one dispatch of `vectors`
//!         tail = elements after the last whole vector
//!         head and tail                              -> one dispatch of `elements`
//!     else:
//!         everything                                 -> one dispatch of `elements`
//! ```
//!
//! - **Bases.** A binding may start only at a multiple of the device's alignment, but a slice may start anywhere. So
//!   the binding starts earlier, and the shader skips the elements before the slice.
//! - **Vectors.** An invocation that loads and stores 16 bytes at a time is faster. That is possible only if the slices
//!   in all buffers start at the same position within 16 bytes.
//! - **Short runs.** A run that one workgroup can process becomes one dispatch of `elements` if it has a head or a
//!   tail, because one dispatch is then faster than two.
//! - **Cells.** A shader writes whole words of 4 bytes, so the two 16-bit elements of a word must be written by one
//!   invocation. `elements` therefore counts cells of the output: a cell is one element, or the two 16-bit elements
//!   that share a word. The first or last cell may hold only one element of the run.
//! - **Shared buffers.** WebGPU allows only one binding for a buffer that is written. If an input lies in the output's
//!   buffer, one binding covers both, from the lower base to the higher end.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    shader::{ELEMENTS, Params, Shape, Shared, VECTORS},
};

/// What limits a dispatch: the limits of the device, and the kernel's shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Every binding's offset is a multiple of this number of bytes, which is a multiple of [`VECTOR`].
    pub(super) alignment: u64,
    /// The largest size of a binding in bytes, a multiple of [`WORD`].
    pub(super) max_binding: u64,
    /// The largest number of workgroups in one dimension.
    pub(super) max_groups: u32,
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Vectors,
    Elements,
}

impl Entry {
    pub(super) const ALL: [Self; 2] = [Self::Vectors, Self::Elements];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Vectors => VECTORS,
            Self::Elements => ELEMENTS,
        }
    }
}

/// One value per buffer. For an operation without an incoming gradient, `grad` equals `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PerBuffer<T> {
    pub(super) x: T,
    pub(super) grad: T,
    pub(super) y: T,
}

impl<T> PerBuffer<T> {
    pub(super) fn map<U>(self, f: impl Fn(T) -> U) -> PerBuffer<U> {
        PerBuffer {
            x: f(self.x),
            grad: f(self.grad),
            y: f(self.y),
        }
    }
}

/// One dispatch: an entry point, and the ranges of bytes that are bound.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dispatch {
    pub(super) entry: Entry,
    pub(super) bytes: PerBuffer<Range<u64>>,
    pub(super) params: Params,
    pub(super) groups: [u32; 2],
}

/// The size of a vector in bytes.
pub(super) const VECTOR: u64 = 16;
/// The size of every binding is a multiple of this number of bytes.
pub(super) const WORD: u64 = 4;

/// Returns the alignment of bindings: a multiple of the device's alignment and of [`VECTOR`], so that vectors are
/// aligned, too.
pub(super) fn alignment(min_storage_buffer_offset_alignment: u32) -> u64 {
    let alignment = u64::from(min_storage_buffer_offset_alignment).max(1);
    if alignment.is_multiple_of(VECTOR) {
        alignment
    } else {
        alignment * VECTOR
    }
}

/// The largest number of elements in a dispatch. Indices in the shader are u32, and surplus workgroups in the last row
/// have indices above the count, so this is well below 2^32.
const MAX_ELEMENTS: u64 = 1 << 30;

/// Divides `len` elements of `size` bytes, which start at the bytes `starts` of their buffers, into dispatches.
/// Together the dispatches process every element once: see the [module](self).
pub(super) fn plan(
    starts: PerBuffer<u64>,
    len: u64,
    size: u64,
    shared: Shared,
    bounds: &Bounds,
) -> Result<Vec<Dispatch>> {
    let mut dispatches = Vec::new();
    let (mut starts, mut left) = (starts, len);
    while left > 0 {
        let run = Run::at(starts, size, shared, bounds);
        let room = bounds.max_binding.saturating_sub(run.skipped()) / size;
        if room == 0 {
            return Err(Error::Limit {
                limit: "max_storage_buffer_binding_size",
                needed: (run.skipped() + size).next_multiple_of(WORD),
                found: bounds.max_binding,
            });
        }
        let done = run.push_dispatches(
            left,
            left.min(room).min(MAX_ELEMENTS),
            bounds,
            &mut dispatches,
        );
        starts = starts.map(|start| start + done * size);
        left -= done;
    }
    Ok(dispatches)
}

/// The start of a run: its byte offsets within the buffers, and the bases of its bindings.
struct Run {
    size: u64,
    shared: Shared,
    starts: PerBuffer<u64>,
    bases: PerBuffer<u64>,
}

impl Run {
    fn at(starts: PerBuffer<u64>, size: u64, shared: Shared, bounds: &Bounds) -> Self {
        // An input in the output's buffer shares the output's binding, which starts at the lowest of these slices.
        let mut first = starts;
        if shared.x {
            first.y = first.y.min(starts.x);
        }
        if shared.grad {
            first.y = first.y.min(starts.grad);
        }
        if shared.x {
            first.x = first.y;
        }
        if shared.grad {
            first.grad = first.y;
        }
        Self {
            size,
            shared,
            starts,
            bases: first.map(|first| first - first % bounds.alignment),
        }
    }

    /// Returns the number of bytes from the start of each binding to the start of the run.
    fn offsets(&self) -> PerBuffer<u64> {
        PerBuffer {
            x: self.starts.x - self.bases.x,
            grad: self.starts.grad - self.bases.grad,
            y: self.starts.y - self.bases.y,
        }
    }

    /// Returns the largest number of bytes that a binding contains before the run.
    fn skipped(&self) -> u64 {
        let offsets = self.offsets();
        offsets.x.max(offsets.grad).max(offsets.y)
    }

    /// Returns the number of elements in a cell: 2 if an element has 16 bits, else 1.
    fn per_cell(&self) -> u64 {
        (WORD / self.size).max(1)
    }

    /// Returns the number of cells that the first `elements` elements of the run touch.
    fn cells(&self, elements: u64) -> u64 {
        let first = self.offsets().y / self.size;
        (first + elements).div_ceil(self.per_cell()) - first / self.per_cell()
    }

    /// Adds one or two dispatches for the first of the `left` elements. Returns the number of elements that they
    /// process, which is at most `most`.
    fn push_dispatches(
        &self,
        left: u64,
        most: u64,
        bounds: &Bounds,
        dispatches: &mut Vec<Dispatch>,
    ) -> u64 {
        let max_groups = most_groups(bounds);
        let group_size = u64::from(bounds.shape.workgroup_size);
        let vectors_per_group = vectors_per_group(bounds);
        let lanes = VECTOR / self.size;

        let within = self.starts.map(|start| start % VECTOR);
        let alike = within.x == within.y && within.grad == within.y;
        let head = ((VECTOR - within.y) % VECTOR / self.size).min(most);
        let vectors = ((most - head) / lanes).min(max_groups.saturating_mul(vectors_per_group));
        let bulk = head + vectors * lanes;
        // If a whole vector or more is left after the bulk, it belongs to the next run, which then has no head.
        let tail = if left - bulk < lanes {
            (left - bulk).min(most - bulk)
        } else {
            0
        };
        let edges = head + tail;
        // The largest number of cells in a dispatch of `elements`.
        let max_cells = max_groups.saturating_mul(group_size);
        // Uses one dispatch of `elements` if vectors are impossible, if the edges need more than one dispatch, or if
        // the run is short: one dispatch is then faster than two.
        if !alike || vectors == 0 || edges > max_cells || (edges > 0 && most <= group_size) {
            // The first cell may hold only one element of the run.
            let room = max_cells.saturating_mul(self.per_cell()) - (self.per_cell() - 1);
            let end = most.min(room);
            let count = self.cells(end);
            dispatches.push(self.elements(CellRange::all(count), end, bounds));
            return end;
        }
        dispatches.push(self.vectors(head, vectors, bounds));
        if edges > 0 {
            let end = bulk + tail;
            let head = self.cells(head);
            let gap = self.cells(bulk) - head;
            let cells = CellRange {
                head,
                gap,
                count: self.cells(end) - gap,
            };
            dispatches.push(self.elements(cells, end, bounds));
        }
        bulk + tail
    }

    /// Returns a dispatch of `count` vectors that starts `after` elements after the start of the run.
    fn vectors(&self, after: u64, count: u64, bounds: &Bounds) -> Dispatch {
        let per_group = vectors_per_group(bounds);
        let end = after * self.size + count * VECTOR;
        let first = |offset| to_u32((offset + after * self.size) / VECTOR);
        let firsts = self.offsets().map(first);
        let groups = folded(count.div_ceil(per_group), bounds);
        self.dispatch(Entry::Vectors, end, firsts, groups, |params| Params {
            count: to_u32(count),
            ..params
        })
    }

    /// Returns a dispatch of the elements in `cells` that lie before the element `end` of the run.
    fn elements(&self, cells: CellRange, end: u64, bounds: &Bounds) -> Dispatch {
        let firsts = self.offsets().map(|offset| to_u32(offset / self.size));
        let per_group = u64::from(bounds.shape.workgroup_size);
        let groups = folded(cells.count.div_ceil(per_group), bounds);
        self.dispatch(Entry::Elements, end * self.size, firsts, groups, |params| {
            Params {
                count: to_u32(cells.count),
                head: to_u32(cells.head),
                gap: to_u32(cells.gap),
                end: to_u32(end),
                ..params
            }
        })
    }

    /// Returns a dispatch that binds everything from the bases to the byte `end` of the run.
    fn dispatch(
        &self,
        entry: Entry,
        end: u64,
        firsts: PerBuffer<u32>,
        groups: [u32; 2],
        params: impl Fn(Params) -> Params,
    ) -> Dispatch {
        let mut ends = self
            .starts
            .map(|start| (start + end).next_multiple_of(WORD));
        if self.shared.x {
            ends.y = ends.y.max(ends.x);
        }
        if self.shared.grad {
            ends.y = ends.y.max(ends.grad);
        }
        Dispatch {
            entry,
            bytes: PerBuffer {
                x: self.bases.x..ends.x,
                grad: self.bases.grad..ends.grad,
                y: self.bases.y..ends.y,
            },
            params: params(Params {
                x_first: firsts.x,
                grad_first: firsts.grad,
                y_first: firsts.y,
                groups_per_row: groups[0],
                ..Params::default()
            }),
            groups,
        }
    }
}

/// `count` cells of the output: the first `head` cells of the run, and those that follow after a gap of `gap` cells.
struct CellRange {
    head: u64,
    gap: u64,
    count: u64,
}

impl CellRange {
    /// Returns the first `count` cells, without a gap.
    fn all(count: u64) -> Self {
        Self {
            head: count,
            gap: 0,
            count,
        }
    }
}

fn vectors_per_group(bounds: &Bounds) -> u64 {
    u64::from(bounds.shape.workgroup_size) * u64::from(bounds.shape.vectors_per_invocation)
}

/// Arranges workgroups in rows of at most the device's limit. The last row may contain surplus workgroups.
pub(super) fn folded(groups: u64, bounds: &Bounds) -> [u32; 2] {
    let per_row = groups.min(bounds.max_groups.into());
    [to_u32(per_row), to_u32(groups.div_ceil(per_row))]
}

/// Returns the largest number of workgroups in one dispatch.
pub(super) fn most_groups(bounds: &Bounds) -> u64 {
    u64::from(bounds.max_groups).pow(2)
}

/// Converts a count to u32. A binding is at most 4 GiB long and counts are in units of at least 2 bytes, so they always
/// fit.
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most MAX_ELEMENTS, plus what a binding may hold before it"
)]
pub(super) fn to_u32(count: u64) -> u32 {
    count as u32
}

#[cfg(test)]
mod tests;
