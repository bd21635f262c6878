//! Timing: samples that alternate between measurements, timestamps of a GPU, and a shader that copies for comparison.

mod copy;
mod stopwatch;
mod timestamps;

pub use copy::ShaderCopy;
pub use stopwatch::{Stats, rounds, seconds};
pub use timestamps::Timer;
