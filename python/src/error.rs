//! Errors as Python exceptions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
};
use wgpu_elu::Error;

/// Returns the exception for an error of the library: `ValueError` if the arguments caused it, else `RuntimeError`.
pub(crate) fn exception(error: &Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Factor { .. }
        | Error::LengthMismatch { .. }
        | Error::NotInvertible { .. }
        | Error::Rounding { .. } => PyValueError::new_err(message),
        _ => PyRuntimeError::new_err(message),
    }
}

/// Calls `work`. A panic becomes a `RuntimeError`. `pyo3` would make it one that `except Exception` does not
/// catch.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref().copied());
        Err(PyRuntimeError::new_err(format!(
            "internal error: {}",
            message.unwrap_or("no message")
        )))
    })
}
