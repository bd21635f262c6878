//! ELU in bevy's render graph: [`EluPlugin`] computes an [`EluPass`] in every frame, before the cameras draw, in the
//! command encoders and on the device of bevy's renderer. Nothing is read back.
//!
//! The README shows an app.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use bevy_app::{App, Plugin};
use bevy_asset::Handle;
use bevy_ecs::prelude::*;
use bevy_log::error;
use bevy_render::{
    Extract, ExtractSchedule, GpuResourceAppExt, Render, RenderApp, RenderSystems,
    render_asset::RenderAssets,
    render_resource::{Buffer, BufferId, ComputePassDescriptor},
    renderer::{FlushCommands, RenderContext, RenderDevice, RenderGraph, RenderGraphSystems},
    storage::{GpuShaderBuffer, ShaderBuffer},
};
pub use wgpu_elu;
use wgpu_elu::{DType, Elu, Kernel, Rounding, Step};

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Computes every [`EluPass`] in every frame. It needs bevy's `RenderPlugin`; without it, as in an app without a GPU,
/// it does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct EluPlugin;

/// A component that asks for ELU of a storage buffer in every frame.
///
/// A pass begins as soon as its buffers are on the GPU. If it fails, for example because the buffers' lengths differ,
/// the reason is logged once as an error, and it is tried again when the pass or a buffer has changed.
///
/// Passes run in the order of their entities. A pass that reads what another writes may see the results of the frame
/// before.
#[derive(Clone, Component, Debug)]
pub struct EluPass {
    /// The function: ELU, SELU or CELU, and how it rounds.
    pub elu: Elu,
    /// The type of the elements.
    pub dtype: DType,
    /// The buffer with the inputs.
    pub x: Handle<ShaderBuffer>,
    /// The buffer for the results. If `y` is `x`, each frame applies the function again to the results of the frame
    /// before.
    pub y: Handle<ShaderBuffer>,
}

impl EluPass {
    /// Creates a pass over buffers of `f32`. A number as `elu` is ELU with this alpha.
    pub fn new(elu: impl Into<Elu>, x: Handle<ShaderBuffer>, y: Handle<ShaderBuffer>) -> Self {
        Self {
            elu: elu.into(),
            dtype: DType::F32,
            x,
            y,
        }
    }
}

/// The system that records the passes in bevy's `RenderGraph`. It runs in `RenderGraphSystems::Begin`, so before all
/// cameras. A system of yours that computes `x` there can run before this set, and one that uses `y` after it.
#[derive(Clone, Debug, Eq, Hash, PartialEq, SystemSet)]
pub struct RecordElu;

impl Plugin for EluPlugin {
    fn build(&self, app: &mut App) {
        let Some(app) = app.get_sub_app_mut(RenderApp) else {
            return;
        };
        app.init_resource::<Passes>()
            .init_gpu_resource::<Steps>()
            .add_systems(ExtractSchedule, extract)
            .add_systems(Render, prepare.in_set(RenderSystems::PrepareBindGroups))
            .add_systems(
                RenderGraph,
                (
                    record.in_set(RecordElu).in_set(RenderGraphSystems::Begin),
                    submit.in_set(RenderGraphSystems::Submit),
                ),
            );
    }
}

// ---- Internals ----

/// The passes of the main world.
#[derive(Default, Resource)]
struct Passes(Vec<(Entity, EluPass)>);

/// What is prepared for the passes. It belongs to bevy's device, so bevy creates it again after it has recovered from a
/// lost device.
#[derive(Default, Resource)]
struct Steps {
    kernels: HashMap<DType, Kernel>,
    steps: BTreeMap<Entity, Prepared>,
}

/// A prepared pass.
struct Prepared {
    key: Key,
    /// `None` if it has failed.
    step: Option<Step>,
}

/// What a step depends on. The factors are compared by their bits, so that NaN equals itself.
#[derive(Debug, PartialEq)]
struct Key {
    factors: [u64; 3],
    rounding: Rounding,
    dtype: DType,
    buffers: [BufferId; 2],
}

impl Key {
    fn new(pass: &EluPass, buffers: [BufferId; 2]) -> Self {
        let factors = pass.elu.factors();
        Self {
            factors: [factors.alpha(), factors.scale(), factors.input_scale()].map(f64::to_bits),
            rounding: pass.elu.rounding(),
            dtype: pass.dtype,
            buffers,
        }
    }
}

fn extract(mut passes: ResMut<Passes>, query: Extract<Query<(Entity, &EluPass)>>) {
    passes.0.clear();
    passes
        .0
        .extend(query.iter().map(|(entity, pass)| (entity, pass.clone())));
}

fn prepare(
    passes: Res<Passes>,
    mut prepared: ResMut<Steps>,
    device: Res<RenderDevice>,
    buffers: Res<RenderAssets<GpuShaderBuffer>>,
) {
    let Steps { kernels, steps } = &mut *prepared;
    let mut previous = std::mem::take(steps);
    for (entity, pass) in &passes.0 {
        let (Some(x), Some(y)) = (buffers.get(&pass.x), buffers.get(&pass.y)) else {
            continue; // bevy has not uploaded them yet
        };
        let key = Key::new(pass, [x.buffer.id(), y.buffer.id()]);
        let prepared = match previous.remove(entity) {
            Some(prepared) if prepared.key == key => prepared,
            _ => Prepared {
                key,
                step: step(kernels, &device, pass, &x.buffer, &y.buffer)
                    .inspect_err(|error| error!("ELU of entity {entity}: {error}"))
                    .ok(),
            },
        };
        steps.insert(*entity, prepared);
    }
}

fn step(
    kernels: &mut HashMap<DType, Kernel>,
    device: &RenderDevice,
    pass: &EluPass,
    x: &Buffer,
    y: &Buffer,
) -> wgpu_elu::Result<Step> {
    let kernel = match kernels.entry(pass.dtype) {
        Entry::Occupied(kernel) => kernel.into_mut(),
        Entry::Vacant(place) => place.insert(Kernel::new(device.wgpu_device(), pass.dtype)?),
    };
    // bevy's slices wrap wgpu's, which `*` returns.
    match x.id() == y.id() {
        true => kernel.prepare_in_place(pass.elu, *y.slice(..)),
        false => kernel.prepare(pass.elu, *x.slice(..), *y.slice(..)),
    }
}

fn record(prepared: Res<Steps>, mut context: RenderContext) {
    let mut steps = prepared
        .steps
        .values()
        .filter_map(|prepared| prepared.step.as_ref())
        .peekable();
    if steps.peek().is_some() {
        let encoder = context.command_encoder();
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor {
            label: Some("wgpu-elu"),
            timestamp_writes: None,
        });
        for step in steps {
            step.record(&mut pass);
        }
    }
}

/// Submits bevy's pending command encoders, so that an app without `CorePipelinePlugin` works, too. That plugin submits
/// in the same system set, and the second of the two then submits nothing.
fn submit(mut commands: FlushCommands) {
    commands.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_with_nan_is_prepared_once() {
        let buffers = [BufferId::new(), BufferId::new()];
        let key = |alpha: f64| {
            let pass = EluPass::new(alpha, Handle::default(), Handle::default());
            Key::new(&pass, buffers)
        };
        assert_eq!(key(f64::NAN), key(f64::NAN));
        assert_ne!(key(0.0), key(-0.0));
    }
}
