//! The parts of the playground. `main.rs` runs them on the desktop, and `index.html` in a browser.

mod alpha;
mod app;
mod comparison;
mod curves;
mod drawing;
mod field;
mod floats;
mod legend;
mod palette;
mod report;
mod setup;
mod timer;
mod view;
#[cfg(target_arch = "wasm32")]
mod web;

pub use app::{App, Panel};
pub use curves::{Curve, POINTS};
#[cfg(not(target_arch = "wasm32"))]
pub use setup::native_options;
