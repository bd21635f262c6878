//! Tests of penalties on the CPU path and every adapter, and of the steps that compute them.

#[cfg(test)]
use crate::native::{gpus, noop, with_limits};
use crate::{
    everywhere::{
        TestDevice, bits_of, everywhere, on_every_device, on_every_gpu, shaped, supports, tensor,
        varied,
    },
    slices::{ALL, buffer_of, read, slice, submit},
};
#[cfg(test)]
use wgpu_elu::Role;
use wgpu_elu::accuracy::{bits, value};
use wgpu_elu::{
    DType, Device, Elu, Error, Gpu, Kernel, Regularizer, Tensor, cpu,
    shader::{PARAMS_BINDING, Shape, VECTORS, X_BINDING, Y_BINDING, penalty},
    wgpu::{self, BufferUsages},
};

use super::*;

/// Returns the bits of a tensor with one element and no dimensions.
async fn scalar(tensor: &Tensor) -> u64 {
    assert_eq!(tensor.shape(), [0; 0]);
    bits_of(tensor).await[0]
}

/// Runs `test` for every dtype that the device supports.
async fn on_every_dtype(test: impl AsyncFn(TestDevice<'_>, DType)) {
    on_every_device(async |target| {
        for dtype in DType::ALL {
            if supports(target.device, dtype) {
                test(target, dtype).await;
            }
        }
    })
    .await;
}

/// Returns the bits of all values, rounded to the dtype.
fn bits_of_all(dtype: DType, values: &[f32]) -> Vec<u64> {
    values.iter().map(|&v| bits(dtype, v.into())).collect()
}

const L1: Regularizer = Regularizer::L1(0.1);
const L2: Regularizer = Regularizer::L2(0.1);
const BOTH: Regularizer = Regularizer::L1L2 { l1: 0.1, l2: 0.2 };

/// Returns l1 and l2.
fn factors(regularizer: Regularizer) -> [f64; 2] {
    [regularizer.l1(), regularizer.l2()]
}

#[everywhere]
async fn losses_are_those_of_keras() {
    on_every_dtype(async |target, dtype| {
        let x = bits_of_all(dtype, &[-1.0, 0.0, 2.0, 3.0, -2.0, -0.5]);
        let x = shaped(target.device, dtype, &x, &[2, 3]);
        let y = Elu::default().forward(&x).unwrap();
        let tolerance = match dtype {
            DType::F16 => 1e-3,
            DType::BF16 => 1e-2,
            DType::F32 | DType::F64 => 1e-7,
            _ => unreachable!(),
        };
        for (regularizer, loss) in [(L1, 0.34451273), (L2, 0.71510202), (BOTH, 1.77471673)] {
            let found = regularizer.activity_loss(&y).unwrap();
            assert_eq!(found.dtype(), dtype.arithmetic_dtype());
            assert!(found.device() == *target.device);
            let found = value(found.dtype(), scalar(&found).await);
            let error = (found / loss - 1.0).abs();
            assert!(error <= tolerance, "{}, {dtype}: {found}", target.name);
            // The loss is the penalty, divided by the number of rows, which is 2.
            let sum = scalar(&regularizer.penalty(&y).unwrap()).await;
            let sum = value(dtype.arithmetic_dtype(), sum);
            assert!((sum / found - 2.0).abs() < 1e-6, "{}: {sum}", target.name);
        }
        let row = L2.activity_loss(&y.rows(0..1).unwrap()).unwrap();
        let row = value(row.dtype(), scalar(&row).await);
        assert!(
            (row / 0.43995765 - 1.0).abs() <= tolerance,
            "{}: {row}",
            target.name
        );
        if dtype == DType::F64 {
            // Keras rounds the factor to float32.
            let rounded = Regularizer::L2(0.1f32.into());
            let loss = rounded.activity_loss(&y).unwrap();
            check(target.name, dtype, scalar(&loss).await, 0.7151019904086205);
            // The sum of the factors overflows, but not the penalty.
            let huge = Regularizer::L1L2 {
                l1: 1.7e308,
                l2: 1.7e308,
            };
            let half = shaped(target.device, dtype, &[bits(dtype, 0.5)], &[]);
            let penalty = scalar(&huge.penalty(&half).unwrap()).await;
            check(target.name, dtype, penalty, 1.275e308);
        }

        for shape in [&[0, 3][..], &[2, 0], &[0], &[0, usize::MAX]] {
            let empty = shaped(target.device, dtype, &[], shape);
            for regularizer in [L1, L2, BOTH] {
                assert_eq!(scalar(&regularizer.activity_loss(&empty).unwrap()).await, 0);
                assert_eq!(scalar(&regularizer.penalty(&empty).unwrap()).await, 0);
            }
        }
        let one = shaped(target.device, dtype, &[bits(dtype, -3.0)], &[]);
        check(
            target.name,
            dtype,
            scalar(&L1.activity_loss(&one).unwrap()).await,
            0.1 * 3.0,
        );
        let rows = shaped(target.device, dtype, &[bits(dtype, -3.0); 5], &[5]);
        check(
            target.name,
            dtype,
            scalar(&L1.activity_loss(&rows).unwrap()).await,
            0.1 * 3.0,
        );
    })
    .await;
}

#[everywhere]
async fn negative_infinite_and_nan_factors_are_refused() {
    assert_eq!(Regularizer::DEFAULT_FACTOR, 0.01);
    assert_eq!(factors(BOTH), [0.1, 0.2]);
    assert_eq!((L1.l2(), L2.l1()), (0.0, 0.0));
    assert!(BOTH.check().is_ok() && Regularizer::L1(0.0).check().is_ok());
    on_every_device(async |target| {
        let y = tensor(target.device, DType::F32, &[0; 4]);
        for (regularizer, text) in [
            (
                Regularizer::L1(-0.1),
                "regularizer factor l1 must be a non-negative finite number, found -0.1",
            ),
            (
                Regularizer::L1L2 {
                    l1: 0.0,
                    l2: f64::NAN,
                },
                "regularizer factor l2 must be a non-negative finite number, found NaN",
            ),
            (
                Regularizer::L2(f64::INFINITY),
                "regularizer factor l2 must be a non-negative finite number, found inf",
            ),
        ] {
            for error in [
                regularizer.check().unwrap_err(),
                regularizer.penalty(&y).unwrap_err(),
                regularizer.activity_loss(&y).unwrap_err(),
            ] {
                assert!(matches!(error, Error::RegularizerFactor { .. }));
                assert_eq!(error.to_string(), text);
            }
        }
    })
    .await;
    // `cpu::penalty` returns no `Result`. For such factors, it returns NaN.
    assert!(cpu::penalty(-1.0, 0.0, &[1.0f32]).is_nan());
}

#[everywhere]
async fn nan_and_infinity_reach_the_penalty_but_intermediate_results_do_not_overflow() {
    let (nan, infinity) = (f64::NAN, f64::INFINITY);
    on_every_dtype(async |target, dtype| {
        for len in [1, 9, 300] {
            for at in [0, len / 2, len - 1] {
                for special in [nan, infinity, -infinity] {
                    for has_infinity in [false, true] {
                        let mut y = vec![bits(dtype, -1.5); len];
                        y[len / 3] = bits(dtype, if has_infinity { infinity } else { 0.0 });
                        y[at] = bits(dtype, special);
                        let y = tensor(target.device, dtype, &y);
                        for regularizer in [L1, L2, BOTH] {
                            let found = scalar(&regularizer.penalty(&y).unwrap()).await;
                            let found = value(dtype.arithmetic_dtype(), found);
                            let expected = special.abs();
                            assert!(
                                found.to_bits() == expected.to_bits()
                                    || found.is_nan() && special.is_nan(),
                                "{}, {dtype}: {special} at {at} of {len} gives {found}, {regularizer:?}",
                                target.name
                            );
                        }
                        let none = Regularizer::L1L2 { l1: 0.0, l2: 0.0 };
                        assert_eq!(scalar(&none.penalty(&y).unwrap()).await, 0, "no terms");
                    }
                }
            }
        }
    })
    .await;
    on_every_device(async |target| {
        let penalty = async |regularizer: Regularizer, y: f32| {
            let y = Tensor::from_slice(target.device, &[y; 5], &[5]).unwrap();
            let found = scalar(&regularizer.activity_loss(&y).unwrap()).await;
            value(DType::F32, found)
        };
        for (regularizer, y, expected) in [
            (Regularizer::L2(1e-30), 1e30, 1e30), // y^2 overflows, but the term does not
            // These factors are inexact or infinite in f32, but the terms are accurate.
            (Regularizer::L2(1e-45), 1e30, 1e15),
            (Regularizer::L1(1e-45), 1e30, 1e-15),
            (Regularizer::L1(1e45), 1e-30, 1e15),
            (Regularizer::L2(1e45), 1e-30, 1e-15),
            (Regularizer::L1L2 { l1: 1e45, l2: 1.0 }, 1e-30, 1e15),
            (Regularizer::L1(1e300), 0.0, 0.0),
            (Regularizer::L2(1.0), 1e20, infinity),
        ] {
            let found = penalty(regularizer, y).await;
            let error = (found / expected - 1.0).abs();
            assert!(
                found == expected || error < 1e-6,
                "{}: {regularizer:?} of {y:e} is {found:e}",
                target.name
            );
        }
        // The largest number of float16. Its square overflows in float16, but not in float32.
        let y = tensor(target.device, DType::F16, &[bits(DType::F16, 65504.0); 3]);
        let found = scalar(&Regularizer::L2(1.0).penalty(&y).unwrap()).await;
        check(target.name, DType::F16, found, 3.0 * 65504.0 * 65504.0);
    })
    .await;
}

/// Computes the penalties of runs of 0 to 200 elements in one pass. The runs start at various offsets within 16 bytes.
/// NaN lies between the runs, so that reading a neighbour shows, and poison lies between the results.
async fn run_small(gpu: &Gpu, kernel: &Kernel, what: &str) {
    let (dtype, nan) = (kernel.dtype(), bits(kernel.dtype(), f64::NAN));
    let result = dtype.arithmetic_dtype();
    let values = bits_of_all(dtype, &varied(200));
    let mut all = Vec::new();
    let starts: Vec<_> = (0..=200)
        .map(|len| {
            all.extend(vec![nan; 1 + (len * 5) % 7]);
            let first = all.len();
            all.extend(&values[200 - len..]);
            first
        })
        .collect();
    all.push(nan);
    let y = buffer_of(gpu, dtype, &all, ALL);
    let poison = bits(result, -12345.5);
    let out = buffer_of(gpu, result, &[poison; 403], ALL);
    let steps: Vec<_> = starts
        .iter()
        .enumerate()
        .map(|(len, &first)| {
            let (l1, l2) = (0.5 + len as f64, 0.25);
            let (y, out) = (
                slice(&y, dtype, first, len),
                slice(&out, result, 2 * len + 1, 1),
            );
            kernel.prepare_penalty(l1, l2, 3.0, y, out).unwrap()
        })
        .collect();
    submit(gpu, &steps.iter().collect::<Vec<_>>());
    let found = read(gpu, result, &out, 403).await;
    for guard in found.iter().step_by(2) {
        assert_eq!(*guard, poison, "{what}: a neighbour has changed");
    }
    for len in 0..=200 {
        let y = values[200 - len..].iter().map(|&y| value(dtype, y));
        let exact = exact([0.5 + len as f64, 0.25], y) / 3.0;
        check(
            &format!("{what}, {len} elements"),
            dtype,
            found[2 * len + 1],
            exact,
        );
    }
}

#[everywhere]
async fn penalties_of_every_small_length_and_offset_are_within_tolerance() {
    on_every_gpu(async |gpu, name| {
        for dtype in DType::ALL {
            if supports(&Device::Gpu(gpu.clone()), dtype) {
                run_small(gpu, &gpu.kernel(dtype).unwrap(), name).await;
            }
        }
    })
    .await;
    for dtype in DType::ALL {
        let values = bits_of_all(dtype, &varied(200));
        let y = tensor(&Device::Cpu, dtype, &values);
        for first in 0..=200 {
            for end in [first, (first + 9).min(200), 200] {
                let found = BOTH.penalty(&y.rows(first..end).unwrap()).unwrap();
                let exact = exact(
                    [0.1, 0.2],
                    values[first..end].iter().map(|&y| value(dtype, y)),
                );
                check(
                    &format!("the CPU, {first}..{end}"),
                    dtype,
                    scalar(&found).await,
                    exact,
                );
            }
        }
    }
}

/// With few elements per workgroup and few workgroups per dispatch, short runs need what otherwise only long runs need:
/// several levels of sums, several rows of workgroups, and several dispatches for one level.
#[cfg(test)]
#[pollster::test]
async fn penalties_within_small_limits_are_within_tolerance() {
    on_every_gpu(async |gpu, name| {
        for (dtype, size, groups, binding) in [
            (DType::F32, 1, 3, 1 << 20),
            (DType::F32, 8, 3, 4096),
            (DType::F16, 8, 3, 1 << 20),
        ] {
            let small = with_limits(gpu, |limits| wgpu::Limits {
                max_compute_workgroups_per_dimension: groups,
                max_compute_invocations_per_workgroup: size,
                max_compute_workgroup_size_x: size,
                max_storage_buffer_binding_size: binding,
                max_storage_buffers_per_shader_stage: 2,
                min_storage_buffer_offset_alignment: 256,
                ..limits
            });
            let what =
                format!("{name}, {size} invocations per workgroup, {binding} bytes per binding");
            let kernel = Kernel::new(small.device(), dtype).unwrap();
            run_small(&small, &kernel, &what).await;
            for (first, len) in [(0, 4096), (3, 9001), (1, 40_000)] {
                let mut y = bits_of_all(dtype, &varied(first + len + 1));
                y[..first].fill(bits(dtype, f64::NAN));
                y[first + len] = bits(dtype, f64::NAN);
                let buffer = buffer_of(&small, dtype, &y, ALL);
                let out = buffer_of(&small, DType::F32, &[0; 3], ALL);
                let (from, to) = (
                    slice(&buffer, dtype, first, len),
                    slice(&out, DType::F32, 1, 1),
                );
                let step = kernel.prepare_penalty(1.0, 0.5, 1.0, from, to).unwrap();
                assert!(
                    len < 40_000 || step.dispatches() > 3,
                    "{what}: too few dispatches"
                );
                submit(&small, &[&step]);
                let found = read(&small, DType::F32, &out, 3).await;
                let y = y[first..first + len].iter().map(|&y| value(dtype, y));
                let what = format!("{what}, {len} elements");
                check(&what, dtype, found[1], exact([1.0, 0.5], y));
                assert_eq!(
                    (found[0], found[2]),
                    (0, 0),
                    "{what}: a neighbour has changed"
                );
            }
        }
    })
    .await;
}

/// These sums are wrong if their elements are added one after the other in `f32`.
#[everywhere]
async fn long_and_adversarial_sums_are_within_tolerance() {
    let len = (1 << 20) + 5;
    type Case = (&'static str, fn(usize) -> f32);
    let cases: [Case; 4] = [
        ("constant", |_| 0.1),
        ("huge, then tiny", |i| if i == 0 { 1e8 } else { 1.0 }),
        (
            "tiny, then huge",
            |i| if i == 1 << 20 { -3e7 } else { 0.99 },
        ),
        ("varied", |i| ((i * 7919) % 4001) as f32 / 1000.0 - 2.5),
    ];
    on_every_device(async |target| {
        for (what, y) in cases {
            let y: Vec<f32> = (0..len).map(y).collect();
            let tensor = Tensor::from_slice(target.device, &y, &[len]).unwrap();
            for regularizer in [L1, L2] {
                let found = scalar(&regularizer.penalty(&tensor).unwrap()).await;
                let exact = exact(factors(regularizer), y.iter().map(|&y| y.into()));
                let what = format!("{}: {what}, {regularizer:?}", target.name);
                check(&what, DType::F32, found, exact);
            }
        }
        for dtype in [DType::F16, DType::BF16, DType::F64] {
            if supports(target.device, dtype) {
                let y = vec![bits(dtype, 0.1); len];
                let found = scalar(&BOTH.penalty(&tensor(target.device, dtype, &y)).unwrap()).await;
                let exact = exact([0.1, 0.2], y.iter().map(|&y| value(dtype, y)));
                check(target.name, dtype, found, exact);
            }
        }
    })
    .await;
}

/// One element is 2^30, whose ULP in `f32` is 128. It lies before the first whole vector. The other elements are small:
/// a workgroup's 16384 elements have the sum 60. This is less than half a ULP, so ordinary additions to 2^30 would lose
/// every such sum. The error must be at most half a ULP, which is 64, as if only the last addition rounded.
#[everywhere]
async fn rounding_errors_of_additions_are_not_lost() {
    let mut y = vec![60.0 / 16384.0; 4 + (1 << 20)];
    y[3] = (1u32 << 30) as f32;
    let exact = exact([1.0, 0.0], y[3..].iter().map(|&y| y.into()));
    on_every_device(async |target| {
        let y = Tensor::from_slice(target.device, &y, &[y.len()]).unwrap();
        let found = Regularizer::L1(1.0)
            .penalty(&y.rows(3..y.len()).unwrap())
            .unwrap();
        let found = value(DType::F32, scalar(&found).await);
        assert!(
            (found - exact).abs() < 64.5,
            "{}: {found} instead of {exact}",
            target.name
        );
    })
    .await;
}

/// The first element is 2^53, so an addition in `f64` may lose up to 1. The sum of the other elements is 1920.
#[test]
fn rounding_errors_of_additions_in_f64_are_not_lost_on_the_cpu() {
    let mut y = vec![15.0 / 256.0; 1 << 15];
    y[0] = (1u64 << 53) as f64;
    let exact = y[0] + f64::from((1 << 15) - 1) * y[1];
    let found = cpu::penalty(1.0, 0.0, &y);
    assert!(
        (found / exact - 1.0).abs() < 1e-15,
        "{found} instead of {exact}"
    );
}

#[cfg(test)]
#[pollster::test]
async fn a_penalty_of_2_to_the_26_elements_on_a_gpu_is_within_tolerance() {
    let Some(gpu) = gpus().first() else {
        return; // `gpus` has reported the skip
    };
    let device = Device::Gpu(gpu.clone());
    let y = Tensor::from_slice(&device, &vec![0.1f32; 1 << 26], &[1 << 26]).unwrap();
    let found = Regularizer::L1L2 { l1: 1.0, l2: 1.0 }.penalty(&y).unwrap();
    let found = value(DType::F32, scalar(&found).await);
    let exact = (1 << 26) as f64 * f64::from(0.1f32) * (1.0 + f64::from(0.1f32));
    assert!(
        (found / exact - 1.0).abs() < 1e-6,
        "{device}: {found} instead of {exact}"
    );
}

#[test]
fn a_penalty_of_2_to_the_26_elements_on_the_cpu_is_within_tolerance() {
    let y = vec![0.1f32; 1 << 26];
    let found = cpu::penalty(1.0, 1.0, &y);
    let exact = (1 << 26) as f64 * f64::from(0.1f32) * (1.0 + f64::from(0.1f32));
    assert!(
        (found / exact - 1.0).abs() < 3e-7,
        "{found} instead of {exact}"
    );
}

#[test]
fn any_number_of_threads_gives_the_same_sum() {
    let y: Vec<f32> = varied((1 << 20) + 77);
    let sum = cpu::penalty(0.3, 0.7, &y);
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let found = pool.install(|| cpu::penalty(0.3, 0.7, &y));
        assert_eq!(found.to_bits(), sum.to_bits(), "{threads} threads");
    }
}

#[everywhere]
async fn steps_keep_their_own_factors_and_the_result_may_lie_next_to_y() {
    on_every_gpu(async |gpu, name| {
        let kernel = gpu.kernel(DType::F32).unwrap();
        // y consists of elements 5 to 5004. The results are the elements just before and just after them.
        let values = bits_of_all(DType::F32, &varied(5010));
        let y = buffer_of(gpu, DType::F32, &values, ALL);
        let prepare = |l1, l2, to| {
            let (y, out) = (slice(&y, DType::F32, 5, 5000), slice(&y, DType::F32, to, 1));
            kernel.prepare_penalty(l1, l2, 1.0, y, out).unwrap()
        };
        let steps = [prepare(1.0, 0.0, 4), prepare(0.0, 2.0, 5005)];
        submit(gpu, &[&steps[0], &steps[1], &steps[0]]);
        submit(gpu, &[&steps[1]]);
        drop(steps); // while their work is in flight
        let after = read(gpu, DType::F32, &y, values.len()).await;
        for (i, (&before, &after)) in values.iter().zip(&after).enumerate() {
            let y = || values[5..5005].iter().map(|&y| value(DType::F32, y));
            match i {
                4 => check(name, DType::F32, after, exact([1.0, 0.0], y())),
                5005 => check(name, DType::F32, after, exact([0.0, 2.0], y())),
                _ => assert_eq!(before, after, "{name}: element {i} has changed"),
            }
        }
    })
    .await;
}

/// Kernels use the shape for hardware GPUs only on those, and all adapters may be software adapters. So this test
/// dispatches the shader with this shape itself.
#[everywhere]
async fn the_shape_for_hardware_gpus_works_on_every_adapter() {
    on_every_gpu(async |gpu, name| {
        let device = gpu.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(penalty::source(DType::F32).into()),
        });
        // Three workgroups, each with 256 invocations that take 16 vectors. The last workgroup is not full.
        let vectors = 2 * 256 * 16 + 1234;
        let values = varied(4 * vectors);
        let y = buffer_of(gpu, DType::F32, &bits_of_all(DType::F32, &values), ALL);
        let sums = buffer_of(gpu, DType::F32, &[0; 6], ALL);
        let out = buffer_of(gpu, DType::F32, &[0], ALL);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (entry_point, from, to, count, groups) in [
            (VECTORS, &y, &sums, vectors as u64, 3),
            (penalty::LAST, &sums, &out, 3, 1),
        ] {
            // The fields of `penalty::Params`: first, count, to, groups_per_row, begin, end, zero and padding_1. Then
            // those of `penalty::Factors32`: l1, l2, scale and power.
            let mut uniform = vec![0, count, 0, groups, 0, 0, 0, 0];
            uniform.extend([0.5f32, 0.25, 1.0, 1.0].map(|factor| u64::from(factor.to_bits())));
            let uniform = buffer_of(gpu, DType::F32, &uniform, BufferUsages::UNIFORM);
            let constants = penalty::constants(Shape::HARDWARE, entry_point);
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: Some(entry_point),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
            let buffers = [
                (PARAMS_BINDING, &uniform),
                (X_BINDING, from),
                (Y_BINDING, to),
            ];
            let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &buffers.map(|(binding, buffer)| wgpu::BindGroupEntry {
                    binding,
                    resource: buffer.as_entire_binding(),
                }),
            });
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups(groups.try_into().unwrap(), 1, 1);
        }
        drop(pass);
        gpu.queue().submit([encoder.finish()]);
        let found = read(gpu, DType::F32, &out, 1).await[0];
        let exact = exact([0.5, 0.25], values.iter().map(|&y| y.into()));
        check(name, DType::F32, found, exact);
    })
    .await;
}

/// A kernel for float32 on a device without a driver, a buffer with elements, and a buffer for the result.
#[cfg(test)]
struct Host {
    gpu: Gpu,
    kernel: Kernel,
    y: wgpu::Buffer,
    out: wgpu::Buffer,
}

#[cfg(test)]
impl Host {
    fn new() -> Self {
        Self::with(wgpu::Limits::default())
    }

    fn with(limits: wgpu::Limits) -> Self {
        let gpu = noop(limits);
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        let [y, out] = [(); 2].map(|()| buffer_of(&gpu, DType::F32, &[0; 100], ALL));
        Self {
            gpu,
            kernel,
            y,
            out,
        }
    }

    /// Returns the error for these slices, and checks that the kernel still works.
    fn refuses(&self, y: wgpu::BufferSlice<'_>, out: wgpu::BufferSlice<'_>) -> Error {
        let prepare = |y, out| self.kernel.prepare_penalty(1.0, 0.0, 1.0, y, out);
        let error = prepare(y, out).unwrap_err();
        let step = prepare(self.y.slice(..4), self.out.slice(..4));
        assert_eq!(
            step.unwrap().dispatches(),
            2,
            "the kernel does not work after an error"
        );
        error
    }
}

#[test]
fn results_that_are_not_one_element_are_refused() {
    let host = Host::new();
    let error = host.refuses(host.y.slice(..), host.out.slice(..8));
    assert!(matches!(error, Error::NotOneElement { found: 8, .. }));
    assert_eq!(
        error.to_string(),
        "the output must be 1 element of float32, found 8 bytes"
    );
}

#[test]
fn results_within_the_input_are_refused() {
    let host = Host::new();
    let error = host.refuses(host.y.slice(..), host.y.slice(40..44));
    assert!(
        matches!(&error, Error::OutputWithinInput { input, output } if *input == (0..400) && *output == (40..44))
    );
    assert_eq!(
        error.to_string(),
        "output bytes 40..44 overlap input bytes 0..400 of the same buffer: a penalty needs separate memory"
    );
    // The result may lie next to the input.
    let step = host
        .kernel
        .prepare_penalty(1.0, 0.0, 1.0, host.y.slice(..4), host.y.slice(4..8));
    assert_eq!(step.unwrap().dispatches(), 2);
}

#[test]
fn slices_of_a_penalty_that_cut_an_element_are_refused() {
    let host = Host::new();
    let error = host.refuses(host.y.slice(1..5), host.out.slice(..4));
    assert!(matches!(
        error,
        Error::Misaligned {
            role: Role::Input,
            ..
        }
    ));
    let error = host.refuses(host.y.slice(..), host.out.slice(2..6));
    assert!(matches!(
        error,
        Error::Misaligned {
            role: Role::Output,
            ..
        }
    ));
}

#[test]
fn buffers_of_a_penalty_without_storage_usage_are_refused() {
    let host = Host::new();
    let without_storage = buffer_of(&host.gpu, DType::F32, &[0; 100], BufferUsages::COPY_SRC);
    let error = host.refuses(host.y.slice(..), without_storage.slice(..4));
    assert!(matches!(
        error,
        Error::MissingUsage {
            role: Role::Output,
            ..
        }
    ));
    let error = host.refuses(without_storage.slice(..), host.out.slice(..4));
    assert!(matches!(
        error,
        Error::MissingUsage {
            role: Role::Input,
            ..
        }
    ));
}

#[test]
fn divisors_that_are_not_positive_are_refused() {
    let host = Host::new();
    for (divisor, text) in [
        (0.0, "0"),
        (-2.0, "-2"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
    ] {
        let error = host
            .kernel
            .prepare_penalty(1.0, 0.0, divisor, host.y.slice(..), host.out.slice(..4))
            .unwrap_err();
        assert!(matches!(error, Error::Divisor { .. }));
        let text = format!("the divisor must be a positive finite number, found {text}");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn negative_factors_of_a_penalty_are_refused() {
    let host = Host::new();
    let error = host
        .kernel
        .prepare_penalty(1.0, -0.5, 1.0, host.y.slice(..), host.out.slice(..4))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "regularizer factor l2 must be a non-negative finite number, found -0.5"
    );
}

/// An input may end in the middle of a 32-bit word, which a GPU cannot bind. A result has the dtype of the arithmetic,
/// here float32, so a slice of 2 bytes is too short for it.
#[test]
fn misaligned_slices_of_a_penalty_of_16_bit_elements_are_refused() {
    let host = Host::new();
    let halves = Kernel::new(host.gpu.device(), DType::F16).unwrap();
    let odd = host.gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 6,
        usage: ALL,
        mapped_at_creation: false,
    });
    let error = halves
        .prepare_penalty(1.0, 0.0, 1.0, odd.slice(..), host.out.slice(..4))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::PartialWord {
            role: Role::Input,
            needed: 8,
            found: 6
        }
    ));
    let error = halves
        .prepare_penalty(1.0, 0.0, 1.0, host.y.slice(..), host.out.slice(..2))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Misaligned {
            role: Role::Output,
            needed: 4,
            ..
        }
    ));
}

/// The cases are no elements, one or two elements, whole vectors, and whole vectors with elements around them.
#[test]
fn short_penalties_need_1_to_3_dispatches() {
    let host = Host::new();
    for (bytes, dispatches) in [
        (4..4, 1),
        (0..4, 2),
        (12..20, 2),
        (16..48, 2),
        (12..48, 3),
        (12..52, 3),
    ] {
        let (y, out) = (host.y.slice(bytes), host.out.slice(..4));
        let step = host.kernel.prepare_penalty(1.0, 0.0, 1.0, y, out);
        assert_eq!(step.unwrap().dispatches(), dispatches);
    }
}

#[test]
fn too_little_workgroup_memory_for_a_penalty_is_reported() {
    let host = Host::with(wgpu::Limits {
        max_compute_workgroup_storage_size: 100,
        ..wgpu::Limits::default()
    });
    let error = host
        .kernel
        .prepare_penalty(1.0, 0.0, 1.0, host.y.slice(..4), host.out.slice(..4))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Limit {
            limit: "max_compute_workgroup_storage_size",
            found: 100,
            ..
        }
    ));
}
