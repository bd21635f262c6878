//! What eframe is asked for: its usual device, and timestamps where there are any.

use std::sync::Arc;

use eframe::{
    egui_wgpu::{RenderState, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew},
    wgpu,
};

pub(crate) fn wgpu_configuration() -> WgpuConfiguration {
    WgpuConfiguration {
        wgpu_setup: WgpuSetup::CreateNew(WgpuSetupCreateNew {
            device_descriptor: Arc::new(device_descriptor),
            ..WgpuSetupCreateNew::without_display_handle()
        }),
        ..Default::default()
    }
}

/// For a window on a desktop.
#[cfg(not(target_arch = "wasm32"))]
pub fn native_options() -> eframe::NativeOptions {
    eframe::NativeOptions {
        viewport: eframe::egui::ViewportBuilder::default().with_inner_size([1100.0, 720.0]),
        wgpu_options: wgpu_configuration(),
        ..Default::default()
    }
}

/// Why nothing can be computed or drawn on this adapter, if so.
pub(crate) fn objection(state: &RenderState) -> Option<String> {
    let info = state.adapter.get_info();
    let found = state.adapter.get_downlevel_capabilities().flags;
    let needed = [
        (wgpu::DownlevelFlags::COMPUTE_SHADERS, "compute shaders"),
        (
            wgpu::DownlevelFlags::VERTEX_STORAGE,
            "storage buffers in vertex shaders",
        ),
    ];
    let missing = needed.iter().find(|(flag, _)| !found.contains(*flag));
    let is_limited = state.device.limits().max_storage_buffers_per_shader_stage < 2;
    let missing = match missing {
        Some((_, what)) => what,
        None if is_limited => "storage buffers",
        None => return None,
    };
    let backend = wgpu_elu::device::backend_name(info.backend);
    Some(format!("{} ({backend}) has no {missing}.", info.name))
}

// ---- Internals ----

fn device_descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
    let found = adapter.limits();
    let levels = [
        wgpu::Limits::defaults(),
        wgpu::Limits::downlevel_defaults(),
        wgpu::Limits::downlevel_webgl2_defaults(),
    ];
    let fitting = levels
        .into_iter()
        .find(|limits| limits.check_limits(&found));
    wgpu::DeviceDescriptor {
        label: Some("playground"),
        required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
        required_limits: fitting
            .unwrap_or_else(wgpu::Limits::downlevel_webgl2_defaults)
            .using_resolution(found),
        ..Default::default()
    }
}
