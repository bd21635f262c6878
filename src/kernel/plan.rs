//! How a run of elements is cut into dispatches: arithmetic only.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    shader::{Params, Shape, Shared},
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

/// A value for each buffer; for an operation without a gradient, the input's twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Each<T> {
    pub(super) x: T,
    pub(super) grad: T,
    pub(super) y: T,
}

impl<T> Each<T> {
    fn map<U>(self, f: impl Fn(T) -> U) -> Each<U> {
        Each {
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
    pub(super) bytes: Each<Range<u64>>,
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
    starts: Each<u64>,
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
    starts: Each<u64>,
    bases: Each<u64>,
}

impl Run {
    fn at(starts: Each<u64>, size: u64, shared: Shared, bounds: &Bounds) -> Self {
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
    fn offsets(&self) -> Each<u64> {
        Each {
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
        let Shape {
            workgroup_size,
            vectors_per_invocation,
        } = bounds.shape;
        let max_groups = u64::from(bounds.max_groups).pow(2);
        let group_size = u64::from(workgroup_size);
        let vectors_per_group = group_size * u64::from(vectors_per_invocation);
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
            dispatches.push(self.dispatch(Entry::Elements, 0, (count, 0), (count, end), bounds));
            return end;
        }
        dispatches.push(self.dispatch(Entry::Vectors, head, (0, 0), (vectors, 0), bounds));
        if edges > 0 {
            let end = bulk + tail;
            let head = self.cells(head);
            let gap = self.cells(bulk) - head;
            let count = self.cells(end) - gap;
            dispatches.push(self.dispatch(Entry::Elements, 0, (head, gap), (count, end), bounds));
        }
        bulk + tail
    }

    /// A dispatch of `count` units that starts `after` elements into the run. By elements: of its cells, those after the
    /// first `head` come `gap` later, and the elements stop at `end`.
    fn dispatch(
        &self,
        entry: Entry,
        after: u64,
        (head, gap): (u64, u64),
        (count, end): (u64, u64),
        bounds: &Bounds,
    ) -> Dispatch {
        let Shape {
            workgroup_size,
            vectors_per_invocation,
        } = bounds.shape;
        let (unit, per_group, bytes) = match entry {
            Entry::Vectors => (
                VECTOR,
                u64::from(workgroup_size) * u64::from(vectors_per_invocation),
                after * self.size + count * VECTOR,
            ),
            Entry::Elements => (self.size, u64::from(workgroup_size), end * self.size),
        };
        let groups = count.div_ceil(per_group);
        let groups_per_row = groups.min(bounds.max_groups.into());
        let rows = groups.div_ceil(groups_per_row);

        let mut ends = self
            .starts
            .map(|start| (start + bytes).next_multiple_of(WORD));
        if self.shared.x {
            ends.y = ends.y.max(ends.x);
        }
        if self.shared.grad {
            ends.y = ends.y.max(ends.grad);
        }
        let firsts = self
            .offsets()
            .map(|offset| small((offset + after * self.size) / unit));
        let (groups_per_row, rows) = (small(groups_per_row), small(rows));
        Dispatch {
            entry,
            bytes: Each {
                x: self.bases.x..ends.x,
                grad: self.bases.grad..ends.grad,
                y: self.bases.y..ends.y,
            },
            params: Params {
                count: small(count),
                x_first: firsts.x,
                grad_first: firsts.grad,
                y_first: firsts.y,
                groups_per_row,
                head: small(head),
                gap: small(gap),
                end: small(end),
                ..Params::default()
            },
            groups: [groups_per_row, rows],
        }
    }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn per_invocation(entry: Entry, shape: Shape) -> u64 {
        match entry {
            Entry::Vectors => shape.vectors_per_invocation.into(),
            Entry::Elements => 1,
        }
    }

    /// Every element that `dispatch` reads and writes, as bytes within the buffers, the way the shader counts.
    fn touched(dispatch: &Dispatch, size: u64, bounds: &Bounds) -> Vec<(u64, u64, u64)> {
        let params = dispatch.params;
        assert_eq!(params.groups_per_row, dispatch.groups[0]);
        let per_group =
            u64::from(bounds.shape.workgroup_size) * per_invocation(dispatch.entry, bounds.shape);
        let invoked = u64::from(dispatch.groups[0]) * u64::from(dispatch.groups[1]) * per_group;
        assert!(invoked >= u64::from(params.count), "too few workgroups");
        let at = |range: &Range<u64>, first: u32, unit: u64, i: u64| {
            let byte = range.start + (u64::from(first) * unit) + i * size;
            assert!(byte + size <= range.end, "outside the binding");
            byte
        };
        let mut elements = Vec::new();
        for k in 0..params.count {
            match dispatch.entry {
                Entry::Vectors => {
                    let lanes = VECTOR / size;
                    elements.extend((0..lanes).map(|lane| u64::from(k) * lanes + lane));
                }
                Entry::Elements => {
                    let i = u64::from(k + if k >= params.head { params.gap } else { 0 });
                    let per_cell = (WORD / size).max(1);
                    let before = u64::from(params.y_first) % per_cell;
                    let cell = (i * per_cell..(i + 1) * per_cell)
                        .filter_map(|e| e.checked_sub(before).filter(|&e| e < params.end.into()));
                    elements.extend(cell);
                }
            }
        }
        let unit = match dispatch.entry {
            Entry::Vectors => VECTOR,
            Entry::Elements => size,
        };
        let Each { x, grad, y } = &dispatch.bytes;
        let bytes = elements.into_iter().map(|i| {
            (
                at(x, params.x_first, unit, i),
                at(grad, params.grad_first, unit, i),
                at(y, params.y_first, unit, i),
            )
        });
        bytes.collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn every_element_once_and_within_bounds(
            size in prop::sample::select(vec![2u64, 4, 8]),
            x in 0u64..300,
            grad in 0u64..300,
            y in 0u64..300,
            same_place in any::<bool>(),
            len in 0u64..5000,
            apart in (prop::option::of(0u64..200), prop::option::of(0u64..200)),
            alignment in prop::sample::select(vec![16u64, 32, 256]),
            max_binding in prop::sample::select(vec![1u64 << 11, 1 << 12, 1 << 27]),
            max_groups in prop::sample::select(vec![2u32, 7, 65_535]),
            workgroup_size in prop::sample::select(vec![1u32, 8, 64]),
            vectors_per_invocation in prop::sample::select(vec![1u32, 4]),
        ) {
            let shape = Shape { workgroup_size, vectors_per_invocation };
            let bounds = Bounds { alignment, max_binding, max_groups, shape };
            // In one buffer: that many elements from the input's end to the output's start, or from the output's to the
            // gradient's.
            let shared = Shared { x: apart.0.is_some(), grad: apart.1.is_some() };
            let y = if same_place { x } else { apart.0.map_or(y, |apart| x + len + apart) };
            let grad = if same_place { y } else { apart.1.map_or(grad, |apart| y + len + apart) };
            let starts = Each { x: x * size, grad: grad * size, y: y * size };
            let plan = match plan(starts, len, size, shared, &bounds) {
                Ok(plan) => plan,
                Err(error) => {
                    let Error::Limit { needed, found, .. } = error else { panic!("{error}") };
                    prop_assert!((shared.x || shared.grad) && needed > found);
                    return Ok(());
                }
            };
            let mut all = Vec::new();
            for dispatch in &plan {
                prop_assert!(dispatch.groups.iter().all(|&groups| groups > 0 && groups <= max_groups));
                let Each { x: x_bytes, grad: grad_bytes, y: y_bytes } = &dispatch.bytes;
                for range in [x_bytes, grad_bytes, y_bytes] {
                    prop_assert_eq!(range.start % alignment, 0);
                    prop_assert_eq!(range.end % WORD, 0);
                    prop_assert!(range.end - range.start <= max_binding);
                    prop_assert!(range.end <= ((x.max(y).max(grad) + len) * size).next_multiple_of(WORD));
                }
                prop_assert!(!shared.x || x_bytes.start == y_bytes.start && x_bytes.end <= y_bytes.end);
                prop_assert!(!shared.grad || grad_bytes.start == y_bytes.start && grad_bytes.end <= y_bytes.end);
                all.extend(touched(dispatch, size, &bounds));
            }
            all.sort_unstable();
            let expected: Vec<_> =
                (0..len).map(|i| ((x + i) * size, (grad + i) * size, (y + i) * size)).collect();
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn the_longest_run_does_not_overflow() {
        let bounds = Bounds {
            alignment: 256,
            max_binding: u64::from(u32::MAX) / WORD * WORD,
            max_groups: 65_535,
            shape: Shape::SOFTWARE,
        };
        for (size, y) in [(2, 0), (2, 2), (2, 6), (4, 0), (4, 4), (8, 0), (8, 8)] {
            let len = (1 << 35) / size; // 32 GiB
            let starts = Each { x: 0, grad: 0, y };
            let plan = plan(starts, len, size, Shared::default(), &bounds).unwrap();
            let mut done = 0;
            for dispatch in plan {
                let params = dispatch.params;
                done += match dispatch.entry {
                    Entry::Vectors => u64::from(params.count) * VECTOR / size,
                    Entry::Elements if params.gap == 0 => params.end.into(),
                    Entry::Elements => panic!("32 GiB are no whole number of vectors"),
                };
                let per_group = u64::from(bounds.shape.workgroup_size)
                    * per_invocation(dispatch.entry, bounds.shape);
                let invoked =
                    u64::from(dispatch.groups[0]) * u64::from(dispatch.groups[1]) * per_group;
                assert!(
                    u64::from(params.y_first) + 2 * invoked < 1 << 32,
                    "an index in the shader overflows"
                );
            }
            assert_eq!(done, len);
        }
    }
}
