//! The order of our work and burn's. Both go to one queue, but burn collects its work before it submits it.

use burn::tensor::{DType, Device, Tensor, TensorData, s};
use wgpu_elu_burn::{EluConfig, Rounding, elu};

use crate::support::{check_f32, device, number_tensor, numbers, tensor};

#[test]
fn burns_work_before_and_after_is_in_order() {
    let Some(device) = device() else { return };
    for i in 0..50 {
        let x = number_tensor(&device, [1000 + i]);
        // The product is pending when our work is submitted, and the sum follows it.
        let doubled = x.clone() * 2.0;
        let y = elu(doubled, 0.5).unwrap() + 0.0;
        check_f32(0.5, x * 2.0, y);
    }
}

#[test]
fn operations_follow_each_other_without_a_wait() {
    let Some(device) = device() else { return };
    let x = number_tensor(&device, [5000]);
    let mut ours = x.clone();
    let mut expected = numbers(5000);
    for _ in 0..40 {
        ours = elu(ours * 0.5, 1.0).unwrap() - 0.25;
        for x in &mut expected {
            let half = *x * 0.5;
            *x = (if half < 0.0 { half.exp_m1() } else { half }) - 0.25;
        }
    }
    let ours = ours.into_data().try_to_vec::<f32>().unwrap();
    for (ours, expected) in ours.iter().zip(&expected) {
        assert!((ours - expected).abs() < 1e-5, "{ours} {expected}");
    }
}

#[test]
fn a_failed_input_is_reported_and_does_not_stop_others() {
    let Some(device) = device() else { return };
    // No GPU computes nearest results of float64.
    let x = tensor(&device, DType::F64, &[(-0.5f64).to_bits(); 100]);
    let nearest = EluConfig::new()
        .with_rounding(Some(Rounding::Nearest))
        .init();
    let failed = nearest.forward(x);
    let error = nearest.try_forward(failed.clone()).unwrap_err().to_string();
    // What is computed from it carries its error.
    let next = EluConfig::new().init().forward(failed);
    let carried = format!("{:?}", next.try_into_data().unwrap_err());
    assert!(carried.contains(&error), "{carried}");
    let x = number_tensor(&device, [100]);
    check_f32(1.0, x.clone(), elu(x, 1.0).unwrap());
}

/// Threads have streams of their own in burn. Temporary tensors are dropped while the work is in flight, so their
/// memory is reused.
#[test]
fn four_threads_with_temporary_tensors() {
    let Some(device) = device() else { return };
    let shared = number_tensor(&device, [60_000]) * 1.0;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (device, shared) = (&device, shared.clone());
            scope.spawn(move || (0..60).for_each(|i| one_round(device, &shared, thread, i)));
        }
    });
}

fn one_round(device: &Device, shared: &Tensor<1>, thread: usize, i: usize) {
    let len = 1 + (i * 7919 + thread * 104_729) % 50_000;
    let x = match i % 4 {
        // A tensor of another thread, a view of one, an upload, and a view of an upload.
        0 => shared.clone().slice(s![0..len]) * 1.0,
        1 => shared.clone().slice(s![5..5 + len]),
        2 => Tensor::from_data(TensorData::new(numbers(len), [len]), device) * 1.0,
        _ => Tensor::<1>::from_data(TensorData::new(numbers(len + 7), [len + 7]), device)
            .slice(s![7..7 + len]),
    };
    let temporary = elu(x.clone() + 10.0, 1.0).unwrap() - 10.0; // x + 10 is positive
    let rounded = (x.clone() + 10.0) - 10.0;
    let zero = elu(x, 1.0).unwrap() * 0.0;
    check_f32(0.5, rounded, elu(temporary + zero, 0.5).unwrap() + 0.0);
}
