//! Measures ELU next to a copy of the same bytes in the same run. A copy is the ceiling for work that memory limits.
//!
//! - `cpu`: slices in memory.
//! - `kernel`: tensors on the GPU, submit and wait.
//! - `round_trip`: from a slice to a vector.
//! - `stream`: from slice to slice in chunks, during which upload, kernel and download overlap, next to each of the
//!   three alone.
//! - `penalty`: a tensor's penalty on the GPU, submitted and read, next to a download of the tensor; and a slice's
//!   penalty next to a copy of the slice.
//! - `step`: creating a kernel, its first step, recording, and preparing another step, the last two next to the same
//!   wgpu calls by hand.
//! - `layer`: a layer's call next to the forward that it makes.
//! - `small`: one `Elu::forward` of a small tensor, next to the same wgpu calls by hand; and on the CPU next to the
//!   slice function, an allocation, and moving a vector into a tensor and out again.
//!
//! Bytes are those read plus those written. `WGPU_ADAPTER_NAME` selects the adapter.

#![allow(
    missing_docs,
    reason = "criterion_group generates a function without docs"
)]

use std::{hint::black_box, sync::LazyLock, time::Duration};

use criterion::{
    BatchSize, Bencher, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group,
    criterion_main, measurement::WallTime,
};
use elu_cli::timing::{CpuCopy, ShaderCopy, random_inputs};
use wgpu_elu::{
    DType, Device, Elu, Gpu, Kernel, Layer, Op, Regularizer, Rounding, Stream, Tensor, cpu,
    device::Request,
    reference,
    shader::{
        self, Factors32, PARAMS_BINDING, Params, Shape, Shared, Specialization, VECTORS, X_BINDING,
        Y_BINDING, uniform_size,
    },
    wgpu::{self, util::DeviceExt},
};

const LENGTHS: [usize; 8] = [
    1 << 12,
    1 << 14,
    1 << 16,
    1 << 18,
    1 << 20,
    1 << 22,
    1 << 24,
    1 << 26,
];
const ALPHA: f64 = 1.0;

/// Opened when a benchmark first runs, so that listing the benchmarks is immediate.
static GPU: LazyLock<Gpu> = LazyLock::new(|| {
    let request = match Request::from_env().expect("WGPU_ADAPTER_NAME is valid UTF-8") {
        Request::Auto => Request::Gpu,
        named => named,
    };
    let (device, _) = Device::select_blocking(&request).unwrap();
    eprintln!(
        "GPU benchmarks on {device}, CPU benchmarks on {}",
        Device::Cpu
    );
    match device {
        Device::Gpu(gpu) => gpu,
        Device::Cpu => unreachable!("a GPU was requested"),
    }
});

/// Checks the results before they are timed.
fn confirm(x: &[f32], y: &[f32]) {
    for (&x, &y) in x.iter().zip(y).step_by(101) {
        assert!(
            (f64::from(y) - reference::elu(x.into(), ALPHA)).abs() < 1e-7,
            "x {x}, y {y}"
        );
    }
}

fn for_lengths(
    c: &mut Criterion,
    name: &str,
    bench: impl Fn(&mut BenchmarkGroup<'_, WallTime>, usize),
) {
    let mut group = c.benchmark_group(name);
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    for len in LENGTHS {
        group.throughput(Throughput::Bytes(2 * 4 * len as u64));
        bench(&mut group, len);
    }
    group.finish();
}

fn bench_cpu(c: &mut Criterion) {
    for_lengths(c, "cpu", |group, len| {
        let x = random_inputs(len);
        let mut y = vec![0.0; len];
        group.bench_function(BenchmarkId::new("elu", len), |b| {
            cpu::forward(ALPHA, &x, &mut y).unwrap();
            confirm(&x, &y);
            b.iter(|| cpu::forward(ALPHA, black_box(&x), &mut y).unwrap());
        });
        for copy in CpuCopy::ALL {
            group.bench_function(BenchmarkId::new(copy.name(), len), |b| {
                b.iter(|| copy.run(black_box(&x), &mut y));
            });
        }
    });
}

fn bench_kernel(c: &mut Criterion) {
    for_lengths(c, "kernel", |group, len| {
        group.bench_function(BenchmarkId::new("elu", len), |b| {
            let (x, y) = tensors(len);
            let kernel = Kernel::new(GPU.device(), DType::F32).unwrap();
            let step = kernel
                .prepare(
                    ALPHA,
                    x.as_buffer_slice().unwrap(),
                    y.as_buffer_slice().unwrap(),
                )
                .unwrap();
            submit_and_wait(|encoder| {
                step.record(
                    &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
                )
            });
            confirm(&random_inputs(len), &y.to_vec_blocking().unwrap());
            b.iter(|| {
                submit_and_wait(|encoder| {
                    step.record(
                        &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
                    )
                });
            });
        });
        group.bench_function(BenchmarkId::new("in_place", len), |b| {
            let (x, _) = tensors(len);
            let kernel = Kernel::new(GPU.device(), DType::F32).unwrap();
            let step = kernel
                .prepare_in_place(ALPHA, x.as_buffer_slice().unwrap())
                .unwrap();
            let run = || {
                submit_and_wait(|encoder| {
                    step.record(
                        &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
                    )
                });
            };
            run();
            confirm(&random_inputs(len), &x.to_vec_blocking().unwrap());
            b.iter(run);
        });
        group.bench_function(BenchmarkId::new("shader_copy", len), |b| {
            let (x, y) = tensors(len);
            let (x_bytes, y_bytes) = (x.as_buffer_slice().unwrap(), y.as_buffer_slice().unwrap());
            let copy = ShaderCopy::new(&GPU, x_bytes, None, y_bytes);
            let run = || {
                submit_and_wait(|encoder| {
                    copy.record(
                        &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
                    )
                });
            };
            run();
            assert_eq!(y.to_vec_blocking::<f32>().unwrap(), random_inputs(len));
            b.iter(run);
        });
        group.bench_function(BenchmarkId::new("buffer_copy", len), |b| {
            let (x, y) = tensors(len);
            let (x, y) = (x.as_buffer_slice().unwrap(), y.as_buffer_slice().unwrap());
            b.iter(|| {
                submit_and_wait(|encoder| {
                    encoder.copy_buffer_to_buffer(x.buffer(), 0, y.buffer(), 0, x.size())
                })
            });
        });
    });
}

fn bench_round_trip(c: &mut Criterion) {
    for_lengths(c, "round_trip", |group, len| {
        let x = random_inputs(len);
        group.bench_function(BenchmarkId::new("elu", len), |b| {
            let device = Device::Gpu(GPU.clone());
            let run = || {
                let mut x = Tensor::from_slice(&device, black_box(&x), &[len]).unwrap();
                Elu::new(ALPHA).forward_in_place(&mut x).unwrap();
                x.to_vec_blocking::<f32>().unwrap()
            };
            confirm(&x, &run());
            b.iter(run);
        });
        group.bench_function(BenchmarkId::new("copy", len), |b| {
            let device = Device::Gpu(GPU.clone());
            b.iter(|| {
                let x = Tensor::from_slice(&device, black_box(&x), &[len]).unwrap();
                x.to_vec_blocking::<f32>().unwrap()
            });
        });
    });
}

fn bench_penalty(c: &mut Criterion) {
    const FACTOR: f64 = Regularizer::DEFAULT_FACTOR;
    for_lengths(c, "penalty", |group, len| {
        let y = random_inputs(len);
        // The bytes that a penalty reads.
        group.throughput(Throughput::Bytes(4 * len as u64));
        group.bench_function(BenchmarkId::new("gpu", len), |b| {
            let (y, _) = tensors(len);
            let regularizer = Regularizer::L2(FACTOR);
            let run = || {
                regularizer
                    .penalty(&y)
                    .unwrap()
                    .to_vec_blocking::<f32>()
                    .unwrap()[0]
            };
            let exact = random_inputs(len)
                .iter()
                .map(|&y| f64::from(y).powi(2))
                .sum::<f64>()
                * FACTOR;
            let penalty = f64::from(run());
            assert!(
                (penalty / exact - 1.0).abs() < 1e-6,
                "penalty {penalty}, exact {exact}"
            );
            b.iter(run);
        });
        group.bench_function(BenchmarkId::new("download", len), |b| {
            let (y, _) = tensors(len);
            b.iter(|| y.to_vec_blocking::<f32>().unwrap());
        });
        group.bench_function(BenchmarkId::new("cpu", len), |b| {
            b.iter(|| cpu::penalty(0.0, FACTOR, black_box(&y)));
        });
        let mut copy = vec![0.0; len];
        for kind in CpuCopy::ALL {
            group.bench_function(BenchmarkId::new(kind.name(), len), |b| {
                b.iter(|| kind.run(black_box(&y), &mut copy));
            });
        }
    });
}

/// Measures creating a kernel, its first step, which compiles, and recording (a thousand times) and preparing a step,
/// next to the same wgpu calls by hand. Set `MESA_SHADER_CACHE_DISABLE=true`, so that Mesa compiles every time.
fn bench_step(c: &mut Criterion) {
    const RECORDINGS: u64 = 1000;
    let mut group = c.benchmark_group("step");
    group.throughput(Throughput::Elements(RECORDINGS));
    let record = |b: &mut Bencher<'_>, record: &dyn Fn(&mut wgpu::ComputePass<'_>)| {
        let device = GPU.device();
        b.iter_batched(
            || device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default()),
            |mut encoder| {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                for _ in 0..RECORDINGS {
                    record(&mut pass);
                }
                drop(pass);
                encoder
            },
            BatchSize::SmallInput,
        );
    };
    let (x, y) = tensors(1 << 12);
    let bytes = |tensor: &Tensor| tensor.as_buffer_slice().unwrap().buffer().clone();
    let (x_buffer, y_buffer) = (bytes(&x), bytes(&y));
    let new = || Kernel::new(GPU.device(), DType::F32).unwrap();
    let prepare = |kernel: &Kernel| {
        kernel
            .prepare(ALPHA, x_buffer.slice(..), y_buffer.slice(..))
            .unwrap()
    };
    let kernel = new();
    let step = prepare(&kernel);
    let copy = ShaderCopy::new(&GPU, x_buffer.slice(..), None, y_buffer.slice(..));
    group.bench_function("record", |b| record(b, &|pass| step.record(pass)));
    // `ShaderCopy::record` makes the same wgpu calls as `Step::record`.
    group.bench_function("record_by_hand", |b| record(b, &|pass| copy.record(pass)));
    group.throughput(Throughput::Elements(1));
    group.bench_function("kernel_new", |b| b.iter(new));
    group.bench_function("first_prepare", |b| {
        b.iter_batched_ref(new, |kernel| prepare(kernel), BatchSize::SmallInput);
    });
    group.bench_function("prepare", |b| b.iter(|| prepare(&kernel)));
    let layout = layout_by_hand();
    group.bench_function("prepare_by_hand", |b| {
        b.iter(|| {
            let contents = [0; uniform_size(DType::F32)];
            let uniform = GPU
                .device()
                .create_buffer_init(&wgpu::util::BufferInitDescriptor {
                    label: None,
                    contents: &contents,
                    usage: wgpu::BufferUsages::UNIFORM,
                });
            let buffers = [
                (PARAMS_BINDING, &uniform),
                (X_BINDING, &x_buffer),
                (Y_BINDING, &y_buffer),
            ];
            let entries = buffers.map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            });
            GPU.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout,
                entries: &entries,
            })
        });
    });
    group.finish();
}

fn layout_by_hand() -> wgpu::BindGroupLayout {
    let entries = [
        (PARAMS_BINDING, wgpu::BufferBindingType::Uniform),
        (
            X_BINDING,
            wgpu::BufferBindingType::Storage { read_only: true },
        ),
        (
            Y_BINDING,
            wgpu::BufferBindingType::Storage { read_only: false },
        ),
    ]
    .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    });
    GPU.device()
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: None,
            entries: &entries,
        })
}

/// Measures what a layer costs in addition to `Elu`. This cost does not depend on the size.
fn bench_layer(c: &mut Criterion) {
    let mut group = c.benchmark_group("layer");
    for len in [1, 1 << 10, 1 << 16] {
        let x = Tensor::from_vec(&Device::Cpu, random_inputs(len), &[len]).unwrap();
        let elu = Elu::new(ALPHA);
        group.bench_function(BenchmarkId::new("forward", len), |b| {
            b.iter(|| elu.forward(black_box(&x)).unwrap());
        });
        let layer = Layer::new(ALPHA).unwrap();
        group.bench_function(BenchmarkId::new("call", len), |b| {
            confirm(
                &random_inputs(len),
                &layer.call(&x).unwrap().to_vec_blocking().unwrap(),
            );
            b.iter(|| layer.call(black_box(&x)).unwrap());
        });
    }
    group.finish();
}

/// Measures what one call costs for a small tensor, from the call to the result.
fn bench_small(c: &mut Criterion) {
    let mut group = c.benchmark_group("small");
    let len = 1 << 12;
    let elu = Elu::new(ALPHA);
    let x = random_inputs(len);
    group.bench_function("gpu", |b| {
        let (x, _) = tensors(len);
        let run = || elu.forward(&x).unwrap().to_vec_blocking::<f32>().unwrap();
        confirm(&random_inputs(len), &run());
        b.iter(run);
    });
    group.bench_function("gpu_by_hand", |b| {
        let (x, _) = tensors(len);
        let (by_hand, x) = (ByHand::new(), x.as_buffer_slice().unwrap().buffer().clone());
        confirm(&random_inputs(len), &by_hand.forward(&x));
        b.iter(|| by_hand.forward(&x));
    });
    for len in [1, 1 << 6, 1 << 10, 1 << 12] {
        let tensor = Tensor::from_slice(&Device::Cpu, &x[..len], &[len]).unwrap();
        group.bench_function(BenchmarkId::new("cpu", len), |b| {
            b.iter(|| elu.forward(black_box(&tensor)).unwrap());
        });
        group.bench_function(BenchmarkId::new("cpu_in_place", len), |b| {
            let mut tensor = tensor.clone();
            // The first call gives the tensor its own memory.
            elu.forward_in_place(&mut tensor).unwrap();
            b.iter(|| elu.forward_in_place(black_box(&mut tensor)).unwrap());
        });
        group.bench_function(BenchmarkId::new("cpu_slice", len), |b| {
            let mut y = vec![0.0; len];
            b.iter(|| cpu::forward(elu, black_box(&x[..len]), &mut y).unwrap());
        });
        group.bench_function(BenchmarkId::new("allocation", len), |b| {
            b.iter(|| black_box(vec![0f32; black_box(len)]));
        });
        group.bench_function(BenchmarkId::new("into_tensor_and_back", len), |b| {
            let mut values = x[..len].to_vec();
            b.iter(|| {
                let values = &mut values;
                let moved = black_box(std::mem::take(values));
                let tensor = Tensor::from_vec(&Device::Cpu, moved, &[len]).unwrap();
                *values = black_box(tensor).into_vec_blocking().unwrap();
            });
        });
    }
    group.finish();
}

/// `Elu::forward` and `Tensor::to_vec_blocking` for float32, written with wgpu alone: the same shader, buffers, bindings and
/// dispatch, and the same two submissions.
struct ByHand {
    layout: wgpu::BindGroupLayout,
    pipeline: wgpu::ComputePipeline,
    shape: Shape,
}

impl ByHand {
    fn new() -> Self {
        let device = GPU.device();
        let source = shader::source(
            DType::F32,
            Op::Forward,
            Rounding::Faithful,
            Shared::default(),
        );
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.unwrap().into()),
        });
        let layout = layout_by_hand();
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let shape = Shape::for_device(GPU.info().device_type, &device.limits());
        let mut constants = shape.constants(VECTORS);
        constants.extend(Specialization::new(DType::F32, Op::Forward, ALPHA).constants());
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(VECTORS),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Self {
            layout,
            pipeline,
            shape,
        }
    }

    /// Computes ELU of all floats in the buffer. Their number must be a multiple of 4, for which one row of workgroups
    /// is enough.
    fn forward(&self, x: &wgpu::Buffer) -> Vec<f32> {
        use wgpu::BufferUsages as Usage;
        let device = GPU.device();
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: x.size(),
                usage,
                mapped_at_creation: false,
            })
        };
        let y = buffer(Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST);
        let count = u32::try_from(x.size() / 16).unwrap();
        let groups = count.div_ceil(self.shape.workgroup_size * self.shape.vectors_per_invocation);
        let params = Params {
            count,
            groups_per_row: groups,
            ..Params::default()
        };
        let factors = Factors32::new(Elu::new(ALPHA).factors(), Op::Forward);
        let contents = [bytemuck::bytes_of(&params), bytemuck::bytes_of(&factors)].concat();
        let uniform = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: &contents,
            usage: Usage::UNIFORM,
        });
        let buffers = [(PARAMS_BINDING, &uniform), (X_BINDING, x), (Y_BINDING, &y)];
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &buffers.map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            }),
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(groups, 1, 1);
        drop(pass);
        GPU.queue().submit([encoder.finish()]);

        let download = buffer(Usage::MAP_READ | Usage::COPY_DST);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&y, 0, &download, 0, y.size());
        GPU.queue().submit([encoder.finish()]);
        map(&download, wgpu::MapMode::Read);
        let view = download.slice(..).get_mapped_range().unwrap();
        bytemuck::pod_collect_to_vec(&view)
    }
}

fn bench_stream(c: &mut Criterion) {
    const LEN: usize = 1 << 26;
    let mut group = c.benchmark_group("stream");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(2 * 4 * LEN as u64));
    group.bench_function(BenchmarkId::new("elu", LEN), |b| {
        let device = Device::Gpu(GPU.clone());
        let (x, mut y) = (random_inputs(LEN), vec![0.0; LEN]);
        let mut stream = Stream::new(&device, Elu::new(ALPHA), DType::F32).unwrap();
        stream.forward_slice_blocking(&x, &mut y).unwrap();
        confirm(&x, &y);
        b.iter(|| {
            stream
                .forward_slice_blocking(black_box(&x), &mut y)
                .unwrap();
        });
    });
    group.bench_function(BenchmarkId::new("copy_in", LEN), |b| {
        let (x, buffers) = (random_inputs(LEN), StreamBuffers::new(LEN));
        b.iter(|| buffers.copy_in(black_box(&x)));
    });
    group.bench_function(BenchmarkId::new("kernel", LEN), |b| {
        let buffers = StreamBuffers::new(LEN);
        buffers.copy_in(&random_inputs(LEN));
        let kernel = Kernel::new(GPU.device(), DType::F32).unwrap();
        let step = kernel
            .prepare_in_place(ALPHA, buffers.device.slice(..))
            .unwrap();
        b.iter(|| {
            submit_and_wait(|encoder| {
                step.record(
                    &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
                )
            });
        });
    });
    group.bench_function(BenchmarkId::new("copy_out", LEN), |b| {
        let (x, mut y, buffers) = (random_inputs(LEN), vec![0.0; LEN], StreamBuffers::new(LEN));
        buffers.copy_in(&x);
        buffers.copy_out(&mut y);
        assert_eq!(x, y);
        b.iter(|| buffers.copy_out(black_box(&mut y)));
    });
    group.finish();
}

/// Buffers for the whole data: one that the CPU writes, one that the kernel works on, and one that the CPU reads. They
/// are the same buffer if the device supports that.
struct StreamBuffers {
    upload: wgpu::Buffer,
    device: wgpu::Buffer,
    download: wgpu::Buffer,
}

impl StreamBuffers {
    fn new(len: usize) -> Self {
        use wgpu::BufferUsages as Usage;
        let buffer = |usage| {
            GPU.device().create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 4 * len as u64,
                usage,
                mapped_at_creation: false,
            })
        };
        let mappable = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        if GPU.device().features().contains(mappable) {
            let shared = buffer(Usage::STORAGE | Usage::MAP_WRITE | Usage::MAP_READ);
            Self {
                upload: shared.clone(),
                device: shared.clone(),
                download: shared,
            }
        } else {
            Self {
                upload: buffer(Usage::MAP_WRITE | Usage::COPY_SRC),
                device: buffer(Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST),
                download: buffer(Usage::MAP_READ | Usage::COPY_DST),
            }
        }
    }

    fn copy_in(&self, x: &[f32]) {
        map(&self.upload, wgpu::MapMode::Write);
        let mut view = self.upload.slice(..).get_mapped_range_mut().unwrap();
        view.copy_from_slice(bytemuck::cast_slice(x));
        drop(view);
        self.upload.unmap();
        copy(&self.upload, &self.device);
    }

    fn copy_out(&self, y: &mut [f32]) {
        copy(&self.device, &self.download);
        map(&self.download, wgpu::MapMode::Read);
        let view = self.download.slice(..).get_mapped_range().unwrap();
        y.copy_from_slice(bytemuck::cast_slice(&view));
        drop(view);
        self.download.unmap();
    }
}

fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode) {
    buffer.slice(..).map_async(mode, |mapped| mapped.unwrap());
    GPU.device()
        .poll(wgpu::PollType::wait_indefinitely())
        .unwrap();
}

fn copy(from: &wgpu::Buffer, to: &wgpu::Buffer) {
    if from != to {
        submit_and_wait(|encoder| encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size()));
    }
}

fn tensors(len: usize) -> (Tensor, Tensor) {
    let device = Device::Gpu(GPU.clone());
    let x = Tensor::from_vec(&device, random_inputs(len), &[len]).unwrap();
    (x, Tensor::zeros(&device, DType::F32, &[len]).unwrap())
}

fn submit_and_wait(record: impl FnOnce(&mut wgpu::CommandEncoder)) {
    let mut encoder = GPU
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    record(&mut encoder);
    GPU.queue().submit([encoder.finish()]);
    GPU.device()
        .poll(wgpu::PollType::wait_indefinitely())
        .unwrap();
}

criterion_group!(
    benches,
    bench_cpu,
    bench_kernel,
    bench_round_trip,
    bench_stream,
    bench_penalty,
    bench_step,
    bench_layer,
    bench_small
);
criterion_main!(benches);
