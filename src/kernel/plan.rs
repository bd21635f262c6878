//! How a run of elements is cut into dispatches: arithmetic only.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    shader::{Buffers, Params},
};

/// What cuts a run: the device's limits and the kernel's shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes that every binding's offset is a multiple of; itself a multiple of [`VECTOR`].
    pub(super) alignment: u64,
    /// The most bytes in a binding.
    pub(super) max_binding: u64,
    /// The most workgroups in a dimension.
    pub(super) max_groups: u32,
    pub(super) group_size: u32,
    pub(super) vectors_per_invocation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Vectors,
    Elements,
}

/// One dispatch: an entry point over bound ranges of bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dispatch {
    pub(super) entry: Entry,
    pub(super) x: Range<u64>,
    pub(super) y: Range<u64>,
    pub(super) params: Params,
    pub(super) groups: [u32; 2],
}

/// Bytes in an element and in a vector of four words.
pub(super) const ELEMENT: u64 = 4;
pub(super) const VECTOR: u64 = 16;

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

/// Cuts `len` elements that start at the bytes `x` and `y` of their buffers, in order and without a gap.
///
/// Where input and output stand alike within 16 bytes, the bulk goes by vectors and the few elements before and after it
/// in one dispatch more; elsewhere all go by elements.
pub(super) fn plan(
    alpha: [f32; 2],
    x: u64,
    y: u64,
    len: u64,
    buffers: Buffers,
    bounds: &Bounds,
) -> Result<Vec<Dispatch>> {
    let mut dispatches = Vec::new();
    let (mut x, mut y, mut left) = (x, y, len);
    while left > 0 {
        let run = Run::at(x, y, buffers, bounds);
        let room = bounds.max_binding.saturating_sub(run.skipped()) / ELEMENT;
        if room == 0 {
            let needed = run.skipped() + ELEMENT;
            return Err(Error::Limit {
                limit: "max_storage_buffer_binding_size",
                needed,
                found: bounds.max_binding,
            });
        }
        let done = run.cut(
            alpha,
            left,
            left.min(room).min(MAX_ELEMENTS),
            bounds,
            &mut dispatches,
        );
        (x, y, left) = (x + done * ELEMENT, y + done * ELEMENT, left - done);
    }
    Ok(dispatches)
}

/// Where a run starts: bytes within the buffers, and the bases that its bindings start at.
struct Run {
    buffers: Buffers,
    x: u64,
    y: u64,
    x_base: u64,
    y_base: u64,
}

impl Run {
    fn at(x: u64, y: u64, buffers: Buffers, bounds: &Bounds) -> Self {
        let floor = |offset: u64| offset - offset % bounds.alignment;
        let (x_base, y_base) = match buffers {
            Buffers::Separate => (floor(x), floor(y)),
            Buffers::Single => (floor(x.min(y)), floor(x.min(y))),
        };
        Self {
            buffers,
            x,
            y,
            x_base,
            y_base,
        }
    }

    /// Bytes that are bound before the run begins.
    fn skipped(&self) -> u64 {
        (self.x - self.x_base).max(self.y - self.y_base)
    }

    /// Cuts off the first of `left` elements, at most `most`, and tells how many.
    fn cut(
        &self,
        alpha: [f32; 2],
        left: u64,
        most: u64,
        bounds: &Bounds,
        dispatches: &mut Vec<Dispatch>,
    ) -> u64 {
        let max_groups = u64::from(bounds.max_groups).pow(2);
        let group_size = u64::from(bounds.group_size);
        let vectors_per_group = group_size * u64::from(bounds.vectors_per_invocation);
        let lanes = VECTOR / ELEMENT;

        let alike = self.x % VECTOR == self.y % VECTOR;
        let head = ((VECTOR - self.x % VECTOR) % VECTOR / ELEMENT).min(most);
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
            let count = most.min(by_elements);
            dispatches.push(self.dispatch(Entry::Elements, alpha, 0, count, (count, 0), bounds));
            return count;
        }
        dispatches.push(self.dispatch(Entry::Vectors, alpha, head, vectors, (0, 0), bounds));
        if edges > 0 {
            dispatches.push(self.dispatch(
                Entry::Elements,
                alpha,
                0,
                edges,
                (head, vectors * lanes),
                bounds,
            ));
        }
        bulk + tail
    }

    /// A dispatch of `count` units that starts `after` elements into the run; of its elements, those after the first
    /// `head` come `gap` later.
    fn dispatch(
        &self,
        entry: Entry,
        alpha: [f32; 2],
        after: u64,
        count: u64,
        (head, gap): (u64, u64),
        bounds: &Bounds,
    ) -> Dispatch {
        let (unit, per_group) = match entry {
            Entry::Vectors => (VECTOR, bounds.group_size * bounds.vectors_per_invocation),
            Entry::Elements => (ELEMENT, bounds.group_size),
        };
        let first = |offset: u64, base: u64| (offset + after * ELEMENT - base) / unit;
        let (x_first, y_first) = (first(self.x, self.x_base), first(self.y, self.y_base));
        let (mut x_end, mut y_end) = (
            self.x_base + (x_first + count + gap) * unit,
            self.y_base + (y_first + count + gap) * unit,
        );
        if self.buffers == Buffers::Single {
            // One binding spans both.
            x_end = x_end.max(y_end);
            y_end = x_end;
        }
        let groups = small(count).div_ceil(per_group);
        let rows = groups.div_ceil(bounds.max_groups);
        let groups_per_row = groups.div_ceil(rows);
        Dispatch {
            entry,
            x: self.x_base..x_end,
            y: self.y_base..y_end,
            params: Params {
                alpha: alpha[0],
                scale: alpha[1],
                count: small(count),
                x_first: small(x_first),
                y_first: small(y_first),
                groups_per_row,
                head: small(head),
                gap: small(gap),
                ..Params::default()
            },
            groups: [groups_per_row, rows],
        }
    }
}

/// Everything within a binding, which is at most 4 GiB long, is counted in units of at least 4 bytes.
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most MAX_ELEMENTS, plus what a binding may hold before it"
)]
fn small(count: u64) -> u32 {
    count as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every element that `dispatch` reads and writes, as bytes within the buffers, the way the shader counts.
    fn touched(dispatch: &Dispatch, bounds: &Bounds) -> Vec<(u64, u64)> {
        let Params {
            count,
            x_first,
            y_first,
            groups_per_row,
            head,
            gap,
            ..
        } = dispatch.params;
        assert_eq!(groups_per_row, dispatch.groups[0]);
        let (per_group, unit) = match dispatch.entry {
            Entry::Vectors => (bounds.group_size * bounds.vectors_per_invocation, VECTOR),
            Entry::Elements => (bounds.group_size, ELEMENT),
        };
        let invoked =
            u64::from(dispatch.groups[0]) * u64::from(dispatch.groups[1]) * u64::from(per_group);
        assert!(invoked >= u64::from(count), "too few workgroups");
        let at = |range: &Range<u64>, first: u32, k: u32| {
            let i = first
                + k
                + if dispatch.entry == Entry::Elements && k >= head {
                    gap
                } else {
                    0
                };
            let byte = range.start + u64::from(i) * unit;
            assert!(byte + unit <= range.end, "outside the binding");
            byte
        };
        let pairs = (0..count).map(|k| (at(&dispatch.x, x_first, k), at(&dispatch.y, y_first, k)));
        pairs
            .flat_map(|(x, y)| {
                (0..unit / ELEMENT).map(move |lane| (x + lane * ELEMENT, y + lane * ELEMENT))
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_element_once_and_within_bounds(
            x in 0u64..300,
            y in 0u64..300,
            len in 0u64..5000,
            apart in proptest::option::of(0u64..200),
            alignment in prop::sample::select(vec![16u64, 32, 256]),
            max_binding in prop::sample::select(vec![1u64 << 11, 1 << 12, 1 << 27]),
            max_groups in prop::sample::select(vec![2u32, 7, 65_535]),
            group_size in prop::sample::select(vec![1u32, 8, 64]),
            vectors_per_invocation in prop::sample::select(vec![1u32, 4]),
        ) {
            let bounds = Bounds { alignment, max_binding, max_groups, group_size, vectors_per_invocation };
            // `apart`: in one buffer, that many elements from the input's end to the output's start.
            let (buffers, y) = match apart {
                None => (Buffers::Separate, y),
                Some(apart) => (Buffers::Single, x + len + apart),
            };
            let plan = match plan([1.0; 2], x * ELEMENT, y * ELEMENT, len, buffers, &bounds) {
                Ok(plan) => plan,
                Err(error) => {
                    let Error::Limit { needed, found, .. } = error else { panic!("{error}") };
                    prop_assert!(buffers == Buffers::Single && needed > found);
                    return Ok(());
                }
            };
            let mut pairs = Vec::new();
            for dispatch in &plan {
                prop_assert!(dispatch.groups.iter().all(|&groups| groups > 0 && groups <= max_groups));
                for range in [&dispatch.x, &dispatch.y] {
                    prop_assert_eq!(range.start % alignment, 0);
                    prop_assert!(range.end - range.start <= max_binding);
                    prop_assert!(range.end <= (x.max(y) + len) * ELEMENT);
                }
                pairs.extend(touched(dispatch, &bounds));
            }
            pairs.sort_unstable();
            let expected: Vec<_> = (0..len).map(|i| ((x + i) * ELEMENT, (y + i) * ELEMENT)).collect();
            prop_assert_eq!(pairs, expected);
        }
    }

    #[test]
    fn the_longest_run_does_not_overflow() {
        let bounds = Bounds {
            alignment: 256,
            max_binding: u64::from(u32::MAX),
            max_groups: 65_535,
            group_size: 64,
            vectors_per_invocation: 4,
        };
        let len = 1 << 33; // 32 GiB
        for y in [0, 4] {
            let plan = plan([1.0; 2], 0, y, len, Buffers::Separate, &bounds).unwrap();
            let done: u64 = plan
                .iter()
                .map(|dispatch| {
                    u64::from(dispatch.params.count)
                        * if dispatch.entry == Entry::Vectors {
                            4
                        } else {
                            1
                        }
                })
                .sum();
            assert_eq!(done, len);
            for dispatch in plan {
                let per_group = match dispatch.entry {
                    Entry::Vectors => bounds.group_size * bounds.vectors_per_invocation,
                    Entry::Elements => bounds.group_size,
                };
                let invoked = u64::from(dispatch.groups[0])
                    * u64::from(dispatch.groups[1])
                    * u64::from(per_group);
                assert!(
                    u64::from(dispatch.params.x_first) + invoked < 1 << 32,
                    "an index in the shader overflows"
                );
            }
        }
    }
}
