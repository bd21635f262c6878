//! `elu-sql query`.

use std::{future::Future, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use datafusion::{
    arrow::array::RecordBatch,
    error::DataFusionError,
    execution::TaskContext,
    physical_plan::{ExecutionPlan, execute_stream},
    prelude::{SessionConfig, SessionContext},
};
use futures::StreamExt;
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::mpsc::Receiver,
};

use crate::{
    args::QueryArgs,
    cluster::Cluster,
    output::{Sink, Target},
    progress::Progress,
    session,
};

/// Between two looks at a running query.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// Runs a query. Returns 130 or 143 if a signal stopped it.
pub(crate) async fn run(args: &QueryArgs, engine: &Handle) -> Result<ExitCode> {
    let target = Target::new(args.output.as_deref(), args.rows)?;
    let cluster = match &args.cluster {
        None => None,
        Some(scheduler) => Some(Cluster::new(scheduler, args)?),
    };
    let outcome = {
        let query = async {
            match &cluster {
                None => local(args, &target, engine).await,
                Some(cluster) => cluster.query(args, &target, engine).await,
            }
        };
        tokio::select! {
            code = stopped()? => Err(Stopped::Signal(code)),
            outcome = limited(args.time_limit, query) => outcome.map_err(Stopped::Failed),
        }
    };
    // The query's future is gone, and with it the temporary files. A job on a cluster would go on.
    let error = match outcome {
        Ok(()) => return Ok(ExitCode::SUCCESS),
        Err(error) => error,
    };
    if let Some(cluster) = &cluster {
        cluster.end().await;
    }
    match error {
        Stopped::Signal(code) => Ok(ExitCode::from(code)),
        Stopped::Failed(error) => Err(error),
    }
}

/// Plans a query.
pub(crate) async fn plan(
    context: &SessionContext,
    args: &QueryArgs,
) -> Result<Arc<dyn ExecutionPlan>> {
    let frame = context.sql(&args.sql).await.map_err(|error| {
        let error = explained(error);
        match &args.root {
            // DataFusion does not say why a file is not found.
            Some(root) if error.to_string().ends_with("not found") => anyhow::anyhow!(
                "{error}; files outside of {} are not found either (--root)",
                root.display()
            ),
            _ => error,
        }
    })?;
    frame.create_physical_plan().await.map_err(explained)
}

/// Applies the settings of the command line.
pub(crate) fn configure(mut config: SessionConfig, args: &QueryArgs) -> Result<SessionConfig> {
    let set = |config: &mut SessionConfig, name: &str, value: &str| {
        let result = config.options_mut().set(name, value);
        result.map_err(|error| anyhow::anyhow!("{name}={value}: {}", error.strip_backtrace()))
    };
    match &*args.rounding {
        "faithful" | "nearest" => set(&mut config, "wgpu_elu.rounding", &args.rounding)?,
        found => bail!("--rounding must be faithful or nearest, found {found:?}"),
    }
    if let Some(partitions) = args.partitions {
        if partitions == 0 {
            bail!("--partitions must be at least 1, found 0");
        }
        config = config.with_target_partitions(partitions);
    }
    for setting in &args.settings {
        let parts = setting.split_once('=');
        let (name, value) =
            parts.with_context(|| format!("--set needs NAME=VALUE, found {setting:?}"))?;
        set(&mut config, name, value)?;
    }
    Ok(config)
}

/// Executes a plan on the threads of the engine. Dropping the receiver stops it.
pub(crate) fn execute(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    engine: &Handle,
) -> Receiver<Result<RecordBatch, DataFusionError>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    engine.spawn(async move {
        let mut stream = match execute_stream(plan, context) {
            Ok(stream) => stream,
            Err(error) => return drop(sender.send(Err(error)).await),
        };
        loop {
            tokio::select! {
                () = sender.closed() => return,
                batch = stream.next() => match batch {
                    Some(batch) => drop(sender.send(batch).await),
                    None => return,
                },
            }
        }
    });
    receiver
}

/// Converts an error of DataFusion, without a backtrace.
pub(crate) fn explained(error: DataFusionError) -> anyhow::Error {
    anyhow::anyhow!("{}", error.strip_backtrace())
}

/// Waits for a signal and returns the exit code that shells report for it.
pub(crate) fn stopped() -> Result<impl Future<Output = u8>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
            _ = hangup.recv() => 129,
        }
    })
}

// ---- Internals ----

enum Stopped {
    Signal(u8),
    Failed(anyhow::Error),
}

async fn local(args: &QueryArgs, target: &Target, engine: &Handle) -> Result<()> {
    let config = configure(session::local_config(), args)?;
    let runtime = session::runtime(args.root.as_deref()).map_err(explained)?;
    let state = session::local_state(config, runtime).map_err(explained)?;
    let context = SessionContext::new_with_state(state).enable_url_table();
    let plan = plan(&context, args).await?;
    let sink = target.open(plan.schema())?;
    let batches = execute(plan, context.task_ctx(), engine);
    drain(batches, sink, Progress::new(args.quiet)).await
}

/// Writes all batches, and shows how many rows they have.
async fn drain(
    mut batches: Receiver<Result<RecordBatch, DataFusionError>>,
    mut sink: Sink,
    mut progress: Progress,
) -> Result<()> {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            batch = batches.recv() => match batch {
                Some(batch) => sink.write(batch.map_err(explained)?)?,
                None => break,
            },
            _ = tick.tick() => progress.update(&format!("{} rows", sink.rows())),
        }
    }
    progress.clear();
    sink.finish()
}

async fn limited(limit: Option<Duration>, query: impl Future<Output = Result<()>>) -> Result<()> {
    match limit {
        None => query.await,
        Some(limit) => match tokio::time::timeout(limit, query).await {
            Ok(result) => result,
            Err(_) => bail!("stopped after {} s (--time-limit)", limit.as_secs_f64()),
        },
    }
}
