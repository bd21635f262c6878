//! Timing: alternating samples, the device's timestamps, and copies of the same bytes.

mod copy;
mod stopwatch;
mod timestamps;

pub use copy::ShaderCopy;
pub use stopwatch::{Stats, rounds, seconds};
pub use timestamps::Timer;
