//! The embed contract, without a driver: refusals, limits, error scopes, and what recording costs.

use wgpu_elu::{
    DType, Error, Gpu, Kernel,
    wgpu::{self, BufferUsages},
};

use crate::{
    common::{noop, noop_pair},
    slices::{ALL, buffer},
};

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
