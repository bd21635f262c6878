//! ELU in an egui app: the kernel writes into the buffer that egui's render pass draws. Nothing is read back.
//!
//! Copy `Elu`, `Draw` and its `CallbackTrait` (lines 8 to 50). The rest creates buffers, a pipeline and a window, which
//! your app already has.
//!
//! Run it with `cargo run --release --manifest-path playground/Cargo.toml --example egui`.

use eframe::egui_wgpu::{Callback, CallbackResources, CallbackTrait, ScreenDescriptor};
use eframe::{CreationContext, egui, wgpu, wgpu::util::DeviceExt};
use wgpu_elu::{DType, Kernel, Step};

/// What egui's renderer keeps between frames.
struct Elu {
    kernel: Kernel,
    x: wgpu::Buffer,
    y: wgpu::Buffer,
    prepared: Option<(f64, Option<Step>)>, // for this alpha, or no step if that failed
    line: wgpu::RenderPipeline,
    bindings: wgpu::BindGroup,
}

/// What one frame draws: ELU with this alpha.
struct Draw(f64);

#[rustfmt::skip] // the signatures of the trait
impl CallbackTrait for Draw {
    fn prepare(
        &self, _: &wgpu::Device, _: &wgpu::Queue, _: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder, all: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let Some(elu) = all.get_mut::<Elu>() else { return vec![] };
        if elu.prepared.as_ref().is_none_or(|(alpha, _)| *alpha != self.0) {
            let step = elu.kernel.prepare(self.0, elu.x.slice(..), elu.y.slice(..));
            let step = step.inspect_err(|error| eprintln!("{error}")); // a callback cannot return it
            elu.prepared = Some((self.0, step.ok()));
        }
        if let Some((_, Some(step))) = &elu.prepared {
            step.record(&mut encoder.begin_compute_pass(&Default::default()));
        }
        vec![]
    }

    fn paint(&self, _: egui::PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, all: &CallbackResources) {
        let Some(elu) = all.get::<Elu>() else { return };
        let Some((_, Some(_))) = elu.prepared else { return };
        pass.set_pipeline(&elu.line);
        pass.set_bind_group(0, &elu.bindings, &[]);
        pass.draw(0..256, 0..1); // one vertex for each value
    }
}

impl Elu {
    fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> wgpu_elu::Result<Self> {
        let x: Vec<f32> = (0..256).map(|i| i as f32 / 32.0 - 5.0).collect();
        let x = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("x"),
            contents: bytemuck::cast_slice(&x),
            usage: wgpu::BufferUsages::STORAGE,
        });
        let y = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("y"),
            size: x.size(),
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let shader = device.create_shader_module(wgpu::include_wgsl!("egui.wgsl"));
        let line = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("line"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &shader,
                entry_point: None,
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::LineStrip,
                ..Default::default()
            },
            depth_stencil: None,
            multisample: Default::default(),
            fragment: Some(wgpu::FragmentState {
                module: &shader,
                entry_point: None,
                compilation_options: Default::default(),
                targets: &[Some(format.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("line"),
            layout: &line.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: y.as_entire_binding(),
            }],
        });
        let kernel = Kernel::new(device, DType::F32)?;
        Ok(Self {
            kernel,
            x,
            y,
            prepared: None,
            line,
            bindings,
        })
    }
}

struct App {
    alpha: f64,
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        ui.add(egui::Slider::new(&mut self.alpha, 0.0..=3.0).text("alpha"));
        let (rect, _) = ui.allocate_exact_size(ui.available_size(), egui::Sense::hover());
        let draw = Callback::new_paint_callback(rect, Draw(self.alpha));
        ui.painter().add(draw);
    }
}

fn main() -> eframe::Result {
    let start = |context: &CreationContext<'_>| {
        let state = context.wgpu_render_state.as_ref().ok_or("no wgpu")?;
        let elu = Elu::new(&state.device, state.target_format)?;
        state.renderer.write().callback_resources.insert(elu);
        Ok(Box::new(App { alpha: 1.0 }) as Box<dyn eframe::App>)
    };
    eframe::run_native("ELU in egui", Default::default(), Box::new(start))
}
