//! Timing as `elu bench` does it: samples taken in turn, the device's timestamps, and copies of the same bytes to compare with.

mod copy;
mod stopwatch;
mod timestamps;

pub use copy::ShaderCopy;
pub use stopwatch::{Stats, rounds, seconds};
pub use timestamps::Timer;
