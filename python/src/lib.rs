//! The module `wgpu_elu._core`: what the Python package `wgpu_elu` needs of Rust. It takes only contiguous NumPy arrays;
//! `wgpu_elu/_arguments.py` makes them of everything else.

mod apply;
mod arrow;
mod device;
mod error;
mod threads;

use std::ffi::OsString;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::{
        apply::{apply, apply_bfloat16, forward},
        arrow::{ArrowFloats, same_lists},
        command,
        device::{adapters, destroy},
        threads::start_threads,
    };

    /// The version of the package.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}

/// Runs the command `elu` and returns its exit code. The first of `args` is the program's name.
#[pyfunction]
fn command(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| elu_cli::main(args))
}
