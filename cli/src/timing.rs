//! Timing: samples that alternate between measurements, timestamps of a GPU, the clock rate of the CPU, random inputs, and
//! copies for comparison.

mod clock;
mod cpu_copy;
mod random_input;
mod shader_copy;
mod stopwatch;
mod timestamps;

pub use clock::seconds_per_clock;
pub use cpu_copy::CpuCopy;
pub use random_input::{random_input, random_inputs};
pub use shader_copy::ShaderCopy;
pub use stopwatch::{Stats, rounds, seconds};
pub use timestamps::Timer;
