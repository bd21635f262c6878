use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array},
    datatypes::{DataType, Field, Float32Type},
};
use datafusion_expr::ColumnarValue;

use crate::support::{array, call, f32s};

/// Returns the address of the values of a column of floats, or of lists of floats.
fn address(array: &ArrayRef) -> usize {
    let values = match array.data_type() {
        DataType::FixedSizeList(..) => array.as_fixed_size_list().values(),
        _ => array,
    };
    values.as_primitive::<Float32Type>().values().as_ptr() as usize
}

fn validity(array: &ArrayRef) -> usize {
    array.nulls().expect("nulls").buffer().as_ptr() as usize
}

fn column() -> ArrayRef {
    f32s([Some(-1.0), None, Some(2.0)])
}

fn lists() -> ArrayRef {
    let field = Arc::new(Field::new_list_field(DataType::Float32, true));
    let values = f32s([-1.0, 2.0, -3.0, 4.0]);
    Arc::new(FixedSizeListArray::new(field, 2, values, None))
}

#[test]
fn a_column_that_nobody_else_uses_is_overwritten() {
    for x in [column(), lists()] {
        let before = address(&x);
        let y = array(call!("elu", x));
        assert_eq!(address(&y), before);
    }
    let grad = column();
    let before = address(&grad);
    let y = array(call!("elu_backward", column(), grad));
    assert_eq!(address(&y), before);
}

#[test]
fn a_column_that_somebody_else_uses_keeps_its_values() {
    for x in [column(), lists()] {
        let before = format!("{x:?}");
        let y = array(call!("elu", Arc::clone(&x)));
        assert_ne!(address(&y), address(&x));
        assert_eq!(format!("{x:?}"), before);
    }
    // The array is not shared, but its buffer is.
    let x = Float32Array::from(vec![-1.0, 2.0]);
    let same = x.clone();
    array(call!("elu", Arc::new(x) as ArrayRef));
    assert_eq!(same.values(), &[-1.0, 2.0]);
}

#[test]
fn the_same_column_as_x_and_gradient() {
    let x = f32s([-1.0, 2.0]);
    let args = vec![
        ColumnarValue::Array(Arc::clone(&x)),
        ColumnarValue::Array(x),
    ];
    let y = array(crate::support::invoke("elu_backward", args));
    assert_eq!(y.as_ref(), f32s([-0.36787945, 2.0]).as_ref());
}

#[test]
fn a_slice_leaves_the_rest_alone() {
    let x = f32s([-1.0, -2.0, -3.0]);
    let slice = x.slice(0, 2);
    drop(array(call!("elu", slice)));
    assert_eq!(x.as_ref(), f32s([-1.0, -2.0, -3.0]).as_ref());
}

#[test]
fn the_validity_bitmap_is_shared() {
    let x = column();
    let y = array(call!("elu", Arc::clone(&x), 0.5));
    assert_eq!(validity(&y), validity(&x));
}
