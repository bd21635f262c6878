//! What can go wrong, with what was needed and what was found.

use std::{fmt, ops::Range};

use crate::dtype::DType;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. The object that a failed call was made on works on afterwards, unless its device was lost.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A GPU was asked for and no adapter fits.
    #[error("no {wanted} among the adapters: {}", List(found))]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// The adapters that are there, as `name (backend)`.
        found: Vec<String>,
    },
    /// The adapter was found but its driver gave no device.
    #[error("adapter {adapter} gave no device: {reason}")]
    NoDevice {
        /// The adapter, as `name (backend)`.
        adapter: String,
        /// The driver's word.
        reason: String,
    },
    /// The device was created with a limit that is too small for this.
    #[error("the device's limit {limit} is {found}, needed at least {needed}")]
    Limit {
        /// The field's name in [`wgpu::Limits`].
        limit: &'static str,
        /// The smallest value that would do.
        needed: u64,
        /// The device's value.
        found: u64,
    },
    /// The device, or the machine, has not that much memory.
    #[error("out of memory for {what}")]
    OutOfMemory {
        /// What the memory was for, with its size in bytes where that is known.
        what: String,
    },
    /// The device is lost: its driver crashed or reset, it was unplugged, or it was destroyed. Create another one.
    #[error("the device is lost: {reason}")]
    DeviceLost {
        /// wgpu's word.
        reason: String,
    },
    /// wgpu or the driver refused a call: an object of another device, or a bug worth reporting.
    #[error("wgpu refused {what}: {reason}")]
    Refused {
        /// What was being made.
        what: String,
        /// wgpu's word.
        reason: String,
    },
    /// A shape's product does not fit in memory's addresses.
    #[error("shape {shape:?} has more elements than this machine can address")]
    ShapeTooLarge {
        /// The shape.
        shape: Vec<usize>,
    },
    /// A shape and the number of elements do not agree.
    #[error("shape {shape:?} needs {needed} elements, found {found}")]
    ShapeMismatch {
        /// The shape.
        shape: Vec<usize>,
        /// Its product.
        needed: usize,
        /// The elements that are there.
        found: usize,
    },
    /// A range of rows reaches outside the tensor.
    #[error("rows {}..{} are outside a tensor of shape {shape:?}", range.start, range.end)]
    RowsOutside {
        /// What was asked for.
        range: Range<usize>,
        /// The tensor's shape.
        shape: Vec<usize>,
    },
    /// Elements of one type were asked of a tensor of another.
    #[error("needed a tensor of {needed}, found {found}")]
    DTypeMismatch {
        /// The type asked for.
        needed: DType,
        /// The tensor's type.
        found: DType,
    },
    /// The output or the gradient is not as long as the input.
    #[error("{what} must be as long as the input: needed {needed} elements, found {found}")]
    LengthMismatch {
        /// `the output` or `the gradient`.
        what: &'static str,
        /// The input's length in elements.
        needed: u64,
        /// The other's length in elements.
        found: u64,
    },
    /// The gradient's shape is not the input's.
    #[error("the gradient must have the input's shape: needed {needed:?}, found {found:?}")]
    GradientShape {
        /// The input's shape.
        needed: Vec<usize>,
        /// The gradient's shape.
        found: Vec<usize>,
    },
    /// Two tensors that are worked on together are on different devices.
    #[error("the gradient must be on the input's device: needed {needed}, found {found}")]
    DeviceMismatch {
        /// The input's device.
        needed: String,
        /// The gradient's device.
        found: String,
    },
    /// A factor has a value that its formula cannot do with.
    #[error("{name} must be between 2^-64 and 2^64, found {found}")]
    Factor {
        /// `scale`, `input_scale`, or CELU's `alpha`.
        name: &'static str,
        /// Its value.
        found: f64,
    },
    /// The gradient was asked for from the output, which does not tell it.
    #[error(
        "the gradient from the output needs alpha * scale positive and finite in {arithmetic}, found {found:e}: \
         otherwise the output does not tell the slope; call the backward that takes the input"
    )]
    NotInvertible {
        /// alpha * scale, before it is rounded.
        found: f64,
        /// What the kernel computes in, where the product may round to zero or to infinity.
        arithmetic: DType,
    },
    /// The device was created without a feature that is needed.
    #[error("{dtype} needs the device feature {needed}; the CPU path does without")]
    MissingFeature {
        /// What needs it.
        dtype: DType,
        /// The feature's name in [`wgpu::Features`].
        needed: &'static str,
    },
    /// A buffer slice does not start or end at an element.
    #[error(
        "{buffer} must start and end at a multiple of {needed} bytes, found offset {offset} and size {size}"
    )]
    Misaligned {
        /// `x`, `y`, `grad`, `out` or `the tensor`.
        buffer: &'static str,
        /// Bytes an element takes.
        needed: u64,
        /// The slice's offset in bytes.
        offset: u64,
        /// The slice's size in bytes.
        size: u64,
    },
    /// A buffer was created without a usage that is needed.
    #[error("{buffer} needs a buffer with usage {needed:?}, found {found:?}")]
    MissingUsage {
        /// `x`, `y`, `grad`, `out` or `the tensor`.
        buffer: &'static str,
        /// The usage needed.
        needed: wgpu::BufferUsages,
        /// The usages it has.
        found: wgpu::BufferUsages,
    },
    /// A buffer ends within the word that holds the last element.
    #[error(
        "{buffer} needs a buffer of {needed} bytes, since GPUs bind whole words, found {found}"
    )]
    PartialWord {
        /// `x`, `y`, `grad`, `out` or `the tensor`.
        buffer: &'static str,
        /// The buffer's size, rounded up.
        needed: u64,
        /// The buffer's size in bytes.
        found: u64,
    },
    /// An input and the output overlap within one buffer.
    #[error(
        "{input} bytes {}..{} and output bytes {}..{} of the same buffer overlap; to work in place, prepare it in place",
        bytes.start, bytes.end, output.start, output.end
    )]
    Overlap {
        /// `input` or `gradient`.
        input: &'static str,
        /// The input's bytes.
        bytes: Range<u64>,
        /// The output's bytes.
        output: Range<u64>,
    },
}

/// Names, or a word that there are none.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("there are none"),
            names => f.write_str(&names.join(", ")),
        }
    }
}
