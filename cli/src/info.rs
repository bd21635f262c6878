//! `elu info`: lists the adapters and the CPU path.

use anyhow::Result;
use serde_json::{Value, json};
use wgpu_elu::{
    Device, cpu,
    device::{Reason, Request, adapters, can_compute, full_name, objection},
    wgpu,
};

use crate::{
    device_args::{check_adapter_variables, check_thread_variable},
    json,
    output::Output,
};

const EXAMPLES: &str = "\
Examples:
  elu info
  elu info --json > devices.json";

/// List every adapter that wgpu finds, the CPU path, and the device that `--device auto` selects
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print JSON instead of text; docs/cli.md in the repository lists its fields
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
    can_compute: bool,
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
            can_compute: can_compute(adapter),
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
}

/// What `auto` selects.
struct Auto {
    /// The device, or `None` if the selection fails.
    device: Option<Device>,
    /// The identifier of the reason.
    reason: &'static str,
    /// The reason.
    why: String,
}

/// Returns the device that `auto` selects, and the reason. Creates the device, because a driver may fail.
fn auto() -> Result<Auto> {
    Ok(match Device::select_blocking(&Request::from_env()?) {
        Ok((device, reason)) => Auto {
            device: Some(device),
            reason: match &reason {
                Reason::BestHardware => "best_hardware",
                Reason::BestSoftware => "best_software",
                Reason::Named(_) => "named",
                Reason::NoAdapter => "no_adapter",
                Reason::NoHardware => "no_hardware",
                Reason::BetterFailed(_) => "better_failed",
                _ => "other",
            },
            why: match reason {
                Reason::Named(name) => format!("WGPU_ADAPTER_NAME is {name:?}"),
                reason => reason.to_string(),
            },
        },
        Err(error) => Auto {
            device: None,
            reason: "error",
            why: error.to_string(),
        },
    })
}

fn as_text(adapters: &[Report], auto: &Auto) -> String {
    let mut lines = Vec::new();
    for adapter in adapters {
        let (info, limits) = (&adapter.info, &adapter.limits);
        lines.push(full_name(info));
        lines.push(format!("  kind      {}", adapter.kind()));
        lines.push(format!("  driver    {}", json::driver(info)));
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
    let selected = match &auto.device {
        Some(Device::Gpu(gpu)) => full_name(gpu.info()),
        Some(Device::Cpu) => "CPU".into(),
        None => "nothing, which is an error".into(),
    };
    lines.push(format!("auto selects: {selected}, because {}", auto.why));
    lines.join("\n") + "\n"
}

fn as_json(adapters: &[Report], auto: &Auto) -> Value {
    let list = adapters.iter().map(|adapter| {
        let limits = &adapter.limits;
        let mut json = json::adapter(&adapter.info);
        let more = json!({
            "features": adapter.features,
            "limits": {
                "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
                "max_buffer_size": limits.max_buffer_size,
                "min_storage_buffer_offset_alignment": limits.min_storage_buffer_offset_alignment,
                "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
                "max_compute_workgroups_per_dimension": limits.max_compute_workgroups_per_dimension,
            },
            "can_compute": adapter.can_compute,
            "objection": adapter.objection,
        });
        json::merge(&mut json, more);
        json
    });
    json!({
        "version": json::VERSION,
        "adapters": list.collect::<Vec<_>>(),
        "cpu": json::cpu_path(),
        "auto": {
            "selects": auto.device.as_ref().map(json::device),
            "reason": auto.reason,
            "why": auto.why,
        },
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
