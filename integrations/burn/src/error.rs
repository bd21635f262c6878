//! Errors, each with what was needed and what was found.

use burn::tensor::DType;

/// The error type of this crate.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tensor or the device belongs to another backend of burn.
    #[error("needed a device of burn's wgpu runtime, found {found}")]
    Backend {
        /// The device.
        found: String,
    },
    /// [`init`](crate::init) was not called for the device.
    #[error(
        "{device} is not registered: call wgpu_elu_burn::init(&device, &setup)? with what \
         Device::wgpu_options().init_with_setup()? returned, before burn uses the device"
    )]
    NotRegistered {
        /// The device.
        device: String,
    },
    /// The setup given to [`init`](crate::init) belongs to another device.
    #[error(
        "the setup belongs to another wgpu device than {device}: needed the setup that the device was created with"
    )]
    OtherSetup {
        /// The device.
        device: String,
    },
    /// Burn could not reach the device's thread.
    #[error("burn does not reach {device}: {reason}")]
    Unreachable {
        /// The device.
        device: String,
        /// Burn's message.
        reason: String,
    },
    /// ELU does not support the tensor's dtype.
    #[error("needed a tensor of F16, BF16, F32, Flex32 or F64, found {found:?}")]
    DType {
        /// The dtype of the elements.
        found: DType,
    },
    /// Burn captures a graph. No function returns this error: the output of the capture carries its text.
    #[error(
        "burn records a graph of this device, which cannot contain ELU: leave ELU out of the graph"
    )]
    Recording,
    /// An error of wgpu-elu, such as a CELU alpha that is not supported or a device that lacks a feature for the dtype.
    #[error(transparent)]
    Elu(#[from] wgpu_elu::Error),
}
