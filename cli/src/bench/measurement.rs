//! What is timed.

use crate::timing::Stats;

/// Work, or a copy that it is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measurement {
    Cpu,
    CpuCopy,
    Kernel,
    SubmitAndWait,
    ShaderCopy,
    BufferCopy,
    RoundTrip,
    /// Up and down again.
    Transfers,
}

impl Measurement {
    /// The name in JSON.
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

    /// The copies that it is measured by.
    pub(crate) const fn copies(self) -> &'static [Self] {
        match self {
            Self::Cpu => &[Self::CpuCopy],
            Self::Kernel | Self::SubmitAndWait => &[Self::ShaderCopy, Self::BufferCopy],
            Self::RoundTrip => &[Self::Transfers],
            Self::CpuCopy | Self::ShaderCopy | Self::BufferCopy | Self::Transfers => &[],
        }
    }
}

/// What was found of several measurements.
pub(crate) type Round = Vec<(Measurement, Stats)>;
