//! The embed contract, from the outside: the caller's buffers, slices, limits, encoder and pass.

use wgpu_elu::{
    DType, Error, Gpu, Kernel, Step,
    wgpu::{self, BufferUsages},
};

use crate::common::{GPU_UNDERFLOW, check, noop, noop_pair, on_every_gpu, varied, with_limits};

/// What an output holds before: a number that ELU never gives.
const POISON: f32 = -12345.5;

const ALL: BufferUsages = BufferUsages::STORAGE
    .union(BufferUsages::COPY_SRC)
    .union(BufferUsages::COPY_DST);

fn buffer(gpu: &Gpu, values: &[f32], usage: BufferUsages) -> wgpu::Buffer {
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("the host's"),
        size: (values.len().max(1) * 4) as u64,
        usage,
        mapped_at_creation: true,
    });
    if !values.is_empty() {
        buffer
            .slice(..)
            .get_mapped_range_mut()
            .unwrap()
            .copy_from_slice(bytemuck::cast_slice(values));
    }
    buffer.unmap();
    buffer
}

fn read(gpu: &Gpu, buffer: &wgpu::Buffer) -> Vec<f32> {
    let len = (buffer.size() / 4) as usize;
    let tensor = wgpu_elu::Tensor::from_buffer(gpu, buffer.clone(), 0, DType::F32, &[len]).unwrap();
    tensor.to_vec_blocking().unwrap()
}

fn slice(buffer: &wgpu::Buffer, first: usize, len: usize) -> wgpu::BufferSlice<'_> {
    buffer.slice((first * 4) as u64..((first + len) * 4) as u64)
}

fn submit(gpu: &Gpu, steps: &[&Step]) {
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

/// Prepares, records and checks `len` elements from `x_first` of one buffer to `y_first` of another, and that nothing
/// around them is touched.
#[track_caller]
fn run(
    gpu: &Gpu,
    kernel: &Kernel,
    name: &str,
    x_first: usize,
    y_first: usize,
    len: usize,
) -> usize {
    let x = varied(x_first + len + 5);
    let x_buffer = buffer(gpu, &x, ALL);
    let y_buffer = buffer(gpu, &vec![POISON; y_first + len + 5], ALL);
    let step = kernel
        .prepare(
            0.7,
            slice(&x_buffer, x_first, len),
            slice(&y_buffer, y_first, len),
        )
        .unwrap();
    submit(gpu, &[&step]);
    let what = format!("{name}, {len} elements from {x_first} to {y_first}");
    for (i, y) in read(gpu, &y_buffer).into_iter().enumerate() {
        if (y_first..y_first + len).contains(&i) {
            check(&what, x[x_first + i - y_first], 0.7, y, GPU_UNDERFLOW);
        } else {
            assert_eq!(y, POISON, "{what}: neighbour {i} was touched");
        }
    }
    step.dispatches()
}

#[test]
fn every_small_length_and_offset() {
    on_every_gpu(|gpu, name| {
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        for len in 0..=67 {
            let dispatches = run(gpu, &kernel, name, 0, 0, len);
            assert_eq!(dispatches == 0, len == 0);
        }
        for x_first in [0, 1, 3, 63, 64, 65] {
            for y_first in [0, 1, 2, 7, 8, 64] {
                for len in [1, 4, 6, 300] {
                    run(gpu, &kernel, name, x_first, y_first, len);
                }
            }
        }
    });
}

#[test]
fn around_workgroups_and_65535_of_them() {
    on_every_gpu(|gpu, name| {
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        for around in [64, 256, 1024, 4096] {
            for len in around - 1..=around + 1 {
                run(gpu, &kernel, name, 0, 0, len);
                run(gpu, &kernel, name, 5, 1, len);
                run(gpu, &kernel, name, 1, 0, len);
            }
        }
        // Element by element, a software renderer's workgroup does 64.
        for len in [65_535 * 64 - 1, 65_535 * 64, 65_535 * 64 + 1] {
            assert_eq!(
                run(gpu, &kernel, name, 1, 0, len),
                1,
                "folded into rows, not cut"
            );
        }
    });
}

#[test]
fn in_place_and_within_one_buffer() {
    on_every_gpu(|gpu, name| {
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        for (first, len) in [(0, 64), (0, 1031), (1, 1), (3, 1000), (62, 9), (5, 0)] {
            let x = varied(first + len + 5);
            let x_buffer = buffer(gpu, &x, ALL);
            submit(
                gpu,
                &[&kernel
                    .prepare_in_place(0.7, slice(&x_buffer, first, len))
                    .unwrap()],
            );
            for (i, y) in read(gpu, &x_buffer).into_iter().enumerate() {
                if (first..first + len).contains(&i) {
                    check(name, x[i], 0.7, y, GPU_UNDERFLOW);
                } else {
                    assert_eq!(y, x[i], "{name}, in place: neighbour {i} was touched");
                }
            }
        }
        for (x_first, y_first, len) in [
            (0, 1000, 1000),
            (1000, 0, 1000),
            (3, 18, 15),
            (7, 107, 100),
            (901, 0, 900),
        ] {
            let x = varied(2100);
            let x_buffer = buffer(gpu, &x, ALL);
            let step = kernel
                .prepare(
                    0.7,
                    slice(&x_buffer, x_first, len),
                    slice(&x_buffer, y_first, len),
                )
                .unwrap();
            submit(gpu, &[&step]);
            for (i, y) in read(gpu, &x_buffer).into_iter().enumerate() {
                if (y_first..y_first + len).contains(&i) {
                    check(name, x[x_first + i - y_first], 0.7, y, GPU_UNDERFLOW);
                } else {
                    assert_eq!(y, x[i], "{name}, one buffer: neighbour {i} was touched");
                }
            }
        }
    });
}

#[test]
fn a_device_with_default_limits_and_one_with_tiny_ones() {
    on_every_gpu(|gpu, name| {
        let default = with_limits(gpu, |_| wgpu::Limits::default());
        let kernel = Kernel::new(default.device(), DType::F32).unwrap();
        for (x_first, y_first, len) in [(0, 0, 4099), (3, 3, 4099), (2, 5, 4099)] {
            run(&default, &kernel, name, x_first, y_first, len);
        }
        // The bulk of an aligned run folds into rows, and is cut where nine workgroups of 8 x 4 vectors cannot hold it.
        let few_groups = with_limits(gpu, |limits| wgpu::Limits {
            max_compute_workgroups_per_dimension: 3,
            max_compute_invocations_per_workgroup: 8,
            max_compute_workgroup_size_x: 8,
            ..limits
        });
        let kernel = Kernel::new(few_groups.device(), DType::F32).unwrap();
        let mut most = 0;
        for len in [96, 100, 288, 384, 388, 1000, 1152, 1156, 5000] {
            most = most.max(run(&few_groups, &kernel, name, 0, 0, len));
            run(&few_groups, &kernel, name, 3, 7, len);
        }
        assert!(most > 2, "nothing was cut");
        let tiny = with_limits(gpu, |limits| wgpu::Limits {
            max_storage_buffer_binding_size: 1024,
            max_compute_workgroups_per_dimension: 3,
            max_compute_invocations_per_workgroup: 8,
            max_compute_workgroup_size_x: 8,
            max_storage_buffers_per_shader_stage: 2,
            min_storage_buffer_offset_alignment: 256,
            ..limits
        });
        let kernel = Kernel::new(tiny.device(), DType::F32).unwrap();
        for (x_first, y_first) in [(0, 0), (1, 1), (63, 63), (0, 1), (62, 65)] {
            for len in [1, 4, 71, 72, 73, 255, 256, 257, 1000] {
                run(&tiny, &kernel, name, x_first, y_first, len);
            }
        }
    });
}

#[test]
fn recordings_keep_their_own_alpha_and_can_be_repeated() {
    on_every_gpu(|gpu, name| {
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        let x = varied(1001);
        let x_buffer = buffer(gpu, &x, ALL);
        let outputs = [0.25, 2.0].map(|alpha: f32| (alpha, buffer(gpu, &[POISON; 1001], ALL)));
        let steps = outputs.each_ref().map(|(alpha, y)| {
            kernel
                .prepare(f64::from(*alpha), x_buffer.slice(..), y.slice(..))
                .unwrap()
        });
        submit(gpu, &[&steps[0], &steps[1], &steps[0]]);
        submit(gpu, &[&steps[1]]);
        drop(steps); // with its work in flight
        for (alpha, y_buffer) in &outputs {
            for (&x, y) in x.iter().zip(read(gpu, y_buffer)) {
                check(name, x, *alpha, y, GPU_UNDERFLOW);
            }
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
            found: 5
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
    assert!(matches!(&error, Error::Overlap { x, y } if *x == (0..200) && *y == (100..300)));
    assert_eq!(
        error.to_string(),
        "input bytes 0..200 and output bytes 100..300 of the same buffer overlap; to work in place, prepare it in place"
    );

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

    let gpu = without(|limits| limits.max_bindings_per_bind_group = 2);
    let error = Kernel::new(gpu.device(), DType::F32).unwrap_err();
    assert!(matches!(
        error,
        Error::Limit {
            limit: "max_bindings_per_bind_group",
            needed: 3,
            found: 2
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

/// A guest leaves the host's error handling alone.
#[test]
fn the_hosts_error_scope_is_left_alone() {
    let [gpu, other] = noop_pair();
    let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
    let x = buffer(&gpu, &[0.0; 8], ALL);
    let foreign = buffer(&other, &[0.0; 8], ALL);

    let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
    assert!(kernel.prepare(1.0, x.slice(..), foreign.slice(..)).is_err());
    assert!(
        pollster::block_on(scope.pop()).is_none(),
        "an error of ours reached the host"
    );

    let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
    let too_large = u64::MAX / 2 * 2;
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: too_large,
        usage: ALL,
        mapped_at_creation: false,
    };
    let _refused = gpu.device().create_buffer(&descriptor);
    assert!(kernel.prepare(1.0, x.slice(..4), x.slice(4..8)).is_ok());
    assert!(
        pollster::block_on(scope.pop()).is_some(),
        "the host's error was swallowed"
    );
}
