//! Tests that every element is summed once.

use proptest::prelude::*;

use super::*;
use crate::shader::Shape;

/// Follows the plan with the shaders' index arithmetic, with lists of elements in place of sums. Returns the elements
/// that the result covers, counted from the first element.
fn summed_elements(plan: &Plan, start: u64, dtype: DType, bounds: &Bounds) -> Vec<u64> {
    let (element, sum) = (dtype.size() as u64, source::sum_size(dtype) as u64);
    let lanes = VECTOR / element;
    // The elements that each partial sum covers, or `None` where no sum was written or the sum has been read.
    let mut scratch = plan
        .scratch
        .map(|bytes| vec![None::<Vec<u64>>; usize::try_from(bytes / sum).unwrap()]);
    for dispatch in &plan.dispatches {
        let Params {
            first,
            count,
            to,
            groups_per_row,
            begin,
            end,
            ..
        } = dispatch.params;
        let [first, count, to] = [first, count, to].map(u64::from);
        let (range, [begin, end]) = (&dispatch.from.1, [begin, end].map(u64::from));
        assert_eq!(range.start % bounds.alignment, 0);
        assert!(!range.is_empty() && range.end - range.start <= bounds.max_binding);
        assert_eq!(groups_per_row, dispatch.groups[0]);
        assert!((1..=bounds.max_groups).contains(&dispatch.groups[0]));
        assert!((1..=bounds.max_groups).contains(&dispatch.groups[1]));
        let groups = u64::from(dispatch.groups[0]) * u64::from(dispatch.groups[1]);
        // Converts an index within the binding to an index from the first element.
        let element_at = |i: u64| {
            let byte = range.start + i * element;
            assert!(byte + element <= range.end, "outside the binding");
            (byte - start) / element
        };
        let per_group = match dispatch.entry {
            Entry::Vectors => vectors_per_group(bounds),
            Entry::Elements => {
                let vectors = [first.wrapping_sub(1), first + count];
                let all = vectors.into_iter().flat_map(|vector| {
                    (0..lanes).map(move |lane| vector.wrapping_mul(lanes).wrapping_add(lane))
                });
                let inside = all.filter(|i| (begin..end).contains(i));
                let elements = inside.map(element_at).collect();
                let [even, _] = &mut scratch;
                let before = even[usize::try_from(to).unwrap()].replace(elements);
                assert!(before.is_none());
                continue;
            }
            Entry::Sums | Entry::Last => {
                let size = u64::from(bounds.shape.workgroup_size);
                size * u64::from(source::SUMS_PER_INVOCATION)
            }
        };
        let mut results = Vec::new();
        for group in (0..groups).filter(|group| group * per_group < count) {
            let items = group * per_group..count.min((group + 1) * per_group);
            let mut elements = Vec::new();
            for i in items {
                match dispatch.entry {
                    Entry::Vectors => elements
                        .extend((0..lanes).map(|lane| element_at((first + i) * lanes + lane))),
                    _ => {
                        let from = &mut scratch[usize::from(dispatch.from.0 == Buffer::Odd)];
                        let at = usize::try_from(first + i).unwrap();
                        elements.extend(from[at].take().expect("there is no such sum"));
                    }
                }
            }
            results.push((to + group, elements));
        }
        match dispatch.to.0 {
            Buffer::Output => {
                let elements = results.pop().map(|(_, elements)| elements);
                let mut left = scratch.iter().flatten().flatten();
                assert!(results.is_empty() && left.next().is_none(), "sums are left");
                return elements.unwrap_or_default();
            }
            scratch_buffer => {
                for (to, elements) in results {
                    assert!((to + 1) * sum <= dispatch.to.1.end, "outside the binding");
                    let into = &mut scratch[usize::from(scratch_buffer == Buffer::Odd)];
                    let before = into[usize::try_from(to).unwrap()].replace(elements);
                    assert!(before.is_none(), "a sum is overwritten");
                }
            }
        }
    }
    panic!("there is no result");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_element_is_summed_once(
        dtype in prop::sample::select(DType::ALL.to_vec()),
        first in 0u64..300,
        len in prop_oneof![0u64..100, 0u64..40_000],
        out in 0u64..1000,
        alignment in prop::sample::select(vec![16u64, 256]),
        max_binding in prop::sample::select(vec![1u64 << 13, 1 << 27]),
        max_groups in prop::sample::select(vec![1u32, 2, 7, 65_535]),
        workgroup_size in prop::sample::select(vec![1u32, 3, 8, 64]),
        vectors_per_invocation in prop::sample::select(vec![1u32, 4]),
    ) {
        let shape = Shape { workgroup_size, vectors_per_invocation };
        let bounds = Bounds { alignment, max_binding, max_groups, shape };
        let start = first * dtype.size() as u64;
        let out = out * dtype.arithmetic_dtype().size() as u64;
        let plan = match plan(start, len, out, dtype, &bounds) {
            Ok(plan) => plan,
            Err(error) => {
                let Error::Limit { needed, found, .. } = error else { panic!("{error}") };
                // Only workgroups of one invocation give so many partial sums that they exceed a binding.
                prop_assert!(needed > found && workgroup_size == 1);
                return Ok(());
            }
        };
        let last = plan.dispatches.last().unwrap();
        let size = dtype.arithmetic_dtype().size() as u64;
        let bytes = &last.to.1;
        prop_assert_eq!(bytes.start + u64::from(last.params.to) * size, out);
        prop_assert_eq!(bytes.end, out + size);
        let mut summed = summed_elements(&plan, start, dtype, &bounds);
        summed.sort_unstable();
        prop_assert_eq!(summed, (0..len).collect::<Vec<_>>());
    }
}

#[test]
fn the_longest_run_does_not_overflow() {
    let bounds = Bounds {
        alignment: 256,
        max_binding: u64::from(u32::MAX) / WORD * WORD,
        max_groups: 65_535,
        shape: Shape::HARDWARE,
    };
    for (dtype, start) in [(DType::F16, 2), (DType::F32, 12), (DType::F64, 0)] {
        let size = dtype.size() as u64;
        let len = (1 << 35) / size; // 32 GiB
        let plan = plan(start, len, 0, dtype, &bounds).unwrap();
        let mut done = 0;
        for Dispatch { entry, params, .. } in &plan.dispatches {
            let lanes = VECTOR / size;
            done += match entry {
                Entry::Vectors => u64::from(params.count) * lanes,
                Entry::Elements => {
                    let (begin, end) = (u64::from(params.begin), u64::from(params.end));
                    end - begin - u64::from(params.count) * lanes
                }
                _ => 0,
            };
        }
        assert_eq!(done, len);
        // A partial sum of 8 bytes (16 for float64) per 64 KiB makes 4 MiB (8 MiB), and `elements` adds a few.
        assert!(plan.scratch[0] < 9 << 20, "{:?}", plan.scratch);
    }
}

#[test]
fn an_element_that_no_binding_can_contain_is_an_error() {
    let bounds = Bounds {
        alignment: 256,
        max_binding: 128,
        max_groups: 65_535,
        shape: Shape::SOFTWARE,
    };
    let needed = |start, out| match plan(start, 1, out, DType::F32, &bounds) {
        Err(Error::Limit { needed, found, .. }) => (needed, found),
        plan => panic!("{plan:?}"),
    };
    assert_eq!(needed(132, 0), (136, 128));
    assert_eq!(needed(0, 132), (136, 128));
}
