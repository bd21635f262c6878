//! Tests of the rules of docs/embedding.md from the side of the host, the app that lends its device: the host's
//! callbacks and error scopes, lost devices, dropped objects, profiling, and labels.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use wgpu_elu::{
    DType, Device, Elu, Error, Gpu, Kernel, Layer, Op, Regularizer, Result, Step, Stream, Tensor,
    wgpu::{self, BufferUsages},
};
use wgpu_profiler::{GpuProfiler, GpuProfilerSettings, GpuTimerQueryResult};

use conformance::{
    everywhere::{check_results, f32_bits, supports, varied},
    native::{adapter_of, announce, gpu, host_device, noop_pair, on_every_gpu, with_limits},
    slices::{ALL, buffer_of, read},
};
use wgpu_elu::accuracy::Judge;

/// The number of elements in most tests.
const LEN: usize = 64;

/// The label of objects that belong to the host.
const HOST_LABEL: &str = "the host's";

/// The host's buffers, each with room for [`LEN`] elements of any dtype.
struct Buffers {
    x: wgpu::Buffer,
    grad: wgpu::Buffer,
    y: wgpu::Buffer,
    out: wgpu::Buffer,
}

impl Buffers {
    fn new(gpu: &Gpu) -> Self {
        let buffer = || {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(HOST_LABEL),
                size: 8 * LEN as u64,
                usage: ALL,
                mapped_at_creation: false,
            })
        };
        let [x, grad, y, out] = [(); 4].map(|()| buffer());
        Self { x, grad, y, out }
    }

    /// Destroys the buffers, so that using them is an error.
    fn destroy(&self) {
        for buffer in [&self.x, &self.grad, &self.y, &self.out] {
            buffer.destroy();
        }
    }

    /// Prepares a step of every kind, and returns each with its name.
    fn prepare_all(&self, kernel: &Kernel) -> Vec<(&'static str, Result<Step>)> {
        let (x, grad, y) = (self.x.slice(..), self.grad.slice(..), self.y.slice(..));
        let out = self
            .out
            .slice(..if kernel.dtype() == DType::F64 { 8 } else { 4 });
        vec![
            ("forward", kernel.prepare(1.0, x, y)),
            ("forward in place", kernel.prepare_in_place(1.0, y)),
            ("backward", kernel.prepare_backward(1.0, x, grad, y)),
            (
                "backward in place",
                kernel.prepare_backward_in_place(1.0, x, y),
            ),
            (
                "backward from output",
                kernel.prepare_backward_from_output(1.0, x, grad, y),
            ),
            (
                "backward from output, in place",
                kernel.prepare_backward_from_output_in_place(1.0, x, y),
            ),
            ("penalty", kernel.prepare_penalty(1.0, 1.0, 1.0, x, out)),
        ]
    }
}

/// Records the steps in a pass of the host, and submits it.
fn submit(gpu: &Gpu, steps: &[Step]) {
    let label = Some(HOST_LABEL);
    let descriptor = wgpu::CommandEncoderDescriptor { label };
    let mut encoder = gpu.device().create_command_encoder(&descriptor);
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
        label,
        timestamp_writes: None,
    });
    for step in steps {
        step.record(&mut pass);
    }
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
}

/// Makes an error of the host: a buffer that is too large.
fn make_host_error(gpu: &Gpu) {
    let _invalid = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some(HOST_LABEL),
        size: u64::MAX / 4 * 4,
        usage: ALL,
        mapped_at_creation: false,
    });
}

/// Calls every part of the crate on the host's device, with valid and invalid arguments.
fn use_all(gpu: &Gpu) {
    let device = Device::from(Gpu::from_wgpu(gpu.device(), gpu.queue()));
    for dtype in DType::ALL {
        if !supports(&device, dtype) {
            continue;
        }
        let kernel = Kernel::new(gpu.device(), dtype).unwrap();
        let buffers = Buffers::new(gpu);
        let steps: Vec<Step> = buffers
            .prepare_all(&kernel)
            .into_iter()
            .map(|(_, step)| step.unwrap())
            .collect();
        submit(gpu, &steps);
        // The slices start at different positions within 16 bytes.
        let (size, end) = (dtype.size() as u64, buffers.x.size());
        let (x, y) = (buffers.x.slice(size..), buffers.y.slice(..end - size));
        submit(gpu, &[kernel.prepare(1.0, x, y).unwrap()]);
        let (x, y) = (buffers.x.slice(..8), buffers.y.slice(..16));
        let error = kernel.prepare(1.0, x, y).unwrap_err();
        assert!(matches!(error, Error::LengthMismatch { .. }), "{error}");
        let buffers = Buffers::new(gpu);
        buffers.destroy();
        for (what, step) in buffers.prepare_all(&kernel) {
            let error = step.unwrap_err();
            assert!(matches!(error, Error::Refused { .. }), "{what}: {error}");
        }
    }

    let x = Tensor::from_slice(&device, &varied(LEN), &[8, 8]).unwrap();
    let mut y = Elu::default().forward(&x).unwrap();
    Elu::default().forward_in_place(&mut y).unwrap();
    assert_eq!(y.to_vec_blocking::<f32>().unwrap().len(), LEN);
    Elu::default().backward(&x, &y).unwrap();
    Layer::new(1.0).unwrap().call(&x).unwrap();
    Regularizer::L1(1.0).penalty(&x).unwrap();
    // Large enough for several levels of partial sums within the small limits of `labels_are_the_documented_ones`.
    let large = Tensor::zeros(&device, DType::F32, &[1 << 19]).unwrap();
    Regularizer::L2(1.0).penalty(&large).unwrap();
    let mut stream = Stream::new(&device, Elu::default(), DType::F32).unwrap();
    stream
        .forward_slice_blocking(&varied(LEN), &mut [0.0; LEN])
        .unwrap();
    stream
        .backward_slice_blocking(&varied(LEN), &varied(LEN), &mut [0.0; LEN])
        .unwrap();
    device.wait_blocking().unwrap();

    let buffer = Buffers::new(gpu).x;
    buffer.destroy();
    let destroyed = Tensor::from_buffer(&self::gpu(device), buffer, 0, DType::F32, &[LEN]).unwrap();
    for error in [
        Elu::default().forward(&destroyed).unwrap_err(),
        destroyed.to_vec_blocking::<f32>().unwrap_err(),
    ] {
        assert!(matches!(error, Error::Refused { .. }), "{error}");
    }
}

/// The messages that the host's two callbacks have received: one for errors, one for the loss of the device.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<String>>>);

impl Reports {
    /// Sets both callbacks of the host.
    fn listen(gpu: &Gpu) -> Self {
        let reports = Self::default();
        let (errors, losses) = (reports.clone(), reports.clone());
        gpu.device()
            .on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
                errors.0.lock().unwrap().push(error.to_string());
            }));
        gpu.device().set_device_lost_callback(move |reason, _| {
            losses.0.lock().unwrap().push(format!("{reason:?}"));
        });
        reports
    }

    /// Returns the messages that have arrived since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn the_hosts_callbacks_stay_set_and_receive_only_the_hosts_errors() {
    on_every_gpu(|gpu, name| {
        let gpu = &host_device(gpu, full_descriptor);
        let reports = Reports::listen(gpu);
        use_all(gpu);
        assert_eq!(reports.take(), [""; 0], "{name}: an error of the crate");
        // If the crate had left an error scope open, it would catch this error, and the callback would not receive it.
        make_host_error(gpu);
        let errors = reports.take();
        assert!(
            errors.len() == 1 && errors[0].contains(HOST_LABEL),
            "{name}: {errors:?}"
        );
        // wgpu reports the loss once no work is in flight.
        let wait = wgpu::PollType::wait_indefinitely();
        gpu.device().poll(wait).unwrap();
        gpu.device().destroy();
        gpu.device().poll(wgpu::PollType::Poll).unwrap();
        assert_eq!(reports.take(), ["Destroyed"], "{name}");
    });
}

/// Returns a descriptor that requests the adapter's limits and all its features that these tests use.
fn full_descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
    let wanted = Kernel::required_features(DType::F64)
        | wgpu::Features::MAPPABLE_PRIMARY_BUFFERS
        | GpuProfiler::ALL_WGPU_TIMER_FEATURES;
    wgpu::DeviceDescriptor {
        label: Some(HOST_LABEL),
        required_features: adapter.features() & wanted,
        required_limits: adapter.limits(),
        ..wgpu::DeviceDescriptor::default()
    }
}

#[test]
fn the_hosts_error_scopes_catch_only_the_hosts_errors() {
    on_every_gpu(|gpu, name| {
        let gpu = &with_limits(gpu, |limits| limits);
        let scope = |filter| gpu.device().push_error_scope(filter);
        let outer = scope(wgpu::ErrorFilter::Validation);
        make_host_error(gpu);
        let scopes = [
            wgpu::ErrorFilter::Internal,
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Validation,
        ]
        .map(scope);
        use_all(gpu);
        for scope in scopes.into_iter().rev() {
            let caught = pollster::block_on(scope.pop());
            assert!(
                caught.is_none(),
                "{name}: an error of the crate: {caught:?}"
            );
        }
        let caught = pollster::block_on(outer.pop()).expect("the host's error was lost");
        assert!(caught.to_string().contains(HOST_LABEL), "{name}: {caught}");

        // Errors of the crate and of the host in the same scope.
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        let buffers = Buffers::new(gpu);
        buffers.destroy();
        for is_host_first in [true, false] {
            let scope = scope(wgpu::ErrorFilter::Validation);
            if is_host_first {
                make_host_error(gpu);
            }
            assert!(
                buffers
                    .prepare_all(&kernel)
                    .iter()
                    .all(|(_, step)| step.is_err())
            );
            if !is_host_first {
                make_host_error(gpu);
            }
            let caught = pollster::block_on(scope.pop()).expect("the host's error was lost");
            assert!(caught.to_string().contains(HOST_LABEL), "{name}: {caught}");
        }
    });
}

/// The crate returns an error, and the host's callbacks receive none. The two devices are from one instance, because
/// otherwise wgpu cannot detect that a buffer belongs to another device.
#[test]
fn buffers_of_another_device_are_refused_without_a_callback() {
    let [gpu, other] = noop_pair();
    let reports = Reports::listen(&gpu);
    let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
    for (what, step) in Buffers::new(&other).prepare_all(&kernel) {
        let error = step.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{what}: {error}");
    }
    assert_eq!(reports.take(), [""; 0]);
    use_all(&gpu);
}

/// wgpu runs the callbacks of finished work during the next submission or poll, which may be inside a call of this
/// crate. An error in such a callback goes to the host, not to the crate's error scopes.
#[test]
fn errors_in_the_hosts_callbacks_go_to_the_host() {
    on_every_gpu(|gpu, name| {
        let gpu = &host_device(gpu, full_descriptor);
        let reports = Reports::listen(gpu);
        let device = Device::Gpu(gpu.clone());
        let x = Tensor::from_slice(&device, &varied(LEN), &[LEN]).unwrap();
        let mut stream = Stream::new(&device, Elu::default(), DType::F32).unwrap();
        device.wait_blocking().unwrap();
        let fail_in_callback = || {
            let host = gpu.clone();
            gpu.queue()
                .on_submitted_work_done(move || make_host_error(&host));
        };
        fail_in_callback();
        Elu::default().forward(&x).unwrap();
        device.wait_blocking().unwrap();
        fail_in_callback();
        x.to_vec_blocking::<f32>().unwrap();
        device.wait_blocking().unwrap();
        fail_in_callback();
        stream
            .forward_slice_blocking(&varied(LEN), &mut [0.0; LEN])
            .unwrap();
        let errors = reports.take();
        assert!(
            errors.len() == 3 && errors.iter().all(|error| error.contains(HOST_LABEL)),
            "{name}: {errors:?}"
        );
    });
}

#[test]
fn panics_in_the_hosts_callbacks_go_to_the_caller() {
    on_every_gpu(|gpu, name| {
        let gpu = &host_device(gpu, full_descriptor);
        let device = Device::Gpu(gpu.clone());
        let x = Tensor::from_slice(&device, &varied(LEN), &[LEN]).unwrap();
        device.wait_blocking().unwrap();
        let calls: [(&str, &dyn Fn() -> Result<()>); 3] = [
            ("wait", &|| device.wait_blocking()),
            ("forward", &|| Elu::default().forward(&x).map(drop)),
            ("read", &|| x.to_vec_blocking::<f32>().map(drop)),
        ];
        for (what, call) in calls {
            gpu.queue()
                .on_submitted_work_done(|| panic!("{HOST_LABEL}"));
            let panic = catch_unwind(AssertUnwindSafe(call)).expect_err(what);
            let message = panic.downcast_ref::<String>().unwrap();
            assert_eq!(message, HOST_LABEL, "{name}, {what}");
            device.wait_blocking().unwrap();
        }
        device.wait_blocking().unwrap();
    });
}

#[test]
fn every_call_on_a_lost_device_returns_an_error() {
    on_every_gpu(|gpu, name| {
        let own = pollster::block_on(Device::from_adapter(&adapter_of(gpu))).unwrap();
        let own = self::gpu(own);
        // The lost callback of a lent device belongs to the host, so the crate notices the loss only by mapping.
        let lent = host_device(gpu, full_descriptor);
        let reports = Reports::listen(&lent);
        for (gpu, reason) in [(&own, "Destroyed"), (&lent, "a buffer could not be mapped")] {
            let reasons = lose_device(gpu, name);
            assert_eq!(reasons, BTreeSet::from([reason.into()]), "{name}");
        }
        assert_eq!(reports.take(), ["Destroyed"], "{name}");
    });
}

/// Destroys the device, checks that every call then returns [`Error::DeviceLost`], and returns the reasons in these
/// errors.
fn lose_device(gpu: &Gpu, name: &str) -> BTreeSet<String> {
    let device = &Device::Gpu(gpu.clone());
    let dtypes = || [DType::F32, DType::F16].into_iter();
    let reasons = RefCell::new(BTreeSet::new());
    let lost = |what: &str, error: Error| match error {
        Error::DeviceLost { reason } => _ = reasons.borrow_mut().insert(reason),
        error => panic!("{name}, {what}: {error}"),
    };
    let unmapped = BTreeSet::from(["a buffer could not be mapped".to_owned()]);

    // For each dtype, one kernel that has created its pipelines, and one that has created none.
    let kernels: Vec<[Kernel; 2]> = dtypes()
        .map(|dtype| [(); 2].map(|()| Kernel::new(gpu.device(), dtype).unwrap()))
        .collect();
    let buffers = Buffers::new(gpu);
    let steps: Vec<Step> = kernels
        .iter()
        .flat_map(|[kernel, _]| buffers.prepare_all(kernel))
        .map(|(_, step)| step.unwrap())
        .collect();
    let encoder = |gpu: &Gpu| {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        gpu.device().create_command_encoder(&descriptor)
    };
    let mut early = encoder(gpu);
    let mut early_pass = early.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    steps[0].record(&mut early_pass);
    let (elu, layer) = (Elu::default(), Layer::new(1.0).unwrap());
    let mut x = Tensor::from_slice(device, &varied(LEN), &[8, 8]).unwrap();
    let mut stream = Stream::new(device, elu, DType::F32).unwrap();
    let y = &mut [0.0; LEN];
    stream.forward_slice_blocking(&varied(LEN), y).unwrap();
    drop(elu.forward(&x).unwrap()); // in flight

    gpu.device().destroy();

    // Recording cannot fail. Finishing and submitting are calls of the host.
    for step in &steps {
        step.record(&mut early_pass);
    }
    drop(early_pass);
    let mut late = encoder(gpu);
    for step in &steps {
        step.record(&mut late.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    }
    gpu.queue().submit([early.finish(), late.finish()]);
    let after = Buffers::new(gpu);
    for kernel in kernels.iter().flatten() {
        for buffers in [&buffers, &after] {
            for (what, step) in buffers.prepare_all(kernel) {
                lost(what, step.unwrap_err());
            }
        }
    }
    for dtype in dtypes() {
        lost("Kernel::new", Kernel::new(gpu.device(), dtype).unwrap_err());
    }
    // wgpu reports no loss to a kernel, so a kernel notices it only by mapping.
    assert_eq!(reasons.take(), unmapped, "{name}");
    // Other objects return the reason that wgpu reports. wgpu reports it only once no work is in flight, so the reasons
    // of these two calls are not checked.
    lost("download", x.to_vec_blocking::<f32>().unwrap_err());
    lost("wait", device.wait_blocking().unwrap_err());
    reasons.take();

    lost("download", x.to_vec_blocking::<f32>().unwrap_err());
    lost("forward", elu.forward(&x).unwrap_err());
    lost("backward", elu.backward(&x, &x).unwrap_err());
    let shared = x.clone();
    lost(
        "forward in place",
        elu.forward_in_place(&mut x).unwrap_err(),
    );
    drop(shared);
    lost(
        "forward in place",
        elu.forward_in_place(&mut x).unwrap_err(),
    );
    lost("a layer", layer.call(&x).unwrap_err());
    lost("a penalty", Regularizer::L2(1.0).penalty(&x).unwrap_err());
    let error = stream.forward_slice_blocking(&varied(LEN), y).unwrap_err();
    lost("a stream of a slice", error);
    let error = stream
        .forward_blocking(io::repeat(0), io::sink())
        .unwrap_err();
    lost("a stream", error);
    let error = stream
        .backward_blocking(io::repeat(0), io::repeat(0), io::sink())
        .unwrap_err();
    lost("a stream of gradients", error);
    let check_device = |device| {
        let (values, shape) = (varied(LEN), &[LEN]);
        lost("wait", Device::wait_blocking(device).unwrap_err());
        lost(
            "upload",
            Tensor::from_slice(device, &values, shape).unwrap_err(),
        );
        lost(
            "zeros",
            Tensor::zeros(device, DType::F32, shape).unwrap_err(),
        );
        let error = Stream::new(device, elu, DType::F32).unwrap_err();
        lost("Stream::new", error);
    };
    check_device(device);
    let own_reasons = reasons.take();
    check_device(&Device::from(Gpu::from_wgpu(gpu.device(), gpu.queue())));
    assert_eq!(reasons.take(), unmapped, "{name}");
    own_reasons
}

#[test]
fn all_objects_may_be_dropped_while_their_work_is_in_flight() {
    const LEN: usize = 1 << 18;
    const TIMES: usize = 20;
    on_every_gpu(|gpu, name| {
        let x = f32_bits(&varied(LEN));
        for before_submit in [true, false] {
            let result = buffer_of(gpu, DType::F32, &vec![0; LEN], ALL);
            let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
            let x_buffer = buffer_of(gpu, DType::F32, &x, BufferUsages::STORAGE);
            let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
            let y_buffer = buffer_of(gpu, DType::F32, &vec![0; LEN], usage);
            let step = kernel
                .prepare(0.5, x_buffer.slice(..), y_buffer.slice(..))
                .unwrap();
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for _ in 0..TIMES {
                step.clone().record(&mut pass);
            }
            drop(pass);
            encoder.copy_buffer_to_buffer(&y_buffer, 0, &result, 0, None);
            let objects = (step, kernel, x_buffer, y_buffer);
            if before_submit {
                drop(objects);
                gpu.queue().submit([encoder.finish()]);
            } else {
                gpu.queue().submit([encoder.finish()]);
                drop(objects);
            }
            let judge = Judge {
                op: Op::Forward,
                dtype: DType::F32,
                elu: Elu::new(0.5),
            };
            let y = pollster::block_on(read(gpu, DType::F32, &result, LEN));
            check_results(name, judge, &x, &[], &y);
        }
    });
}

/// Checks that every scope has a time, which lies within the time of its parent.
#[track_caller]
fn check_times(name: &str, scope: &GpuTimerQueryResult) {
    let time = scope.time.as_ref().expect("a scope has no time");
    assert!(time.start <= time.end, "{name}, {}: {time:?}", scope.label);
    for nested in &scope.nested_queries {
        check_times(name, nested);
        let within = nested.time.as_ref().expect("a scope has no time");
        assert!(
            time.start <= within.start && within.end <= time.end,
            "{name}: {} at {within:?} is not within {time:?}",
            nested.label
        );
    }
}

/// Returns the labels of the scopes as text, with the labels of nested scopes in parentheses.
fn tree(scopes: &[GpuTimerQueryResult]) -> String {
    let label = |scope: &GpuTimerQueryResult| match &scope.nested_queries[..] {
        [] => scope.label.clone(),
        nested => format!("{} ({})", scope.label, tree(nested)),
    };
    scopes.iter().map(label).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_profiler_times_the_scopes_in_which_steps_are_recorded() {
    on_every_gpu(|gpu, name| {
        let gpu = &host_device(gpu, full_descriptor);
        let features = gpu.device().features();
        if !features.contains(wgpu::Features::TIMESTAMP_QUERY) {
            announce(&format!("SKIPPED: profiling on {name} (no timestamps)"));
            return;
        }
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        let x = varied(1 << 20);
        let x_buffer = buffer_of(gpu, DType::F32, &f32_bits(&x), ALL);
        let grad_buffer = buffer_of(gpu, DType::F32, &f32_bits(&x), ALL);
        let (x, grad) = (x_buffer.slice(..), grad_buffer.slice(..));
        let forward = kernel.prepare_in_place(0.5, x).unwrap();
        let backward = kernel
            .prepare_backward_from_output_in_place(0.5, x, grad)
            .unwrap();
        let mut profiler = GpuProfiler::new(gpu.device(), GpuProfilerSettings::default()).unwrap();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        {
            let mut frame = profiler.scope("frame", &mut encoder);
            {
                let mut pass = frame.scoped_compute_pass("elu");
                forward.record(&mut pass);
                backward.record(&mut pass.scope("gradient"));
            }
            forward.record(&mut frame.scoped_compute_pass("again"));
        }
        profiler.resolve_queries(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        profiler.end_frame().unwrap();
        gpu.device()
            .poll(wgpu::PollType::wait_indefinitely())
            .unwrap();
        let period = gpu.queue().get_timestamp_period();
        let scopes = profiler
            .process_finished_frame(period)
            .expect("the profiler returned no times");
        // The profiler leaves out scopes without a time, and the scopes that are nested in them.
        assert_eq!(tree(&scopes), "frame (elu (gradient), again)", "{name}");
        check_times(name, &scopes[0]);
    });
}

/// Compares the labels in wgpu's trace with those that the documentation lists.
#[test]
fn labels_are_the_documented_ones() {
    let descriptor = wgpu::DeviceDescriptor {
        label: Some(HOST_LABEL),
        required_limits: wgpu::Limits {
            max_compute_invocations_per_workgroup: 16, // small, so that penalties use every entry point
            ..wgpu::Limits::default()
        },
        ..wgpu::DeviceDescriptor::default()
    };
    let labels = labels_of(descriptor, |descriptor| {
        let (device, queue) = wgpu::Device::noop(descriptor);
        Gpu::from_wgpu(&device, &queue)
    });
    let mut expected = BTreeSet::new();
    let mut add = |action: &str, label: String| expected.insert((action.into(), label));
    for part in [
        "probe",
        "stream.download",
        "stream.staged",
        "stream.upload",
        "tensor",
        "tensor.download",
    ] {
        add("CreateBuffer", part.into());
    }
    add("RunComputePass", "stream".into());
    for operation in ["forward", "backward", "backward-from-output", "penalty"] {
        for dtype in ["float32", "float16", "bfloat16"] {
            let label = format!("{operation}.{dtype}");
            for (kind, part) in [
                ("BindGroupLayout", "bind_group_layout"),
                ("ShaderModule", "module"),
                ("PipelineLayout", "pipeline_layout"),
                ("BindGroup", "bind_group"),
            ] {
                add(&format!("Create{kind}"), format!("{label}.{part}"));
            }
            let (buffers, pipelines): (&[_], &[_]) = match operation {
                "penalty" => (&["params", "even", "odd"], &["vectors", "last"]),
                "forward" => (&["params"], &["vectors", "elements"]),
                _ => (&["params"], &["vectors"]),
            };
            for part in buffers {
                add("CreateBuffer", format!("{label}.{part}"));
            }
            for part in pipelines {
                add("CreateComputePipeline", format!("{label}.{part}"));
            }
        }
        // `use_all` applies these operations to tensors, too, and the crate records these in its own passes.
        if operation != "backward-from-output" {
            add("RunComputePass", format!("{operation}.float32"));
        }
    }
    // Only the penalty of the large tensor has enough partial sums for this entry point.
    add("CreateComputePipeline", "penalty.float32.sums".into());
    let differences: Vec<_> = labels.symmetric_difference(&expected).collect();
    assert!(differences.is_empty(), "{differences:?}");

    // Other devices may support float64, and streams may map the kernel's buffers. Which entry points a device uses
    // depends on where the slices start.
    expected.insert(("CreateBuffer".into(), "stream.both".into()));
    for (action, label) in expected.clone() {
        if label.contains("float16") {
            expected.insert((action, label.replace("float16", "float64")));
        }
    }
    on_every_gpu(|gpu, name| {
        let adapter = adapter_of(gpu);
        let labels = labels_of(full_descriptor(&adapter), |descriptor| {
            let result = pollster::block_on(adapter.request_device(descriptor));
            let (device, queue) = result.unwrap();
            Gpu::from_wgpu(&device, &queue)
        });
        let unknown: Vec<_> = labels.difference(&expected).collect();
        // Every device has more than 40 labels. Fewer would mean that the trace was not read to its end.
        assert!(
            unknown.is_empty() && labels.len() > 40,
            "{name}: {unknown:?}"
        );
    });
}

/// Returns the labels of the objects that the crate creates and records on a device, without the prefix `wgpu_elu.`.
/// Each label comes with the name of its action in wgpu's trace, such as `CreateBuffer`.
fn labels_of(
    descriptor: wgpu::DeviceDescriptor<'_>,
    create: impl Fn(&wgpu::DeviceDescriptor<'_>) -> Gpu,
) -> BTreeSet<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let trace = wgpu::Trace::Directory(folder.path().into());
    let gpu = create(&wgpu::DeviceDescriptor {
        trace,
        ..descriptor
    });
    use_all(&gpu);
    drop(gpu);
    let text = fs::read_to_string(folder.path().join("trace.ron")).unwrap();
    let mut labels = BTreeSet::new();
    let mut action = "";
    for line in text.lines().map(str::trim) {
        if let Some(label) = line.strip_prefix("label: ") {
            let name = label
                .strip_prefix("Some(\"")
                .and_then(|label| label.strip_suffix("\"),"));
            let name = name.unwrap_or_else(|| panic!("{action} without a label: {label}"));
            let name = name.replace('\\', "");
            if name != HOST_LABEL {
                let label = name.strip_prefix("wgpu_elu.");
                let label = label.unwrap_or_else(|| panic!("{name} does not start with wgpu_elu."));
                labels.insert((action.into(), label.into()));
            }
        } else if let Some((name, _)) = line.split_once('(')
            && name.starts_with(char::is_uppercase)
        {
            action = name;
        }
    }
    labels
}
