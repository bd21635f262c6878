//! The options for eframe: the adapter, and a device with timestamps if they are available.

use std::sync::Arc;

use eframe::{
    egui_wgpu::{WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew},
    wgpu,
};

pub(crate) fn wgpu_configuration() -> WgpuConfiguration {
    WgpuConfiguration {
        wgpu_setup: WgpuSetup::CreateNew(WgpuSetupCreateNew {
            #[cfg(not(target_arch = "wasm32"))]
            native_adapter_selector: Some(Arc::new(select)),
            device_descriptor: Arc::new(device_descriptor),
            ..WgpuSetupCreateNew::without_display_handle()
        }),
        ..Default::default()
    }
}

/// Returns the options for a window on a desktop.
#[cfg(not(target_arch = "wasm32"))]
pub fn native_options() -> eframe::NativeOptions {
    eframe::NativeOptions {
        viewport: eframe::egui::ViewportBuilder::default().with_inner_size([1100.0, 720.0]),
        wgpu_options: wgpu_configuration(),
        ..Default::default()
    }
}

/// Returns the reason why this adapter cannot compute the curves and draw them, if any.
pub(crate) fn unsupported(adapter: &wgpu::Adapter) -> Option<String> {
    let info = adapter.get_info();
    let flags = adapter.get_downlevel_capabilities().flags;
    let missing = if !wgpu_elu::device::can_compute(adapter) {
        "compute shaders"
    } else if !flags.contains(wgpu::DownlevelFlags::VERTEX_STORAGE) {
        "storage buffers in vertex shaders"
    } else {
        return None;
    };
    Some(format!(
        "{} does not support {missing}",
        wgpu_elu::device::full_name(&info)
    ))
}

// ---- Internals ----

/// Returns the fastest adapter that can draw to the window and run the playground. If none can do both, returns the
/// fastest that can draw, and the CPU computes. As with the command `elu`, `WGPU_ADAPTER_NAME` can be
/// set to a part of the adapter's name.
#[cfg(not(target_arch = "wasm32"))]
fn select(
    adapters: &[wgpu::Adapter],
    surface: Option<&wgpu::Surface<'_>>,
) -> Result<wgpu::Adapter, String> {
    let can_draw =
        |adapter: &&wgpu::Adapter| surface.is_none_or(|s| adapter.is_surface_supported(s));
    let wanted = std::env::var("WGPU_ADAPTER_NAME").unwrap_or_default();
    let is_wanted = |adapter: &&wgpu::Adapter| wgpu_elu::device::is_named(adapter, &wanted);
    let rank = |adapter: &&wgpu::Adapter| {
        let slowness = wgpu_elu::device::rank(&adapter.get_info());
        (unsupported(adapter).is_some(), slowness)
    };
    let fitting = adapters.iter().filter(can_draw).filter(is_wanted);
    fitting.min_by_key(rank).cloned().ok_or_else(|| {
        let all: Vec<_> = adapters
            .iter()
            .map(|a| wgpu_elu::device::full_name(&a.get_info()))
            .collect();
        let named = match &wanted[..] {
            "" => String::new(),
            wanted => format!("named {wanted:?} "),
        };
        format!(
            "no adapter {named}can draw to a window; found: {}",
            all.join(", ")
        )
    })
}

/// Requests the largest of wgpu's default sets of limits that the adapter supports, and timestamps if available.
fn device_descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
    let limits = adapter.limits();
    let levels = [
        wgpu::Limits::defaults(),
        wgpu::Limits::downlevel_defaults(),
        wgpu::Limits::downlevel_webgl2_defaults(),
    ];
    let fitting = levels.into_iter().find(|level| level.check_limits(&limits));
    wgpu::DeviceDescriptor {
        label: Some("playground"),
        required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
        required_limits: fitting
            .unwrap_or_else(wgpu::Limits::downlevel_webgl2_defaults)
            .using_resolution(limits),
        ..Default::default()
    }
}
