//! The Keras layer: calls on data and on a symbolic tensor, an activity regularizer, and Keras' JSON.
//!
//! Run `cargo run --example keras_layer --features serde`.

use std::{error::Error, process::ExitCode};

use wgpu_elu::{
    DType, Device, Layer, Regularizer, Tensor,
    layer::{Config, Input, Loss},
};

fn main() -> ExitCode {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run() -> Result<(), Box<dyn Error>> {
    let device = Device::auto_blocking()?; // a hardware GPU if one exists, else the CPU
    let layer = Layer::builder()
        .alpha(0.5)
        .activity_regularizer(Regularizer::L2(0.01))
        .build()?;

    // A call on data computes on the data's device.
    let x = Tensor::from_slice(&device, &[-1.0f32, 0.0, 2.0, 3.0, -2.0, -0.5], &[2, 3])?;
    let y = layer.call(&x)?;
    println!("{} on {device}", layer.name());
    println!("outputs  {:?}", y.to_vec_blocking::<f32>()?);
    for loss in layer.losses() {
        if let Loss::Data(loss) = loss {
            println!("loss     {}", loss.to_vec_blocking::<f32>()?[0]);
        }
    }
    let ones = Tensor::from_slice(&device, &[1.0f32; 6], &[2, 3])?;
    let gradient = layer.backward(&x, &ones)?.to_vec_blocking::<f32>()?;
    println!("gradient {gradient:?}");

    // A call on a symbolic tensor creates a node and computes nothing.
    let input = Input::new(&[None, Some(3)], DType::F32);
    let output = layer.connect(&input)?;
    println!("node     {} -> {}", input.name(), output.name());
    println!("shape    {:?}", layer.output_shape()?);

    // The configuration is written as Keras 3 writes it, and read back.
    let json = serde_json::to_string(&layer.get_config())?;
    println!("config   {json}");
    let copy = Layer::from_config(&serde_json::from_str::<Config>(&json)?)?;
    assert_eq!(copy.get_config(), layer.get_config());
    Ok(())
}
