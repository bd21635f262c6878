//! Runs the plugin in an app without a window, on the adapter that bevy selects.

use bevy::{
    app::PluginsState,
    prelude::*,
    render::{
        gpu_readback::{Readback, ReadbackComplete},
        storage::ShaderBuffer,
    },
};
use wgpu_elu_bevy::{
    EluPass, EluPlugin,
    wgpu_elu::{Elu, cpu},
};

const X: [f32; 5] = [-2.0, -0.5, -0.0, 1.5, f32::NEG_INFINITY];

/// The latest results that bevy has read back.
#[derive(Default, Resource)]
struct Latest(Vec<f32>);

#[test]
fn results_follow_the_components() {
    let mut app = App::new();
    app.add_plugins((DefaultPlugins, EluPlugin))
        .init_resource::<Latest>();
    while app.plugins_state() == PluginsState::Adding {
        bevy::tasks::tick_global_task_pools_on_main_thread();
    }
    app.finish();
    app.cleanup();
    let mut buffer = |values: Vec<f32>| {
        let mut buffers = app.world_mut().resource_mut::<Assets<ShaderBuffer>>();
        buffers.add(ShaderBuffer::from(values))
    };
    let (x, y, short) = (
        buffer(X.to_vec()),
        buffer(vec![7.0; 5]),
        buffer(vec![7.0; 4]),
    );
    let pass = app
        .world_mut()
        .spawn(EluPass::new(1.0, x.clone(), y.clone()))
        .id();
    let read = |results: On<ReadbackComplete>, mut latest: ResMut<Latest>| {
        latest.0 = bytemuck::pod_collect_to_vec(&results.data);
    };
    let reading = app
        .world_mut()
        .spawn(Readback::buffer(y.clone()))
        .observe(read)
        .id();
    wait(&mut app, &expected(1.0));

    // Another function.
    app.world_mut()
        .get_mut::<EluPass>(pass)
        .expect("it exists")
        .elu = Elu::selu();
    wait(&mut app, &expected(Elu::selu()));

    // A pass that fails leaves the buffer as it is, and works once it is corrected.
    app.world_mut()
        .entity_mut(pass)
        .insert(EluPass::new(0.5, short, y.clone()));
    for _ in 0..10 {
        app.update();
    }
    assert_eq!(app.world().resource::<Latest>().0, expected(Elu::selu()));
    app.world_mut()
        .entity_mut(pass)
        .insert(EluPass::new(0.5, x, y.clone()));
    wait(&mut app, &expected(0.5));

    // No pass, and then one in place: for alpha 0, the second frame changes nothing.
    app.world_mut().despawn(pass);
    app.world_mut().spawn(EluPass::new(0.0, y.clone(), y));
    wait(&mut app, &[0.0, 0.0, 0.0, 1.5, 0.0]);
    app.world_mut().despawn(reading);
}

#[test]
fn an_app_without_a_renderer_runs() {
    App::new().add_plugins((MinimalPlugins, EluPlugin)).update();
}

fn expected(elu: impl Into<Elu>) -> Vec<f32> {
    let mut y = vec![0.0; X.len()];
    cpu::forward(elu, &X, &mut y).expect("the slices have the same length");
    y
}

/// Runs frames until bevy has read back these values.
fn wait(app: &mut App, values: &[f32]) {
    for _ in 0..300 {
        app.update();
        if app.world().resource::<Latest>().0 == values {
            return;
        }
    }
    panic!(
        "needed {values:?}, found {:?}",
        app.world().resource::<Latest>().0
    );
}
