//! The types that arguments are converted to before a function is called.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{Result, plan_err};
use wgpu_elu::Rounding;

use crate::function::Kind;

/// Returns the types to which DataFusion converts the arguments.
pub(crate) fn coerced(kind: Kind, rounding: Rounding, found: &[DataType]) -> Result<Vec<DataType>> {
    let name = kind.name(rounding);
    let needed = kind.arguments();
    if !needed.contains(&found.len()) {
        let (least, most) = needed.into_inner();
        let needed = match (least, most) {
            (1, 1) => "1 argument".into(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} or {most} arguments"),
        };
        let syntax = kind.syntax(rounding);
        return plan_err!("{syntax} takes {needed}, found {}", found.len());
    }
    let (inputs, alpha) = found.split_at(kind.inputs());
    let [x_name, grad_name] = kind.input_names();
    for (role, found) in [x_name, grad_name].iter().zip(inputs) {
        if number(found).is_none() {
            return plan_err!(
                "{name}: {role} must be numbers, or List, LargeList or FixedSizeList of numbers, found {found}"
            );
        }
    }
    let common = match inputs {
        [x, grad] => match common(x, grad) {
            None => {
                return plan_err!(
                    "{name}: {grad_name} must be as nested as {x_name}, {x}, found {grad}"
                );
            }
            common => common,
        },
        _ => inputs.first().and_then(number),
    };
    let mut types: Vec<_> = inputs.iter().filter_map(|_| common.clone()).collect();
    for alpha in alpha {
        let numbers = match alpha {
            DataType::Dictionary(_, values) => values,
            alpha => alpha,
        };
        if !numbers.is_numeric() && !numbers.is_null() {
            return plan_err!("{name}: alpha must be a number, found {alpha}");
        }
        types.push(DataType::Float64);
    }
    Ok(types)
}

// ---- Internals ----

/// Returns the type with floats in place of integers, decimals and NULL, if it consists of numbers.
fn number(found: &DataType) -> Option<DataType> {
    Some(match found {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => found.clone(),
        DataType::Null => DataType::Float64,
        number if number.is_numeric() => DataType::Float64,
        DataType::List(field) => DataType::List(with_type(field, number(field.data_type())?)),
        DataType::LargeList(field) => {
            DataType::LargeList(with_type(field, number(field.data_type())?))
        }
        DataType::FixedSizeList(field, len) => {
            DataType::FixedSizeList(with_type(field, number(field.data_type())?), *len)
        }
        DataType::Dictionary(keys, values) if !values.is_nested() => {
            DataType::Dictionary(keys.clone(), Box::new(number(values)?))
        }
        _ => return None,
    })
}

/// Returns the type to which both types are converted, if there is one. Dictionaries become their values, because the
/// rows of two dictionaries have different keys.
fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Dictionary, FixedSizeList, Float16, Float32, Float64, LargeList, List, Null};
    let list = |a: &FieldRef, b: &FieldRef| {
        let field = with_type(a, common(a.data_type(), b.data_type())?);
        let nullable = a.is_nullable() || b.is_nullable();
        Some(Arc::new(field.as_ref().clone().with_nullable(nullable)))
    };
    Some(match (a, b) {
        (Dictionary(_, values), other) | (other, Dictionary(_, values)) => common(values, other)?,
        (Null, other) | (other, Null) => without_dictionaries(&number(other)?),
        (List(a), List(b)) => List(list(a, b)?),
        (LargeList(a), LargeList(b)) => LargeList(list(a, b)?),
        (FixedSizeList(a, len), FixedSizeList(b, b_len)) if len == b_len => {
            FixedSizeList(list(a, b)?, *len)
        }
        (a, b) if a.is_nested() || b.is_nested() => return None,
        (Float64, _) | (_, Float64) => Float64,
        (Float32, _) | (_, Float32) => Float32,
        (Float16, _) | (_, Float16) => Float16,
        _ => Float64,
    })
}

fn without_dictionaries(found: &DataType) -> DataType {
    let list = |field: &FieldRef| with_type(field, without_dictionaries(field.data_type()));
    match found {
        DataType::Dictionary(_, values) => without_dictionaries(values),
        DataType::List(field) => DataType::List(list(field)),
        DataType::LargeList(field) => DataType::LargeList(list(field)),
        DataType::FixedSizeList(field, len) => DataType::FixedSizeList(list(field), *len),
        other => other.clone(),
    }
}

fn with_type(field: &FieldRef, data_type: DataType) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}
