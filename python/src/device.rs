//! The devices by their names, each of which is opened once.

use std::{
    collections::HashMap,
    process,
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
};
use wgpu_elu::{
    Device, Error,
    device::{self, Request},
};

use crate::error::{catch_panic, exception};

/// Returns the device with this name.
pub(crate) fn named(py: Python<'_>, name: &str) -> PyResult<Device> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    if name.trim().is_empty() {
        return Err(PyValueError::new_err(format!(
            "device: needed \"cpu\", \"gpu\", \"auto\" or a part of an adapter's name, found {name:?}"
        )));
    }
    check_process(py)?;
    // Another thread may hold the lock and wait for the interpreter, so this thread detaches before it waits.
    py.detach(|| {
        let mut devices = devices();
        if let Some(device) = devices.get(name) {
            return Ok(device.clone());
        }
        let request = match name {
            "auto" => Request::Auto,
            "gpu" => Request::Gpu,
            name => Request::Named(name.into()),
        };
        let (device, _) = Device::select_blocking(&request)?;
        devices.insert(name.into(), device.clone());
        Ok(device)
    })
    .map_err(|error| match error {
        Error::NoAdapter { .. } if !["auto", "gpu"].contains(&name) => PyRuntimeError::new_err(
            format!("{error}; device also takes \"cpu\", \"gpu\" and \"auto\""),
        ),
        error => exception(&error),
    })
}

/// Forgets a lost device, so that the next call opens it again.
pub(crate) fn forget(py: Python<'_>, name: &str) {
    py.detach(|| devices().remove(name));
}

/// Returns the names of the adapters that can compute, best first.
#[pyfunction]
pub(crate) fn adapters(py: Python<'_>) -> PyResult<Vec<String>> {
    catch_panic(|| {
        check_process(py)?;
        let adapters = py.detach(|| pollster::block_on(device::adapters()));
        Ok(adapters
            .iter()
            .filter(|adapter| device::can_compute(adapter))
            .map(|adapter| device::full_name(&adapter.get_info()))
            .collect())
    })
}

/// Destroys the device with this name, after which it is lost, as it is after a fault of the driver. Tests call this.
#[pyfunction]
pub(crate) fn destroy(py: Python<'_>, name: &str) -> PyResult<()> {
    catch_panic(|| {
        if let Device::Gpu(gpu) = named(py, name)? {
            gpu.device().destroy();
        }
        Ok(())
    })
}

// ---- Internals ----

fn devices() -> MutexGuard<'static, HashMap<String, Device>> {
    static DEVICES: LazyLock<Mutex<HashMap<String, Device>>> = LazyLock::new(Mutex::default);
    DEVICES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fails if this process cannot use a GPU driver: if it was forked from one that uses wgpu, since the child has the
/// driver's memory, but neither its threads nor its connections; or if TensorFlow is loaded on Linux, where Mesa's drivers
/// then call the LLVM of TensorFlow instead of their own, and crash.
fn check_process(py: Python<'_>) -> PyResult<()> {
    if cfg!(target_os = "linux") {
        let modules = py.import("sys")?.getattr("modules")?;
        if modules.contains("tensorflow")? {
            return Err(PyRuntimeError::new_err(
                "TensorFlow is loaded, and drivers of Mesa would crash together with it: use device=\"cpu\", or a process \
                 without TensorFlow",
            ));
        }
    }
    static USER: AtomicU32 = AtomicU32::new(0);
    let this = process::id();
    match USER.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed) {
        Err(user) if user != this => Err(PyRuntimeError::new_err(format!(
            "process {this} was forked from process {user}, which uses a GPU, and a GPU device cannot be carried over: \
             start the process with multiprocessing's method \"spawn\", or use device=\"cpu\""
        ))),
        _ => Ok(()),
    }
}
