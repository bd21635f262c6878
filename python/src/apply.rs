//! The operations on contiguous NumPy arrays.

use bytemuck::{cast_slice, cast_slice_mut};
use numpy::{
    AsSliceError, BorrowError, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::PyString,
};
use wgpu_elu::{
    DType, Device, Element, Elu, Error, Op, Rounding, Tensor, cpu,
    half::{bf16, f16},
};

use crate::{
    device,
    error::{catch_panic, exception},
    threads,
};

/// Alpha of all elements, or alpha of each row: the arrays then consist of that many rows of the same length.
#[derive(FromPyObject)]
pub(crate) enum Alpha {
    All(f64),
    Rows(Vec<f64>),
}

/// Returns the function of `x` in a new array, or `None` if `x` is not contiguous or has another dtype than [`apply`]
/// takes. For short arrays this takes less time than [`apply`]; long ones would be filled with zeros first.
#[pyfunction]
pub(crate) fn forward<'py>(
    x: &Bound<'py, PyAny>,
    function: &str,
    alpha: f64,
    rounding: &Bound<'py, PyAny>,
    device: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    catch_panic(|| {
        let task = Task::new("forward", function, Alpha::All(alpha), rounding, device)?;
        if let Ok(array) = x.cast() {
            task.forward::<f32>(x, array)
        } else if let Ok(array) = x.cast() {
            task.forward::<f64>(x, array)
        } else if let Ok(array) = x.cast() {
            task.forward::<f16>(x, array)
        } else {
            Ok(None)
        }
    })
}

/// Applies the operation `op` to `x` and `grad`, and writes the result to `out`. If the last input that `op` takes is
/// `None`, `out` holds it. It may also be `out`.
///
/// Returns whether it did so: only if all arrays have the same dtype float16, float32 or float64 in this machine's byte
/// order, the same shape, and the same contiguous layout, and if `out` can be written and overlaps no other input.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called from Python")]
pub(crate) fn apply<'py>(
    op: &str,
    function: &str,
    alpha: Alpha,
    rounding: &Bound<'py, PyAny>,
    device: &Bound<'py, PyAny>,
    x: Option<&Bound<'py, PyAny>>,
    grad: Option<&Bound<'py, PyAny>>,
    out: &Bound<'py, PyAny>,
) -> PyResult<bool> {
    catch_panic(|| {
        let task = Task::new(op, function, alpha, rounding, device)?;
        if let Ok(out) = out.cast() {
            task.apply::<f32, f32>(x, grad, out)
        } else if let Ok(out) = out.cast() {
            task.apply::<f64, f64>(x, grad, out)
        } else if let Ok(out) = out.cast() {
            task.apply::<f16, f16>(x, grad, out)
        } else {
            Ok(false)
        }
    })
}

/// Works as [`apply`], on arrays of uint16 with the bits of bfloat16.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called from Python")]
pub(crate) fn apply_bfloat16<'py>(
    op: &str,
    function: &str,
    alpha: Alpha,
    rounding: &Bound<'py, PyAny>,
    device: &Bound<'py, PyAny>,
    x: Option<&Bound<'py, PyAny>>,
    grad: Option<&Bound<'py, PyAny>>,
    out: &Bound<'py, PyAny>,
) -> PyResult<bool> {
    catch_panic(|| {
        let task = Task::new(op, function, alpha, rounding, device)?;
        task.apply::<u16, bf16>(x, grad, out.cast()?)
    })
}

// ---- Internals ----

struct Task<'a> {
    op: Op,
    /// The functions of the rows.
    elus: Vec<Elu>,
    device: &'a str,
}

impl<'a> Task<'a> {
    fn new(
        op: &str,
        function: &str,
        alpha: Alpha,
        rounding: &Bound<'_, PyAny>,
        device: &'a Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let op = by_name("op", op, &Op::ALL, Op::name)?;
        let (rounding, device) = (text("rounding", rounding)?, text("device", device)?);
        let roundings = [Rounding::Faithful, Rounding::Nearest];
        let rounding = by_name("rounding", rounding, &roundings, Rounding::name)?;
        let elu = |alpha| make(function, alpha).map(|elu| elu.with_rounding(rounding));
        let elus = match alpha {
            Alpha::All(alpha) => vec![elu(alpha)?],
            Alpha::Rows(alphas) => alphas.into_iter().map(elu).collect::<PyResult<_>>()?,
        };
        Ok(Self { op, elus, device })
    }

    /// Returns the result for `x`, which is `array`, in a new array in C order.
    fn forward<'py, E: numpy::Element + Element>(
        &self,
        x: &Bound<'py, PyAny>,
        array: &Bound<'py, PyArrayDyn<E>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !array.is_c_contiguous() {
            return Ok(None);
        }
        let out = PyArrayDyn::<E>::zeros(x.py(), array.dims(), false);
        let done = self.apply::<E, E>(Some(x), None, &out)?;
        Ok(done.then(|| out.into_any()))
    }

    /// Applies the operation to arrays of `T`, whose bytes are elements of `E`, if their layouts allow it.
    fn apply<'py, T: numpy::Element + bytemuck::Pod, E: Element>(
        &self,
        x: Option<&Bound<'py, PyAny>>,
        grad: Option<&Bound<'py, PyAny>>,
        out: &Bound<'py, PyArrayDyn<T>>,
    ) -> PyResult<bool> {
        let py = out.py();
        let [x, grad] = [x, grad].map(|input| input.map(|input| input.cast::<PyArrayDyn<T>>()));
        let (Ok(x), Ok(grad)) = (x.transpose(), grad.transpose()) else {
            return Ok(false);
        };
        let alike = |input: &Bound<'py, PyArrayDyn<T>>| {
            let c_order = input.is_c_contiguous() && out.is_c_contiguous();
            let f_order = input.is_fortran_contiguous() && out.is_fortran_contiguous();
            input.shape() == out.shape() && (c_order || f_order)
        };
        if ![x, grad].into_iter().flatten().all(alike) {
            return Ok(false);
        }
        let (mut x, mut grad) = (x, grad);
        let last = if self.op.has_grad() {
            &mut grad
        } else {
            &mut x
        };
        if last.is_some_and(|last| last.data() == out.data()) {
            *last = None;
        }
        // Arrays of different owners may share memory, which rust-numpy does not see.
        let overlaps = |input: &Bound<'py, PyArrayDyn<T>>| {
            let distance = (input.data() as usize).abs_diff(out.data() as usize);
            distance < out.len() * size_of::<T>()
        };
        if [x, grad].into_iter().flatten().any(overlaps) {
            return Ok(false);
        }
        let (x, grad) = (readonly(x)?, readonly(grad)?);
        let mut out = match out.try_readwrite() {
            Err(BorrowError::NotWriteable) => return Ok(false),
            out => out.map_err(in_use)?,
        };
        let (Ok(x), Ok(grad), Ok(out)) = (
            slice::<T, E>(x.as_ref()),
            slice(grad.as_ref()),
            out.as_slice_mut(),
        ) else {
            return Ok(false);
        };
        let out: &mut [E] = cast_slice_mut(out);
        let device = self.device(py, E::DTYPE)?;
        let result = match &device {
            Device::Cpu => threads::run(py, out.len(), || self.rows(x, grad, out, on_cpu)),
            gpu => py.detach(|| {
                self.rows(x, grad, out, |op, elu, x, grad, out| {
                    on_gpu(gpu, op, elu, x, grad, out)
                })
            }),
        };
        if let Err(Error::DeviceLost { .. }) = result {
            device::forget(py, self.device);
        }
        result.map_err(|error| exception(&error))?;
        Ok(true)
    }

    /// Returns the device. The device `auto` is the CPU if the GPU cannot compute.
    fn device(&self, py: Python<'_>, dtype: DType) -> PyResult<Device> {
        let device = device::named(py, self.device)?;
        let nearest = self
            .elus
            .iter()
            .any(|elu| elu.rounding() == Rounding::Nearest);
        match &device {
            Device::Gpu(gpu) if self.device == "auto" => {
                let can = gpu.supports(dtype) && !(nearest && dtype == DType::F64);
                Ok(if can { device } else { Device::Cpu })
            }
            _ => Ok(device),
        }
    }

    /// Calls `apply` for each row.
    fn rows<E: Element>(
        &self,
        x: Option<&[E]>,
        grad: Option<&[E]>,
        out: &mut [E],
        apply: impl Fn(Op, Elu, Option<&[E]>, Option<&[E]>, &mut [E]) -> wgpu_elu::Result<()>,
    ) -> wgpu_elu::Result<()> {
        if let [elu] = self.elus[..] {
            return apply(self.op, elu, x, grad, out);
        }
        let len = out.len() / self.elus.len().max(1);
        for (i, &elu) in self.elus.iter().enumerate() {
            let row = i * len..(i + 1) * len;
            let [x, grad] = [x, grad].map(|input| input.map(|input| &input[row.clone()]));
            apply(self.op, elu, x, grad, &mut out[row])?;
        }
        Ok(())
    }
}

fn on_cpu<E: Element>(
    op: Op,
    elu: Elu,
    x: Option<&[E]>,
    grad: Option<&[E]>,
    out: &mut [E],
) -> wgpu_elu::Result<()> {
    match x {
        Some(x) if grad.is_some() || !op.has_grad() => cpu::apply(op, elu, x, grad, out),
        _ => cpu::apply_in_place(op, elu, x, out),
    }
}

fn on_gpu<E: Element>(
    device: &Device,
    op: Op,
    elu: Elu,
    x: Option<&[E]>,
    grad: Option<&[E]>,
    out: &mut [E],
) -> wgpu_elu::Result<()> {
    let tensor = |values: &[E]| Tensor::from_slice(device, values, &[values.len()]);
    let x = tensor(x.unwrap_or(out))?;
    let grad = op
        .has_grad()
        .then(|| tensor(grad.unwrap_or(out)))
        .transpose()?;
    let y = elu.apply(op, &x, grad.as_ref())?.into_vec_blocking()?;
    out.copy_from_slice(&y);
    Ok(())
}

fn make(function: &str, alpha: f64) -> PyResult<Elu> {
    match function {
        "elu" => Ok(Elu::new(alpha)),
        "selu" => Ok(Elu::selu()),
        "celu" => Elu::celu(alpha).map_err(|error| exception(&error)),
        found => Err(PyValueError::new_err(format!(
            "function: needed elu, selu or celu, found {found:?}"
        ))),
    }
}

/// Returns the text of an argument.
fn text<'a>(argument: &str, value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    match value.cast::<PyString>() {
        Ok(text) => text.to_str(),
        Err(_) => Err(PyTypeError::new_err(format!(
            "{argument}: needed a string, found {}",
            value.get_type().name()?
        ))),
    }
}

/// Returns the value with this name.
fn by_name<T: Copy>(
    argument: &str,
    found: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> PyResult<T> {
    let value = all.iter().copied().find(|&value| name(value) == found);
    value.ok_or_else(|| {
        let names: Vec<String> = all
            .iter()
            .map(|&value| format!("{:?}", name(value)))
            .collect();
        PyValueError::new_err(format!(
            "{argument}: needed {}, found {found:?}",
            names.join(" or ")
        ))
    })
}

fn readonly<'py, T: numpy::Element>(
    array: Option<&Bound<'py, PyArrayDyn<T>>>,
) -> PyResult<Option<PyReadonlyArrayDyn<'py, T>>> {
    let array = array.map(|array| array.try_readonly());
    array.transpose().map_err(in_use)
}

fn slice<'a, T: numpy::Element + bytemuck::Pod, E: Element>(
    array: Option<&'a PyReadonlyArrayDyn<'_, T>>,
) -> Result<Option<&'a [E]>, AsSliceError> {
    let slice = array.map(PyReadonlyArrayDyn::as_slice).transpose()?;
    Ok(slice.map(cast_slice))
}

/// Returns the exception for memory that cannot be borrowed. rust-numpy keeps account of the borrows of all threads.
fn in_use(_: BorrowError) -> PyErr {
    PyRuntimeError::new_err(
        "another thread writes to an input or to `out`, or reads `out`, at the same time",
    )
}
