//! `elu info`: lists the adapters and the CPU path.

use anyhow::Result;
use serde_json::{Value, json};
use wgpu_elu::{
    Device, cpu,
    device::{Reason, Wish, adapters, backend_name, full_name, objection},
    wgpu,
};

use crate::{
    device_args::{check_adapter_variables, check_thread_variable},
    output::Output,
};

/// List every adapter that wgpu finds, the CPU path, and the device that `--device auto` selects
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check_thread_variable()?;
    check_adapter_variables()?;
    let adapters = pollster::block_on(adapters());
    let auto = auto()?;
    let reports: Vec<Report> = adapters.iter().map(Report::new).collect();
    let text = if args.json {
        format!("{:#}\n", as_json(&reports, &auto))
    } else {
        as_text(&reports, &auto)
    };
    Output::stdout()?.write_text(&text)
}

// ---- Internals ----

/// The features to list: those that this package uses or may use in the future.
const FEATURES: wgpu::Features = wgpu::Features::SHADER_F16
    .union(wgpu::Features::SHADER_F64)
    .union(wgpu::Features::SHADER_INT64)
    .union(wgpu::Features::TIMESTAMP_QUERY)
    .union(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS)
    .union(wgpu::Features::SUBGROUP);

/// The properties of an adapter that are printed.
struct Report {
    info: wgpu::AdapterInfo,
    /// The names of those of [`FEATURES`] that the adapter supports.
    features: Vec<String>,
    limits: wgpu::Limits,
    /// The reason why `auto` never selects the adapter, if any.
    objection: Option<&'static str>,
}

impl Report {
    fn new(adapter: &wgpu::Adapter) -> Self {
        let features = (adapter.features() & FEATURES)
            .iter_names()
            .map(|(name, _)| name.to_lowercase())
            .collect();
        Self {
            info: adapter.get_info(),
            features,
            limits: adapter.limits(),
            objection: objection(adapter),
        }
    }

    fn kind(&self) -> &'static str {
        match self.info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete GPU",
            wgpu::DeviceType::IntegratedGpu => "integrated GPU",
            wgpu::DeviceType::VirtualGpu => "virtual GPU",
            wgpu::DeviceType::Cpu => "software adapter",
            wgpu::DeviceType::Other => "GPU of unknown kind",
        }
    }

    fn driver(&self) -> String {
        [self.info.driver.as_str(), self.info.driver_info.as_str()]
            .join(" ")
            .trim()
            .to_owned()
    }
}

/// Returns the name of the device that `auto` selects, and the reason. Creates the device, because a driver may fail.
fn auto() -> Result<(String, String)> {
    Ok(match Device::select_blocking(&Wish::from_env()?) {
        Ok((device, reason)) => {
            let name = match device {
                Device::Gpu(gpu) => full_name(gpu.info()),
                Device::Cpu => "CPU".into(),
            };
            let why = match reason {
                Reason::Named(name) => format!("WGPU_ADAPTER_NAME is {name:?}"),
                reason => reason.to_string(),
            };
            (name, why)
        }
        Err(error) => ("nothing, which is an error".into(), error.to_string()),
    })
}

fn as_text(adapters: &[Report], (selected, why): &(String, String)) -> String {
    let mut lines = Vec::new();
    for adapter in adapters {
        let (info, limits) = (&adapter.info, &adapter.limits);
        lines.push(full_name(info));
        lines.push(format!("  kind      {}", adapter.kind()));
        lines.push(format!("  driver    {}", adapter.driver()));
        lines.push(format!("  features  {}", adapter.features.join(", ")));
        lines.push(format!(
            "  limits    binding {}, buffer {}, offset alignment {} bytes, {} invocations per workgroup",
            bytes(limits.max_storage_buffer_binding_size),
            bytes(limits.max_buffer_size),
            limits.min_storage_buffer_offset_alignment,
            limits.max_compute_invocations_per_workgroup,
        ));
        if let Some(objection) = adapter.objection {
            lines.push(format!("  auto      does not select it: {objection}"));
        }
        lines.push(String::new());
    }
    lines.push(format!(
        "CPU path: {}, threads: {}",
        cpu::simd_level(),
        cpu::threads()
    ));
    lines.push(format!("auto selects: {selected}, because {why}"));
    lines.join("\n") + "\n"
}

fn as_json(adapters: &[Report], (selected, why): &(String, String)) -> Value {
    let list = adapters.iter().map(|adapter| {
        let (info, limits) = (&adapter.info, &adapter.limits);
        json!({
            "name": info.name,
            "backend": backend_name(info.backend),
            "kind": adapter.kind(),
            "driver": adapter.driver(),
            "features": adapter.features,
            "limits": {
                "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
                "max_buffer_size": limits.max_buffer_size,
                "min_storage_buffer_offset_alignment": limits.min_storage_buffer_offset_alignment,
                "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
                "max_compute_workgroups_per_dimension": limits.max_compute_workgroups_per_dimension,
            },
            "objection": adapter.objection,
        })
    });
    json!({
        "adapters": list.collect::<Vec<_>>(),
        "cpu": { "simd": cpu::simd_level(), "threads": cpu::threads() },
        "auto": { "selects": selected, "why": why },
    })
}

/// Formats a size in bytes, such as `128 MiB`.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut value = count;
    while value >= 1024 && value.is_multiple_of(1024) && unit + 1 < UNITS.len() {
        value /= 1024;
        unit += 1;
    }
    // Drivers often report a limit of one byte less than a power of two, which is easier to read as
    // `2 GiB less 1 byte`.
    match count.checked_add(1) {
        Some(more) if unit == 0 && more.is_power_of_two() && count > 1 => {
            format!("{} less 1 byte", bytes(more))
        }
        _ => format!("{value} {}", UNITS[unit]),
    }
}
