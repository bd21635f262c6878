//! What can go wrong, with what was needed and what was found.

mod layer;

use std::{fmt, io, ops::Range, sync::Arc};

use crate::{dtype::DType, op::Op};
pub use layer::LayerError;

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
    /// A tensor was asked for beyond the end of a buffer.
    #[error("offset {offset} is past the end of a buffer of {found} bytes")]
    OffsetOutside {
        /// The offset in bytes.
        offset: u64,
        /// The buffer's size in bytes.
        found: u64,
    },
    /// A range of rows reaches outside the tensor.
    #[error("rows {}..{} are outside a tensor of shape {shape:?}", range.start, range.end)]
    RowsOutside {
        /// What was asked for.
        range: Range<usize>,
        /// The tensor's shape.
        shape: Vec<usize>,
    },
    /// Elements of one type were asked of a tensor of another, or given to a stream of another.
    #[error("needed elements of {needed}, found {found}")]
    DTypeMismatch {
        /// The type asked for.
        needed: DType,
        /// The tensor's type.
        found: DType,
    },
    /// An operation was given more or fewer inputs than it takes.
    #[error("{op} takes {needed} input{}, found {found}", if *needed == 1 { "" } else { "s" })]
    Inputs {
        /// The operation.
        op: Op,
        /// The number of inputs that it takes: 1, or 2 with a gradient.
        needed: usize,
        /// The number of inputs that were given.
        found: usize,
    },
    /// The output or the gradient is not as long as the input.
    #[error("{role} must be as long as the input: needed {needed} elements, found {found}")]
    LengthMismatch {
        /// The output or the gradient.
        role: Role,
        /// The input's length in elements.
        needed: u64,
        /// The other's length in elements.
        found: u64,
    },
    /// The shape of the output or the gradient is not the input's.
    #[error("{role} must have the input's shape: needed {needed:?}, found {found:?}")]
    ShapesDiffer {
        /// The output or the gradient.
        role: Role,
        /// The input's shape.
        needed: Vec<usize>,
        /// The other's shape.
        found: Vec<usize>,
    },
    /// The tensors of one operation are on different devices.
    #[error("{role} must be on the input's device: needed {needed}, found {found}")]
    DeviceMismatch {
        /// The output or the gradient.
        role: Role,
        /// The input's device.
        needed: String,
        /// The other's device.
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
    /// A regularizer's factor has a value that Keras does not take either.
    #[error("regularizer factor {name} must be a non-negative finite number, found {found}")]
    RegularizerFactor {
        /// `l1` or `l2`.
        name: &'static str,
        /// Its value.
        found: f64,
    },
    /// A penalty cannot be divided by this.
    #[error("the divisor must be a positive finite number, found {found}")]
    Divisor {
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
        "{role} must start and end at a multiple of {needed} bytes, found offset {offset} and size {size}"
    )]
    Misaligned {
        /// The buffer.
        role: Role,
        /// Bytes an element takes.
        needed: u64,
        /// The slice's offset in bytes.
        offset: u64,
        /// The slice's size in bytes.
        size: u64,
    },
    /// A buffer was created without a usage that is needed.
    #[error("{role} needs a buffer with usage {needed}, found {found}")]
    MissingUsage {
        /// The buffer.
        role: Role,
        /// The name of the usage in [`wgpu::BufferUsages`].
        needed: &'static str,
        /// The names of the usages that the buffer has, such as `COPY_SRC | COPY_DST`.
        found: String,
    },
    /// A buffer ends within the word that holds the last element.
    #[error("{role} needs a buffer of {needed} bytes, since GPUs bind whole words, found {found}")]
    PartialWord {
        /// The buffer.
        role: Role,
        /// The buffer's size, rounded up.
        needed: u64,
        /// The buffer's size in bytes.
        found: u64,
    },
    /// A penalty is one element, and the output has another length.
    #[error("the output must be 1 element of {dtype}, found {found} bytes")]
    NotOneElement {
        /// The result's type.
        dtype: DType,
        /// The output's size in bytes.
        found: u64,
    },
    /// The result would overwrite a part of the input, which may be of another type.
    #[error(
        "output bytes {}..{} lie within input bytes {}..{} of the same buffer: a penalty needs a place of its own",
        output.start, output.end, input.start, input.end
    )]
    OutputWithinInput {
        /// The input's bytes.
        input: Range<u64>,
        /// The output's bytes.
        output: Range<u64>,
    },
    /// An input and the output overlap within one buffer.
    #[error(
        "{role} (bytes {}..{}) and the output (bytes {}..{}) overlap in one buffer; to work in place, pass the same slice",
        bytes.start, bytes.end, output.start, output.end
    )]
    Overlap {
        /// The input or the gradient.
        role: Role,
        /// Its bytes.
        bytes: Range<u64>,
        /// The output's bytes.
        output: Range<u64>,
    },
    /// What a stream reads from gave an error.
    #[error("reading failed: {error}")]
    Read {
        /// The reader's word.
        error: Arc<io::Error>,
    },
    /// What a stream writes to gave an error.
    #[error("writing failed: {error}")]
    Write {
        /// The writer's word.
        error: Arc<io::Error>,
    },
    /// What a stream reads from ends within an element.
    #[error("the data ends within an element: needed a multiple of {needed} bytes, found {found}")]
    PartialElement {
        /// The element's size in bytes.
        needed: u64,
        /// The bytes that were read.
        found: u64,
    },
    /// A Keras layer refused a call or its configuration.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

/// What a slice, a buffer or a tensor is to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// What the operation reads: `x`, or the output `y` for a gradient from the output, or `y` for a penalty.
    Input,
    /// The gradient with respect to the output, `grad`.
    Gradient,
    /// What the operation writes: `y` or `out`.
    Output,
    /// A tensor outside of any operation.
    Tensor,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "the input",
            Self::Gradient => "the gradient",
            Self::Output => "the output",
            Self::Tensor => "the tensor",
        })
    }
}

/// Fails unless an operation was given as many inputs as it takes.
pub(crate) fn check_inputs(op: Op, found: usize) -> Result<()> {
    let needed = op.inputs();
    if found == needed {
        Ok(())
    } else {
        Err(Error::Inputs { op, needed, found })
    }
}

/// Names, or a statement that there are none.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("there are none"),
            names => f.write_str(&names.join(", ")),
        }
    }
}
