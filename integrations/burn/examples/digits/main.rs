//! Trains a small network on handwritten digits twice, from the same seed: with this package's ELU and with burn's.
//! Then it draws both loss curves, and the errors of both activations, as a PNG.
//!
//! `cargo run --release --example digits [-- digits.png]`. It fails unless both networks recognize 95 % of the digits
//! that they were not trained with.

mod data;
mod plot;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use burn::{
    module::Module,
    nn::{self, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamConfig, GradientsParams},
    tensor::{DType, Device, Tensor, activation},
};
use wgpu_elu_burn::wgpu_elu::{self, Elu, Op, accuracy::Judge};

use data::{Digits, shuffled};

const SEED: u64 = 21;
const EPOCHS: usize = 15;
const BATCH: usize = 64;
const LEARNING_RATE: f64 = 2e-3;

fn main() -> Result<()> {
    let path: PathBuf = std::env::args_os()
        .nth(1)
        .unwrap_or("digits.png".into())
        .into();
    let (device, setup) = Device::wgpu_options().init_with_setup()?;
    wgpu_elu_burn::init(&device, &setup)?;
    let digits = Digits::load()?;
    println!(
        "{}: {} digits to train with, {} to test",
        setup.adapter.get_info().name,
        digits.train().len(),
        digits.test().len()
    );
    println!("| activation | loss after {EPOCHS} epochs | recognized |\n|---|---|---|");
    let ours = Activation::Ours(wgpu_elu_burn::EluConfig::new().init());
    let burns = Activation::Burns(nn::EluConfig::new().init());
    let mut curves = Vec::new();
    for (name, activation) in [("wgpu-elu-burn", ours), ("burn", burns)] {
        let (losses, recognized) = train(&digits, activation, &device.clone().autodiff())?;
        let loss = losses[EPOCHS - 1];
        println!("| {name} | {loss:.5} | {:.2} % |", recognized * 100.0);
        ensure!(
            recognized >= 0.95,
            "{name}: needed 95 % of the digits, found {:.2} %",
            recognized * 100.0
        );
        curves.push(losses);
    }
    plot::draw(&path, &curves[0], &curves[1], &errors(&device)?)?;
    println!("-> {}", path.display());
    Ok(())
}

/// The activation under comparison. Both modules take the same place in the network.
#[derive(Module, Debug)]
enum Activation {
    Ours(wgpu_elu_burn::Elu),
    Burns(nn::Elu),
}

/// A network with two hidden layers.
#[derive(Module, Debug)]
struct Network {
    layers: [Linear; 3],
    activation: Activation,
}

impl Network {
    fn new(activation: Activation, device: &Device) -> Self {
        device.seed(SEED);
        let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(device);
        Self {
            layers: [
                layer(Digits::PIXELS, 64),
                layer(64, 32),
                layer(32, Digits::CLASSES),
            ],
            activation,
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let activate = |x| match &self.activation {
            Activation::Ours(elu) => elu.forward(x),
            Activation::Burns(elu) => elu.forward(x),
        };
        let [first, second, last] = &self.layers;
        last.forward(activate(second.forward(activate(first.forward(x)))))
    }
}

/// Trains a network. Returns the mean loss of each epoch, and the share of the test digits that are recognized.
fn train(digits: &Digits, activation: Activation, device: &Device) -> Result<(Vec<f32>, f32)> {
    let mut network = Network::new(activation, device);
    let loss = CrossEntropyLossConfig::new().init(device);
    let mut optimizer = AdamConfig::new().init();
    let mut losses = Vec::new();
    for epoch in 0..EPOCHS {
        let order = shuffled(digits.train(), SEED + epoch as u64);
        let mut sum = Tensor::<1>::zeros([1], &device.clone().inner());
        let batches = order.chunks_exact(BATCH);
        let count = batches.len() as f32;
        for batch in batches {
            let (x, classes) = digits.batch(batch, device);
            let loss = loss.forward(network.forward(x), classes);
            sum = sum + loss.clone().inner();
            let grads = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(LEARNING_RATE, network, grads);
        }
        losses.push((sum / count).try_into_data()?.try_to_vec::<f32>()?[0]);
    }
    let test = digits.test();
    let (x, classes) = digits.batch(&test, device);
    let found = network.forward(x).argmax(1).squeeze_dim::<1>(1);
    let right = found.equal(classes).int().sum().into_scalar::<i32>();
    Ok((losses, right as f32 / test.len() as f32))
}

/// Values of -x, each with the errors of this package's ELU and of burn's in ULP.
type Errors = Vec<(f64, [f64; 2])>;

/// Measures the largest errors of both activations near 400 values of x between -100 and -1e-9.
fn errors(device: &Device) -> Result<Errors> {
    let x: Vec<f32> = (0..400 * 64)
        .map(|i| -(10f32.powf(-9.0 + 11.0 * i as f32 / (400.0 * 64.0))))
        .collect();
    let input = Tensor::<1>::from_data(x.as_slice(), (device, DType::F32));
    let results = [
        wgpu_elu_burn::elu(input.clone(), 1.0)?,
        activation::elu(input, 1.0),
    ];
    let [ours, burns] = results.map(|y| y.try_into_data().map(|data| data.try_to_vec::<f32>()));
    let (ours, burns) = (ours??, burns??);
    let judge = Judge {
        op: Op::Forward,
        dtype: wgpu_elu::DType::F32,
        elu: Elu::new(1.0),
    };
    let ulp = |x: f32, y: f32| judge.judge(x.to_bits().into(), 0, y.to_bits().into()).ulp;
    let largest = |bucket: std::ops::Range<usize>, y: &[f32]| {
        bucket
            .map(|i| ulp(x[i], y[i]))
            .filter(|ulp| ulp.is_finite())
            .fold(0.0, f64::max)
    };
    Ok((0..400)
        .map(|bucket| {
            let range = bucket * 64..(bucket + 1) * 64;
            let errors = [
                largest(range.clone(), &ours),
                largest(range.clone(), &burns),
            ];
            (-f64::from(x[range.start]), errors)
        })
        .collect())
}
