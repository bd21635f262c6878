//! The modules in a model, their configuration and records.

use burn::{
    config::Config,
    module::Module,
    nn::{Linear, LinearConfig},
    tensor::{Device, Tensor},
};
use wgpu_elu_burn::{Celu, CeluConfig, Elu, EluConfig, Rounding, Selu, SeluConfig, wgpu_elu};

use crate::support::{bits, check_f32, device, number_tensor};

#[derive(Module, Debug)]
struct Model {
    linear: Linear,
    elu: Elu,
    selu: Selu,
    celu: Celu,
}

impl Model {
    fn new(device: &Device) -> Self {
        Self {
            linear: LinearConfig::new(5, 4).init(device),
            elu: EluConfig::new().with_alpha(0.5).init(),
            selu: SeluConfig::new().init(),
            celu: CeluConfig::new().with_alpha(2.0).init().unwrap(),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.celu
            .forward(self.selu.forward(self.elu.forward(self.linear.forward(x))))
    }
}

#[test]
fn modules_compute_what_the_functions_compute() {
    let Some(device) = device() else { return };
    let x = number_tensor(&device, [20, 20]);
    let module = EluConfig::new().with_alpha(0.5).init();
    check_f32(0.5, x.clone(), module.forward(x.clone()));
    let same = |a: Tensor<2>, b: Tensor<2>| assert_eq!(bits(a), bits(b));
    same(
        module.try_forward(x.clone()).unwrap(),
        wgpu_elu_burn::elu(x.clone(), 0.5).unwrap(),
    );
    same(
        SeluConfig::new().init().forward(x.clone()),
        wgpu_elu_burn::selu(x.clone()).unwrap(),
    );
    let celu = CeluConfig::new().with_alpha(2.0).init().unwrap();
    same(
        celu.forward(x.clone()),
        wgpu_elu_burn::celu(x, 2.0).unwrap(),
    );
}

#[test]
fn a_model_trains_and_its_record_has_no_part_for_activations() {
    let Some(device) = device() else { return };
    let device = device.autodiff();
    let model = Model::new(&device);
    let x = number_tensor(&device, [3, 5]);
    let grads = model.forward(x.clone()).sum().backward();
    let weight = model.linear.weight.val();
    assert!(
        weight
            .grad(&grads)
            .unwrap()
            .abs()
            .sum()
            .into_scalar::<f32>()
            > 0.0
    );
    assert_eq!(model.num_params(), 5 * 4 + 4);
    // The record of one model gives another one the same results.
    let other = Model::new(&device).load_record(model.clone().into_record());
    assert_eq!(
        bits(model.forward(x.clone()).inner()),
        bits(other.forward(x).inner())
    );
    assert_eq!(model.valid().elu.function(), wgpu_elu::Elu::new(0.5));
}

#[test]
fn configurations_are_saved_and_displayed() {
    let config = EluConfig::new()
        .with_alpha(0.25)
        .with_rounding(Some(Rounding::Nearest));
    let text = config.to_string();
    let loaded = EluConfig::load_binary(text.as_bytes()).unwrap();
    let expected = wgpu_elu::Elu::new(0.25).with_rounding(Rounding::Nearest);
    assert_eq!(loaded.init().function(), expected);
    assert_eq!(
        loaded.init().to_string(),
        "Elu {alpha: 0.25, rounding: Nearest}"
    );
    // What burn's own configuration saves.
    let loaded = EluConfig::load_binary(burn::nn::EluConfig::new().to_string().as_bytes()).unwrap();
    assert_eq!(loaded.init().function(), wgpu_elu::Elu::new(1.0));
    assert_eq!(SeluConfig::new().init().function(), wgpu_elu::Elu::selu());
    assert_eq!(
        CeluConfig::new().init().unwrap().function(),
        wgpu_elu::Elu::celu(1.0).unwrap()
    );
}
