//! The parts that the JSON of several commands has in common. docs/cli.md lists all fields.

use serde_json::{Value, json};
use wgpu_elu::{
    Device, Op, cpu,
    device::{backend_name, full_name},
    wgpu::{AdapterInfo, DeviceType},
};

/// The version of the fields, which every JSON contains. It changes when a field is removed or changes its meaning, but
/// not when a field is added.
pub(crate) const VERSION: u32 = 1;

/// Converts a number to JSON. Infinities and NaN become strings, because JSON has no such numbers.
pub(crate) fn number(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        json!(value.to_string())
    }
}

/// Returns the identifier of an operation, such as `backward_from_output`.
pub(crate) fn op(op: Op) -> String {
    op.name().replace('-', "_")
}

/// Returns the fields of a device: those of [`cpu_path`] or of [`adapter`].
pub(crate) fn device(device: &Device) -> Value {
    match device {
        Device::Cpu => cpu_path(),
        Device::Gpu(gpu) => adapter(gpu.info()),
    }
}

/// Returns the fields of the CPU path.
pub(crate) fn cpu_path() -> Value {
    json!({
        "kind": "cpu",
        "text": Device::Cpu.to_string(),
        "simd": cpu::simd_level(),
        "threads": cpu::threads(),
    })
}

/// Returns the fields of an adapter.
pub(crate) fn adapter(info: &AdapterInfo) -> Value {
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => "discrete_gpu",
        DeviceType::IntegratedGpu => "integrated_gpu",
        DeviceType::VirtualGpu => "virtual_gpu",
        DeviceType::Cpu => "software_adapter",
        DeviceType::Other => "unknown_gpu",
    };
    json!({
        "kind": kind,
        "text": full_name(info),
        "name": info.name,
        "backend": backend_name(info.backend).to_lowercase(),
        "driver": driver(info),
    })
}

/// Returns the name and the version of an adapter's driver.
pub(crate) fn driver(info: &AdapterInfo) -> String {
    let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
    driver.trim().to_owned()
}

/// Adds the fields of one object to another.
pub(crate) fn merge(object: &mut Value, other: Value) {
    if let (Value::Object(object), Value::Object(other)) = (object, other) {
        object.extend(other);
    }
}
