//! Arrow arrays of floats.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, GenericListArray, OffsetSizeTrait, PrimitiveArray,
    cast::AsArray,
    types::{ArrowPrimitiveType, Float16Type, Float32Type, Float64Type},
};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{DataType, FieldRef};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
};
use pyo3_arrow::{PyArray, buffer::PyArrowBuffer};

use crate::error::catch_panic;

/// An Arrow array of floats, or of lists of floats.
#[pyclass(frozen)]
pub(crate) struct ArrowFloats {
    array: ArrayRef,
    field: FieldRef,
    leaf: ArrayRef,
}

#[pymethods]
impl ArrowFloats {
    /// Takes any object with `__arrow_c_array__`.
    #[new]
    fn new(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        catch_panic(|| {
            let (array, field) = array.extract::<PyArray>()?.into_inner();
            let leaf = leaf(&array).ok_or_else(|| {
                PyTypeError::new_err(format!(
                    "needed an Arrow array of float16, float32 or float64, or of lists of them, found {}",
                    array.data_type()
                ))
            })?;
            Ok(Self { array, field, leaf })
        })
    }

    /// The name of the floats' dtype.
    #[getter]
    fn dtype(&self) -> &'static str {
        match self.leaf.data_type() {
            DataType::Float16 => "float16",
            DataType::Float64 => "float64",
            _ => "float32",
        }
    }

    /// The number of nulls: floats, and lists at any depth.
    #[getter]
    fn null_count(&self) -> usize {
        null_count(&self.array)
    }

    /// The bytes of the floats, those at nulls included.
    #[getter]
    fn values(&self) -> PyArrowBuffer {
        PyArrowBuffer::new(match self.leaf.data_type() {
            DataType::Float16 => bytes::<Float16Type>(&self.leaf),
            DataType::Float64 => bytes::<Float64Type>(&self.leaf),
            _ => bytes::<Float32Type>(&self.leaf),
        })
    }

    /// Returns the same array with other floats, of which these are the bytes.
    fn with_values(&self, values: PyArrowBuffer) -> PyResult<PyArray> {
        catch_panic(|| {
            let array = replace(&self.array, values.into_inner())?;
            Ok(PyArray::new(array, Arc::clone(&self.field)))
        })
    }
}

/// Returns whether two arrays have lists of the same types and lengths. `None` has no lists. The lengths of arrays without
/// lists are not compared.
#[pyfunction]
pub(crate) fn same_lists(a: Option<&ArrowFloats>, b: Option<&ArrowFloats>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => alike(&a.array, &b.array),
        (a, b) => !a.or(b).is_some_and(|one| is_list(&one.array)),
    }
}

// ---- Internals ----

fn is_list(array: &ArrayRef) -> bool {
    array.data_type().is_nested()
}

/// Returns whether the lists are the same, at every depth.
fn alike(a: &ArrayRef, b: &ArrayRef) -> bool {
    fn lists<O: OffsetSizeTrait>(a: &ArrayRef, b: &ArrayRef) -> bool {
        let (a, b) = (a.as_list::<O>(), b.as_list::<O>());
        a.offsets().lengths().eq(b.offsets().lengths()) && alike(&elements(a), &elements(b))
    }
    match (a.data_type(), b.data_type()) {
        (DataType::List(_), DataType::List(_)) => lists::<i32>(a, b),
        (DataType::LargeList(_), DataType::LargeList(_)) => lists::<i64>(a, b),
        (DataType::FixedSizeList(_, m), DataType::FixedSizeList(_, n)) => {
            let [x, y] = [a, b].map(|array| array.as_fixed_size_list().values());
            m == n && a.len() == b.len() && alike(x, y)
        }
        _ => !is_list(a) && !is_list(b),
    }
}

/// Returns the floats, or `None` if the array contains something else.
fn leaf(array: &ArrayRef) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Some(Arc::clone(array)),
        DataType::List(_) => leaf(&elements(array.as_list::<i32>())),
        DataType::LargeList(_) => leaf(&elements(array.as_list::<i64>())),
        DataType::FixedSizeList(..) => leaf(array.as_fixed_size_list().values()),
        _ => None,
    }
}

fn null_count(array: &ArrayRef) -> usize {
    let inner = match array.data_type() {
        DataType::List(_) => null_count(&elements(array.as_list::<i32>())),
        DataType::LargeList(_) => null_count(&elements(array.as_list::<i64>())),
        DataType::FixedSizeList(..) => null_count(array.as_fixed_size_list().values()),
        _ => 0,
    };
    array.null_count() + inner
}

/// Returns the array with other floats.
fn replace(array: &ArrayRef, values: Buffer) -> PyResult<ArrayRef> {
    let nulls = array.nulls().cloned();
    match array.data_type() {
        DataType::Float16 => floats::<Float16Type>(array, values),
        DataType::Float32 => floats::<Float32Type>(array, values),
        DataType::Float64 => floats::<Float64Type>(array, values),
        DataType::List(field) => lists(array.as_list::<i32>(), field, values),
        DataType::LargeList(field) => lists(array.as_list::<i64>(), field, values),
        DataType::FixedSizeList(field, size) => {
            let elements = replace(array.as_fixed_size_list().values(), values)?;
            let field = Arc::clone(field);
            let list =
                FixedSizeListArray::try_new_with_length(field, *size, elements, nulls, array.len());
            Ok(Arc::new(list.map_err(invalid)?))
        }
        _ => unreachable!("the constructor has checked the type"),
    }
}

/// Returns those elements that the lists contain. A slice of an array of lists has all elements of the array.
fn elements<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> ArrayRef {
    let offsets = lists.offsets();
    let (first, last) = (offsets[0].as_usize(), offsets[offsets.len() - 1].as_usize());
    lists.values().slice(first, last - first)
}

fn lists<O: OffsetSizeTrait>(
    lists: &GenericListArray<O>,
    field: &FieldRef,
    values: Buffer,
) -> PyResult<ArrayRef> {
    let elements = replace(&elements(lists), values)?;
    let offsets = OffsetBuffer::from_lengths(lists.offsets().lengths());
    let nulls = lists.nulls().cloned();
    let lists = GenericListArray::<O>::try_new(Arc::clone(field), offsets, elements, nulls);
    Ok(Arc::new(lists.map_err(invalid)?))
}

fn floats<T: ArrowPrimitiveType>(array: &ArrayRef, values: Buffer) -> PyResult<ArrayRef> {
    let floats = PrimitiveArray::<T>::try_new(values.into(), array.nulls().cloned());
    Ok(Arc::new(floats.map_err(invalid)?))
}

fn bytes<T: ArrowPrimitiveType>(array: &ArrayRef) -> Buffer {
    array.as_primitive::<T>().values().inner().clone()
}

fn invalid(error: arrow_schema::ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
