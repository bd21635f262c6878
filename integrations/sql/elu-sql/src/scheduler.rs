//! `elu-sql scheduler`.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use ballista_scheduler::{
    cluster::BallistaCluster,
    config::{SchedulerConfig, TaskDistributionPolicy},
    scheduler_process::{create_scheduler, start_grpc_service_with_listener},
};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;
use wgpu_elu_datafusion::VERSION;

use crate::{
    args::SchedulerArgs,
    executor::RESULTS_SECONDS,
    identity::{Client, functions},
    lease::Leases,
    query::{explained, stopped},
    session,
    stages::Executors,
};

/// How often the scheduler looks for dead executors.
const LOOK_SECONDS: u64 = 2;

/// Runs a scheduler until a signal stops it.
pub(crate) async fn run(args: &SchedulerArgs) -> Result<ExitCode> {
    let address = SocketAddr::new(args.address.bind, args.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let host = args.address.host();
    let me = format!("{host}:{}", args.port);

    let leases = Leases::default();
    let runtime = session::runtime(args.root.as_deref()).map_err(explained)?;
    let state = session::scheduler_state(session::cluster_config(), Arc::clone(&runtime));
    let state = state.map_err(explained)?;
    log::info!(
        "elu-sql {VERSION} scheduler on {address} with {}",
        functions(&state)
    );
    let (root, clients) = (args.root.clone(), leases.clone());
    let mut config = SchedulerConfig::default()
        .with_task_distribution(TaskDistributionPolicy::RoundRobin)
        .with_override_config_producer(Arc::new(session::cluster_config))
        .with_override_session_builder(Arc::new(move |config| {
            if let Some(client) = config.options().extensions.get::<Client>() {
                client.check(&me)?;
                clients.renew(&client.id);
            }
            session::scheduler_state(config, session::runtime(root.as_deref())?)
        }));
    config.bind_host = args.address.bind_host();
    config.bind_port = args.port;
    config.external_host = host;
    config.executor_timeout_seconds = args.executor_timeout;
    config.expire_dead_executor_interval_seconds = LOOK_SECONDS;
    config.no_executors_grace_period_seconds = args.executor_timeout;
    // Our clients remove their results themselves, when they have read them.
    config.finished_job_data_clean_up_interval_seconds = RESULTS_SECONDS;
    // No web page may read an answer of the REST API: an origin is a URL, or "null" for a sandboxed page.
    config.cors_allowed_origins = "none".into();
    config.web_tui_route = "/web-tui".into();

    let jobs = BallistaCluster::new_from_config(&config).await?.job_state();
    let (executors, mut to_cancel) = Executors::new();
    let cluster = BallistaCluster::new(Arc::new(executors), jobs);
    let scheduler =
        create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await?;
    tokio::spawn(leases.watch(scheduler.clone()));
    let canceler = scheduler.clone();
    tokio::spawn(async move {
        while let Some(job) = to_cancel.recv().await {
            log::warn!("canceling job {job}: stages that had started lost their input");
            if let Err(error) = canceler.cancel_job(job.clone()).await {
                log::error!("cannot cancel job {job}: {error}");
            }
        }
    });
    tokio::select! {
        result = start_grpc_service_with_listener(listener, scheduler) => {
            result?;
            Ok(ExitCode::SUCCESS)
        }
        _ = stopped()? => Ok(ExitCode::SUCCESS),
    }
}
