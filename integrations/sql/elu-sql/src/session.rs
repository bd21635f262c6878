//! The sessions of the three processes. All have the same functions and settings.

use std::{path::Path, sync::Arc};

use ballista_core::{
    extension::{
        SessionConfigExt, ballista_aggregate_functions, ballista_scalar_functions,
        ballista_window_functions,
    },
    optimizer::ballista_default_optimizer_rules,
    registry::BallistaFunctionRegistry,
};
use datafusion::{
    common::Result,
    execution::{
        SessionState, SessionStateBuilder,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::SessionConfig,
};
use wgpu_elu_datafusion::Settings;

use crate::{identity::Client, root};

/// Returns the configuration of a session of a cluster. Ballista drops settings that a process does not know, so all
/// processes know the same.
pub(crate) fn cluster_config() -> SessionConfig {
    with_settings(SessionConfig::new_with_ballista())
}

/// Returns the configuration of a session in one process.
pub(crate) fn local_config() -> SessionConfig {
    with_settings(SessionConfig::new().with_information_schema(true))
}

/// Returns the runtime of a session, which reads and writes files only below `root` if it is given.
pub(crate) fn runtime(root: Option<&Path>) -> Result<Arc<RuntimeEnv>> {
    let mut builder = RuntimeEnvBuilder::new();
    if let Some(root) = root {
        builder = builder.with_object_store_registry(Arc::new(root::Registry::new(root)?));
    }
    builder.build_arc()
}

/// Returns the state of a session in one process.
pub(crate) fn local_state(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .build();
    wgpu_elu_datafusion::register(&mut state)?;
    Ok(state)
}

/// Returns the state of a session on the scheduler.
pub(crate) fn scheduler_state(
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_optimizer_rules(ballista_default_optimizer_rules())
        .with_scalar_functions(ballista_scalar_functions())
        .with_aggregate_functions(ballista_aggregate_functions())
        .with_window_functions(ballista_window_functions())
        .build();
    wgpu_elu_datafusion::register(&mut state)?;
    Ok(state)
}

/// Returns the functions of an executor. Ballista's default lacks the functions on lists.
pub(crate) fn executor_functions() -> BallistaFunctionRegistry {
    let mut registry = BallistaFunctionRegistry::default();
    let ours = wgpu_elu_datafusion::functions();
    for function in ballista_scalar_functions().into_iter().chain(ours) {
        let names = function.aliases().iter().cloned();
        for name in names.chain([function.name().to_string()]) {
            registry
                .scalar_functions
                .insert(name, Arc::clone(&function));
        }
    }
    registry
}

// ---- Internals ----

fn with_settings(config: SessionConfig) -> SessionConfig {
    config
        .with_option_extension(Settings::default())
        .with_option_extension(Client::default())
}
