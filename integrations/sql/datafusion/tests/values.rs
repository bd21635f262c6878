use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float16Array, Int32Array, PrimitiveArray},
    datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type},
};
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;
use half::f16;
use wgpu_elu::{Element, Elu, Op, Rounding, cpu};

use crate::support::{array, call, f32s, f64s};

const X: [f32; 14] = [
    -0.0,
    0.0,
    -1e-40,
    -1e-7,
    -0.5,
    -20.0,
    -200.0,
    1.5,
    f32::MIN,
    f32::MAX,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    -2.25,
];

/// Returns the factors of a function by its name.
fn described(name: &str, alpha: Option<f64>) -> (Op, Elu) {
    let (name, rounding) = match name.strip_suffix("_nearest") {
        Some(name) => (name, Rounding::Nearest),
        None => (name, Rounding::Faithful),
    };
    let (op, elu) = match name {
        "elu" => (Op::Forward, Elu::new(alpha.unwrap_or(1.0))),
        "selu" => (Op::Forward, Elu::selu()),
        "celu" => (Op::Forward, Elu::celu(alpha.unwrap_or(1.0)).unwrap()),
        "elu_backward" => (Op::Backward, Elu::new(alpha.unwrap_or(1.0))),
        "elu_backward_from_output" => (Op::BackwardFromOutput, Elu::new(alpha.unwrap_or(1.0))),
        _ => unreachable!("{name}"),
    };
    (op, elu.with_rounding(rounding))
}

/// Compares a function with the CPU path, to the bit.
fn compare<T: ArrowPrimitiveType>(name: &str, alpha: Option<f64>, x: Vec<T::Native>)
where
    T::Native: Element,
{
    let (op, elu) = described(name, alpha);
    let grad: Vec<T::Native> = x.iter().rev().copied().collect();
    let grads = (op != Op::Forward).then_some(&grad[..]);
    let mut expected = vec![T::Native::default(); x.len()];
    cpu::apply(op, elu, &x, grads, &mut expected).unwrap();

    let column = |values: Vec<T::Native>| -> ColumnarValue {
        let array: ArrayRef = Arc::new(PrimitiveArray::<T>::new(values.into(), None));
        ColumnarValue::Array(array)
    };
    let mut args = vec![column(x)];
    if op != Op::Forward {
        args.push(column(grad));
    }
    if let Some(alpha) = alpha {
        args.push(ColumnarValue::Scalar(ScalarValue::Float64(Some(alpha))));
    }
    let y = array(crate::support::invoke(name, args));
    let bytes = |values: &[T::Native]| {
        PrimitiveArray::<T>::new(values.to_vec().into(), None)
            .into_parts()
            .1
            .into_inner()
    };
    assert_eq!(
        bytes(y.as_primitive::<T>().values()),
        bytes(&expected),
        "{name}, alpha {alpha:?}"
    );
}

#[test]
fn every_function_is_that_of_the_cpu_path() {
    let calls = [
        (
            "elu",
            vec![
                None,
                Some(0.5),
                Some(0.0),
                Some(-2.0),
                Some(f64::NAN),
                Some(f64::INFINITY),
            ],
        ),
        ("selu", vec![None]),
        ("celu", vec![Some(1.0), Some(0.25), Some(3.0)]),
        (
            "elu_backward",
            vec![None, Some(0.5), Some(-1.0), Some(f64::NAN)],
        ),
        ("elu_backward_from_output", vec![None, Some(0.5)]),
    ];
    for (name, alphas) in calls {
        for alpha in alphas {
            for name in [name.to_string(), format!("{name}_nearest")] {
                compare::<Float32Type>(&name, alpha, X.to_vec());
                compare::<Float64Type>(&name, alpha, X.map(f64::from).to_vec());
                compare::<Float16Type>(&name, alpha, X.map(f16::from_f32).to_vec());
            }
        }
    }
}

#[test]
fn published_values() {
    let y = array(call!("elu", f32s([-2.0, -0.5, 0.0, 1.5])));
    assert_eq!(
        y.as_ref(),
        f32s([-0.86466473, -0.39346933, 0.0, 1.5]).as_ref()
    );
    let y = array(call!("elu_nearest", f64s([-1.0])));
    assert_eq!(y.as_ref(), f64s([(-1f64).exp_m1()]).as_ref());
}

#[test]
fn null_elements_stay_null() {
    let y = array(call!("elu", f32s([Some(-1.0), None, Some(2.0)]), 0.5));
    assert_eq!(
        y.as_ref(),
        f32s([Some(-0.31606027), None, Some(2.0)]).as_ref()
    );
    let y = array(call!(
        "elu_backward",
        f32s([Some(1.0), None, Some(2.0), None]),
        f32s([Some(3.0), Some(1.0), None, None])
    ));
    assert_eq!(y.as_ref(), f32s([Some(3.0), None, None, None]).as_ref());
}

#[test]
fn without_rows_the_result_is_empty() {
    for name in ["elu", "selu", "elu_nearest"] {
        let y = array(call!(name, f32s([0f32; 0])));
        assert_eq!((y.len(), y.data_type()), (0, &DataType::Float32));
    }
    let y = array(call!("elu", f32s([0f32; 0]), f64s([0f64; 0])));
    assert_eq!(y.len(), 0);
}

#[test]
fn literals_give_a_literal() {
    let y = call!("elu", ScalarValue::Float32(Some(-1.0)), 0.5).unwrap();
    let ColumnarValue::Scalar(y) = y else {
        panic!("needed a scalar, found {y:?}");
    };
    assert_eq!(y, ScalarValue::Float32(Some(-0.31606027)));
    let y = call!("elu", ScalarValue::Null).unwrap();
    assert!(matches!(
        y,
        ColumnarValue::Scalar(ScalarValue::Float64(None))
    ));
}

#[test]
fn a_null_alpha_gives_null() {
    for alpha in [
        ScalarValue::Null,
        ScalarValue::Float64(None),
        ScalarValue::Int32(None),
    ] {
        for name in ["elu", "celu"] {
            let y = call!(name, f32s([-1.0, 2.0]), alpha.clone()).unwrap();
            assert!(
                matches!(y, ColumnarValue::Scalar(ScalarValue::Float32(None))),
                "{y:?}"
            );
        }
        let y = call!("elu_backward", f32s([-1.0]), f32s([1.0]), alpha).unwrap();
        assert!(
            matches!(y, ColumnarValue::Scalar(ScalarValue::Float32(None))),
            "{y:?}"
        );
    }
}

#[test]
fn alpha_is_any_number_and_stays_double() {
    let integer = call!("elu", f32s([-1.0]), ScalarValue::Int64(Some(2)));
    assert_eq!(array(integer).as_ref(), f32s([-1.2642411]).as_ref());
    // 0.1 as a double, not as a float: the result is that of the CPU path.
    let mut y = [-1f64];
    cpu::forward_in_place(0.1, &mut y);
    assert_eq!(
        array(call!("elu", f64s([-1.0]), 0.1)).as_ref(),
        f64s(y).as_ref()
    );
}

#[test]
fn a_column_of_alphas_is_one_alpha_for_each_row() {
    let x = f32s(X);
    let alphas = [
        Some(1.0),
        Some(1.0),
        Some(0.5),
        None,
        Some(0.5),
        Some(-2.0),
        Some(f64::NAN),
        Some(3.0),
        Some(0.0),
        None,
        None,
        Some(2.0),
        Some(2.0),
        Some(0.25),
    ];
    for name in ["elu", "elu_nearest"] {
        let y = array(call!(name, x.clone(), f64s(alphas)));
        let y = y.as_primitive::<Float32Type>();
        for (row, alpha) in alphas.into_iter().enumerate() {
            let one = match alpha {
                None => {
                    assert!(y.is_null(row));
                    continue;
                }
                Some(alpha) => array(call!(name, f32s([X[row]]), alpha)),
            };
            let one = one.as_primitive::<Float32Type>().value(0);
            assert_eq!(y.value(row).to_bits(), one.to_bits(), "{name}, row {row}");
        }
    }
}

#[test]
fn an_alpha_that_celu_refuses_does_no_harm_where_x_is_null() {
    let y = array(call!("celu", f32s([None, Some(2.0)]), f64s([0.0, 2.0])));
    assert_eq!(y.as_ref(), f32s([None, Some(2.0)]).as_ref());
}

#[test]
fn one_gradient_for_all_rows() {
    let y = array(call!(
        "elu_backward",
        f32s([1.0, 0.0, -1.0]),
        ScalarValue::Int64(Some(2)),
        0.5
    ));
    assert_eq!(y.as_ref(), f32s([2.0, 1.0, 0.36787945]).as_ref());
    let x = ScalarValue::Float32(Some(0.0));
    let y = array(call!("elu_backward", x, f32s([1.0, 2.0]), 0.5));
    assert_eq!(y.as_ref(), f32s([0.5, 1.0]).as_ref());
}

#[test]
fn integers_become_doubles() {
    let x: ArrayRef = Arc::new(Int32Array::from(vec![Some(-1), None, Some(3)]));
    let y = array(call!("elu", x));
    assert_eq!(
        y.as_ref(),
        f64s([Some((-1f64).exp_m1()), None, Some(3.0)]).as_ref()
    );
}

#[test]
fn half_precision_is_kept() {
    let x: ArrayRef = Arc::new(Float16Array::from(vec![f16::from_f32(-1.0)]));
    let y = array(call!("elu", x));
    let y = y.as_primitive::<Float16Type>();
    assert_eq!(y.value(0), f16::from_f32(-0.63212056));
}
