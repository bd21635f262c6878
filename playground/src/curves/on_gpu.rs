//! The curves as items of a plot. `Kernel` computes them into the buffers from which the lines are drawn.

use std::{ops::RangeInclusive, sync::Arc};

use eframe::{
    egui::{Color32, Context, PaintCallbackInfo, Rect, Shape, Ui, mutex::Mutex},
    egui_wgpu::{Callback, CallbackResources, CallbackTrait, RenderState, ScreenDescriptor},
    wgpu::{self, util::DeviceExt},
};
use egui_plot::{PlotBounds, PlotGeometry, PlotItem, PlotItemBase, PlotTransform};
use wgpu_elu::{DType, Elu, Gpu, Kernel, Result, Step, Tensor};

use super::{Curve, POINTS, points};
use crate::{drawing, palette};

/// The buffers and pipelines of all curves.
pub(super) struct OnGpu {
    state: RenderState,
    buffers: Buffers,
    /// The error of each curve, if any.
    errors: [SharedError; Curve::ALL.len()],
}

/// An error that egui's callbacks set, for the app to show.
type SharedError = Arc<Mutex<Option<String>>>;

/// The coordinates of the plotted points.
#[derive(Clone)]
struct Buffers {
    x: wgpu::Buffer,
    y: [wgpu::Buffer; Curve::ALL.len()],
}

impl OnGpu {
    pub(super) fn new(state: &RenderState) -> Result<Self> {
        let (device, format) = (&state.device, state.target_format);
        let size = (POINTS * size_of::<f32>()) as u64;
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("curves"),
                size,
                usage: usage | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            })
        };
        let buffers = Buffers {
            x: buffer(wgpu::BufferUsages::COPY_DST),
            y: std::array::from_fn(|_| buffer(wgpu::BufferUsages::empty())),
        };
        let ones = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("curves"),
            contents: bytemuck::cast_slice(&[1f32; POINTS]),
            usage: wgpu::BufferUsages::STORAGE,
        });
        let pipeline = drawing::pipeline(device, wgpu::include_wgsl!("curves.wgsl"), format);
        let lines = std::array::from_fn(|curve| Line::new(device, &pipeline, &buffers, curve));
        let resources = Resources {
            kernel: Kernel::new(device, DType::F32)?,
            buffers: buffers.clone(),
            ones,
            x_range: None,
            pipeline,
            format,
            lines,
        };
        state.renderer.write().callback_resources.insert(resources);
        Ok(Self {
            state: state.clone(),
            buffers,
            errors: Default::default(),
        })
    }

    /// Returns the item for the plot.
    pub(super) fn item(&self, curve: Curve, elu: Elu, color: Color32) -> impl PlotItem + use<> {
        Item {
            base: PlotItemBase::new(curve.name().into()),
            curve,
            elu,
            color,
            error: self.errors[curve as usize].clone(),
        }
    }

    /// Returns the error that prevents the curve from being drawn, if any.
    pub(super) fn error(&self, curve: Curve) -> Option<String> {
        self.errors[curve as usize].lock().clone()
    }

    /// Reads back the plotted points: all x, then all y of each curve. Only tests need this.
    pub(super) fn read(&self) -> impl Future<Output = Result<Vec<f32>>> + use<> {
        let (Buffers { x, y }, state) = (&self.buffers, &self.state);
        let all = state.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("curves, read back"),
            size: (1 + y.len() as u64) * x.size(),
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = state.device.create_command_encoder(&Default::default());
        let mut end = 0;
        for buffer in std::iter::once(x).chain(y) {
            encoder.copy_buffer_to_buffer(buffer, 0, &all, end, buffer.size());
            end += buffer.size();
        }
        state.queue.submit([encoder.finish()]);
        let shape = [1 + y.len(), POINTS];
        let gpu = Gpu::from_wgpu(&state.device, &state.queue);
        let tensor = Tensor::from_buffer(&gpu, all, 0, DType::F32, &shape);
        async { tensor?.to_vec().await }
    }
}

// ---- Internals ----

/// The objects that egui's renderer keeps for the callbacks.
struct Resources {
    kernel: Kernel,
    buffers: Buffers,
    /// The incoming gradient, which is 1.
    ones: wgpu::Buffer,
    /// The range of the points in `buffers.x`.
    x_range: Option<[f32; 2]>,
    pipeline: wgpu::RenderPipeline,
    format: wgpu::TextureFormat,
    lines: [Line; Curve::ALL.len()],
}

/// The objects that draw one curve.
struct Line {
    view: wgpu::Buffer,
    bind_group: wgpu::BindGroup,
    /// The prepared step, with its function.
    step: Option<(Elu, Step)>,
    /// The range of the points for which the curve was last computed.
    x_range: Option<[f32; 2]>,
}

/// The uniform buffer of `curves.wgsl`. Its fields must equal those of `View` there.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct View {
    x_range: [f32; 2],
    y_range: [f32; 2],
    size: [f32; 2],
    half_width: f32,
    jumps: u32,
    color: [f32; 4],
}

/// A curve as an item of the plot.
struct Item {
    base: PlotItemBase,
    curve: Curve,
    elu: Elu,
    color: Color32,
    error: SharedError,
}

impl PlotItem for Item {
    fn shapes(&self, ui: &Ui, transform: &PlotTransform, shapes: &mut Vec<Shape>) {
        let bounds = transform.bounds();
        let (min, max) = (bounds.min(), bounds.max());
        let range = |axis: usize| [min[axis] as f32, max[axis] as f32];
        let frame = *transform.frame();
        let draw = Draw {
            curve: self.curve,
            elu: self.elu,
            frame,
            x_range: range(0),
            y_range: range(1),
            color: self.color,
            width: self.curve.width(),
            error: self.error.clone(),
            context: ui.ctx().clone(),
        };
        shapes.push(Callback::new_paint_callback(frame, draw).into());
    }

    fn initialize(&mut self, _: RangeInclusive<f64>) {}

    fn color(&self) -> Color32 {
        self.color
    }

    // The points are on the GPU only, so the plot cannot find them near the pointer.
    fn geometry(&self) -> PlotGeometry<'_> {
        PlotGeometry::None
    }

    // A curve covers any range of x, so it does not affect the range that the plot shows.
    fn bounds(&self) -> PlotBounds {
        PlotBounds::NOTHING
    }

    fn base(&self) -> &PlotItemBase {
        &self.base
    }

    fn base_mut(&mut self) -> &mut PlotItemBase {
        &mut self.base
    }
}

/// The callback that computes and draws one curve in one frame.
struct Draw {
    curve: Curve,
    elu: Elu,
    frame: Rect,
    x_range: [f32; 2],
    y_range: [f32; 2],
    color: Color32,
    /// The width of the line in points.
    width: f32,
    error: SharedError,
    context: Context,
}

impl CallbackTrait for Draw {
    fn prepare(
        &self,
        _: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(resources) = resources.get_mut::<Resources>() {
            let computed = resources.compute(self, queue, encoder);
            let error = computed.err().map(|error| error.to_string());
            let previous = std::mem::replace(&mut *self.error.lock(), error.clone());
            if previous != error {
                self.context.request_repaint(); // the next frame shows the error
            }
            let scale = screen.pixels_per_point;
            let view = View {
                x_range: self.x_range,
                y_range: self.y_range,
                size: [self.frame.width() * scale, self.frame.height() * scale],
                half_width: 0.5 * self.width * scale,
                jumps: (self.curve == Curve::EluGradient).into(),
                color: palette::to_shader(self.color, resources.format),
            };
            let line = &resources.lines[self.curve as usize];
            queue.write_buffer(&line.view, 0, bytemuck::bytes_of(&view));
        }
        Vec::new()
    }

    fn paint(
        &self,
        _: PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        let Some(resources) = resources.get::<Resources>() else {
            return;
        };
        let line = &resources.lines[self.curve as usize];
        if line.step.is_some() {
            pass.set_pipeline(&resources.pipeline);
            pass.set_bind_group(0, &line.bind_group, &[]);
            pass.draw(0..4, 0..POINTS as u32 - 1);
        }
    }
}

impl Resources {
    /// Records the kernel's work into egui's encoder, if anything has changed since the last frame.
    fn compute(
        &mut self,
        draw: &Draw,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<()> {
        let x_range = Some(draw.x_range);
        if self.x_range != x_range {
            queue.write_buffer(
                &self.buffers.x,
                0,
                bytemuck::cast_slice(&points(draw.x_range)),
            );
            self.x_range = x_range;
        }
        let (x, y) = (&self.buffers.x, &self.buffers.y[draw.curve as usize]);
        let line = &mut self.lines[draw.curve as usize];
        let prepared = line.step.take().filter(|(elu, _)| *elu == draw.elu);
        let is_done = prepared.is_some() && line.x_range == x_range;
        let (elu, step) = match prepared {
            Some(prepared) => prepared,
            None => {
                let (elu, x, y) = (draw.elu, x.slice(..), y.slice(..));
                let step = match draw.curve {
                    Curve::EluGradient => {
                        self.kernel
                            .prepare_backward(elu, x, self.ones.slice(..), y)?
                    }
                    _ => self.kernel.prepare(elu, x, y)?,
                };
                (elu, step)
            }
        };
        if !is_done {
            step.record(
                &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some(draw.curve.name()),
                    timestamp_writes: None,
                }),
            );
        }
        line.step = Some((elu, step));
        line.x_range = x_range;
        Ok(())
    }
}

impl Line {
    fn new(
        device: &wgpu::Device,
        pipeline: &wgpu::RenderPipeline,
        buffers: &Buffers,
        curve: usize,
    ) -> Self {
        let view = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("curves"),
            size: size_of::<View>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let layout = pipeline.get_bind_group_layout(0);
        let bind_group = drawing::bind(device, &layout, &[&view, &buffers.x, &buffers.y[curve]]);
        Self {
            view,
            bind_group,
            step: None,
            x_range: None,
        }
    }
}
