use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int8Array, ListArray, StringArray,
    },
    datatypes::{DataType, Field, Float32Type, Int8Type},
};
use datafusion_common::{ScalarValue, config::ConfigOptions};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs};

use crate::support::{call, f32s, f64s, function};

#[track_caller]
fn assert_message<T: std::fmt::Debug>(result: datafusion_common::Result<T>, expected: &str) {
    assert_eq!(result.unwrap_err().strip_backtrace(), expected);
}

#[test]
fn a_wrong_number_of_arguments_is_a_plan_error() {
    let x = || f32s([1.0]);
    for (result, message) in [
        (
            call!("elu"),
            "elu(x [, alpha]) takes 1 or 2 arguments, found 0",
        ),
        (
            call!("elu", x(), 1.0, 1.0),
            "elu(x [, alpha]) takes 1 or 2 arguments, found 3",
        ),
        (call!("selu", x(), 1.0), "selu(x) takes 1 argument, found 2"),
        (
            call!("celu", x()),
            "celu(x, alpha) takes 2 arguments, found 1",
        ),
        (
            call!("elu_backward", x()),
            "elu_backward(x, grad [, alpha]) takes 2 or 3 arguments, found 1",
        ),
        (
            call!("elu_backward_from_output_nearest", x()),
            "elu_backward_from_output_nearest(y, grad [, alpha]) takes 2 or 3 arguments, found 1",
        ),
    ] {
        assert_message(result, &format!("Error during planning: {message}"));
    }
}

#[test]
fn a_wrong_type_is_a_plan_error() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let truth: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([Some(
        vec![Some(1.0)],
    )]));
    let x = || f32s([1.0]);
    for (result, message) in [
        (
            call!("elu", text.clone()),
            "elu: x must be numbers, or List, LargeList or FixedSizeList of numbers, found Utf8",
        ),
        (
            call!("elu_backward_from_output", truth.clone(), x()),
            "elu_backward_from_output: y must be numbers, or List, LargeList or FixedSizeList of numbers, found Boolean",
        ),
        (
            call!("elu_backward", x(), text.clone()),
            "elu_backward: grad must be numbers, or List, LargeList or FixedSizeList of numbers, found Utf8",
        ),
        (
            call!("elu_backward", list, x()),
            "elu_backward: grad must be as nested as x, List(Float32), found Float32",
        ),
        (
            call!("elu", x(), text),
            "elu: alpha must be a number, found Utf8",
        ),
        (
            call!("elu", x(), truth),
            "elu: alpha must be a number, found Boolean",
        ),
    ] {
        assert_message(result, &format!("Error during planning: {message}"));
    }
}

#[test]
fn a_literal_alpha_that_cannot_be_used_is_a_plan_error() {
    let x = || f32s([1.0]);
    for (result, message) in [
        (
            call!("celu", x(), 0.0),
            "celu: alpha must be between 2^-64 and 2^64, found 0",
        ),
        (
            call!("celu", x(), f64::NAN),
            "celu: alpha must be between 2^-64 and 2^64, found NaN",
        ),
        (
            call!("elu_backward_from_output", x(), x(), -1.0),
            "elu_backward_from_output: backward-from-output needs a positive, finite alpha * scale in float32, found -1.0: \
             use backward with the input of ELU",
        ),
    ] {
        assert_message(result, &format!("Error during planning: {message}"));
    }
}

#[test]
fn an_alpha_of_a_column_that_cannot_be_used_is_an_error() {
    let x = || f32s([1.0, 2.0]);
    for (result, message) in [
        (
            call!("celu", x(), f64s([1.0, -1.0])),
            "celu: alpha must be between 2^-64 and 2^64, found -1",
        ),
        (
            call!("elu_backward_from_output", x(), x(), f64s([1.0, 0.0])),
            "elu_backward_from_output: backward-from-output needs a positive, finite alpha * scale in float32, found 0.0: \
             use backward with the input of ELU",
        ),
    ] {
        assert_message(result, &format!("Execution error: {message}"));
    }
}

#[test]
fn lists_of_different_lengths() {
    let list = |len| -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([
            None,
            Some(vec![Some(1.0); len]),
        ]))
    };
    assert_message(
        call!("elu_backward", list(3), list(2)),
        "Execution error: elu_backward: the lists of a row must have the same length, found 3 and 2",
    );
}

#[test]
fn more_results_than_keys() {
    let keys = Int8Array::from((0..100).collect::<Vec<i8>>().repeat(2));
    let values = Float64Array::from_iter_values((0..100).map(|i| f64::from(i) / -100.0));
    let x: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(keys, Arc::new(values)));
    let alphas = f64s((0..200).map(|i| if i < 100 { 1.0 } else { 2.0 }));
    assert_message(
        call!("elu", x, alphas),
        "Execution error: elu: the results do not fit in a Dictionary(Int8, Float64) (Dictionary key bigger than the key \
         type): cast the argument to Float64",
    );
}

/// Nothing but DataFusion calls a function, and it converts the arguments first. A call without that is an error.
#[test]
fn arguments_that_were_not_converted() {
    let invoke = |name: &str, args: Vec<ColumnarValue>| {
        let field = Arc::new(Field::new("y", DataType::Float32, true));
        function(name).invoke_with_args(ScalarFunctionArgs {
            arg_fields: args.iter().map(|_| Arc::clone(&field)).collect(),
            args,
            number_rows: 3,
            return_field: field,
            config_options: Arc::new(ConfigOptions::new()),
        })
    };
    let column = ColumnarValue::Array;
    let text = || -> ArrayRef { Arc::new(StringArray::from(vec!["a"])) };
    let x = || f32s([1.0, 2.0]);
    for (result, message) in [
        (
            invoke("elu", vec![]),
            "elu(x [, alpha]) was called with 0 arguments",
        ),
        (
            invoke("elu", vec![column(text())]),
            "elu was called with Utf8",
        ),
        (
            invoke("elu_backward", vec![column(x()), column(f64s([1.0, 2.0]))]),
            "elu_backward: grad must have the type and the length of the other argument, needed 2 rows of Float32, \
             found 2 of Float64",
        ),
        (
            invoke("elu_backward", vec![column(x()), column(f32s([1.0]))]),
            "elu_backward: grad must have the type and the length of the other argument, needed 2 rows of Float32, \
             found 1 of Float32",
        ),
        (
            invoke("elu", vec![column(x()), column(f64s([1.0]))]),
            "elu: alpha must have a number for each of 2 rows, found 1",
        ),
    ] {
        assert_message(result, &format!("Execution error: {message}"));
    }
    // A column is as long as it is, and an alpha of another type is a number all the same.
    assert!(invoke("elu", vec![column(x())]).is_ok());
    let alpha = ColumnarValue::Scalar(ScalarValue::Float32(Some(0.5)));
    assert!(invoke("elu", vec![column(x()), alpha]).is_ok());
}
