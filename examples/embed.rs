//! ELU in an app that has its own device, buffers and passes. The app computes waves, wgpu-elu applies ELU to
//! them, and the app draws both, all in one encoder.
//!
//! Run `cargo run --example embed -- waves.png`. Without a path, the picture is written to the folder for temporary
//! files.

use std::{env, error::Error, fs::File, path::Path, process::ExitCode, sync::mpsc};

use wgpu::BufferUsages as Usages;
use wgpu_elu::{DType, Kernel, wgpu};

const SIZE: u32 = 512; // as in embed.wgsl

fn main() -> ExitCode {
    let default_path = || env::temp_dir().join("wgpu-elu-embed.png");
    let path = env::args_os().nth(1).map_or_else(default_path, Into::into);
    if let Err(error) = pollster::block_on(run(&path)) {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    println!("picture of waves and their ELU: {}", path.display());
    ExitCode::SUCCESS
}

async fn run(path: &Path) -> Result<(), Box<dyn Error>> {
    // The app creates its own device, with wgpu's default limits and no optional features.
    let options = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let instance = wgpu::Instance::new(options);
    let adapter = instance.request_adapter(&Default::default()).await?;
    let (device, queue) = adapter.request_device(&Default::default()).await?;

    // The app creates its own buffers.
    let buffer = |size: u32, usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: size.into(),
            usage,
            mapped_at_creation: false,
        })
    };
    let x = buffer(4 * SIZE * SIZE, Usages::STORAGE);
    let y = buffer(4 * SIZE * SIZE, Usages::STORAGE);
    // Two pictures of SIZE x SIZE pixels with 4 bytes each.
    let pixels = buffer(8 * SIZE * SIZE, Usages::STORAGE | Usages::COPY_SRC);
    let readback = buffer(8 * SIZE * SIZE, Usages::MAP_READ | Usages::COPY_DST);

    // The app records its own passes.
    let module = device.create_shader_module(wgpu::include_wgsl!("embed.wgsl"));
    let record_pass =
        |encoder: &mut wgpu::CommandEncoder, entry_point, buffers: &[&wgpu::Buffer]| {
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: Some(entry_point),
                compilation_options: Default::default(),
                cache: None,
            });
            let entries = (0..).zip(buffers).map(|(binding, buffer)| {
                let resource = buffer.as_entire_binding();
                wgpu::BindGroupEntry { binding, resource }
            });
            let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries.collect::<Vec<_>>(),
            });
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups(SIZE / 8, SIZE / 8, 1);
        };

    // ELU is a step that wgpu-elu prepares. The app chooses the encoder and the pass in which it is recorded.
    let step = Kernel::new(&device, DType::F32)?.prepare(1.0, x.slice(..), y.slice(..))?;
    let mut encoder = device.create_command_encoder(&Default::default());
    record_pass(&mut encoder, "make_waves", &[&x]);
    step.record(&mut encoder.begin_compute_pass(&Default::default()));
    record_pass(&mut encoder, "draw", &[&pixels, &x, &y]);
    encoder.copy_buffer_to_buffer(&pixels, 0, &readback, 0, None);
    let (sender, receiver) = mpsc::channel();
    encoder.map_buffer_on_submit(&readback, wgpu::MapMode::Read, .., move |mapped| {
        let _ = sender.send(mapped); // fails only if an error below has dropped the receiver
    });
    queue.submit([encoder.finish()]);
    device.poll(wgpu::PollType::wait_indefinitely())?;
    receiver.recv()??;

    let pixels = readback.slice(..).get_mapped_range()?;
    save(path, &pixels).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn save(path: &Path, pixels: &[u8]) -> Result<(), png::EncodingError> {
    let mut png = png::Encoder::new(File::create(path)?, 2 * SIZE, SIZE);
    png.set_color(png::ColorType::Rgba);
    let mut writer = png.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()
}
