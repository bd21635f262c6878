//! Tests of kernels on a device without a driver: errors, limits, and the cost of recording.

use wgpu_elu::{
    DType, Error, Gpu, Kernel, Op, Role,
    wgpu::{self, BufferUsages},
};

use conformance::{
    native::{noop, noop_pair},
    slices::{ALL, buffer},
};

/// A kernel for float32 on a device without a driver, with two buffers of 100 elements.
struct Host {
    gpu: Gpu,
    kernel: Kernel,
    x: wgpu::Buffer,
    y: wgpu::Buffer,
}

impl Host {
    fn new() -> Self {
        Self::on(noop(wgpu::Limits::default()))
    }

    fn on(gpu: Gpu) -> Self {
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        let [x, y] = [(); 2].map(|()| buffer(&gpu, &[0.0; 100], ALL));
        Self { gpu, kernel, x, y }
    }

    /// Returns the error for these slices, and checks that the kernel still works.
    fn refuses(&self, x: wgpu::BufferSlice<'_>, y: wgpu::BufferSlice<'_>) -> Error {
        let error = self.kernel.prepare(1.0, x, y).unwrap_err();
        let step = self.kernel.prepare(1.0, self.x.slice(..), self.y.slice(..));
        assert_eq!(
            step.unwrap().dispatches(),
            1,
            "the kernel does not work after an error"
        );
        error
    }
}

#[test]
fn slices_of_different_lengths_are_refused() {
    let host = Host::new();
    let (x, y) = (&host.x, &host.y);
    let error = host.refuses(x.slice(..16), y.slice(..20));
    assert!(matches!(
        error,
        Error::LengthMismatch {
            role: Role::Output,
            needed: 4,
            found: 5
        }
    ));
    assert_eq!(
        error.to_string(),
        "the output must be as long as the input: needed 4 elements, found 5"
    );
    let error = host
        .kernel
        .prepare_backward(1.0, x.slice(..16), y.slice(..20), y.slice(20..36))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the gradient must be as long as the input: needed 4 elements, found 5"
    );
}

#[test]
fn slices_that_cut_an_element_are_refused() {
    let host = Host::new();
    let error = host.refuses(host.x.slice(2..18), host.y.slice(..16));
    assert!(matches!(
        error,
        Error::Misaligned {
            role: Role::Input,
            needed: 4,
            offset: 2,
            size: 16
        }
    ));
    assert_eq!(
        error.to_string(),
        "the input must start and end at a multiple of 4 bytes, found offset 2 and size 16"
    );
    let error = host.refuses(host.x.slice(..16), host.y.slice(4..21));
    assert!(matches!(
        error,
        Error::Misaligned {
            role: Role::Output,
            needed: 4,
            offset: 4,
            size: 17
        }
    ));
}

#[test]
fn buffers_without_storage_usage_are_refused() {
    let host = Host::new();
    let check = |usages, found| {
        let other = buffer(&host.gpu, &[0.0; 100], usages);
        let error = host.refuses(host.x.slice(..), other.slice(..));
        assert!(matches!(
            error,
            Error::MissingUsage {
                role: Role::Output,
                ..
            }
        ));
        let text = format!("the output needs a buffer with usage STORAGE, found {found}");
        assert_eq!(error.to_string(), text);
    };
    check(BufferUsages::COPY_SRC, "COPY_SRC");
    check(
        BufferUsages::COPY_SRC | BufferUsages::UNIFORM,
        "COPY_SRC | UNIFORM",
    );
}

#[test]
fn slices_that_partly_overlap_are_refused() {
    let host = Host::new();
    let (x, y) = (&host.x, &host.y);
    let error = host.refuses(x.slice(..200), x.slice(100..300));
    assert!(
        matches!(&error, Error::Overlap { role: Role::Input, bytes, output } if *bytes == (0..200) && *output == (100..300))
    );
    assert_eq!(
        error.to_string(),
        "the input (bytes 0..200) and the output (bytes 100..300) overlap in one buffer; to work in place, pass the same slice"
    );
    let error = host
        .kernel
        .prepare_backward(1.0, y.slice(..200), x.slice(..200), x.slice(100..300))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the gradient (bytes 0..200) and the output (bytes 100..300) overlap in one buffer; to work in place, pass the same slice"
    );
}

#[test]
fn factors_that_cannot_be_inverted_are_refused() {
    let host = Host::new();
    let (x, y) = (host.x.slice(..16), host.y.slice(..16));
    let error = host
        .kernel
        .prepare_backward_from_output_in_place(-1.0, x, y);
    assert!(matches!(
        error,
        Err(Error::NotInvertible { found: -1.0, .. })
    ));
    let error = host
        .kernel
        .prepare_op(Op::BackwardFromOutput, 0.0, x, Some(y), y);
    assert!(matches!(
        error,
        Err(Error::NotInvertible { found: 0.0, .. })
    ));
}

#[test]
fn a_wrong_number_of_inputs_is_refused() {
    let host = Host::new();
    let (x, y) = (host.x.slice(..16), host.y.slice(..16));
    for (op, grad, text) in [
        (Op::Forward, Some(y), "forward takes 1 input, found 2"),
        (Op::Backward, None, "backward takes 2 inputs, found 1"),
        (
            Op::BackwardFromOutput,
            None,
            "backward-from-output takes 2 inputs, found 1",
        ),
    ] {
        let error = host.kernel.prepare_op(op, 1.0, x, grad, y).unwrap_err();
        assert!(matches!(error, Error::Inputs { .. }), "{error}");
        assert_eq!(error.to_string(), text);
    }
}

/// A buffer of 16-bit elements may end in the middle of a 32-bit word, which a GPU cannot bind.
#[test]
fn a_buffer_that_ends_within_a_word_is_refused() {
    let host = Host::new();
    let halves = Kernel::new(host.gpu.device(), DType::F16).unwrap();
    let odd = host.gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 6,
        usage: ALL,
        mapped_at_creation: false,
    });
    let error = halves
        .prepare(1.0, odd.slice(..), host.y.slice(..6))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::PartialWord {
            role: Role::Input,
            needed: 8,
            found: 6
        }
    ));
    assert_eq!(
        error.to_string(),
        "the input needs a buffer of 8 bytes, since GPUs bind whole words, found 6"
    );
    let step = halves.prepare(1.0, odd.slice(..4), host.y.slice(..4));
    assert_eq!(step.unwrap().dispatches(), 1);
}

#[test]
fn a_buffer_of_another_device_is_refused() {
    let [gpu, other] = noop_pair();
    let host = Host::on(gpu);
    let foreign = buffer(&other, &[0.0; 100], ALL);
    let error = host.refuses(host.x.slice(..), foreign.slice(..));
    assert!(matches!(&error, Error::Refused { what, .. } if what == "a bind group"));
    assert!(
        error.to_string().starts_with("wgpu refused a bind group: "),
        "{error}"
    );
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn limits_that_are_too_small_are_reported() {
    let with_changed = |change: fn(&mut wgpu::Limits)| {
        let mut limits = wgpu::Limits::default();
        change(&mut limits);
        noop(limits)
    };
    let gpu = with_changed(|limits| limits.max_compute_invocations_per_workgroup = 0);
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

    let gpu = with_changed(|limits| limits.max_storage_buffers_per_shader_stage = 1);
    let error = Kernel::new(gpu.device(), DType::F32).unwrap_err();
    assert!(matches!(
        error,
        Error::Limit {
            limit: "max_storage_buffers_per_shader_stage",
            needed: 2,
            found: 1
        }
    ));

    let gpu = with_changed(|limits| limits.max_bindings_per_bind_group = 3);
    let error = Kernel::new(gpu.device(), DType::F32).unwrap_err();
    assert!(matches!(
        error,
        Error::Limit {
            limit: "max_bindings_per_bind_group",
            needed: 4,
            found: 3
        }
    ));

    // Arithmetic with unlimited limits must not overflow.
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

    // Two slices of one buffer share a binding, so their distance counts, too.
    let gpu = with_changed(|limits| limits.max_storage_buffer_binding_size = 1024);
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

/// What a host would write by hand: one bind group and one dispatch.
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
        // Records many times, because wgpu's own list of commands grows only occasionally.
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                record(&mut pass);
            }
        });
        (counted.count_total, counted.bytes_total)
    };
    let by_hand = allocations(&|pass| by_hand.record(pass));
    assert!(by_hand.0 > 0, "no allocations were counted");
    assert_eq!(allocations(&|pass| step.record(pass)), by_hand);
}
