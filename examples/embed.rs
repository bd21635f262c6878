//! ELU between your own passes, in your own encoder: `cargo run --example embed -- rings.png`.
//!
//! A pass of ours makes waves, ELU works on them in place, and another pass of ours makes colours of them, all in one
//! encoder on a device with wgpu's default limits. The encoder's submission maps what is read back.

use std::{error::Error, sync::mpsc};

use wgpu_elu::{DType, Kernel, wgpu};

const SIDE: u32 = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or("rings.png".into());
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
    let buffer = |usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::from(4 * SIDE * SIDE),
            usage,
            mapped_at_creation: false,
        })
    };
    let field = buffer(wgpu::BufferUsages::STORAGE);
    let pixels = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let read = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    let module = device.create_shader_module(wgpu::include_wgsl!("embed.wgsl"));
    let ours = |entry, buffers: &[(u32, &wgpu::Buffer)]| {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries: Vec<_> = buffers
            .iter()
            .map(|&(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let layout = &pipeline.get_bind_group_layout(0);
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout,
            entries: &entries,
        });
        move |pass: &mut wgpu::ComputePass<'_>| {
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bindings, &[]);
            pass.dispatch_workgroups(SIDE / 16, SIDE / 16, 1);
        }
    };
    let waves = ours("waves", &[(0, &field)]);
    let colors = ours("colors", &[(0, &field), (1, &pixels)]);
    let elu = Kernel::new(&device, DType::F32)?.prepare_in_place(1.0, field.slice(..))?;

    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    waves(&mut pass);
    elu.record(&mut pass);
    colors(&mut pass);
    drop(pass);
    encoder.copy_buffer_to_buffer(&pixels, 0, &read, 0, pixels.size());
    let (sender, receiver) = mpsc::channel();
    encoder.map_buffer_on_submit(&read, wgpu::MapMode::Read, .., move |mapped| {
        drop(sender.send(mapped))
    });
    queue.submit([encoder.finish()]);
    device.poll(wgpu::PollType::wait_indefinitely())?;
    receiver.recv()??;

    let mut png = png::Encoder::new(std::fs::File::create(&path)?, SIDE, SIDE);
    png.set_color(png::ColorType::Rgba);
    png.write_header()?
        .write_image_data(&read.get_mapped_range(..)?)?;
    println!("{} -> {path}", adapter.get_info().name);
    Ok(())
}
