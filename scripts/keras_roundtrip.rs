//! The Rust half of `scripts/keras-roundtrip`, which runs Keras and compares this program's results with it.
//!
//! Each line of standard input is a JSON object with the keys `layer`, in any form that Keras writes; `dtype`, `shape`,
//! and `x`, numbers in C order. Each line of standard output is a JSON object with the keys `layer`, as this crate
//! writes it; `y`; and `loss`, which may be null.

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};
use wgpu_elu::{
    DType, Device, Layer, Tensor, half,
    layer::{Config, Loss},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let device = Device::from_env_blocking()?; // WGPU_ADAPTER_NAME can select the adapter
    eprintln!("wgpu-elu on {device}");
    for line in io::stdin().lock().lines() {
        let answer = answer(&device, &serde_json::from_str(&line?)?)?;
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn answer(device: &Device, asked: &Value) -> Result<Value> {
    let config: Config = serde_json::from_value(asked["layer"].clone())?;
    let layer = Layer::from_config(&config)?;
    let shape: Vec<usize> = serde_json::from_value(asked["shape"].clone())?;
    let x: Vec<f64> = serde_json::from_value(asked["x"].clone())?;
    let dtype = DType::ALL
        .into_iter()
        .find(|dtype| asked["dtype"] == dtype.name());
    let x = tensor(device, dtype.ok_or("no such dtype")?, &x, &shape)?;
    let y = layer.call(&x)?;
    let loss = match &layer.losses()[..] {
        [Loss::Data(loss)] => Some(numbers(loss)?[0]),
        _ => None,
    };
    Ok(json!({ "layer": layer.get_config(), "y": numbers(&y)?, "loss": loss }))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "Keras' values are of the dtype already"
)]
fn tensor(device: &Device, dtype: DType, x: &[f64], shape: &[usize]) -> Result<Tensor> {
    fn of<E: wgpu_elu::Element>(
        device: &Device,
        x: &[f64],
        shape: &[usize],
        to: fn(f64) -> E,
    ) -> Result<Tensor> {
        let x: Vec<E> = x.iter().map(|&x| to(x)).collect();
        Ok(Tensor::from_vec(device, x, shape)?)
    }
    match dtype {
        DType::F32 => of(device, x, shape, |x| x as f32),
        DType::F16 => of(device, x, shape, half::f16::from_f64),
        DType::BF16 => of(device, x, shape, half::bf16::from_f64),
        DType::F64 => of(device, x, shape, |x| x),
        other => Err(format!("{other} is new").into()),
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(match tensor.dtype() {
        DType::F32 => tensor
            .to_vec_blocking::<f32>()?
            .into_iter()
            .map(f64::from)
            .collect(),
        DType::F16 => tensor
            .to_vec_blocking::<half::f16>()?
            .into_iter()
            .map(f64::from)
            .collect(),
        DType::BF16 => tensor
            .to_vec_blocking::<half::bf16>()?
            .into_iter()
            .map(f64::from)
            .collect(),
        DType::F64 => tensor.to_vec_blocking()?,
        other => return Err(format!("{other} is new").into()),
    })
}
