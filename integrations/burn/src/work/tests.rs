//! Which memory results use. The functions for tensors hide it, so these tests work on burn's inner tensors.

use burn::{
    backend::{ops::FloatTensorOps, wgpu::CubeBackend},
    tensor::{Device, TensorData},
};
use burn_cubecl::CubeDevice;

use super::*;

/// Returns burn's name of the default wgpu device, registered, or `None` without an adapter.
fn device() -> Option<CubeDevice> {
    static DEVICE: std::sync::OnceLock<Option<CubeDevice>> = std::sync::OnceLock::new();
    let made = DEVICE.get_or_init(|| {
        let made = Device::wgpu_options().init_with_setup();
        if let Err(error) = &made {
            let required = std::env::var("WGPU_ELU_GPU").is_ok_and(|value| value == "require");
            assert!(!required, "{error}");
            eprintln!("SKIPPED: {error}");
        }
        let (device, setup) = made.ok()?;
        registry::init(&device, &setup).unwrap();
        Some(registry::wgpu_device(&device).unwrap())
    });
    made.clone()
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
    a.handle.memory.descriptor() == b.handle.memory.descriptor()
}

fn forward(x: CubeTensor) -> CubeTensor {
    apply(Op::Forward, Elu::new(1.0), x, None)
}

fn backward(x: CubeTensor, grad: CubeTensor) -> CubeTensor {
    apply(Op::Backward, Elu::new(1.0), x, Some(grad))
}

/// Returns the identity of a tensor's memory without keeping it in use.
fn memory(tensor: &CubeTensor) -> String {
    format!("{:?}", tensor.handle.memory.descriptor())
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
