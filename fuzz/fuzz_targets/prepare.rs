//! Prepares steps with arbitrary slices, on a device with arbitrary limits. Calls `Kernel::prepare_op`, which all other
//! `prepare` functions for ELU and its gradients call, and `Kernel::prepare_penalty`.
//!
//! - The calls must not panic.
//! - They must fail if and only if the arguments break a documented rule or a limit of the device.
//! - wgpu must accept the returned steps.

#![no_main]

use std::{cell::RefCell, collections::HashMap};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use wgpu::{BufferSlice, BufferUsages};
use wgpu_elu::{DType, Error, Factors, Gpu, Kernel, Op, Step};

#[derive(Arbitrary, Debug)]
struct Input {
    limits: Limits,
    dtype: u8,
    op: u8,
    /// The factors alpha, `scale` and `input_scale`. If `scale` or `input_scale` is out of range, only alpha is used.
    factors: [f64; 3],
    buffers: [Buffer; 3],
    x: Slice,
    grad: Slice,
    y: Slice,
}

/// The description of a buffer.
#[derive(Arbitrary, Debug)]
struct Buffer {
    size: u16,
    /// Bits that select whether the size is rounded to whole words, and the usages of the buffer.
    kind: u8,
}

/// The description of a slice of a buffer.
#[derive(Arbitrary, Debug)]
struct Slice {
    buffer: u8,
    offset: u16,
    size: u16,
    /// Bits that select whether the slice is rounded to whole elements, and whether it gets the length of `x`. Both are
    /// likely, because arbitrary slices would rarely be valid.
    kind: u8,
}

/// Indices into the lists of limits in [`device`].
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Limits {
    binding: u8,
    groups: u8,
    invocations: u8,
    alignment: u8,
}

/// The largest size of a buffer in bytes.
const MAX_BUFFER: u64 = 1 << 13;

thread_local! {
    /// The devices that were created so far.
    static DEVICES: RefCell<HashMap<Limits, Gpu>> = RefCell::default();
}

fuzz_target!(|input: Input| {
    let gpu = device(input.limits);
    let dtype = pick(&DType::ALL, input.dtype);
    let op = pick(&Op::ALL, input.op);
    let buffers = input.buffers.map(|description| buffer(&gpu, &description));
    let x = slice(&buffers, &input.x, dtype, None);
    let grad = slice(&buffers, &input.grad, dtype, Some(x.size()));
    let y = slice(&buffers, &input.y, dtype, Some(x.size()));
    let [alpha, scale, input_scale] = input.factors;
    let factors = Factors::new(alpha, scale, input_scale).unwrap_or(Factors::elu(alpha));

    let kernel = match gpu.kernel(dtype) {
        Ok(kernel) => kernel,
        Err(error) => {
            panic!("the kernel was not created, although the limits are sufficient: {error}")
        }
    };
    let prepared = kernel.prepare_op(op, factors, x, op.has_grad().then_some(grad), y);
    let inputs: &[_] = if op.has_grad() { &[x, grad] } else { &[x] };
    let slices_are_valid = are_valid(dtype, inputs, y);
    let factors_are_valid = op != Op::BackwardFromOutput || is_invertible(dtype, factors);
    match prepared {
        Ok(step) => {
            assert!(slices_are_valid, "invalid slices were accepted");
            assert!(factors_are_valid, "invalid factors were accepted");
            assert_eq!(step.dispatches() == 0, x.size() == 0);
            submit(&gpu, &step);
        }
        Err(error @ Error::NotInvertible { .. }) => assert!(!factors_are_valid, "{error}"),
        Err(error) if exceeds_max_binding(&gpu, &error) => {
            assert!(
                slices_are_valid,
                "invalid slices were rejected for the wrong reason"
            );
        }
        Err(error) => assert!(!slices_are_valid, "valid slices were rejected: {error}"),
    }
    penalty(&gpu, dtype, input.factors, x, y);
});

/// Prepares a penalty and submits its step. `y` is the input, as in [`Kernel::prepare_penalty`]. The result goes into
/// the element that contains the first byte of `out`. The numbers are the factors l1 and l2, and the divisor.
fn penalty(
    gpu: &Gpu,
    dtype: DType,
    [l1, l2, divisor]: [f64; 3],
    y: BufferSlice<'_>,
    out: BufferSlice<'_>,
) {
    let result_dtype = dtype.arithmetic_dtype();
    let (size, buffer) = (result_dtype.size() as u64, out.buffer());
    let first = out.offset() / size * size;
    let out = buffer.slice(first..buffer.size().min(first + size));
    let numbers_are_valid = l1 >= 0.0
        && l1.is_finite()
        && l2 >= 0.0
        && l2.is_finite()
        && divisor > 0.0
        && divisor.is_finite();
    let is_separate =
        y.buffer() != buffer || end(y) <= first || end(out) <= y.offset() || y.size() == 0;
    let is_valid = numbers_are_valid
        && is_valid_alone(y, dtype)
        && is_valid_alone(out, result_dtype)
        && out.size() == size
        && is_separate;
    let Ok(kernel) = gpu.kernel(dtype) else {
        unreachable!("the caller has already created this kernel")
    };
    match kernel.prepare_penalty(l1, l2, divisor, y, out) {
        Ok(step) => {
            assert!(is_valid, "an invalid penalty was accepted");
            assert!(step.dispatches() > 0);
            submit(gpu, &step);
        }
        Err(error) if exceeds_max_binding(gpu, &error) => assert!(is_valid),
        Err(error) => assert!(!is_valid, "a valid penalty was rejected: {error}"),
    }
}

/// Returns whether the error is [`Error::Limit`]. Checks that the limit is `max_storage_buffer_binding_size`, which is
/// the only limit that slices can exceed, and that the error's numbers are right.
fn exceeds_max_binding(gpu: &Gpu, error: &Error) -> bool {
    let Error::Limit {
        limit,
        needed,
        found,
    } = *error
    else {
        return false;
    };
    assert_eq!(limit, "max_storage_buffer_binding_size");
    assert_eq!(found, gpu.device().limits().max_storage_buffer_binding_size);
    // No slice is larger than the largest buffer, so a device that can bind a whole buffer must not return this error.
    assert!(found < needed && needed <= MAX_BUFFER);
    true
}

/// Returns whether the slope can be computed from the output: alpha * scale is positive and finite after rounding.
#[expect(clippy::cast_possible_truncation, reason = "the rounding is intended")]
fn is_invertible(dtype: DType, factors: Factors) -> bool {
    let product = factors.alpha() * factors.scale();
    let rounded = match dtype {
        DType::F64 => product,
        _ => f64::from(product as f32),
    };
    rounded > 0.0 && rounded.is_finite()
}

/// Returns whether the slices follow the rules in the documentation of `Kernel`, without the device's limits.
fn are_valid(dtype: DType, inputs: &[BufferSlice<'_>], y: BufferSlice<'_>) -> bool {
    let fits_output = |input: BufferSlice<'_>| {
        input.size() == y.size()
            && (input.buffer() != y.buffer()
                || input.offset() == y.offset()
                || end(input) <= y.offset()
                || end(y) <= input.offset())
    };
    is_valid_alone(y, dtype)
        && inputs
            .iter()
            .all(|&input| is_valid_alone(input, dtype) && fits_output(input))
}

/// Returns whether a slice follows the rules that do not depend on other slices.
fn is_valid_alone(slice: BufferSlice<'_>, dtype: DType) -> bool {
    let element = dtype.size() as u64;
    slice.offset().is_multiple_of(element)
        && slice.size().is_multiple_of(element)
        && slice.buffer().usage().contains(BufferUsages::STORAGE)
        && end(slice).next_multiple_of(4) <= slice.buffer().size()
}

/// Returns the end of the slice within its buffer, in bytes.
fn end(slice: BufferSlice<'_>) -> u64 {
    slice.offset() + slice.size()
}

/// Records and submits the step, and checks that wgpu reports no error.
fn submit(gpu: &Gpu, step: &Step) {
    let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    step.record(&mut pass);
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
    let error = poll(scope.pop());
    assert!(error.is_none(), "{error:?}");
    // Releases the resources of the submission.
    gpu.device().poll(wgpu::PollType::Poll).unwrap();
}

/// Returns a device with `limits`. All devices are kept, because creating a device and its pipelines takes long.
fn device(limits: Limits) -> Gpu {
    const UNLIMITED: wgpu::Limits = wgpu::Limits::unlimited();
    const BINDING: [u64; 4] = [36, 256, 1024, UNLIMITED.max_storage_buffer_binding_size];
    const GROUPS: [u32; 3] = [1, 3, UNLIMITED.max_compute_workgroups_per_dimension];
    const INVOCATIONS: [u32; 3] = [1, 7, 64];
    const ALIGNMENT: [u32; 2] = [32, 256];
    let limits = Limits {
        binding: index(&BINDING, limits.binding),
        groups: index(&GROUPS, limits.groups),
        invocations: index(&INVOCATIONS, limits.invocations),
        alignment: index(&ALIGNMENT, limits.alignment),
    };
    DEVICES.with_borrow_mut(|devices| {
        let create = || {
            let descriptor = wgpu::DeviceDescriptor {
                required_features: Kernel::required_features(DType::F64),
                required_limits: wgpu::Limits {
                    max_storage_buffer_binding_size: pick(&BINDING, limits.binding),
                    max_compute_workgroups_per_dimension: pick(&GROUPS, limits.groups),
                    max_compute_invocations_per_workgroup: pick(&INVOCATIONS, limits.invocations),
                    min_storage_buffer_offset_alignment: pick(&ALIGNMENT, limits.alignment),
                    min_uniform_buffer_offset_alignment: pick(&ALIGNMENT, limits.alignment),
                    // A gradient binds three storage buffers: x, grad and y.
                    max_storage_buffers_per_shader_stage: 3,
                    ..wgpu::Limits::default()
                },
                ..wgpu::DeviceDescriptor::default()
            };
            let (device, queue) = wgpu::Device::noop(&descriptor);
            Gpu::from_wgpu(&device, &queue)
        };
        devices.entry(limits).or_insert_with(create).clone()
    })
}

/// Creates a buffer. Its size is usually a multiple of 4 bytes, and it usually has the usage that kernels need.
fn buffer(gpu: &Gpu, description: &Buffer) -> wgpu::Buffer {
    let size = u64::from(description.size) % (MAX_BUFFER + 1);
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: if description.kind & 1 == 0 {
            size / 4 * 4
        } else {
            size
        },
        usage: if description.kind & 6 == 6 {
            BufferUsages::COPY_DST
        } else {
            BufferUsages::STORAGE | BufferUsages::COPY_DST
        },
        mapped_at_creation: false,
    })
}

/// Returns a slice of a buffer, usually of whole elements and usually with the size `preferred`. It lies within the
/// buffer, because `wgpu::Buffer::slice` panics otherwise.
fn slice<'a>(
    buffers: &'a [wgpu::Buffer],
    slice: &Slice,
    dtype: DType,
    preferred: Option<u64>,
) -> BufferSlice<'a> {
    let buffer = &buffers[usize::from(slice.buffer) % buffers.len()];
    let element = if slice.kind & 3 == 3 {
        1
    } else {
        dtype.size() as u64
    };
    let offset = u64::from(slice.offset) % (buffer.size() + 1) / element * element;
    let room = buffer.size() - offset;
    let arbitrary = u64::from(slice.size) % (room + 1) / element * element;
    let size = match preferred {
        Some(size) if size <= room && slice.kind & 12 != 12 => size,
        _ => arbitrary,
    };
    buffer.slice(offset..offset + size)
}

/// Returns the result of a future. On the noop device, futures are ready immediately.
fn poll<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a future of the noop device is not ready"),
    }
}

/// Returns one of `values`, selected by any number.
fn pick<T: Copy, const N: usize>(values: &[T; N], number: u8) -> T {
    values[usize::from(number) % N]
}

/// Returns the index of the value that [`pick`] returns, so that equal limits have equal indices.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the result is at most `number`"
)]
fn index<T, const N: usize>(_: &[T; N], number: u8) -> u8 {
    (usize::from(number) % N) as u8
}
