//! The embed contract, from the outside: the caller's buffers, slices, limits, encoder and pass.

use wgpu_elu::{
    DType, Device, Error, Factors, Gpu, Kernel, Step, Tensor,
    shader::Op,
    wgpu::{self, BufferUsages},
};

use crate::{
    common::{
        bits_of, check_results, noop, noop_pair, on_every_gpu, supports, varied, with_limits,
    },
    judge::{self, Judge},
};

pub(crate) const ALL: BufferUsages = BufferUsages::STORAGE
    .union(BufferUsages::COPY_SRC)
    .union(BufferUsages::COPY_DST);

fn buffer(gpu: &Gpu, values: &[f32], usage: BufferUsages) -> wgpu::Buffer {
    let bits: Vec<u64> = values.iter().map(|v| v.to_bits().into()).collect();
    buffer_of(gpu, DType::F32, &bits, usage)
}

pub(crate) fn buffer_of(
    gpu: &Gpu,
    dtype: DType,
    bits: &[u64],
    usage: BufferUsages,
) -> wgpu::Buffer {
    let mut bytes: Vec<u8> = bits
        .iter()
        .flat_map(|bits| bits.to_le_bytes().into_iter().take(dtype.size()))
        .collect();
    bytes.resize(bytes.len().next_multiple_of(4).max(4), 0);
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("the host's"),
        size: bytes.len() as u64,
        usage,
        mapped_at_creation: true,
    });
    buffer
        .slice(..)
        .get_mapped_range_mut()
        .unwrap()
        .copy_from_slice(&bytes);
    buffer.unmap();
    buffer
}

pub(crate) fn read(gpu: &Gpu, dtype: DType, buffer: &wgpu::Buffer, len: usize) -> Vec<u64> {
    bits_of(&Tensor::from_buffer(gpu, buffer.clone(), 0, dtype, &[len]).unwrap())
}

pub(crate) fn slice(
    buffer: &wgpu::Buffer,
    dtype: DType,
    first: usize,
    len: usize,
) -> wgpu::BufferSlice<'_> {
    let size = dtype.size();
    buffer.slice((first * size) as u64..((first + len) * size) as u64)
}

pub(crate) fn submit(gpu: &Gpu, steps: &[&Step]) {
    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for step in steps {
            step.record(&mut pass);
        }
    }
    gpu.queue().submit([encoder.finish()]);
}

/// `varied` as bits of `dtype`, from its `skip`th on.
fn varied_bits(dtype: DType, skip: usize, len: usize) -> Vec<u64> {
    let values = varied(skip + len);
    values[skip..]
        .iter()
        .map(|&v| judge::bits(dtype, v.into()))
        .collect()
}

/// What an output holds before: a number that is no result.
fn poison(dtype: DType) -> u64 {
    judge::bits(dtype, -12345.5)
}

const ALPHA: f64 = 0.7;

fn prepare(
    kernel: &Kernel,
    op: Op,
    x: wgpu::BufferSlice<'_>,
    grad: wgpu::BufferSlice<'_>,
    y: wgpu::BufferSlice<'_>,
) -> Step {
    let step = match op {
        Op::Forward => kernel.prepare(ALPHA, x, y),
        Op::Backward => kernel.prepare_backward(ALPHA, x, grad, y),
        Op::BackwardFromOutput => kernel.prepare_backward_from_output(ALPHA, x, grad, y),
    };
    step.unwrap()
}

#[track_caller]
fn check(what: &str, kernel: &Kernel, op: Op, x: &[u64], grad: &[u64], y: &[u64]) {
    let judge = Judge {
        op,
        dtype: kernel.dtype(),
        factors: Factors::elu(ALPHA),
        on_gpu: true,
    };
    // Where results go is what counts here, and the oracle for float64 is slow.
    let few = if kernel.dtype() == DType::F64 {
        x.len().min(200)
    } else {
        x.len()
    };
    check_results(what, judge, &x[..few], &grad[..few], &y[..few]);
}

/// Where the three slices start, in elements.
type Firsts = [usize; 3];

/// Prepares, records and checks `len` elements from two buffers to a third, and that nothing around them is touched.
#[track_caller]
fn run(gpu: &Gpu, kernel: &Kernel, op: Op, what: &str, firsts: Firsts, len: usize) -> usize {
    let dtype = kernel.dtype();
    let [x_first, grad_first, y_first] = firsts;
    let x = varied_bits(dtype, 0, x_first + len + 5);
    let grad = varied_bits(dtype, 777, grad_first + len + 5);
    let x_buffer = buffer_of(gpu, dtype, &x, ALL);
    let grad_buffer = buffer_of(gpu, dtype, &grad, ALL);
    let poison = poison(dtype);
    let y_len = y_first + len + 5;
    let y_buffer = buffer_of(gpu, dtype, &vec![poison; y_len], ALL);
    let step = prepare(
        kernel,
        op,
        slice(&x_buffer, dtype, x_first, len),
        slice(&grad_buffer, dtype, grad_first, len),
        slice(&y_buffer, dtype, y_first, len),
    );
    submit(gpu, &[&step]);
    let what = format!("{what}, {len} elements from {x_first} and {grad_first} to {y_first}");
    let y = read(gpu, dtype, &y_buffer, y_len);
    let around = y[..y_first].iter().chain(&y[y_first + len..]);
    assert!(
        around.copied().all(|y| y == poison),
        "{what}: a neighbour was touched"
    );
    let (x, grad) = (
        &x[x_first..x_first + len],
        &grad[grad_first..grad_first + len],
    );
    check(&what, kernel, op, x, grad, &y[y_first..y_first + len]);
    step.dispatches()
}

/// So too within one buffer: `firsts` may be the same.
#[track_caller]
fn run_within(gpu: &Gpu, kernel: &Kernel, op: Op, what: &str, firsts: Firsts, len: usize) {
    let dtype = kernel.dtype();
    let [x_first, grad_first, y_first] = firsts;
    let before = varied_bits(dtype, 0, firsts.into_iter().max().unwrap() + len + 5);
    let buffer = buffer_of(gpu, dtype, &before, ALL);
    let [x, grad, y] = firsts.map(|first| slice(&buffer, dtype, first, len));
    submit(gpu, &[&prepare(kernel, op, x, grad, y)]);
    let what = format!("{what}, {op:?} of {len} {dtype} at {firsts:?} of one buffer");
    let after = read(gpu, dtype, &buffer, before.len());
    for (i, (before, after)) in before.iter().zip(&after).enumerate() {
        let within = (y_first..y_first + len).contains(&i);
        assert!(
            within || before == after,
            "{what}: neighbour {i} was touched"
        );
    }
    let (x, grad) = (
        &before[x_first..x_first + len],
        &before[grad_first..grad_first + len],
    );
    check(&what, kernel, op, x, grad, &after[y_first..y_first + len]);
}

/// A kernel for every dtype that the device has, and every operation.
fn on_every_kernel(gpu: &Gpu, test: impl Fn(&Kernel, Op)) {
    for dtype in DType::ALL {
        if supports(&Device::Gpu(gpu.clone()), dtype) {
            let kernel = Kernel::new(gpu.device(), dtype).unwrap();
            for op in Op::ALL {
                test(&kernel, op);
            }
        }
    }
}

#[test]
fn every_small_length_and_offset() {
    on_every_gpu(|gpu, name| {
        on_every_kernel(gpu, |kernel, op| {
            for len in 0..=67 {
                let dispatches = run(gpu, kernel, op, name, [0; 3], len);
                assert_eq!(dispatches == 0, len == 0);
                run(gpu, kernel, op, name, [1; 3], len);
            }
            for x_first in [0, 1, 3, 64, 65] {
                for y_first in [0, 1, 2, 7, 64] {
                    for len in [1, 4, 6, 301] {
                        let grad_first = (x_first * y_first + len) % 9;
                        run(gpu, kernel, op, name, [x_first, grad_first, y_first], len);
                    }
                }
            }
        });
    });
}

#[test]
fn around_workgroups_and_65535_of_them() {
    on_every_gpu(|gpu, name| {
        on_every_kernel(gpu, |kernel, op| {
            for around in [64, 256, 1024, 4096] {
                for len in around - 1..=around + 1 {
                    run(gpu, kernel, op, name, [0; 3], len);
                    run(gpu, kernel, op, name, [5, 5, 1], len);
                }
            }
        });
        // Element by element, a software renderer's workgroup does 64.
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        for len in [65_535 * 64 - 1, 65_535 * 64, 65_535 * 64 + 1] {
            let dispatches = run(gpu, &kernel, Op::Forward, name, [1, 0, 0], len);
            assert_eq!(dispatches, 1, "folded into rows, not cut");
        }
    });
}

#[test]
fn in_place_and_within_one_buffer() {
    on_every_gpu(|gpu, name| {
        on_every_kernel(gpu, |kernel, op| {
            for (first, len) in [(0, 64), (0, 1031), (1, 1), (3, 1000), (62, 9), (5, 0)] {
                // All three at one place, and the gradient in place.
                run_within(gpu, kernel, op, name, [first; 3], len);
                run_within(gpu, kernel, op, name, [first + len + 3, first, first], len);
            }
            for (firsts, len) in [
                ([0, 0, 1000], 1000),
                ([1000, 2000, 0], 1000),
                ([3, 3, 18], 15),
                ([7, 250, 107], 100),
                ([901, 0, 1801], 900),
            ] {
                run_within(gpu, kernel, op, name, firsts, len);
            }
        });
    });
}

/// Two of the three in one buffer, in every combination.
#[test]
fn inputs_that_share_a_buffer() {
    on_every_gpu(|gpu, name| {
        on_every_kernel(gpu, |kernel, op| {
            let (dtype, len) = (kernel.dtype(), 333);
            let before = varied_bits(dtype, 0, 800);
            for [one, other] in [[0, 400], [400, 1], [5, 5]] {
                let shared = buffer_of(gpu, dtype, &before, ALL);
                let own = buffer_of(gpu, dtype, &before, ALL);
                let (a, b) = (
                    slice(&shared, dtype, one, len),
                    slice(&shared, dtype, other, len),
                );
                let c = slice(&own, dtype, 2, len);
                // x and the gradient together; x and the output; the gradient and the output.
                for (i, [x, grad, y]) in [[a, b, c], [a, c, b], [c, a, b]].into_iter().enumerate() {
                    let first = |slice: wgpu::BufferSlice<'_>| {
                        usize::try_from(slice.offset()).unwrap() / dtype.size()
                    };
                    let [x_before, grad_before] = [x, grad].map(|slice| {
                        let bits = read(gpu, dtype, slice.buffer(), before.len());
                        bits[first(slice)..first(slice) + len].to_vec()
                    });
                    submit(gpu, &[&prepare(kernel, op, x, grad, y)]);
                    let after = read(gpu, dtype, y.buffer(), before.len());
                    let after = &after[first(y)..first(y) + len];
                    let what = format!("{name}, arrangement {i} at {one} and {other}");
                    check(&what, kernel, op, &x_before, &grad_before, after);
                }
            }
        });
    });
}

#[test]
fn a_device_with_default_limits_and_one_with_tiny_ones() {
    on_every_gpu(|gpu, name| {
        let default = with_limits(gpu, |_| wgpu::Limits::default());
        let kernel = Kernel::new(default.device(), DType::F32).unwrap();
        for firsts in [[0; 3], [3; 3], [2, 7, 5]] {
            for op in Op::ALL {
                run(&default, &kernel, op, name, firsts, 4099);
            }
        }
        // The bulk of an aligned run folds into rows, and is cut where nine workgroups of 8 x 4 vectors cannot hold it.
        let few_groups = with_limits(gpu, |limits| wgpu::Limits {
            max_compute_workgroups_per_dimension: 3,
            max_compute_invocations_per_workgroup: 8,
            max_compute_workgroup_size_x: 8,
            ..limits
        });
        let mut most = 0;
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let kernel = Kernel::new(few_groups.device(), dtype).unwrap();
            for len in [96, 100, 288, 384, 388, 1000, 1152, 1156, 5001] {
                most = most.max(run(&few_groups, &kernel, Op::Forward, name, [0; 3], len));
                run(&few_groups, &kernel, Op::Backward, name, [3, 4, 7], len);
            }
        }
        assert!(most > 2, "nothing was cut");
        let tiny = with_limits(gpu, |limits| wgpu::Limits {
            max_storage_buffer_binding_size: 1024,
            max_compute_workgroups_per_dimension: 3,
            max_compute_invocations_per_workgroup: 8,
            max_compute_workgroup_size_x: 8,
            max_storage_buffers_per_shader_stage: 3,
            min_storage_buffer_offset_alignment: 256,
            ..limits
        });
        for dtype in [DType::F32, DType::F16] {
            let kernel = Kernel::new(tiny.device(), dtype).unwrap();
            for firsts in [[0; 3], [1; 3], [63; 3], [0, 2, 1], [62, 62, 65]] {
                for len in [1, 4, 71, 72, 73, 255, 256, 257, 1000] {
                    run(&tiny, &kernel, Op::Forward, name, firsts, len);
                    run(&tiny, &kernel, Op::BackwardFromOutput, name, firsts, len);
                }
            }
        }
    });
}

#[test]
fn recordings_keep_their_own_alpha_and_can_be_repeated() {
    on_every_gpu(|gpu, name| {
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        let x = varied_bits(DType::F32, 0, 1001);
        let x_buffer = buffer_of(gpu, DType::F32, &x, ALL);
        let outputs = [0.25, 2.0].map(|alpha: f64| (alpha, buffer(gpu, &[-12345.5; 1001], ALL)));
        let steps = outputs.each_ref().map(|(alpha, y)| {
            kernel
                .prepare(*alpha, x_buffer.slice(..), y.slice(..))
                .unwrap()
        });
        submit(gpu, &[&steps[0], &steps[1], &steps[0]]);
        submit(gpu, &[&steps[1]]);
        drop(steps); // with its work in flight
        for (alpha, y_buffer) in &outputs {
            let judge = Judge {
                op: Op::Forward,
                dtype: DType::F32,
                factors: Factors::elu(*alpha),
                on_gpu: true,
            };
            let y = read(gpu, DType::F32, y_buffer, 1001);
            check_results(name, judge, &x, &[], &y);
        }
    });
}

/// Each refusal: which variant, in which words, and that the kernel works on.
#[test]
fn refusals() {
    let [gpu, other] = noop_pair();
    let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
    let host = || buffer(&gpu, &[0.0; 100], ALL);
    let (x, y) = (host(), host());
    let refused =
        |x: wgpu::BufferSlice<'_>, y: wgpu::BufferSlice<'_>| kernel.prepare(1.0, x, y).unwrap_err();

    let error = refused(x.slice(..16), y.slice(..20));
    assert!(matches!(
        error,
        Error::LengthMismatch {
            needed: 4,
            found: 5,
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        "the output must be as long as the input: needed 4 elements, found 5"
    );

    let error = refused(x.slice(2..18), y.slice(..16));
    assert!(matches!(
        error,
        Error::Misaligned {
            buffer: "x",
            needed: 4,
            offset: 2,
            size: 16
        }
    ));
    assert_eq!(
        error.to_string(),
        "x must start and end at a multiple of 4 bytes, found offset 2 and size 16"
    );
    let error = refused(x.slice(..16), y.slice(4..21));
    assert!(matches!(
        error,
        Error::Misaligned {
            buffer: "y",
            needed: 4,
            offset: 4,
            size: 17
        }
    ));

    let plain = buffer(&gpu, &[0.0; 100], BufferUsages::COPY_SRC);
    let error = refused(x.slice(..), plain.slice(..));
    assert!(matches!(error, Error::MissingUsage { buffer: "y", .. }));
    assert_eq!(
        error.to_string(),
        "y needs a buffer with usage BufferUsages(STORAGE), found BufferUsages(COPY_SRC)"
    );

    let error = refused(x.slice(..200), x.slice(100..300));
    assert!(
        matches!(&error, Error::Overlap { bytes, output, .. } if *bytes == (0..200) && *output == (100..300))
    );
    assert_eq!(
        error.to_string(),
        "input bytes 0..200 and output bytes 100..300 of the same buffer overlap; to work in place, prepare it in place"
    );

    let error = kernel
        .prepare_backward(1.0, y.slice(..200), x.slice(..200), x.slice(100..300))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "gradient bytes 0..200 and output bytes 100..300 of the same buffer overlap; to work in place, prepare it in place"
    );
    let error = kernel
        .prepare_backward(1.0, x.slice(..16), y.slice(..20), y.slice(20..36))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the gradient must be as long as the input: needed 4 elements, found 5"
    );
    let error = kernel
        .prepare_backward_from_output_in_place(-1.0, x.slice(..16), y.slice(..16))
        .unwrap_err();
    assert!(matches!(error, Error::NotInvertible { found: -1.0, .. }));

    // A buffer may end within the word that its last half belongs to.
    let halves = Kernel::new(gpu.device(), DType::F16).unwrap();
    let odd = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 6,
        usage: ALL,
        mapped_at_creation: false,
    });
    let error = halves
        .prepare(1.0, odd.slice(..), y.slice(..6))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::PartialWord {
            buffer: "x",
            needed: 8,
            found: 6
        }
    ));
    assert_eq!(
        error.to_string(),
        "x needs a buffer of 8 bytes, since GPUs bind whole words, found 6"
    );
    assert!(halves.prepare(1.0, odd.slice(..4), y.slice(..4)).is_ok());

    let foreign = buffer(&other, &[0.0; 100], ALL);
    let error = refused(x.slice(..), foreign.slice(..));
    assert!(matches!(&error, Error::Refused { what, .. } if what == "a bind group"));
    assert!(
        error.to_string().starts_with("wgpu refused a bind group: "),
        "{error}"
    );
    assert!(!error.to_string().contains('\n'), "{error}");

    assert_eq!(
        kernel
            .prepare(1.0, x.slice(..), y.slice(..))
            .unwrap()
            .dispatches(),
        1,
        "the kernel works on"
    );
}

#[test]
fn limits_that_are_too_small() {
    let without = |change: fn(&mut wgpu::Limits)| {
        let mut limits = wgpu::Limits::default();
        change(&mut limits);
        noop(limits)
    };
    let gpu = without(|limits| limits.max_compute_invocations_per_workgroup = 0);
    let error = Kernel::new(gpu.device(), DType::F32).unwrap_err();
    assert!(matches!(
        error,
        Error::Limit {
            needed: 1,
            found: 0,
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        "the device's limit max_compute_invocations_per_workgroup is 0, needed at least 1"
    );

    let gpu = without(|limits| limits.max_storage_buffers_per_shader_stage = 1);
    let error = Kernel::new(gpu.device(), DType::F32).unwrap_err();
    assert!(matches!(
        error,
        Error::Limit {
            limit: "max_storage_buffers_per_shader_stage",
            needed: 2,
            found: 1
        }
    ));

    let gpu = without(|limits| limits.max_bindings_per_bind_group = 3);
    let error = Kernel::new(gpu.device(), DType::F32).unwrap_err();
    assert!(matches!(
        error,
        Error::Limit {
            limit: "max_bindings_per_bind_group",
            needed: 4,
            found: 3
        }
    ));

    // Limits without an end overflow nothing.
    let gpu = noop(wgpu::Limits::unlimited());
    let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
    let x = buffer(&gpu, &[0.0; 1000], ALL);
    assert_eq!(
        kernel
            .prepare_in_place(1.0, x.slice(..))
            .unwrap()
            .dispatches(),
        1
    );

    // Two slices of one buffer must fit in a binding together.
    let gpu = without(|limits| limits.max_storage_buffer_binding_size = 1024);
    let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
    let arena = buffer(&gpu, &[0.0; 1000], ALL);
    let error = kernel
        .prepare(1.0, arena.slice(..400), arena.slice(3600..))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Limit {
            limit: "max_storage_buffer_binding_size",
            found: 1024,
            ..
        }
    ));
    assert!(
        kernel
            .prepare(1.0, arena.slice(..400), arena.slice(400..800))
            .is_ok()
    );
}

/// What a host would write by hand: one bind group, one dispatch.
struct ByHand {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
}

impl ByHand {
    fn new(gpu: &Gpu, buffers: [&wgpu::Buffer; 3]) -> Self {
        let source = "
            @group(0) @binding(0) var<uniform> alpha: f32;
            @group(0) @binding(1) var<storage, read> x: array<f32>;
            @group(0) @binding(2) var<storage, read_write> y: array<f32>;
            @compute @workgroup_size(64)
            fn elu(@builtin(global_invocation_id) id: vec3<u32>) {
                if id.x < arrayLength(&x) { y[id.x] = select(alpha * (exp(x[id.x]) - 1.0), x[id.x], x[id.x] > 0.0); }
            }";
        let device = gpu.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self {
            pipeline,
            bind_group,
        }
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
}

#[test]
fn recording_allocates_no_more_than_the_same_calls_by_hand() {
    let gpu = noop(wgpu::Limits::default());
    let buffer = |usage| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4096,
            usage,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (buffer(BufferUsages::STORAGE), buffer(BufferUsages::STORAGE));
    let uniform = buffer(BufferUsages::UNIFORM);
    let by_hand = ByHand::new(&gpu, [&uniform, &x, &y]);
    let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
    let step = kernel.prepare(1.0, x.slice(..), y.slice(..)).unwrap();
    assert_eq!(step.dispatches(), 1);

    let allocations = |record: &dyn Fn(&mut wgpu::ComputePass<'_>)| {
        let mut encoder = gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        // wgpu's own list of commands grows now and then.
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                record(&mut pass);
            }
        });
        (counted.count_total, counted.bytes_total)
    };
    let by_hand = allocations(&|pass| by_hand.record(pass));
    assert!(by_hand.0 > 0, "nothing is counted");
    assert_eq!(allocations(&|pass| step.record(pass)), by_hand);
}
