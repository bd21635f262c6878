//! The parts of the playground, which `main.rs` runs.

mod app;
mod comparison;
mod curves;
mod drawing;
mod field;
mod palette;
mod report;
mod setup;
mod timer;
#[cfg(target_arch = "wasm32")]
mod web;

pub use app::{App, Panel};
pub use curves::{Curve, POINTS};
#[cfg(not(target_arch = "wasm32"))]
pub use setup::native_options;
