//! ELU of a slice, on a hardware GPU if one exists, else on the CPU.
//!
//! Run `cargo run --example hello`.

use std::process::ExitCode;

use wgpu_elu::{Device, Elu, Tensor};

fn main() -> ExitCode {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run() -> wgpu_elu::Result<()> {
    let device = Device::from_env_blocking()?; // the variable WGPU_ADAPTER_NAME can select an adapter
    let x = [-2.0f32, -1.0, -0.5, 0.0, 0.5, 1.0];

    let y = Elu::new(1.0).forward(&Tensor::from_slice(&device, &x, &[x.len()])?)?;

    println!("on {device}");
    for (x, y) in x.iter().zip(y.to_vec_blocking::<f32>()?) {
        println!("ELU({x}) = {y}");
    }
    Ok(())
}
