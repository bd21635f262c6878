//! Slices, transposed and broadcast tensors, and what burn computes from the results.

use burn::tensor::{Tensor, s};
use wgpu_elu_burn::elu;

use crate::support::{check_f32, device, number_tensor};

#[track_caller]
fn works<const D: usize>(x: Tensor<D>) {
    let y = elu(x.clone(), 0.5).unwrap();
    check_f32(0.5, x.clone(), y.clone());
    // Burn reads the layout of the result, too.
    let burns = (y + 1.0) - x;
    assert!(burns.try_into_data().is_ok());
}

#[test]
fn views_of_every_kind_work() {
    let Some(device) = device() else { return };
    let x = number_tensor(&device, [6, 7, 9]);
    works(x.clone());
    works(x.clone().slice(s![1..5, .., ..])); // consecutive, starts within a buffer
    works(x.clone().slice(s![.., 2..3, 1..8])); // gaps between rows
    works(x.clone().slice(s![.., ..;2, ..])); // every second row
    works(x.clone().swap_dims(0, 2)); // another order of the same elements
    works(x.clone().permute([2, 0, 1]).slice(s![3..4, .., ..]));
    works(x.clone().slice(s![2..3, .., ..]).swap_dims(1, 2));
    works(x.clone().flip([1]));
    works(x.clone().slice(s![.., .., 0..1]).expand([6, 7, 5])); // one element in many places
    works(x.clone().reshape([42, 9]).transpose());
    works(x.slice(s![5..6, 6..7, 8..9])); // one element, at the end
    works(Tensor::<1>::full([1], -0.5, &device).expand([100]));
}

#[test]
fn slices_that_burn_does_not_copy_work() {
    let Some(device) = device() else { return };
    // They start and end at a multiple of 256 bytes.
    let x = number_tensor(&device, [8, 192]);
    works(x.clone().slice(s![2..5, ..]));
    works(x.clone().slice(s![.., 64..128]));
    works(x.clone().slice(s![2..5, 128..192]));
    works(x.clone().slice(s![2..5, ..]).transpose());
    works(x.slice(s![.., 64..128]).transpose());
}

#[test]
fn rows_and_columns_of_odd_lengths_work() {
    let Some(device) = device() else { return };
    for len in [1, 2, 3, 4, 5, 31, 63, 64, 65, 127, 255, 257, 1023] {
        let x = number_tensor(&device, [3, len]);
        works(x.clone().slice(s![1..2, ..]));
        works(x.transpose());
    }
}

#[test]
fn a_view_keeps_its_place_among_the_others() {
    let Some(device) = device() else { return };
    // The views share one buffer with the tensor, whose other elements must keep their values.
    let x = number_tensor(&device, [4, 100]);
    let before = x.clone().try_into_data().unwrap();
    let rows: Vec<_> = (0..4)
        .map(|i| elu(x.clone().slice(s![i..i + 1, ..]), 0.5).unwrap())
        .collect();
    check_f32(0.5, x.clone(), Tensor::cat(rows, 0));
    assert_eq!(x.try_into_data().unwrap().as_bytes(), before.as_bytes());
}

#[test]
fn burn_computes_with_a_transposed_result() {
    let Some(device) = device() else { return };
    let x = number_tensor(&device, [17, 33]);
    let y = elu(x.clone().transpose(), 1.0).unwrap();
    let contiguous = elu(x.clone(), 1.0).unwrap().transpose();
    let product = y.clone().matmul(x.clone());
    let expected = contiguous.matmul(x);
    let largest = (product - expected).abs().max().into_scalar::<f32>();
    assert!(largest < 1e-4, "{largest}");
}

#[test]
fn sixteen_bit_tensors_of_odd_lengths_work() {
    use burn::tensor::{DType, FloatDType};
    use wgpu_elu_burn::wgpu_elu::{self, Elu, Op, accuracy::Judge};

    use crate::support::{bits, check};

    let Some(device) = device() else { return };
    if !device.supports_dtype(DType::F16) {
        return eprintln!("SKIPPED: burn does not compute with F16 on this device");
    }
    let judge = Judge {
        op: Op::Forward,
        dtype: wgpu_elu::DType::F16,
        elu: Elu::new(1.0),
    };
    let x = number_tensor(&device, [1001]).cast(FloatDType::F16);
    // Burn makes a view of the slice that starts at 256 bytes, and copies the others.
    for range in [1..2, 1..4, 3..1000, 5..1001, 0..999, 128..1001] {
        let view = x.clone().slice([range]);
        let y = elu(view.clone(), 1.0).unwrap();
        let x = bits(view);
        check(judge, &x, &x, &bits(y));
    }
}
