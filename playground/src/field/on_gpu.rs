//! A field of a million points. Every frame computes it, applies ELU in place and draws it, without reading anything
//! back.

use std::sync::Arc;

use eframe::{
    egui::{PaintCallbackInfo, Rect, Shape, mutex::Mutex},
    egui_wgpu::{Callback, CallbackResources, CallbackTrait, RenderState, ScreenDescriptor},
    wgpu,
};
use wgpu_elu::{DType, Kernel, Result, Step};

use super::{Frame, HIGHEST, lowest};
use crate::{drawing, palette, timer::Timer};

/// The number of points along each side.
pub(super) const SIDE: u32 = 1024;

pub(super) struct OnGpu {
    timer: Option<Arc<Timer>>,
    /// The error that prevented the latest frame, if any.
    error: Arc<Mutex<Option<String>>>,
}

impl OnGpu {
    pub(super) fn new(state: &RenderState) -> Result<Self> {
        let device = &state.device;
        let timer = Timer::new(device, &state.queue).map(Arc::new);
        let buffer = |size, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("field"),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let view = buffer(
            size_of::<View>() as u64,
            wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        );
        let values = buffer(
            u64::from(SIDE) * u64::from(SIDE) * size_of::<f32>() as u64,
            wgpu::BufferUsages::STORAGE,
        );
        let waves = waves(device);
        let draw = drawing::pipeline(
            device,
            wgpu::include_wgsl!("field.wgsl"),
            state.target_format,
        );
        let bind =
            |layout: &wgpu::BindGroupLayout| drawing::bind(device, layout, &[&view, &values]);
        let resources = Resources {
            kernel: Kernel::new(device, DType::F32)?,
            timer: timer.clone(),
            wave_bindings: bind(&waves.get_bind_group_layout(0)),
            draw_bindings: bind(&draw.get_bind_group_layout(0)),
            format: state.target_format,
            step: None,
            view,
            values,
            waves,
            draw,
        };
        state.renderer.write().callback_resources.insert(resources);
        Ok(Self {
            timer,
            error: Arc::default(),
        })
    }

    /// Returns the picture of a frame, as a shape that fills `rect`.
    pub(super) fn shape(&self, rect: Rect, frame: Frame) -> Shape {
        let error = self.error.clone();
        Callback::new_paint_callback(rect, Draw { frame, error }).into()
    }

    /// Returns the mean duration of ELU in the latest frames in seconds. Returns `None` before the first duration is
    /// known, and an error if the device has no timestamps.
    pub(super) fn kernel_seconds(&self) -> Result<Option<f64>, NoTimestamps> {
        let timer = self.timer.as_ref().ok_or(NoTimestamps)?;
        Ok(timer.seconds())
    }

    pub(super) fn error(&self) -> Option<String> {
        self.error.lock().clone()
    }
}

/// The error for a device without timestamps.
pub(super) struct NoTimestamps;

// ---- Internals ----

/// The objects that egui's renderer keeps for the callback.
struct Resources {
    kernel: Kernel,
    timer: Option<Arc<Timer>>,
    view: wgpu::Buffer,
    values: wgpu::Buffer,
    waves: wgpu::ComputePipeline,
    wave_bindings: wgpu::BindGroup,
    draw: wgpu::RenderPipeline,
    draw_bindings: wgpu::BindGroup,
    format: wgpu::TextureFormat,
    /// The prepared step, with its alpha.
    step: Option<(f64, Step)>,
}

/// The uniform buffer of `field.wgsl`. Its fields must equal those of `View` there.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct View {
    seconds: f32,
    low: f32,
    high: f32,
    side: u32,
    extent: [f32; 2],
    padding: [u32; 2],
    negative: [f32; 4],
    zero: [f32; 4],
    positive: [f32; 4],
}

/// The callback that computes and draws one frame.
struct Draw {
    frame: Frame,
    error: Arc<Mutex<Option<String>>>,
}

impl CallbackTrait for Draw {
    fn prepare(
        &self,
        _: &wgpu::Device,
        queue: &wgpu::Queue,
        _: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(resources) = resources.get_mut::<Resources>() {
            let frame = &self.frame;
            let [negative, zero, positive] = frame
                .colors
                .map(|color| palette::to_shader(color, resources.format));
            let view = View {
                seconds: frame.seconds,
                low: lowest(frame.alpha),
                high: HIGHEST,
                side: SIDE,
                extent: frame.extent.into(),
                padding: [0; 2],
                negative,
                zero,
                positive,
            };
            queue.write_buffer(&resources.view, 0, bytemuck::bytes_of(&view));
            let computed = resources.compute(frame.alpha, encoder);
            *self.error.lock() = computed.err().map(|error| error.to_string());
        }
        Vec::new()
    }

    fn paint(
        &self,
        _: PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        if let Some(resources) = resources.get::<Resources>() {
            pass.set_pipeline(&resources.draw);
            pass.set_bind_group(0, &resources.draw_bindings, &[]);
            pass.draw(0..4, 0..1);
        }
    }
}

impl Resources {
    /// Records the waves and ELU into egui's encoder.
    fn compute(&mut self, alpha: f64, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        let step = match self.step.take().filter(|(prepared, _)| *prepared == alpha) {
            Some((_, step)) => step,
            None => self.kernel.prepare_in_place(alpha, self.values.slice(..))?,
        };
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("waves"),
            timestamp_writes: None,
        });
        pass.set_pipeline(&self.waves);
        pass.set_bind_group(0, &self.wave_bindings, &[]);
        pass.dispatch_workgroups(SIDE / 16, SIDE / 16, 1); // 16 x 16 invocations, as in field.wgsl
        drop(pass);
        step.record(
            &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("ELU"),
                timestamp_writes: self.timer.as_ref().map(|timer| timer.writes()),
            }),
        );
        if let Some(timer) = &self.timer {
            timer.finish(encoder);
        }
        self.step = Some((alpha, step));
        Ok(())
    }
}

fn waves(device: &wgpu::Device) -> wgpu::ComputePipeline {
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("waves"),
        layout: None,
        module: &device.create_shader_module(wgpu::include_wgsl!("field.wgsl")),
        entry_point: Some("waves"),
        compilation_options: Default::default(),
        cache: None,
    })
}
