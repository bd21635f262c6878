//! Calls every `prepare` of a kernel with arbitrary slices, on a device with arbitrary limits. It must not panic, must
//! fail only for a valid reason, and must return steps that wgpu accepts.

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
    /// alpha, scale and input_scale; only alpha if the other two are out of range.
    factors: [f64; 3],
    buffers: [Host; 3],
    x: Slice,
    grad: Slice,
    y: Slice,
}

/// A buffer of the host.
#[derive(Arbitrary, Debug)]
struct Host {
    size: u16,
    usage: u8,
}

#[derive(Arbitrary, Debug)]
struct Slice {
    buffer: u8,
    offset: u16,
    size: u16,
    /// Selects whether the slice is rounded to elements, and whether it gets the length of `x`. Random slices would
    /// rarely fit.
    kind: u8,
}

/// The index of each limit's value.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Limits {
    binding: u8,
    groups: u8,
    invocations: u8,
    alignment: u8,
}

const MAX_BUFFER: u64 = 1 << 13;

thread_local! {
    static DEVICES: RefCell<HashMap<Limits, Gpu>> = RefCell::default();
}

fuzz_target!(|input: Input| {
    let gpu = device(input.limits);
    let dtype = pick(&DType::ALL, input.dtype);
    let op = pick(&Op::ALL, input.op);
    let buffers = input.buffers.map(|host| buffer(&gpu, &host));
    let x = slice(&buffers, &input.x, dtype, None);
    let grad = slice(&buffers, &input.grad, dtype, Some(x.size()));
    let y = slice(&buffers, &input.y, dtype, Some(x.size()));
    let [alpha, scale, input_scale] = input.factors;
    let factors = Factors::new(alpha, scale, input_scale).unwrap_or(Factors::elu(alpha));

    let kernel = match gpu.kernel(dtype) {
        Ok(kernel) => kernel,
        Err(error) => panic!("these limits are enough: {error}"),
    };
    let given = op.has_grad().then_some(grad);
    let prepared = kernel.prepare_op(op, factors, x, given, y);
    let inputs: &[_] = if op.has_grad() { &[x, grad] } else { &[x] };
    let expected = fit(dtype, inputs, y);
    let tells = op != Op::BackwardFromOutput || tells_slope(dtype, factors);
    match prepared {
        Ok(step) => {
            assert!(expected, "these slices should be refused");
            assert!(tells, "these factors should be refused");
            assert_eq!(step.dispatches() == 0, x.size() == 0);
            submit(&gpu, &step);
        }
        Err(error @ Error::NotInvertible { .. }) => assert!(!tells, "{error}"),
        Err(error) if is_too_small_a_binding(&gpu, &error) => {
            assert!(expected, "these slices should be refused for what they are");
        }
        Err(error) => assert!(!expected, "these slices should be taken: {error}"),
    }
    penalty(&gpu, dtype, input.factors, x, y);
});

/// Prepares the penalty of `y`. `out` starts where the output begins. The numbers are the factors and the divisor.
fn penalty(
    gpu: &Gpu,
    dtype: DType,
    [l1, l2, divisor]: [f64; 3],
    y: BufferSlice<'_>,
    out: BufferSlice<'_>,
) {
    let result = dtype.arithmetic();
    let (size, buffer) = (result.size() as u64, out.buffer());
    let first = out.offset() / size * size;
    let out = buffer.slice(first..buffer.size().min(first + size));
    let are_numbers = l1 >= 0.0
        && l1.is_finite()
        && l2 >= 0.0
        && l2.is_finite()
        && divisor > 0.0
        && divisor.is_finite();
    let apart = y.buffer() != buffer || end(y) <= first || end(out) <= y.offset() || y.size() == 0;
    let expected =
        are_numbers && alone(y, dtype) && alone(out, result) && out.size() == size && apart;
    let Ok(kernel) = gpu.kernel(dtype) else {
        unreachable!("it was made above")
    };
    match kernel.prepare_penalty(l1, l2, divisor, y, out) {
        Ok(step) => {
            assert!(expected, "this penalty should be refused");
            assert!(step.dispatches() > 0);
            submit(gpu, &step);
        }
        Err(error) if is_too_small_a_binding(gpu, &error) => assert!(expected),
        Err(error) => assert!(!expected, "this penalty should be taken: {error}"),
    }
}

/// Returns whether the error is the one limit that slices may exceed, and they exceed it.
fn is_too_small_a_binding(gpu: &Gpu, error: &Error) -> bool {
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
    // At most the largest buffer, so a device that can bind a whole buffer never returns this error.
    assert!(found < needed && needed <= MAX_BUFFER);
    true
}

/// Returns whether the slope can be computed from the output: alpha * scale is positive and finite after rounding.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
fn tells_slope(dtype: DType, factors: Factors) -> bool {
    let product = factors.alpha() * factors.scale();
    let rounded = match dtype {
        DType::F64 => product,
        _ => f64::from(product as f32),
    };
    rounded > 0.0 && rounded.is_finite()
}

/// Checks the rules in `Kernel`'s documentation, except for the device's limits.
fn fit(dtype: DType, inputs: &[BufferSlice<'_>], y: BufferSlice<'_>) -> bool {
    let beside_output = |input: BufferSlice<'_>| {
        input.size() == y.size()
            && (input.buffer() != y.buffer()
                || input.offset() == y.offset()
                || end(input) <= y.offset()
                || end(y) <= input.offset())
    };
    alone(y, dtype)
        && inputs
            .iter()
            .all(|&input| alone(input, dtype) && beside_output(input))
}

/// Checks the rules for a single slice.
fn alone(slice: BufferSlice<'_>, dtype: DType) -> bool {
    let element = dtype.size() as u64;
    slice.offset().is_multiple_of(element)
        && slice.size().is_multiple_of(element)
        && slice.buffer().usage().contains(BufferUsages::STORAGE)
        && end(slice).next_multiple_of(4) <= slice.buffer().size()
}

fn end(slice: BufferSlice<'_>) -> u64 {
    slice.offset() + slice.size()
}

/// Submits the step. wgpu reports an invalid step to the error scope.
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

/// Returns a device with `limits`. Creating a device and its pipelines takes long, so all are kept.
fn device(limits: Limits) -> Gpu {
    const MOST: wgpu::Limits = wgpu::Limits::unlimited();
    const BINDING: [u64; 4] = [36, 256, 1024, MOST.max_storage_buffer_binding_size];
    const GROUPS: [u32; 3] = [1, 3, MOST.max_compute_workgroups_per_dimension];
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
                    // A gradient needs three.
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

/// Creates a buffer, usually of whole words and usually with the usage that kernels need.
fn buffer(gpu: &Gpu, host: &Host) -> wgpu::Buffer {
    let size = u64::from(host.size) % (MAX_BUFFER + 1);
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: if host.usage & 1 == 0 {
            size / 4 * 4
        } else {
            size
        },
        usage: if host.usage & 6 == 6 {
            BufferUsages::COPY_DST
        } else {
            BufferUsages::STORAGE | BufferUsages::COPY_DST
        },
        mapped_at_creation: false,
    })
}

/// Returns a slice within the buffer, because wgpu panics outside of it.
fn slice<'a>(
    buffers: &'a [wgpu::Buffer],
    slice: &Slice,
    dtype: DType,
    like: Option<u64>,
) -> BufferSlice<'a> {
    let buffer = &buffers[usize::from(slice.buffer) % buffers.len()];
    let element = if slice.kind & 3 == 3 {
        1
    } else {
        dtype.size() as u64
    };
    let offset = u64::from(slice.offset) % (buffer.size() + 1) / element * element;
    let room = buffer.size() - offset;
    let own = u64::from(slice.size) % (room + 1) / element * element;
    let size = match like {
        Some(size) if size <= room && slice.kind & 12 != 12 => size,
        _ => own,
    };
    buffer.slice(offset..offset + size)
}

/// Polls a future of the noop device, which is ready immediately.
fn poll<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("an answer that takes time"),
    }
}

fn pick<T: Copy, const N: usize>(values: &[T; N], at: u8) -> T {
    values[usize::from(at) % N]
}

#[expect(clippy::cast_possible_truncation, reason = "less than `at`")]
fn index<T, const N: usize>(_: &[T; N], at: u8) -> u8 {
    (usize::from(at) % N) as u8
}
