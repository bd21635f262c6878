//! Errors, each with what was needed and what was found.

mod layer;

use std::{fmt, io, ops::Range, sync::Arc};

use crate::{dtype::DType, op::Op, rounding::Rounding};
pub use layer::LayerError;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error type of this crate. After a call fails, the object it was called on still works, unless its device is
/// lost.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter meets the request for a GPU.
    #[error("found no {wanted}; {}", List(found))]
    NoAdapter {
        /// The request.
        wanted: String,
        /// The available adapters, as `name (backend)`.
        found: Vec<String>,
    },
    /// wgpu panicked while it listed the adapters, because a driver returned an error that it does not expect.
    #[error("could not list the adapters: {reason}")]
    NoList {
        /// The message of the panic.
        reason: String,
    },
    /// The adapter exists, but its driver could not create a device.
    #[error("adapter {adapter} could not create a device: {reason}")]
    NoDevice {
        /// The adapter, as `name (backend)`.
        adapter: String,
        /// The driver's message, or that of a panic in wgpu.
        reason: String,
    },
    /// The operation needs a larger limit than the device was created with.
    #[error("the device's limit {limit} is {found}, needed at least {needed}")]
    Limit {
        /// The field's name in [`wgpu::Limits`].
        limit: &'static str,
        /// The smallest sufficient value.
        needed: u64,
        /// The device's limit.
        found: u64,
    },
    /// The device or the machine does not have enough memory.
    #[error("out of memory for {what}")]
    OutOfMemory {
        /// The purpose of the memory, with its size in bytes if it is known.
        what: String,
    },
    /// The device is lost: its driver crashed or was reset, wgpu panicked because the driver returned an unexpected
    /// error, or the device was unplugged or destroyed. Create a new one.
    #[error("the device is lost: {reason}")]
    DeviceLost {
        /// wgpu's message.
        reason: String,
    },
    /// wgpu, its shader compiler naga or the driver rejected a call, for example because a buffer belongs to another
    /// device or is destroyed, or because of a bug.
    #[error("wgpu refused {what}: {reason}")]
    Refused {
        /// The object that was being created, or the call.
        what: String,
        /// wgpu's message.
        reason: String,
    },
    /// The number of elements of a shape exceeds the address space.
    #[error("shape {shape:?} has more elements than this machine can address")]
    ShapeTooLarge {
        /// The shape.
        shape: Vec<usize>,
    },
    /// A shape does not match the number of elements.
    #[error("shape {shape:?} needs {needed} elements, found {found}")]
    ShapeMismatch {
        /// The shape.
        shape: Vec<usize>,
        /// The number of elements in the shape.
        needed: usize,
        /// The number of elements that were given.
        found: usize,
    },
    /// The offset of a tensor lies beyond the end of its buffer.
    #[error("offset {offset} is past the end of a buffer of {found} bytes")]
    OffsetOutside {
        /// The offset in bytes.
        offset: u64,
        /// The buffer's size in bytes.
        found: u64,
    },
    /// A range of rows exceeds the tensor.
    #[error("rows {}..{} are outside a tensor of shape {shape:?}", range.start, range.end)]
    RowsOutside {
        /// The requested rows.
        range: Range<usize>,
        /// The tensor's shape.
        shape: Vec<usize>,
    },
    /// The elements do not have the type that is needed.
    #[error("{role} has elements of {found}, needed {needed}")]
    DTypeMismatch {
        /// The tensor or slice.
        role: Role,
        /// The type that is needed: that of the input, of the stream, or of the request.
        needed: DType,
        /// The type of the elements.
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
    /// The output or the gradient does not have the input's length.
    #[error("{role} must be as long as the input: needed {needed} elements, found {found}")]
    LengthMismatch {
        /// The output or the gradient.
        role: Role,
        /// The input's length in elements.
        needed: u64,
        /// The length of the output or the gradient, in elements.
        found: u64,
    },
    /// The output or the gradient does not have the input's shape.
    #[error("{role} must have the input's shape: needed {needed:?}, found {found:?}")]
    ShapesDiffer {
        /// The output or the gradient.
        role: Role,
        /// The input's shape.
        needed: Vec<usize>,
        /// The shape of the output or the gradient.
        found: Vec<usize>,
    },
    /// The tensors of one operation are on different devices.
    #[error("{role} must be on the input's device: needed {needed}, found {found}")]
    DeviceMismatch {
        /// The output or the gradient.
        role: Role,
        /// The device of the input.
        needed: String,
        /// The device of the output or the gradient.
        found: String,
    },
    /// A factor is outside the range that its formula supports.
    #[error("{name} must be between 2^-64 and 2^64, found {found}")]
    Factor {
        /// `scale`, `input_scale`, or CELU's `alpha`.
        name: &'static str,
        /// Its value.
        found: f64,
    },
    /// A regularizer's factor is negative, infinite or NaN. Keras rejects such a factor, too.
    #[error("regularizer factor {name} must be a non-negative finite number, found {found}")]
    RegularizerFactor {
        /// `l1` or `l2`.
        name: &'static str,
        /// Its value.
        found: f64,
    },
    /// The divisor of a penalty is not a positive finite number.
    #[error("the divisor must be a positive finite number, found {found}")]
    Divisor {
        /// Its value.
        found: f64,
    },
    /// The gradient cannot be computed from the output with these factors.
    #[error(
        "backward-from-output needs a positive, finite alpha * scale in {arithmetic}, found {found:?}: use backward with \
         the input of ELU"
    )]
    NotInvertible {
        /// `alpha * scale` before it is rounded.
        found: f64,
        /// The type that the kernel computes in. The product may round to zero or infinity in it.
        arithmetic: DType,
    },
    /// The kernels cannot round as requested.
    #[error("{rounding} rounding of {dtype} is computed on the CPU path only")]
    Rounding {
        /// The requested rounding.
        rounding: Rounding,
        /// The dtype of the elements.
        dtype: DType,
    },
    /// The device was created without a required feature.
    #[error("{dtype} needs the device feature {needed}; the CPU path does not need it")]
    MissingFeature {
        /// The dtype that needs the feature.
        dtype: DType,
        /// The feature's name in [`wgpu::Features`].
        needed: &'static str,
    },
    /// A buffer slice, or the data for a tensor, does not start or end at the boundary of an element.
    #[error(
        "{role} must start and end at a multiple of {needed} bytes, found offset {offset} and size {size}"
    )]
    Misaligned {
        /// The slice or tensor.
        role: Role,
        /// The size of an element in bytes.
        needed: u64,
        /// The offset in bytes at which it starts.
        offset: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// A buffer was created without a required usage.
    #[error("{role} needs a buffer with usage {needed}, found {found}")]
    MissingUsage {
        /// The buffer.
        role: Role,
        /// The name of the usage in [`wgpu::BufferUsages`].
        needed: &'static str,
        /// The names of the usages that the buffer has, such as `COPY_SRC | COPY_DST`.
        found: String,
    },
    /// A buffer ends in the middle of the 4-byte word that holds the last element.
    #[error("{role} needs a buffer of {needed} bytes, since GPUs bind whole words, found {found}")]
    PartialWord {
        /// The buffer.
        role: Role,
        /// The required size in bytes, a multiple of 4.
        needed: u64,
        /// The buffer's size in bytes.
        found: u64,
    },
    /// The output of a penalty does not have the length of one element.
    #[error("the output must be 1 element of {dtype}, found {found} bytes")]
    NotOneElement {
        /// The dtype of the penalty.
        dtype: DType,
        /// The output's size in bytes.
        found: u64,
    },
    /// The output of a penalty would overwrite a part of the input.
    #[error(
        "output bytes {}..{} overlap input bytes {}..{} of the same buffer: a penalty needs separate memory",
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
        /// The role of the overlapping input.
        role: Role,
        /// Its bytes.
        bytes: Range<u64>,
        /// The output's bytes.
        output: Range<u64>,
    },
    /// A source of a stream returned an error.
    #[error("reading {role} failed: {error}")]
    Read {
        /// The input or the gradient.
        role: Role,
        /// The reader's error.
        error: Arc<io::Error>,
    },
    /// The sink of a stream returned an error.
    #[error("writing failed: {error}")]
    Write {
        /// The writer's error.
        error: Arc<io::Error>,
    },
    /// A source of a stream ended in the middle of an element.
    #[error("{role} ends within an element: needed a multiple of {needed} bytes, found {found}")]
    PartialElement {
        /// The input or the gradient.
        role: Role,
        /// The element's size in bytes.
        needed: u64,
        /// The number of bytes that were read.
        found: u64,
    },
    /// One source of a stream ended before the other.
    #[error(
        "{role} has {found} element{}, {} has more: both must have the same length",
        if *found == 1 { "" } else { "s" },
        if *role == Role::Input { Role::Gradient } else { Role::Input }
    )]
    EndsEarly {
        /// The source that ended: the input or the gradient.
        role: Role,
        /// Its length in elements. The length of the other source is unknown, because it is not read to its end.
        found: u64,
    },
    /// An environment variable is not valid UTF-8.
    #[error("{name}: needed valid UTF-8, found {value:?}")]
    Environment {
        /// The name of the variable.
        name: &'static str,
        /// Its value; U+FFFD stands for the invalid bytes.
        value: String,
    },
    /// A Keras layer rejected a call or its configuration.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

/// The role of a slice, buffer or tensor in an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The input of the operation: `x`, or the output `y` for a gradient from the output or a penalty.
    Input,
    /// `grad`, the gradient with respect to the output.
    Gradient,
    /// The output of the operation: `y` or `out`.
    Output,
    /// A tensor that is not part of an operation.
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

/// Fails unless an operation was given the number of inputs that it takes.
pub(crate) fn check_inputs(op: Op, found: usize) -> Result<()> {
    let needed = op.inputs();
    if found == needed {
        Ok(())
    } else {
        Err(Error::Inputs { op, needed, found })
    }
}

/// Displays a list of adapters.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("there are no adapters"),
            names => write!(f, "the adapters are {}", names.join(", ")),
        }
    }
}
