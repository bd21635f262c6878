//! Runs the plugin in apps without a window, on the adapter that bevy selects.

use bevy::{
    app::PluginsState,
    camera::RenderTarget,
    prelude::*,
    render::{
        RenderApp,
        error_handler::{RenderErrorHandler, RenderErrorPolicy},
        gpu_readback::{Readback, ReadbackComplete},
        render_asset::RenderAssets,
        render_resource::{PollType, TextureFormat, TextureUsages},
        renderer::{RenderContext, RenderDevice, RenderGraph, RenderGraphSystems},
        settings::RenderCreation,
        storage::{GpuShaderBuffer, ShaderBuffer},
    },
};
use wgpu_elu_bevy::{
    EluPass, EluPlugin, RecordElu,
    wgpu_elu::{Elu, cpu},
};

const X: [f32; 5] = [-2.0, -0.5, -0.0, 1.5, f32::NEG_INFINITY];

/// The latest results that bevy has read back.
#[derive(Default, Resource)]
struct Latest(Vec<f32>);

#[test]
fn results_follow_the_components() {
    let mut app = start();
    let (x, y) = (add(&mut app, &X), add(&mut app, &[7.0; 5]));
    let short = add(&mut app, &[7.0; 4]);
    let pass = EluPass::new(1.0, x.clone(), y.clone());
    let pass = app.world_mut().spawn(pass).id();
    read(&mut app, &y);
    wait(&mut app, &expected(1.0, &X));

    // Another function.
    let mut component = app.world_mut().get_mut::<EluPass>(pass);
    component.as_mut().expect("it exists").elu = Elu::selu();
    wait(&mut app, &expected(Elu::selu(), &X));

    // A pass that fails leaves the buffer as it is, and works once it is corrected.
    let failing = EluPass::new(0.5, short, y.clone());
    app.world_mut().entity_mut(pass).insert(failing);
    app.update();
    replace(&mut app, &y, &[7.0; 5]);
    wait(&mut app, &[7.0; 5]);
    for _ in 0..10 {
        app.update();
    }
    assert_eq!(app.world().resource::<Latest>().0, [7.0; 5]);
    let corrected = EluPass::new(0.5, x.clone(), y.clone());
    app.world_mut().entity_mut(pass).insert(corrected);
    wait(&mut app, &expected(0.5, &X));

    // Longer buffers, which bevy creates anew.
    let longer: Vec<f32> = (0..9).map(|i| i as f32 - 6.0).collect();
    replace(&mut app, &x, &longer);
    replace(&mut app, &y, &[7.0; 9]);
    wait(&mut app, &expected(0.5, &longer));

    // No pass, and then one in place: for alpha 0, the second frame changes nothing.
    app.world_mut().despawn(pass);
    replace(&mut app, &y, &X);
    wait(&mut app, &X);
    app.world_mut().spawn(EluPass::new(0.0, y.clone(), y));
    wait(&mut app, &[0.0, 0.0, 0.0, 1.5, 0.0]);
}

/// The buffers of the test below.
#[derive(Resource)]
struct Buffers {
    inputs: Handle<ShaderBuffer>,
    x: Handle<ShaderBuffer>,
}

#[test]
fn systems_run_before_and_after_the_passes() {
    /// Computes `x` from `inputs`.
    fn before(
        mut context: RenderContext,
        used: Res<Buffers>,
        buffers: Res<RenderAssets<GpuShaderBuffer>>,
    ) {
        if let (Some(inputs), Some(x)) = (buffers.get(&used.inputs), buffers.get(&used.x)) {
            let size = inputs.buffer.size();
            let encoder = context.command_encoder();
            encoder.copy_buffer_to_buffer(&inputs.buffer, 0, &x.buffer, 0, size);
        }
    }

    /// Clears `x`.
    fn after(
        mut context: RenderContext,
        used: Res<Buffers>,
        buffers: Res<RenderAssets<GpuShaderBuffer>>,
    ) {
        if let Some(x) = buffers.get(&used.x) {
            context.command_encoder().clear_buffer(&x.buffer, 0, None);
        }
    }

    let mut app = start();
    let (inputs, x) = (add(&mut app, &X), add(&mut app, &[7.0; 5]));
    let y = add(&mut app, &[7.0; 5]);
    let buffers = Buffers {
        inputs,
        x: x.clone(),
    };
    let systems = (before.before(RecordElu), after.after(RecordElu));
    app.sub_app_mut(RenderApp)
        .insert_resource(buffers)
        .add_systems(RenderGraph, systems.in_set(RenderGraphSystems::Begin));
    app.world_mut()
        .spawn(EluPass::new(1.0, x.clone(), y.clone()));
    let reading = read(&mut app, &y);
    wait(&mut app, &expected(1.0, &X));
    app.world_mut().despawn(reading);
    read(&mut app, &x);
    wait(&mut app, &[0.0; 5]);
}

#[test]
fn a_camera_and_the_core_pipeline_change_nothing() {
    let mut app = build();
    app.add_plugins(bevy_core_pipeline::CorePipelinePlugin);
    finish(&mut app);
    let mut image = Image::new_target_texture(8, 8, TextureFormat::Rgba8UnormSrgb, None);
    image.texture_descriptor.usage |= TextureUsages::COPY_SRC;
    let image = app.world_mut().resource_mut::<Assets<Image>>().add(image);
    app.world_mut()
        .spawn((Camera2d, RenderTarget::Image(image.clone().into())));
    let (x, y) = (add(&mut app, &X), add(&mut app, &[7.0; 5]));
    app.world_mut().spawn(EluPass::new(1.0, x, y.clone()));
    let reading = read(&mut app, &y);
    wait(&mut app, &expected(1.0, &X));
    app.world_mut().despawn(reading);
    // The camera has drawn, too: its picture was cleared with an opaque colour.
    let picture = |results: On<ReadbackComplete>, mut latest: ResMut<Latest>| {
        latest.0 = results.data[..4].iter().map(|&byte| byte.into()).collect();
    };
    app.world_mut()
        .spawn(Readback::texture(image))
        .observe(picture);
    for _ in 0..300 {
        app.update();
        if let [_, _, _, 255.0] = app.world().resource::<Latest>().0[..] {
            return;
        }
    }
    panic!("the camera has drawn nothing");
}

#[test]
fn passes_recover_with_the_device() {
    let mut app = build();
    let recover =
        |_: &_, _: &mut World, _: &mut World| RenderErrorPolicy::Recover(RenderCreation::default());
    app.insert_resource(RenderErrorHandler(recover));
    finish(&mut app);
    let (x, y) = (add(&mut app, &X), add(&mut app, &[7.0; 5]));
    let pass = EluPass::new(1.0, x.clone(), y.clone());
    app.world_mut().spawn(pass);
    for _ in 0..10 {
        app.update();
    }
    let lost = app.world().resource::<RenderDevice>().clone();
    lost.wgpu_device().destroy();
    let _ = lost.poll(PollType::wait_indefinitely()); // calls bevy's callback
    for _ in 0..10 {
        app.update();
    }
    replace(&mut app, &x, &X);
    replace(&mut app, &y, &[7.0; 5]);
    read(&mut app, &y);
    wait(&mut app, &expected(1.0, &X));
}

#[test]
fn an_app_without_a_renderer_runs() {
    App::new().add_plugins((MinimalPlugins, EluPlugin)).update();
}

#[test]
fn the_guide_shows_the_example_of_the_readme() {
    let code = |text: &'static str, start: &str| {
        let blocks = text.split(start).skip(1);
        let mut codes = blocks.filter_map(|block| block.split("```").next());
        codes.find(|code| code.contains("EluPlugin"))
    };
    let readme = code(include_str!("../README.md"), "```rust,no_run\n");
    let guide = code(
        include_str!("../../../docs/embedding.md"),
        "```rust,ignore\n",
    );
    assert!(readme.is_some());
    assert_eq!(guide, readme);
}

// ---- Apps ----

fn start() -> App {
    let mut app = build();
    finish(&mut app);
    app
}

fn build() -> App {
    let mut app = App::new();
    app.add_plugins((DefaultPlugins, EluPlugin))
        .init_resource::<Latest>();
    app
}

fn finish(app: &mut App) {
    while app.plugins_state() == PluginsState::Adding {
        bevy::tasks::tick_global_task_pools_on_main_thread();
    }
    app.finish();
    app.cleanup();
}

fn add(app: &mut App, values: &[f32]) -> Handle<ShaderBuffer> {
    let mut buffers = app.world_mut().resource_mut::<Assets<ShaderBuffer>>();
    buffers.add(ShaderBuffer::from(values.to_vec()))
}

fn replace(app: &mut App, buffer: &Handle<ShaderBuffer>, values: &[f32]) {
    let mut buffers = app.world_mut().resource_mut::<Assets<ShaderBuffer>>();
    buffers
        .insert(buffer, ShaderBuffer::from(values.to_vec()))
        .expect("the handle is valid");
}

/// Reads the buffer back after every frame.
fn read(app: &mut App, buffer: &Handle<ShaderBuffer>) -> Entity {
    let keep = |results: On<ReadbackComplete>, mut latest: ResMut<Latest>| {
        latest.0 = bytemuck::pod_collect_to_vec(&results.data);
    };
    let mut reading = app.world_mut().spawn(Readback::buffer(buffer.clone()));
    reading.observe(keep).id()
}

fn expected(elu: impl Into<Elu>, x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    cpu::forward(elu, x, &mut y).expect("the slices have the same length");
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
