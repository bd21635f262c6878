//! Which memory results use. The functions for tensors hide it, so these tests work on burn's inner tensors.

use burn::{
    backend::{ops::FloatTensorOps, wgpu::CubeBackend},
    tensor::TensorData,
};
use burn_cubecl::CubeDevice;

use super::*;

#[path = "../../tests/support.rs"]
#[allow(dead_code, reason = "the integration tests use the rest")]
mod support;

/// Returns burn's name of the default wgpu device, registered, or `None` without an adapter.
fn device() -> Option<CubeDevice> {
    let device = support::device()?;
    Some(registry::wgpu_device(&device).unwrap())
}

fn tensor(device: &CubeDevice, shape: [usize; 2]) -> CubeTensor {
    let numbers = (0..shape[0] * shape[1]).map(|i| -(i as f32) / 100.0);
    CubeBackend::float_from_data(TensorData::new(numbers.collect(), shape), device)
}

fn numbers(tensor: CubeTensor) -> Vec<f32> {
    let data = CubeBackend::float_into_data(tensor);
    let data = burn_cubecl::cubecl::future::block_on(data).unwrap();
    data.try_to_vec().unwrap()
}

fn share_memory(a: &CubeTensor, b: &CubeTensor) -> bool {
    memory(a) == memory(b)
}

fn forward(x: CubeTensor) -> CubeTensor {
    apply(Op::Forward, Elu::new(1.0), x, None)
}

fn backward(x: CubeTensor, grad: CubeTensor) -> CubeTensor {
    apply(Op::Backward, Elu::new(1.0), x, Some(grad))
}

/// Returns the identity of a tensor's memory without keeping it in use.
fn memory(tensor: &CubeTensor) -> impl PartialEq + std::fmt::Debug + use<> {
    tensor.handle.memory.descriptor().id
}

#[test]
fn the_result_takes_the_memory_of_an_input_that_nobody_else_uses() {
    let Some(device) = device() else { return };
    let x = tensor(&device, [8, 8]);
    let expected: Vec<f32> = numbers(x.clone()).iter().map(|x| x.exp_m1()).collect();

    // In use elsewhere: a new tensor, and `x` keeps its values.
    let before = numbers(x.clone());
    let kept = forward(x.clone());
    assert!(!share_memory(&kept, &x));
    assert_eq!(numbers(x.clone()), before);

    let taken = memory(&x);
    let in_place = forward(x);
    assert_eq!(memory(&in_place), taken);
    let (kept, in_place) = (numbers(kept), numbers(in_place));
    assert_eq!(kept, in_place);
    assert!(
        kept.iter()
            .zip(&expected)
            .all(|(y, expected)| (y - expected).abs() < 1e-6)
    );
}

#[test]
fn a_gradient_takes_the_memory_of_the_incoming_gradient_or_of_x() {
    let Some(device) = device() else { return };
    let (x, grad) = (tensor(&device, [8, 8]), tensor(&device, [8, 8]));
    let kept = backward(x.clone(), grad.clone());
    assert!(!share_memory(&kept, &x) && !share_memory(&kept, &grad));
    let expected = numbers(kept);

    let other = tensor(&device, [8, 8]);
    let taken = memory(&other);
    let result = backward(x.clone(), other);
    assert_eq!(memory(&result), taken);
    assert_eq!(numbers(result), expected);

    let taken = memory(&x);
    let result = backward(x, grad.clone());
    assert_eq!(memory(&result), taken);
    assert_eq!(numbers(result), expected);
    assert_eq!(numbers(grad), numbers(tensor(&device, [8, 8])));
}

#[test]
fn one_tensor_may_be_both_inputs() {
    let Some(device) = device() else { return };
    let x = tensor(&device, [8, 8]);
    let expected: Vec<f32> = numbers(x.clone()).iter().map(|x| x * x.exp()).collect();
    let result = numbers(backward(x.clone(), x));
    assert!(
        result
            .iter()
            .zip(&expected)
            .all(|(y, expected)| (y - expected).abs() < 1e-6)
    );
}

#[test]
fn dense_views_are_not_copied() {
    let Some(device) = device() else { return };
    // Burn makes a view of a slice that starts and ends at a multiple of 256 bytes, and copies other slices.
    let x = tensor(&device, [8, 128]);
    let is_copied = |view: CubeTensor| {
        let (dense, _) = dense(view.clone(), None);
        !share_memory(&dense, &view)
    };
    let transposed = CubeBackend::float_swap_dims(x.clone(), 0, 1);
    let rows = CubeBackend::float_slice(x.clone(), &[(2..5).into(), (0..128).into()]);
    let columns = CubeBackend::float_slice(x.clone(), &[(0..8).into(), (64..128).into()]);
    assert!(!is_copied(x.clone()) && !is_copied(transposed.clone()) && !is_copied(rows));
    assert!(share_memory(&columns, &x) && is_copied(columns));
    // Two tensors in different orders are brought into one.
    let grad = tensor(&device, [128, 8]);
    let (a, b) = dense(transposed.clone(), Some(grad.clone()));
    assert!(a.is_contiguous() && b.unwrap().is_contiguous());
    let (a, b) = dense(transposed.clone(), Some(transposed.clone()));
    assert!(share_memory(&a, &transposed) && share_memory(&b.unwrap(), &transposed));
}

/// Burn counts the owners of a tensor, and not the pending work of other threads that reads it.
#[test]
fn pending_work_of_another_stream_reads_a_tensor_before_the_result_takes_its_memory() {
    let Some(device) = device() else { return };
    let x = tensor(&device, [8, 8]);
    let expected: Vec<f32> = numbers(x.clone()).iter().map(|x| x * 2.0).collect();
    let doubled = cubecl_environment::stream::Stream::new()
        .enter(|| CubeBackend::float_mul_scalar(x.clone(), 2f32.into()));
    let taken = memory(&x);
    let in_place = forward(x);
    assert_eq!(memory(&in_place), taken);
    drop(numbers(in_place));
    assert_eq!(numbers(doubled), expected);
}

/// Burn's own arithmetic, which a test of whole tensors needs, is not available for every dtype.
#[test]
fn gradients_of_every_dtype_are_within_the_documented_bound() {
    use burn::tensor::DType;
    use wgpu_elu::accuracy::Extent;

    let Some(device) = device() else { return };
    let mut computed = Vec::new();
    for (burn_dtype, dtype) in support::DTYPES {
        match registry::kernel(&device, burn_dtype) {
            Err(Error::Elu(wgpu_elu::Error::MissingFeature { .. })) => continue,
            kernel => drop(kernel.unwrap()),
        }
        let elu = Elu::new(0.3);
        let (judge, x, grad) = support::sample(Op::Backward, dtype, elu, Extent::Few);
        let (x, grad) = (&x[1..], &grad[1..]); // the last word of 16-bit numbers may be half full
        let tensor = |numbers: &[u64]| {
            let bytes = numbers
                .iter()
                .flat_map(|bits| bits.to_le_bytes()[..dtype.size()].to_vec());
            let data = TensorData::from_bytes_vec(bytes.collect(), [numbers.len()], burn_dtype);
            CubeBackend::float_from_data(data, &device)
        };
        // Into a new tensor, and into the memory of the incoming gradient.
        let (a, b) = (tensor(x), tensor(grad));
        let new = apply(Op::Backward, elu, a.clone(), Some(b.clone()));
        assert!(!share_memory(&new, &b));
        let in_place = apply(Op::Backward, elu, a, Some(b));
        for result in [new, in_place] {
            let data = CubeBackend::float_into_data(result);
            let data = burn_cubecl::cubecl::future::block_on(data).unwrap();
            support::check(judge, x, grad, &support::bits_of(&data));
        }
        computed.push(burn_dtype);
    }
    assert_eq!(
        computed[..3],
        [DType::F32, DType::F16, DType::BF16],
        "no feature is needed"
    );
}
