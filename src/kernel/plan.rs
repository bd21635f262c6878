//! How a run of elements is cut into dispatches: arithmetic only.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    shader::{ELEMENTS, Params, Shape, Shared, VECTORS},
};

/// What cuts a run: the device's limits and the kernel's shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes that every binding's offset is a multiple of; itself a multiple of [`VECTOR`].
    pub(super) alignment: u64,
    /// The most bytes in a binding; a multiple of [`WORD`].
    pub(super) max_binding: u64,
    /// The most workgroups in a dimension.
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

/// A value for each buffer. For an operation without a gradient, `grad` is `x`.
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

/// One dispatch: an entry point over bound ranges of bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dispatch {
    pub(super) entry: Entry,
    pub(super) bytes: PerBuffer<Range<u64>>,
    pub(super) params: Params,
    pub(super) groups: [u32; 2],
}

/// Bytes in a vector.
pub(super) const VECTOR: u64 = 16;
/// Bytes that bindings have a multiple of.
pub(super) const WORD: u64 = 4;

/// What bindings must start at a multiple of, so that vectors stand at multiples of their size too.
pub(super) fn alignment(min_storage_buffer_offset_alignment: u32) -> u64 {
    let alignment = u64::from(min_storage_buffer_offset_alignment).max(1);
    if alignment.is_multiple_of(VECTOR) {
        alignment
    } else {
        alignment * VECTOR
    }
}

/// Indices in the shader are u32, and a dispatch's last row overshoots its count: stay well below 2^32.
const MAX_ELEMENTS: u64 = 1 << 30;

/// Cuts `len` elements of `size` bytes that start at the bytes `starts` of their buffers, in order and without a gap.
///
/// Where all start alike within 16 bytes, the bulk goes by vectors and the few elements before and after it in one
/// dispatch more; elsewhere all go by elements.
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
        let done = run.cut(
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

/// Where a run starts: bytes within the buffers, and the bases that its bindings start at.
struct Run {
    size: u64,
    shared: Shared,
    starts: PerBuffer<u64>,
    bases: PerBuffer<u64>,
}

impl Run {
    fn at(starts: PerBuffer<u64>, size: u64, shared: Shared, bounds: &Bounds) -> Self {
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

    /// Bytes from a binding's start to the run's.
    fn offsets(&self) -> PerBuffer<u64> {
        PerBuffer {
            x: self.starts.x - self.bases.x,
            grad: self.starts.grad - self.bases.grad,
            y: self.starts.y - self.bases.y,
        }
    }

    /// The most bytes that are bound before the run begins.
    fn skipped(&self) -> u64 {
        let offsets = self.offsets();
        offsets.x.max(offsets.grad).max(offsets.y)
    }

    /// Elements of the output that share a word.
    fn per_cell(&self) -> u64 {
        (WORD / self.size).max(1)
    }

    /// Cells from the one that the output starts in to the one where its first `elements` end.
    fn cells(&self, elements: u64) -> u64 {
        let first = self.offsets().y / self.size;
        (first + elements).div_ceil(self.per_cell()) - first / self.per_cell()
    }

    /// Cuts off the first of `left` elements, at most `most`, and tells how many.
    fn cut(&self, left: u64, most: u64, bounds: &Bounds, dispatches: &mut Vec<Dispatch>) -> u64 {
        let max_groups = most_groups(bounds);
        let group_size = u64::from(bounds.shape.workgroup_size);
        let vectors_per_group = vectors_per_group(bounds);
        let lanes = VECTOR / self.size;

        let within = self.starts.map(|start| start % VECTOR);
        let alike = within.x == within.y && within.grad == within.y;
        let head = ((VECTOR - within.y) % VECTOR / self.size).min(most);
        let vectors = ((most - head) / lanes).min(max_groups.saturating_mul(vectors_per_group));
        let bulk = head + vectors * lanes;
        let tail = if left - bulk < lanes {
            (left - bulk).min(most - bulk)
        } else {
            0
        };
        let edges = head + tail;
        let by_elements = max_groups.saturating_mul(group_size);
        // A short run goes by elements in one go, rather than in two.
        if !alike || vectors == 0 || edges > by_elements || (edges > 0 && most <= group_size) {
            // The first cell may hold but one element.
            let room = by_elements.saturating_mul(self.per_cell()) - (self.per_cell() - 1);
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

    /// A dispatch of `count` vectors that starts `after` elements into the run.
    fn vectors(&self, after: u64, count: u64, bounds: &Bounds) -> Dispatch {
        let per_group = vectors_per_group(bounds);
        let end = after * self.size + count * VECTOR;
        let first = |offset| small((offset + after * self.size) / VECTOR);
        let firsts = self.offsets().map(first);
        let groups = folded(count.div_ceil(per_group), bounds);
        self.dispatch(Entry::Vectors, end, firsts, groups, |params| Params {
            count: small(count),
            ..params
        })
    }

    /// A dispatch of the elements in `cells`, of those before the element `end` of the run.
    fn elements(&self, cells: CellRange, end: u64, bounds: &Bounds) -> Dispatch {
        let firsts = self.offsets().map(|offset| small(offset / self.size));
        let per_group = u64::from(bounds.shape.workgroup_size);
        let groups = folded(cells.count.div_ceil(per_group), bounds);
        self.dispatch(Entry::Elements, end * self.size, firsts, groups, |params| {
            Params {
                count: small(cells.count),
                head: small(cells.head),
                gap: small(cells.gap),
                end: small(end),
                ..params
            }
        })
    }

    /// A dispatch that binds everything from the bases up to the byte `end` of the run.
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

/// Cells of the output, counted from the run's first one: `count` of them, where those after the first `head` come `gap` later.
struct CellRange {
    head: u64,
    gap: u64,
    count: u64,
}

impl CellRange {
    /// The first `count` cells.
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

/// Workgroups in rows of at most the device's limit. The last row may be too long.
pub(super) fn folded(groups: u64, bounds: &Bounds) -> [u32; 2] {
    let per_row = groups.min(bounds.max_groups.into());
    [small(per_row), small(groups.div_ceil(per_row))]
}

/// The most workgroups in one dispatch.
pub(super) fn most_groups(bounds: &Bounds) -> u64 {
    u64::from(bounds.max_groups).pow(2)
}

/// Everything within a binding, which is at most 4 GiB long, is counted in units of at least 2 bytes.
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most MAX_ELEMENTS, plus what a binding may hold before it"
)]
pub(super) fn small(count: u64) -> u32 {
    count as u32
}

#[cfg(test)]
mod tests;
