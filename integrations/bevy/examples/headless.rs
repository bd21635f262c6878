//! ELU on bevy's device, without a window: bevy uploads x, `EluPlugin` computes y, and bevy reads it back.
//!
//! Run `cargo run --example headless`.

use bevy::{
    app::ScheduleRunnerPlugin,
    prelude::*,
    render::{
        gpu_readback::{Readback, ReadbackComplete},
        storage::ShaderBuffer,
    },
};
use wgpu_elu_bevy::{EluPass, EluPlugin};

fn main() {
    App::new()
        .add_plugins((DefaultPlugins, ScheduleRunnerPlugin::default(), EluPlugin))
        .add_systems(Startup, start)
        .run();
}

fn start(mut commands: Commands, mut buffers: ResMut<Assets<ShaderBuffer>>) {
    let x = buffers.add(ShaderBuffer::from(vec![-2.0f32, -0.5, 0.0, 1.5]));
    let y = buffers.add(ShaderBuffer::from(vec![f32::NAN; 4]));
    commands.spawn(EluPass::new(1.0, x, y.clone()));
    commands.spawn(Readback::buffer(y)).observe(print);
}

/// Prints the results of the first frame that has some, and ends the app.
fn print(results: On<ReadbackComplete>, mut exit: MessageWriter<AppExit>) {
    let y: &[f32] = bytemuck::cast_slice(&results.data);
    if !y[0].is_nan() {
        println!("{y:?}"); // [-0.86466473, -0.39346933, 0.0, 1.5]
        exit.write(AppExit::Success);
    }
}
