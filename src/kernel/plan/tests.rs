//! Tests that dispatches cover every element once and nothing else.

use proptest::prelude::*;

use super::*;

fn per_invocation(entry: Entry, shape: Shape) -> u64 {
    match entry {
        Entry::Vectors => shape.vectors_per_invocation.into(),
        Entry::Elements => 1,
    }
}

/// Returns the bytes in the buffers of `x`, `grad` and `y` at which `dispatch` reads and writes each element, with the
/// shader's index arithmetic.
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
    let PerBuffer { x, grad, y } = &dispatch.bytes;
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
    fn every_element_is_processed_once_and_within_bounds(
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
        // `apart` is the number of elements between slices in one buffer: from the input's end to the output's start,
        // and from the output's end to the gradient's start. `None` means that they are in different buffers.
        let shared = Shared { x: apart.0.is_some(), grad: apart.1.is_some() };
        let y = if same_place { x } else { apart.0.map_or(y, |apart| x + len + apart) };
        let grad = if same_place { y } else { apart.1.map_or(grad, |apart| y + len + apart) };
        let starts = PerBuffer { x: x * size, grad: grad * size, y: y * size };
        let plan = match plan(starts, len, size, shared, &bounds) {
            Ok(plan) => plan,
            Err(error) => {
                let Error::Limit { needed, found, .. } = error else { panic!("{error}") };
                // Only slices in one buffer can be too far apart for one binding.
                prop_assert!((shared.x || shared.grad) && needed > found);
                return Ok(());
            }
        };
        let mut all = Vec::new();
        for dispatch in &plan {
            prop_assert!(dispatch.groups.iter().all(|&groups| groups > 0 && groups <= max_groups));
            let PerBuffer { x: x_bytes, grad: grad_bytes, y: y_bytes } = &dispatch.bytes;
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
        let starts = PerBuffer { x: 0, grad: 0, y };
        let plan = plan(starts, len, size, Shared::default(), &bounds).unwrap();
        let mut done = 0;
        for dispatch in plan {
            let params = dispatch.params;
            done += match dispatch.entry {
                Entry::Vectors => u64::from(params.count) * VECTOR / size,
                Entry::Elements if params.gap == 0 => params.end.into(),
                Entry::Elements => panic!("aligned slices of 32 GiB have no head and no tail"),
            };
            let per_group = u64::from(bounds.shape.workgroup_size)
                * per_invocation(dispatch.entry, bounds.shape);
            let invoked = u64::from(dispatch.groups[0]) * u64::from(dispatch.groups[1]) * per_group;
            assert!(
                u64::from(params.y_first) + 2 * invoked < 1 << 32,
                "an index in the shader overflows"
            );
        }
        assert_eq!(done, len);
    }
}
