//! Timing: samples that alternate between measurements, timestamps of a GPU, the clock rate of the CPU, and copies for
//! comparison.

mod clock;
mod cpu_copy;
mod shader_copy;
mod stopwatch;
mod timestamps;

pub use clock::seconds_per_clock;
pub use cpu_copy::CpuCopy;
pub use shader_copy::ShaderCopy;
pub use stopwatch::{Stats, rounds, seconds};
pub use timestamps::Timer;
