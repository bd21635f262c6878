//! The Rust half of `scripts/keras-roundtrip`, which runs Keras and compares this program's results with it.
//!
//! Each line of standard input is a request, a JSON object with these keys: `layer` is a layer in any form that Keras
//! writes; `dtype`, `shape` and `x` describe its input, whose elements `x` are in C order.
//!
//! Each line of standard output is an answer, a JSON object with these keys: `layer` is the same layer as this crate
//! writes it; `y` is the output; `loss` is the loss, or null if the layer has no regularizer.

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};
use wgpu_elu::{
    DType, Device, Layer, Tensor, half,
    layer::{Config, Loss},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let device = Device::from_env_blocking()?; // the variable WGPU_ADAPTER_NAME can select an adapter
    eprintln!("wgpu-elu on {device}");
    for line in io::stdin().lock().lines() {
        let answer = answer(&device, &serde_json::from_str(&line?)?)?;
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

/// Runs the layer of a request on its input.
fn answer(device: &Device, request: &Value) -> Result<Value> {
    let config: Config = serde_json::from_value(request["layer"].clone())?;
    let layer = Layer::from_config(&config)?;
    let shape: Vec<usize> = serde_json::from_value(request["shape"].clone())?;
    let x: Vec<f64> = serde_json::from_value(request["x"].clone())?;
    let dtype = DType::ALL
        .into_iter()
        .find(|dtype| request["dtype"] == dtype.name());
    let x = tensor(device, dtype.ok_or("unknown dtype")?, &x, &shape)?;
    let y = layer.call(&x)?;
    let loss = match &layer.losses()[..] {
        [Loss::Data(loss)] => Some(numbers(loss)?[0]),
        _ => None,
    };
    Ok(json!({ "layer": layer.get_config(), "y": numbers(&y)?, "loss": loss }))
}

/// Returns a tensor of `dtype` with the elements `x`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "Keras' values are exact in the dtype"
)]
fn tensor(device: &Device, dtype: DType, x: &[f64], shape: &[usize]) -> Result<Tensor> {
    fn converted<E: wgpu_elu::Element>(
        device: &Device,
        x: &[f64],
        shape: &[usize],
        convert: fn(f64) -> E,
    ) -> Result<Tensor> {
        let x: Vec<E> = x.iter().map(|&x| convert(x)).collect();
        Ok(Tensor::from_vec(device, x, shape)?)
    }
    match dtype {
        DType::F32 => converted(device, x, shape, |x| x as f32),
        DType::F16 => converted(device, x, shape, half::f16::from_f64),
        DType::BF16 => converted(device, x, shape, half::bf16::from_f64),
        DType::F64 => converted(device, x, shape, |x| x),
        other => Err(format!("unsupported dtype {other}").into()),
    }
}

/// Returns the elements of a tensor as `f64`, which represents all of them exactly.
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
        other => return Err(format!("unsupported dtype {other}").into()),
    })
}
