//! What each error says, and that what fails on the device is carried by the result.

use burn::{
    backend::DispatchDevice,
    tensor::{Device, Tensor, quantization::QuantScheme},
};
use burn_cubecl::{CubeDevice, cubecl::device::CudaDevice};
use wgpu_elu_burn::{CeluConfig, EluConfig, Error, Rounding, elu, wgpu_elu};

use crate::{
    devices::{own_setup, unregistered},
    support::{check_f32, device, number_tensor, tensor},
};

#[track_caller]
fn says<T: std::fmt::Debug>(result: Result<T, Error>, text: &str) {
    assert_eq!(result.unwrap_err().to_string(), text);
}

/// Returns burn's name of a device in messages.
fn name(device: &Device) -> String {
    let DispatchDevice::Cube(device) = device.as_dispatch() else {
        panic!("{device:?}")
    };
    format!("{device:?}")
}

#[test]
fn a_device_that_is_not_registered_names_the_line_to_add() {
    if device().is_none() {
        return;
    }
    let other = unregistered();
    let line = format!(
        "{} is not registered: call wgpu_elu_burn::init(&device, &setup)? with what \
         Device::wgpu_options().init_with_setup()? returned, before burn uses the device",
        name(&other)
    );
    says(elu(number_tensor(&other, [4]), 1.0), &line);
    says(
        EluConfig::new()
            .init()
            .try_forward(number_tensor(&other, [4])),
        &line,
    );
    // A module returns a tensor. Reading it, or what is computed from it, returns the error.
    let carried = EluConfig::new().init().forward(number_tensor(&other, [4]));
    let error = (carried.clone() * 2.0).try_into_data().unwrap_err();
    assert!(format!("{error:?}").contains(&line), "{error:?}");
    assert!(carried.try_into_data().is_err());
    // Other work of the device goes on.
    assert_eq!(
        Tensor::<1>::ones([2], &other).sum().into_scalar::<f32>(),
        2.0
    );
}

#[test]
fn a_gradient_carries_the_error_of_forward() {
    if device().is_none() {
        return;
    }
    let x = number_tensor(&unregistered().autodiff(), [4]).require_grad();
    let y = EluConfig::new().init().forward(x.clone());
    let grads = y.sum().backward();
    let error = x.grad(&grads).unwrap().try_into_data().unwrap_err();
    assert!(
        format!("{error:?}").contains("is not registered"),
        "{error:?}"
    );
}

#[test]
fn a_device_of_another_runtime_is_named() {
    if device().is_none() {
        return;
    }
    let cuda = Device::new(DispatchDevice::Cube(
        CubeDevice::Cuda(CudaDevice::default()),
    ));
    let found = format!("{:?}", cuda.as_dispatch());
    says(
        wgpu_elu_burn::init(&cuda, &own_setup()),
        &format!("needed a device of burn's wgpu runtime, found {found}"),
    );
}

#[test]
fn a_setup_of_another_device_is_refused() {
    if device().is_none() {
        return;
    }
    let other = unregistered();
    says(
        wgpu_elu_burn::init(&other, &own_setup()),
        &format!(
            "the setup belongs to another wgpu device than {}: needed the setup that the device was created with",
            name(&other)
        ),
    );
}

#[test]
fn a_quantized_tensor_is_refused() {
    let Some(device) = device() else { return };
    let x = number_tensor(&device, [64]).quantize_dynamic(&QuantScheme::default());
    let found = x.dtype();
    says(
        elu(x, 1.0),
        &format!("needed a tensor of F16, BF16, F32, Flex32 or F64, found {found:?}"),
    );
}

#[test]
fn what_wgpu_elu_does_not_support_is_its_own_error() {
    let Some(device) = device() else { return };
    let factor = "alpha must be between 2^-64 and 2^64, found 0";
    says(
        wgpu_elu_burn::celu(number_tensor(&device, [4]), 0.0),
        factor,
    );
    says(CeluConfig::new().with_alpha(0.0).init(), factor);
    let nearest = wgpu_elu::Elu::new(1.0).with_rounding(Rounding::Nearest);
    let x = tensor(&device, burn::tensor::DType::F64, &[1.0f64.to_bits()]);
    let error = elu(x, nearest).unwrap_err().to_string();
    let expected = [
        "nearest rounding of float64 is computed on the CPU path only",
        "float64 needs the device feature SHADER_F64; the CPU path does not need it",
    ];
    assert!(expected.contains(&error.as_str()), "{error}");
}

#[test]
fn burns_graph_capture_makes_no_graph_and_its_output_carries_an_error() {
    if device().is_none() {
        return;
    }
    let setup = own_setup();
    let device = Device::wgpu_options().setup(setup.clone()).init().unwrap();
    wgpu_elu_burn::init(&device, &setup).unwrap();
    let x = number_tensor(&device, [100]);
    let graph = burn::tensor::capture(&device, || elu(x.clone() * 2.0, 1.0).unwrap());
    assert!(!graph.is_hardware());
    let error = graph.output().clone().try_into_data().unwrap_err();
    let text =
        "burn records a graph of this device, which cannot contain ELU: leave ELU out of the graph";
    assert!(format!("{error:?}").contains(text), "{error:?}");
    // Outside the graph the device works.
    check_f32(1.0, x.clone(), elu(x, 1.0).unwrap());
}
