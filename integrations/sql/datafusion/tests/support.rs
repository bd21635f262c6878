//! Calls a function as DataFusion does: converts the arguments, asks for the type of the result, and invokes it.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float32Array, Float64Array},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion_common::{Result, ScalarValue, config::ConfigOptions};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

/// Returns the function with this name.
pub(crate) fn function(name: &str) -> Arc<ScalarUDF> {
    let functions = wgpu_elu_datafusion::functions();
    let function = functions
        .into_iter()
        .find(|function| function.name() == name);
    function.expect("a function of this package")
}

/// An argument of `call!`.
pub(crate) trait Argument {
    fn into_value(self) -> ColumnarValue;
}

impl Argument for ColumnarValue {
    fn into_value(self) -> ColumnarValue {
        self
    }
}

impl Argument for ArrayRef {
    fn into_value(self) -> ColumnarValue {
        ColumnarValue::Array(self)
    }
}

impl Argument for f64 {
    fn into_value(self) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::Float64(Some(self)))
    }
}

impl Argument for ScalarValue {
    fn into_value(self) -> ColumnarValue {
        ColumnarValue::Scalar(self)
    }
}

/// Calls a function: `call!("elu", x, 0.5)`.
macro_rules! call {
    ($name:expr $(, $argument:expr)*) => {
        crate::support::invoke($name, vec![$(crate::support::Argument::into_value($argument)),*])
    };
}
pub(crate) use call;

pub(crate) fn invoke(name: &str, args: Vec<ColumnarValue>) -> Result<ColumnarValue> {
    call_with(name, args, ConfigOptions::new())
}

pub(crate) fn call_with(
    name: &str,
    args: Vec<ColumnarValue>,
    options: ConfigOptions,
) -> Result<ColumnarValue> {
    let function = function(name);
    let types: Vec<_> = args.iter().map(ColumnarValue::data_type).collect();
    let types = function.coerce_types(&types)?;
    let args: Vec<_> = args
        .into_iter()
        .zip(&types)
        .map(|(arg, data_type)| match arg.data_type() == *data_type {
            true => Ok(arg), // a cast would share the buffers
            false => arg.cast_to(data_type, None),
        })
        .collect::<Result<_>>()?;
    let field = |data_type: &DataType| Arc::new(Field::new("arg", data_type.clone(), true));
    let arg_fields: Vec<FieldRef> = types.iter().map(field).collect();
    let scalars: Vec<_> = args.iter().map(scalar).collect();
    let return_field = function.return_field_from_args(ReturnFieldArgs {
        arg_fields: &arg_fields,
        scalar_arguments: &scalars,
    })?;
    let rows = args.iter().find_map(|arg| match arg {
        ColumnarValue::Array(array) => Some(array.len()),
        ColumnarValue::Scalar(_) => None,
    });
    drop(scalars);
    let result = function.invoke_with_args(ScalarFunctionArgs {
        args,
        arg_fields,
        number_rows: rows.unwrap_or(1),
        return_field: return_field.clone(),
        config_options: Arc::new(options),
    })?;
    assert_eq!(result.data_type(), *return_field.data_type());
    if let (ColumnarValue::Array(array), Some(rows)) = (&result, rows) {
        assert_eq!(array.len(), rows);
    }
    Ok(result)
}

fn scalar(arg: &ColumnarValue) -> Option<&ScalarValue> {
    match arg {
        ColumnarValue::Scalar(scalar) => Some(scalar),
        ColumnarValue::Array(_) => None,
    }
}

/// Returns the result of a call as an array.
pub(crate) fn array(result: Result<ColumnarValue>) -> ArrayRef {
    match result.expect("a result") {
        ColumnarValue::Array(array) => array,
        ColumnarValue::Scalar(scalar) => scalar.to_array().expect("a type with arrays"),
    }
}

pub(crate) fn f32s(values: impl IntoIterator<Item = impl Into<Option<f32>>>) -> ArrayRef {
    Arc::new(values.into_iter().map(Into::into).collect::<Float32Array>())
}

pub(crate) fn f64s(values: impl IntoIterator<Item = impl Into<Option<f64>>>) -> ArrayRef {
    Arc::new(values.into_iter().map(Into::into).collect::<Float64Array>())
}
