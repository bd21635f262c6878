//! Tests of kernels on slices of every length and offset. The bytes around the output must not change.

use crate::everywhere::{check_results, everywhere, on_every_gpu, supports, varied};
#[cfg(test)]
use crate::native::with_limits;
use wgpu_elu::accuracy::{Judge, bits};
use wgpu_elu::{
    DType, Device, Elu, Gpu, Kernel, Op, Rounding, Step,
    wgpu::{self},
};

use super::*;

/// Returns the bits of `len` numbers of [`varied`], after the first `skip` numbers.
fn varied_bits(dtype: DType, skip: usize, len: usize) -> Vec<u64> {
    let values = varied(skip + len);
    values[skip..]
        .iter()
        .map(|&v| bits(dtype, v.into()))
        .collect()
}

/// Returns the bits that outputs are filled with before: those of a number that no result equals.
fn poison(dtype: DType) -> u64 {
    bits(dtype, -12345.5)
}

const ALPHA: f64 = 0.7;

/// What a kernel computes.
#[derive(Clone, Copy, Debug)]
struct Task {
    op: Op,
    rounding: Rounding,
}

impl Task {
    fn elu(self) -> Elu {
        Elu::new(ALPHA).with_rounding(self.rounding)
    }
}

impl From<Op> for Task {
    fn from(op: Op) -> Self {
        let rounding = Rounding::Faithful;
        Self { op, rounding }
    }
}

/// Prepares a step with the alpha of these tests.
fn prepare(
    kernel: &Kernel,
    task: Task,
    x: wgpu::BufferSlice<'_>,
    grad: wgpu::BufferSlice<'_>,
    y: wgpu::BufferSlice<'_>,
) -> Step {
    let grad = task.op.has_grad().then_some(grad);
    kernel.prepare_op(task.op, task.elu(), x, grad, y).unwrap()
}

/// Panics unless the results `y` keep the contract.
#[track_caller]
fn check(what: &str, kernel: &Kernel, task: Task, x: &[u64], grad: &[u64], y: &[u64]) {
    let judge = Judge {
        op: task.op,
        dtype: kernel.dtype(),
        elu: task.elu(),
    };
    // Judges only some results of float64: the judge is slow for this dtype, and these tests are about positions.
    let few = if kernel.dtype() == DType::F64 {
        x.len().min(200)
    } else {
        x.len()
    };
    check_results(what, judge, &x[..few], &grad[..few], &y[..few]);
}

/// The indices of the first elements of the slices of x, grad and y.
type Firsts = [usize; 3];

/// Runs a step on `len` elements of two buffers, which writes to a third. Checks the results, and that the elements
/// around them have not changed. Returns the number of dispatches.
async fn run(
    gpu: &Gpu,
    kernel: &Kernel,
    task: Task,
    what: &str,
    firsts: Firsts,
    len: usize,
) -> usize {
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
        task,
        slice(&x_buffer, dtype, x_first, len),
        slice(&grad_buffer, dtype, grad_first, len),
        slice(&y_buffer, dtype, y_first, len),
    );
    submit(gpu, &[&step]);
    let what = format!("{what}, {len} elements from {x_first} and {grad_first} to {y_first}");
    let y = read(gpu, dtype, &y_buffer, y_len).await;
    let around = y[..y_first].iter().chain(&y[y_first + len..]);
    assert!(
        around.copied().all(|y| y == poison),
        "{what}: a neighbour has changed"
    );
    let (x, grad) = (
        &x[x_first..x_first + len],
        &grad[grad_first..grad_first + len],
    );
    check(&what, kernel, task, x, grad, &y[y_first..y_first + len]);
    step.dispatches()
}

/// Runs a step on three slices of one buffer, and checks the results and the other elements. Some of `firsts` may be
/// equal.
async fn run_within(
    gpu: &Gpu,
    kernel: &Kernel,
    task: Task,
    what: &str,
    firsts: Firsts,
    len: usize,
) {
    let dtype = kernel.dtype();
    let [x_first, grad_first, y_first] = firsts;
    let before = varied_bits(dtype, 0, firsts.into_iter().max().unwrap() + len + 5);
    let buffer = buffer_of(gpu, dtype, &before, ALL);
    let [x, grad, y] = firsts.map(|first| slice(&buffer, dtype, first, len));
    submit(gpu, &[&prepare(kernel, task, x, grad, y)]);
    let what = format!("{what}, {task:?} of {len} {dtype} at {firsts:?} of one buffer");
    let after = read(gpu, dtype, &buffer, before.len()).await;
    for (i, (before, after)) in before.iter().zip(&after).enumerate() {
        let within = (y_first..y_first + len).contains(&i);
        assert!(within || before == after, "{what}: element {i} has changed");
    }
    let (x, grad) = (
        &before[x_first..x_first + len],
        &before[grad_first..grad_first + len],
    );
    check(&what, kernel, task, x, grad, &after[y_first..y_first + len]);
}

/// Runs `test` with every operation, in every rounding, and a kernel for every dtype that the device supports.
async fn on_every_kernel(gpu: &Gpu, test: impl AsyncFn(&Kernel, Task)) {
    for dtype in DType::ALL {
        if supports(&Device::Gpu(gpu.clone()), dtype) {
            let kernel = Kernel::new(gpu.device(), dtype).unwrap();
            for op in Op::ALL {
                test(&kernel, op.into()).await;
                if dtype != DType::F64 {
                    let rounding = Rounding::Nearest;
                    test(&kernel, Task { op, rounding }).await;
                }
            }
        }
    }
}

#[everywhere]
async fn slices_of_every_small_length_and_offset_keep_the_contract() {
    on_every_gpu(async |gpu, name| {
        on_every_kernel(gpu, async |kernel, task| {
            for len in 0..=67 {
                let dispatches = run(gpu, kernel, task, name, [0; 3], len).await;
                assert_eq!(dispatches == 0, len == 0);
                run(gpu, kernel, task, name, [1; 3], len).await;
            }
            for x_first in [0, 1, 3, 64, 65] {
                for y_first in [0, 1, 2, 7, 64] {
                    for len in [1, 4, 6, 301] {
                        let grad_first = (x_first * y_first + len) % 9;
                        run(gpu, kernel, task, name, [x_first, grad_first, y_first], len).await;
                    }
                }
            }
        })
        .await;
    })
    .await;
}

#[everywhere]
async fn lengths_around_one_and_65535_workgroups_keep_the_contract() {
    on_every_gpu(async |gpu, name| {
        on_every_kernel(gpu, async |kernel, task| {
            // For float32, a workgroup of the entry point `elements` processes 64 elements, or 256 on a hardware GPU,
            // and a workgroup of `vectors` processes 1024.
            for around in [64, 256, 1024, 4096] {
                for len in around - 1..=around + 1 {
                    run(gpu, kernel, task, name, [0; 3], len).await;
                    run(gpu, kernel, task, name, [5, 5, 1], len).await;
                }
            }
        })
        .await;
        // On a software adapter, 65535 workgroups of `elements`, the most in one dimension, process this many elements.
        let kernel = Kernel::new(gpu.device(), DType::F32).unwrap();
        for len in [65_535 * 64 - 1, 65_535 * 64, 65_535 * 64 + 1] {
            let dispatches = run(gpu, &kernel, Op::Forward.into(), name, [1, 0, 0], len).await;
            assert_eq!(
                dispatches, 1,
                "needed one dispatch with several rows of workgroups"
            );
        }
    })
    .await;
}

#[everywhere]
async fn all_slices_may_be_equal_or_lie_in_one_buffer() {
    on_every_gpu(async |gpu, name| {
        on_every_kernel(gpu, async |kernel, task| {
            for (first, len) in [(0, 64), (0, 1031), (1, 1), (3, 1000), (62, 9), (5, 0)] {
                // All three slices are equal, or only the gradient's and the output's are.
                run_within(gpu, kernel, task, name, [first; 3], len).await;
                run_within(
                    gpu,
                    kernel,
                    task,
                    name,
                    [first + len + 3, first, first],
                    len,
                )
                .await;
            }
            for (firsts, len) in [
                ([0, 0, 1000], 1000),
                ([1000, 2000, 0], 1000),
                ([3, 3, 18], 15),
                ([7, 250, 107], 100),
                ([901, 0, 1801], 900),
            ] {
                run_within(gpu, kernel, task, name, firsts, len).await;
            }
        })
        .await;
    })
    .await;
}

/// Two of the three slices lie in one buffer, and the third in another.
#[everywhere]
async fn any_two_slices_may_share_a_buffer() {
    on_every_gpu(async |gpu, name| {
        on_every_kernel(gpu, async |kernel, task| {
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
                // The pairs in the shared buffer are x and grad, x and y, and grad and y.
                for (i, [x, grad, y]) in [[a, b, c], [a, c, b], [c, a, b]].into_iter().enumerate() {
                    let first = |slice: wgpu::BufferSlice<'_>| {
                        usize::try_from(slice.offset()).unwrap() / dtype.size()
                    };
                    let before_of = async |slice: wgpu::BufferSlice<'_>| {
                        let bits = read(gpu, dtype, slice.buffer(), before.len()).await;
                        bits[first(slice)..first(slice) + len].to_vec()
                    };
                    let (x_before, grad_before) = (before_of(x).await, before_of(grad).await);
                    let all_before = read(gpu, dtype, y.buffer(), before.len()).await;
                    submit(gpu, &[&prepare(kernel, task, x, grad, y)]);
                    let what = format!("{name}, arrangement {i} at {one} and {other}");
                    let mut all_after = read(gpu, dtype, y.buffer(), before.len()).await;
                    let within = first(y)..first(y) + len;
                    let after = all_after[within.clone()].to_vec();
                    check(&what, kernel, task, &x_before, &grad_before, &after);
                    all_after[within.clone()].copy_from_slice(&all_before[within]);
                    assert!(all_after == all_before, "{what}: a neighbour has changed");
                }
            }
        })
        .await;
    })
    .await;
}

#[cfg(test)]
#[pollster::test]
async fn slices_are_divided_to_fit_into_small_limits() {
    on_every_gpu(async |gpu, name| {
        let default = with_limits(gpu, |_| wgpu::Limits::default());
        let kernel = Kernel::new(default.device(), DType::F32).unwrap();
        for firsts in [[0; 3], [3; 3], [2, 7, 5]] {
            for op in Op::ALL {
                run(&default, &kernel, op.into(), name, firsts, 4099).await;
            }
        }
        // A dispatch has at most 3 x 3 workgroups of 8 invocations. On a software adapter, an invocation processes 4
        // vectors. So most aligned runs need several rows of workgroups, and the longest need several dispatches.
        let few_groups = with_limits(gpu, |limits| wgpu::Limits {
            max_compute_workgroups_per_dimension: 3,
            max_compute_invocations_per_workgroup: 8,
            max_compute_workgroup_size_x: 8,
            ..limits
        });
        let mut max_dispatches = 0;
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let kernel = Kernel::new(few_groups.device(), dtype).unwrap();
            for len in [96, 100, 288, 384, 388, 1000, 1152, 1156, 5001] {
                let dispatches =
                    run(&few_groups, &kernel, Op::Forward.into(), name, [0; 3], len).await;
                max_dispatches = max_dispatches.max(dispatches);
                run(
                    &few_groups,
                    &kernel,
                    Op::Backward.into(),
                    name,
                    [3, 4, 7],
                    len,
                )
                .await;
            }
        }
        assert!(max_dispatches > 2, "no run was divided");
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
                    run(&tiny, &kernel, Op::Forward.into(), name, firsts, len).await;
                    run(
                        &tiny,
                        &kernel,
                        Op::BackwardFromOutput.into(),
                        name,
                        firsts,
                        len,
                    )
                    .await;
                }
            }
        }
    })
    .await;
}

#[everywhere]
async fn steps_keep_their_own_alpha_and_can_be_recorded_repeatedly() {
    on_every_gpu(async |gpu, name| {
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
        drop(steps); // while their work is in flight
        for (alpha, y_buffer) in &outputs {
            let judge = Judge {
                op: Op::Forward,
                dtype: DType::F32,
                elu: Elu::new(*alpha),
            };
            let y = read(gpu, DType::F32, y_buffer, 1001).await;
            check_results(name, judge, &x, &[], &y);
        }
    })
    .await;
}
