//! Gradients against exact values, burn's automatic differentiation and central differences.

use burn::tensor::{Tensor, activation};
use wgpu_elu_burn::wgpu_elu::{self, Elu, Op, accuracy::Extent};
use wgpu_elu_burn::{Error, Rounding};

use crate::support::{DTYPES, bits, check, device, number_tensor, sample, tensor};

/// Differentiates `f(x) * grad` with respect to `x`, so that `grad` is the incoming gradient of `f`.
fn gradient<const D: usize>(
    x: Tensor<D>,
    grad: Tensor<D>,
    f: impl Fn(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    let x = x.require_grad();
    let grads = (f(x.clone()) * grad).sum().backward();
    x.grad(&grads).unwrap()
}

#[test]
fn gradients_are_within_the_documented_bound() {
    let Some(device) = device() else { return };
    let device = device.autodiff();
    let mut computed = 0;
    for (burn_dtype, dtype) in DTYPES {
        // Burn's own product must be able to compute with the dtype.
        if !device.supports_dtype(burn_dtype) {
            eprintln!(
                "SKIPPED: burn does not compute with {burn_dtype:?} on this device; work/tests.rs does"
            );
            continue;
        }
        let nearest = Elu::new(1.0).with_rounding(Rounding::Nearest);
        for elu in [
            Elu::new(1.0),
            Elu::new(0.3),
            Elu::selu(),
            Elu::celu(2.0).unwrap(),
            nearest,
        ] {
            let (judge, x, grad) = sample(Op::Backward, dtype, elu, Extent::Few);
            // Burn flushes subnormal numbers in its product, so the incoming gradient would not be this one.
            let (x, grad): (Vec<_>, Vec<_>) = x
                .into_iter()
                .zip(grad)
                .filter(|&(_, grad)| is_normal(dtype, grad))
                .unzip();
            let input = tensor(&device, burn_dtype, &x);
            match wgpu_elu_burn::elu(input.clone(), elu) {
                Err(Error::Elu(
                    wgpu_elu::Error::MissingFeature { .. } | wgpu_elu::Error::Rounding { .. },
                )) => continue,
                forward => drop(forward.unwrap()),
            }
            let result = gradient(input, tensor(&device, burn_dtype, &grad), |x| {
                wgpu_elu_burn::elu(x, elu).unwrap()
            });
            check(judge, &x, &grad, &bits(result));
            computed += 1;
        }
    }
    assert!(computed >= 5, "every device computes with float32");
}

fn is_normal(dtype: wgpu_elu::DType, bits: u64) -> bool {
    wgpu_elu::accuracy::value(dtype, bits).abs() >= wgpu_elu::accuracy::smallest_normal(dtype)
}

#[test]
fn gradients_agree_with_those_of_burn() {
    let Some(device) = device() else { return };
    let device = device.autodiff();
    let x = number_tensor(&device, [64, 65]);
    let grad = number_tensor(&device, [65, 64]).transpose();
    let close = |ours: Tensor<2>, burns: Tensor<2>| {
        let largest = (ours - burns).abs().max().into_scalar::<f32>();
        assert!(largest < 1e-5, "{largest}");
    };
    for alpha in [1.0, 0.3, -2.0] {
        let ours = gradient(x.clone(), grad.clone(), |x| {
            wgpu_elu_burn::elu(x * 0.5, alpha).unwrap()
        });
        let burns = gradient(x.clone(), grad.clone(), |x| activation::elu(x * 0.5, alpha));
        close(ours, burns);
    }
    let ours = gradient(x.clone(), grad.clone(), |x| wgpu_elu_burn::selu(x).unwrap());
    close(ours, gradient(x.clone(), grad.clone(), activation::selu));
    let ours = gradient(x.clone(), grad.clone(), |x| {
        wgpu_elu_burn::celu(x, 2.0).unwrap()
    });
    close(ours, gradient(x, grad, |x| activation::celu(x, 2.0)));
}

#[test]
fn gradients_agree_with_central_differences() {
    let Some(device) = device() else { return };
    let h = 1.0 / 64.0; // exact in float32, and x + h, too, for most of these x
    let inner = number_tensor(&device, [4000]);
    let x = inner.clone().mask_fill(inner.abs().lower_elem(h), 0.5); // the slope is not continuous at 0 for alpha 0.3
    let elu = |x: Tensor<1>| wgpu_elu_burn::elu(x, 0.3).unwrap();
    let slope = (elu(x.clone() + h) - elu(x.clone() - h)) / (2.0 * h);
    let x = Tensor::from_inner(x);
    let ones = x.ones_like();
    let result = gradient(x, ones, elu).inner();
    let largest = (result - slope).abs().max().into_scalar::<f32>();
    assert!(largest < 1e-4, "{largest}");
}

#[test]
fn the_input_keeps_its_value_for_the_gradient() {
    let Some(device) = device() else { return };
    let device = device.autodiff();
    // `x * 2` is used by nobody else, so that forward could overwrite it, but the gradient needs it.
    let x = number_tensor(&device, [1000]).require_grad();
    let y = wgpu_elu_burn::elu(x.clone() * 2.0, 1.0).unwrap();
    let z = wgpu_elu_burn::elu(y.clone(), 1.0).unwrap();
    let grads = (y + z).sum().backward();
    let burns = {
        let y = activation::elu(x.clone() * 2.0, 1.0);
        let z = activation::elu(y.clone(), 1.0);
        x.grad(&(y + z).sum().backward()).unwrap()
    };
    let largest = (x.grad(&grads).unwrap() - burns)
        .abs()
        .max()
        .into_scalar::<f32>();
    assert!(largest < 1e-5, "{largest}");
}

#[test]
fn a_gradient_is_outside_the_graph_so_that_burn_refuses_a_second_derivative() {
    let Some(device) = device() else { return };
    let x = number_tensor(&device.autodiff(), [10]);
    let first = gradient(x.clone(), x.ones_like(), |x| {
        wgpu_elu_burn::elu(x, 1.0).unwrap()
    });
    assert!(!first.device().is_autodiff());
    assert!(!first.is_require_grad());
    let second = std::panic::AssertUnwindSafe(|| first.sum().backward());
    let panic = std::panic::catch_unwind(second).err().expect("a panic");
    let text = panic.downcast_ref::<&str>().unwrap();
    assert!(
        text.contains("requires a tracked autodiff tensor"),
        "{text}"
    );
}
