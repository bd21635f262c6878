//! `elu-sql executor`.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
};

use anyhow::{Context, Result, bail};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::{execution::runtime_env::RuntimeEnvBuilder, prelude::SessionConfig};
use wgpu_elu_datafusion::VERSION;

use crate::{
    args::ExecutorArgs,
    identity::{functions, new_executor_id},
    query::explained,
    session,
};

/// Between two heartbeats. The scheduler considers an executor dead after 8 s without one by default.
const HEARTBEAT_SECONDS: u64 = 2;

/// How long an executor waits for its scheduler to start.
const CONNECT_SECONDS: u16 = 10;

/// How long results are kept at most, and how often old ones are removed, if their job or its client does not end well.
pub(crate) const RESULTS_SECONDS: u64 = 24 * 3600;
const CLEAN_UP_SECONDS: u64 = 600;

/// Runs an executor until a signal or its scheduler stops it.
pub(crate) async fn run(args: &ExecutorArgs) -> Result<ExitCode> {
    let task_port = args.port + 1; // the command line allows no greater port than 65534
    for port in [args.port, task_port] {
        let address = SocketAddr::new(args.address.bind, port);
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    }
    let work_dir = match &args.work_dir {
        Some(directory) => WorkDir::Given(directory.clone()),
        None => WorkDir::Temporary(tempfile::Builder::new().prefix("elu-sql-").tempdir()?),
    };
    let directory = work_dir.path();
    let name = || format!("--work-dir {}", directory.display());
    std::fs::create_dir_all(directory).with_context(name)?;
    let directory = directory.canonicalize().with_context(name)?;
    let Some(directory_name) = directory.to_str() else {
        bail!(
            "--work-dir needs a name in UTF-8, found {}",
            directory.display()
        );
    };

    let registry = session::executor_functions();
    let tasks = args
        .tasks
        .or_else(|| thread::available_parallelism().ok().map(usize::from));
    let host = args.address.host();
    log::info!(
        "elu-sql {VERSION} executor {host}:{} with {}",
        args.port,
        functions(&registry)
    );
    session::runtime(args.root.as_deref()).map_err(explained)?; // fails if the root is no directory
    let (root, spill) = (args.root.clone(), directory.clone());
    let config = ExecutorProcessConfig {
        executor_id: new_executor_id(),
        bind_host: args.address.bind_host(),
        external_host: Some(host),
        port: args.port,
        grpc_port: task_port,
        scheduler_host: args.scheduler.host.clone(),
        scheduler_port: args.scheduler.port,
        scheduler_connect_timeout_seconds: CONNECT_SECONDS,
        vcores: tasks.unwrap_or(1),
        work_dir: Some(directory_name.into()),
        job_data_ttl_seconds: RESULTS_SECONDS,
        job_data_clean_up_interval_seconds: CLEAN_UP_SECONDS,
        executor_heartbeat_interval_seconds: HEARTBEAT_SECONDS,
        memory_pool_size: Some(args.memory << 20),
        override_function_registry: Some(Arc::new(registry)),
        override_config_producer: Some(Arc::new(session::cluster_config)),
        override_runtime_producer: Some(Arc::new(move |_: &SessionConfig| {
            let runtime = session::runtime(root.as_deref())?;
            RuntimeEnvBuilder::from_runtime_env(&runtime)
                .with_temp_file_path(&spill)
                .build_arc()
        })),
        ..Default::default()
    };
    start_executor_process(Arc::new(config)).await?;
    drop(work_dir);
    Ok(ExitCode::SUCCESS)
}

// ---- Internals ----

enum WorkDir {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl WorkDir {
    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}
