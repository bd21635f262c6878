//! Results against exact values, for every dtype that the device supports.

use burn::tensor::{Tensor, activation};
use wgpu_elu_burn::{
    Error, Rounding,
    wgpu_elu::{self, DType, Elu, Op, accuracy::Extent},
};

use crate::support::{DTYPES, bits, check, device, number_tensor, sample, tensor};

#[test]
fn results_of_every_dtype_are_within_the_documented_bound() {
    let Some(device) = device() else { return };
    let mut computed = 0;
    for (burn_dtype, dtype) in DTYPES {
        for elu in [
            Elu::new(1.0),
            Elu::new(0.3),
            Elu::new(-1e-30),
            Elu::selu(),
            Elu::celu(2.0).unwrap(),
        ] {
            let (judge, x, grad) = sample(Op::Forward, dtype, elu, Extent::Few);
            let y = match wgpu_elu_burn::elu(tensor(&device, burn_dtype, &x), elu) {
                Err(Error::Elu(wgpu_elu::Error::MissingFeature { .. })) => continue,
                y => y.unwrap(),
            };
            assert_eq!(y.dtype(), burn_dtype);
            check(judge, &x, &grad, &bits(y));
            computed += 1;
        }
    }
    assert!(computed >= 15, "f32, f16 and bf16 need no feature");
}

#[test]
fn nearest_rounding_gives_the_nearest_number() {
    let Some(device) = device() else { return };
    for (burn_dtype, dtype) in &DTYPES[..3] {
        for elu in [Elu::new(1.0), Elu::new(0.3), Elu::selu()] {
            let elu = elu.with_rounding(Rounding::Nearest);
            let (judge, x, grad) = sample(Op::Forward, *dtype, elu, Extent::Few);
            let y = wgpu_elu_burn::elu(tensor(&device, *burn_dtype, &x), elu).unwrap();
            check(judge, &x, &grad, &bits(y));
        }
    }
}

#[test]
fn many_float32_results_are_within_1_ulp_and_burns_own_are_not() {
    let Some(device) = device() else { return };
    let (judge, x, grad) = sample(Op::Forward, DType::F32, Elu::new(1.0), Extent::Many);
    let input = tensor(&device, burn::tensor::DType::F32, &x);
    let y = wgpu_elu_burn::elu(input.clone(), 1.0).unwrap();
    let largest = check(judge, &x, &grad, &bits(y));
    let burns = bits(activation::elu(input, 1.0));
    let error = |(&x, &y): (&u64, &u64)| judge.judge(x, 0, y).ulp;
    let finite = x
        .iter()
        .zip(&burns)
        .map(error)
        .filter(|ulp| ulp.is_finite());
    let burns_largest = finite.fold(0.0, f64::max);
    println!("largest error: {largest:.3} ULP, burn's own: {burns_largest:.3e} ULP");
    assert!(largest <= 1.0, "{largest}");
    assert!(
        burns_largest > 1e6,
        "the judge sees the error of exp(x) - 1"
    );
}

#[test]
fn selu_and_celu_are_the_functions_of_these_names() {
    let Some(device) = device() else { return };
    let x = number_tensor(&device, [1000]);
    let same = |a: Tensor<1>, b: Tensor<1>| {
        let largest = (a - b).abs().max().into_scalar::<f32>();
        assert!(largest < 1e-6, "{largest}");
    };
    same(
        wgpu_elu_burn::selu(x.clone()).unwrap(),
        activation::selu(x.clone()),
    );
    same(
        wgpu_elu_burn::celu(x.clone(), 2.0).unwrap(),
        activation::celu(x, 2.0),
    );
}

#[test]
fn tensors_may_be_empty() {
    let Some(device) = device() else { return };
    let x = Tensor::<2>::zeros([0, 3], &device);
    let y = wgpu_elu_burn::elu(x, 1.0).unwrap();
    assert_eq!(y.shape().as_slice(), [0, 3]);
    assert!(bits(y).is_empty());
}
