//! The parts of the playground: see `main.rs`.

mod app;
mod comparison;
mod curves;
mod field;
mod palette;
mod setup;
mod timer;
#[cfg(target_arch = "wasm32")]
mod web;

pub use app::{App, Panel};
pub use curves::{Curve, POINTS};
pub use setup::wgpu_configuration;
