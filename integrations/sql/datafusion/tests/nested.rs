use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, DictionaryArray, FixedSizeListArray, Float32Array, Int8Array,
        LargeListArray, ListArray, PrimitiveArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::cast,
    datatypes::{ArrowDictionaryKeyType, DataType, Field, Float32Type, Int8Type},
};
use wgpu_elu::cpu;

use crate::support::{array, call, f32s, f64s};

type Lists = Vec<Option<Vec<Option<f32>>>>;

fn lists() -> Lists {
    vec![
        Some(vec![Some(-1.0), None, Some(2.0)]),
        None,
        Some(vec![]),
        Some(vec![Some(-0.25)]),
        Some(vec![Some(f32::NAN), Some(-3.0)]),
    ]
}

fn list(lists: Lists) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(lists))
}

fn elu(alpha: f64, x: f32) -> f32 {
    let mut y = [x];
    cpu::forward_in_place(alpha, &mut y);
    y[0]
}

/// Returns ELU of every element.
fn elu_of(lists: Lists, alpha: f64) -> Lists {
    let of_element = |x: Option<f32>| x.map(|x| elu(alpha, x));
    let of_list = |list: Vec<Option<f32>>| list.into_iter().map(of_element).collect();
    lists.into_iter().map(|list| list.map(of_list)).collect()
}

/// Compares the debug output, in which NaN equals NaN.
#[track_caller]
fn assert_same(found: &dyn Array, needed: &dyn Array) {
    assert_eq!(found.data_type(), needed.data_type());
    assert_eq!(format!("{found:?}"), format!("{needed:?}"));
}

#[test]
fn lists_of_every_kind() {
    let x = list(lists());
    let y = list(elu_of(lists(), 0.5));
    assert_same(&array(call!("elu", x.clone(), 0.5)), &y);

    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let large = DataType::LargeList(item.clone());
    let (x_large, y_large) = (cast(&x, &large).unwrap(), cast(&y, &large).unwrap());
    assert_same(&array(call!("elu", x_large, 0.5)), &y_large);

    let fixed = |lists: Lists| -> ArrayRef {
        let pairs = lists
            .into_iter()
            .map(|list| list.map(|list| [list[0], list[1]]));
        Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(pairs, 2))
    };
    let pairs: Lists = vec![
        Some(vec![Some(-1.0), None]),
        None,
        Some(vec![Some(3.0), Some(-4.0)]),
    ];
    let y = array(call!("elu", fixed(pairs.clone()), 0.5));
    assert_same(&y, &fixed(elu_of(pairs, 0.5)));
}

#[test]
fn lists_of_lists() {
    let inner = list(lists());
    let field = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
    let outer = |inner: ArrayRef| -> ArrayRef {
        let nulls = NullBuffer::from(vec![true, false, true]);
        let offsets = OffsetBuffer::from_lengths([2, 0, 3]);
        Arc::new(LargeListArray::new(
            Arc::clone(&field),
            OffsetBuffer::new(
                offsets
                    .iter()
                    .map(|&offset: &i32| i64::from(offset))
                    .collect(),
            ),
            inner,
            Some(nulls),
        ))
    };
    let y = outer(list(elu_of(lists(), 0.5)));
    let x = outer(inner);
    assert_same(&array(call!("elu", x.clone(), 0.5)), &y);
    for start in 0..3 {
        for len in 0..3 - start {
            let found = array(call!("elu", x.slice(start, len), 0.5));
            assert_same(&found, &y.slice(start, len));
        }
    }
}

#[test]
fn slices_with_offsets() {
    let (x, y) = (list(lists()), list(elu_of(lists(), 0.5)));
    let values: Vec<Option<f32>> = lists().into_iter().flatten().flatten().collect();
    let flat = f32s(values.clone());
    let flat_y = f32s(values.into_iter().map(|x| x.map(|x| elu(0.5, x))));
    for start in 0..5 {
        for len in 0..=5 - start {
            let found = array(call!("elu", x.slice(start, len), 0.5));
            assert_same(&found, &y.slice(start, len));
            let found = array(call!("elu", flat.slice(start, len), 0.5));
            assert_same(&found, &flat_y.slice(start, len));
        }
    }
    let pairs: ArrayRef = Arc::new(FixedSizeListArray::new(
        Arc::new(Field::new_list_field(DataType::Float32, true)),
        2,
        flat.clone(),
        None,
    ));
    let found = array(call!("elu", pairs.slice(1, 2), 0.5));
    assert_same(found.as_fixed_size_list().values(), &flat_y.slice(2, 4));
}

#[test]
fn fixed_size_lists_without_elements() {
    let field = Arc::new(Field::new_list_field(DataType::Float32, true));
    let nulls = Some(NullBuffer::from(vec![true, false, true]));
    let empty = f32s([0f32; 0]);
    let x: ArrayRef =
        Arc::new(FixedSizeListArray::try_new_with_length(field, 0, empty, nulls, 3).unwrap());
    assert_same(&array(call!("elu", x.clone())), &x);
    assert_same(&array(call!("elu", x.clone(), f64s([1.0, 2.0, 3.0]))), &x);
}

#[test]
fn a_column_of_alphas_is_one_alpha_for_each_list() {
    let alphas = [Some(1.0), Some(2.0), Some(2.0), None, Some(0.5)];
    let y = array(call!("elu", list(lists()), f64s(alphas)));
    let expected = lists().into_iter().zip(alphas).map(|(list, alpha)| {
        let row = elu_of(vec![list], alpha?);
        row.into_iter().next().flatten()
    });
    assert_same(&y, &list(expected.collect()));

    let rows = |values: Vec<f32>| -> ArrayRef {
        let field = Arc::new(Field::new_list_field(DataType::Float32, true));
        Arc::new(FixedSizeListArray::new(field, 2, f32s(values), None))
    };
    let y = array(call!(
        "elu",
        rows(vec![-1.0, -2.0, -1.0, -2.0]),
        f64s([1.0, 0.5])
    ));
    let expected = [(1.0, -1.0), (1.0, -2.0), (0.5, -1.0), (0.5, -2.0)];
    let expected = expected.into_iter().map(|(alpha, x)| elu(alpha, x));
    assert_same(&y, &rows(expected.collect()));
}

#[test]
fn integers_in_lists_become_doubles() {
    let item = Arc::new(Field::new_list_field(DataType::Int64, true));
    let x = cast(
        &list(vec![Some(vec![Some(-1.0), None, Some(2.0)])]),
        &DataType::List(item),
    );
    let y = array(call!("elu", x.unwrap()));
    let y = y.as_list::<i32>().value(0);
    assert_same(&y, &f64s([Some((-1f64).exp_m1()), None, Some(2.0)]));
}

#[test]
fn gradients_of_lists() {
    let x = list(vec![Some(vec![Some(-1.0), Some(2.0)]), Some(vec![]), None]);
    let grad = list(vec![
        Some(vec![Some(1.0), None]),
        Some(vec![]),
        Some(vec![Some(7.0)]),
    ]);
    let expected = list(vec![Some(vec![Some(0.36787945), None]), Some(vec![]), None]);
    let y = array(call!("elu_backward", x.clone(), grad.clone()));
    assert_same(&y, &expected);
    for start in 0..3 {
        let (x, grad) = (x.slice(start, 3 - start), grad.slice(start, 3 - start));
        let y = array(call!("elu_backward", x, grad));
        assert_same(&y, &expected.slice(start, 3 - start));
    }
}

#[test]
fn a_gradient_gets_the_wider_type() {
    let x = list(vec![Some(vec![Some(-1.0)])]);
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    let grad = cast(&list(vec![Some(vec![Some(1.0)])]), &DataType::List(item)).unwrap();
    let y = array(call!("elu_backward", x, grad));
    assert_same(&y.as_list::<i32>().value(0), &f64s([(-1f64).exp()]));
}

fn dictionary<K: ArrowDictionaryKeyType>(
    keys: PrimitiveArray<K>,
    values: Vec<Option<f32>>,
) -> ArrayRef {
    Arc::new(DictionaryArray::new(
        keys,
        Arc::new(Float32Array::from(values)),
    ))
}

#[test]
fn values_of_a_dictionary_are_computed_once() {
    let keys = Int8Array::from(vec![Some(0), Some(1), None, Some(0), Some(2)]);
    let x = dictionary::<Int8Type>(keys.clone(), vec![Some(-1.0), Some(2.0), None]);
    let y = dictionary::<Int8Type>(keys, vec![Some(elu(0.5, -1.0)), Some(2.0), None]);
    assert_same(&array(call!("elu", x.clone(), 0.5)), &y);
    assert_same(&array(call!("elu", x.slice(1, 3), 0.5)), &y.slice(1, 3));
    let empty = dictionary::<Int8Type>(Int8Array::from(vec![None, None]), vec![]);
    assert_same(&array(call!("elu", empty.clone())), &empty);
}

#[test]
fn a_dictionary_with_a_column_of_alphas() {
    let keys = Int8Array::from(vec![Some(0), Some(1), None, Some(0), Some(0)]);
    let x = dictionary::<Int8Type>(keys, vec![Some(-1.0), Some(-2.0)]);
    let alphas = [Some(1.0), Some(1.0), Some(1.0), Some(2.0), None];
    let y = array(call!("elu", x.clone(), f64s(alphas)));
    assert_eq!(y.data_type(), x.data_type());
    let y = cast(&y, &DataType::Float32).unwrap();
    let expected = [
        Some(elu(1.0, -1.0)),
        Some(elu(1.0, -2.0)),
        None,
        Some(elu(2.0, -1.0)),
        None,
    ];
    assert_same(&y, &f32s(expected));
}

#[test]
fn gradients_of_dictionaries_are_columns() {
    let x = dictionary::<Int8Type>(Int8Array::from(vec![Some(0), None]), vec![Some(-1.0)]);
    let y = array(call!("elu_backward", x, f32s([1.0, 1.0])));
    assert_same(&y, &f32s([Some(0.36787945), None]));
}

#[test]
fn null_in_the_values_of_a_dictionary_needs_no_alpha() {
    let x = dictionary::<Int8Type>(Int8Array::from(vec![0]), vec![None]);
    let y = array(call!("celu", x, f64s([0.0]))); // 0 is no alpha of CELU
    assert_eq!(y.logical_null_count(), 1);
}

#[test]
fn a_dictionary_of_alphas() {
    let keys = Int8Array::from(vec![Some(1), Some(0), None]);
    let alphas = dictionary::<Int8Type>(keys, vec![Some(0.5), Some(2.0)]);
    let y = array(call!("elu", f32s([-1.0, -1.0, -1.0]), alphas));
    assert_same(
        &y,
        &f32s([Some(elu(2.0, -1.0)), Some(elu(0.5, -1.0)), None]),
    );
}

/// Rows that are NULL may contain anything, for example inner lists of other lengths.
#[test]
fn gradients_of_lists_of_lists_with_null() {
    let inner = |lengths: [usize; 3]| list(lengths.map(|len| Some(vec![Some(-1.0); len])).to_vec());
    let field = Arc::new(Field::new_list_field(
        inner([0; 3]).data_type().clone(),
        true,
    ));
    let lists = |lengths, valid: bool| -> ArrayRef {
        let nulls = NullBuffer::from(vec![true, valid]);
        let offsets = OffsetBuffer::from_lengths([1, 2]);
        Arc::new(ListArray::new(
            Arc::clone(&field),
            offsets,
            inner(lengths),
            Some(nulls),
        ))
    };
    let fixed = |lengths, valid: bool| -> ArrayRef {
        let nulls = NullBuffer::from(vec![true, valid, true]);
        Arc::new(FixedSizeListArray::new(
            Arc::clone(&field),
            1,
            inner(lengths),
            Some(nulls),
        ))
    };
    for (x, grad) in [
        (lists([1, 2, 3], true), lists([1, 3, 2], false)),
        (lists([1, 2, 3], false), lists([1, 3, 2], true)),
        (fixed([1, 2, 3], true), fixed([1, 3, 3], false)),
    ] {
        let y = array(call!("elu_backward", x.clone(), grad));
        assert_eq!(
            (y.data_type(), y.len(), y.null_count()),
            (x.data_type(), x.len(), 1)
        );
        assert!(y.is_null(1));
        let first = match y.data_type() {
            DataType::List(_) => y.as_list::<i32>().value(0),
            _ => y.as_fixed_size_list().value(0),
        };
        assert_same(&first, &list(vec![Some(vec![Some(-0.36787945)])]));
    }
    // Rows that are not NULL must have equal lengths.
    let error = call!(
        "elu_backward",
        lists([1, 2, 3], true),
        lists([1, 3, 2], true)
    )
    .unwrap_err();
    let expected = "elu_backward: the lists of a row must have the same length, found 2 and 3";
    assert!(error.to_string().contains(expected), "{error}");
}
