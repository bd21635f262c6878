//! The Rust half of `scripts/keras-roundtrip`, which runs Keras and compares this program's results with it.
//!
//! Each line of standard input is a request, and each line of standard output an answer. Both are JSON objects. There
//! are three kinds of requests. In two of them, `dtype`, `shape` and `x` describe an input, whose elements `x` are in C
//! order.
//!
//! - `layer`, a layer in any form that Keras writes, and an input. In the answer, `layer` is the same layer as this
//!   crate writes it, `y` is the output, and `loss` is the loss, or null if the layer has no regularizer.
//! - `model`, the JSON of a model as text. In the answer, `found` is a list of its ELUs, and `changed` is the same
//!   model in which each layer of the class `ELU` has half of its alpha.
//! - `model`, `path`, the path of an ELU in the model, and an input. In the answer, `y` is the output of this ELU.

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};
use wgpu_elu::{
    DType, Device, Layer, Tensor, half,
    layer::{Config, Found, Loss, find},
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

/// Answers a request of any kind.
fn answer(device: &Device, request: &Value) -> Result<Value> {
    let Some(model) = request["model"].as_str() else {
        let layer = Layer::from_config(&serde_json::from_value(request["layer"].clone())?)?;
        let y = layer.call(&input(device, request)?)?;
        let loss = match &layer.losses()[..] {
            [Loss::Data(loss)] => Some(numbers(loss)?[0]),
            _ => None,
        };
        return Ok(json!({ "layer": layer.get_config(), "y": numbers(&y)?, "loss": loss }));
    };
    let found = find(model)?;
    if let Some(path) = request["path"].as_str() {
        let found = found.iter().find(|found| found.path == path);
        let elu = found.ok_or("no ELU has this path")?.elu.clone()?;
        return Ok(json!({ "y": numbers(&elu.forward(&input(device, request)?)?)? }));
    }
    let describe = |found: &Found| -> Result<Value> {
        let alpha = found.elu.clone()?.alpha();
        Ok(json!({ "path": found.path, "class": found.class, "alpha": alpha }))
    };
    let described: Value = found.iter().map(describe).collect::<Result<_>>()?;
    let mut model: Value = serde_json::from_str(model)?;
    let mut changed = found.into_iter().filter_map(|found| found.config);
    put_back(&mut model, &mut changed, |config| config.alpha /= 2.0)?;
    Ok(json!({ "found": described, "changed": model.to_string() }))
}

/// Changes each layer of the class `ELU` in a model. `configs` are these layers in the order of [`find`].
fn put_back(
    value: &mut Value,
    configs: &mut impl Iterator<Item = Config>,
    change: fn(&mut Config),
) -> Result<()> {
    match value {
        Value::Object(map) if map.get("class_name") == Some(&json!("ELU")) => {
            let mut config = configs.next().ok_or("found fewer layers than there are")?;
            change(&mut config);
            *value = serde_json::to_value(config)?;
            Ok(())
        }
        Value::Object(map) => map
            .values_mut()
            .try_for_each(|value| put_back(value, configs, change)),
        Value::Array(values) => values
            .iter_mut()
            .try_for_each(|value| put_back(value, configs, change)),
        _ => Ok(()),
    }
}

/// Returns the input in a request.
fn input(device: &Device, request: &Value) -> Result<Tensor> {
    let shape: Vec<usize> = serde_json::from_value(request["shape"].clone())?;
    let x: Vec<f64> = serde_json::from_value(request["x"].clone())?;
    let dtype = DType::ALL
        .into_iter()
        .find(|dtype| request["dtype"] == dtype.name());
    tensor(device, dtype.ok_or("unknown dtype")?, &x, &shape)
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
