//! The measurements of `elu bench`.

use crate::timing::Stats;

/// A measurement of ELU, or of a copy that ELU is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measurement {
    /// The CPU path, from slice to slice.
    Cpu,
    /// A copy on the CPU.
    CpuCopy,
    /// The kernel alone, timed by the GPU's timestamps.
    Kernel,
    /// The kernel, timed from the submission until the wait ends.
    SubmitAndWait,
    /// A shader that copies.
    ShaderCopy,
    /// A copy of a buffer, without a shader.
    BufferCopy,
    /// Upload, kernel and download.
    RoundTrip,
    /// Upload and download without a kernel.
    Transfers,
}

impl Measurement {
    /// Returns the measurement's name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::CpuCopy => "cpu_copy",
            Self::Kernel => "kernel",
            Self::SubmitAndWait => "submit_and_wait",
            Self::ShaderCopy => "shader_copy",
            Self::BufferCopy => "buffer_copy",
            Self::RoundTrip => "round_trip",
            Self::Transfers => "transfers",
        }
    }

    /// Returns the copies that this measurement is compared with.
    pub(crate) const fn copies(self) -> &'static [Self] {
        match self {
            Self::Cpu => &[Self::CpuCopy],
            Self::Kernel | Self::SubmitAndWait => &[Self::ShaderCopy, Self::BufferCopy],
            Self::RoundTrip => &[Self::Transfers],
            Self::CpuCopy | Self::ShaderCopy | Self::BufferCopy | Self::Transfers => &[],
        }
    }

    /// Returns whether this measures a copy.
    pub(crate) const fn is_copy(self) -> bool {
        self.copies().is_empty()
    }
}

/// Several measurements with their statistics.
pub(crate) type Measurements = Vec<(Measurement, Stats)>;
