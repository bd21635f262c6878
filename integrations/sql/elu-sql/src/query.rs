//! `elu-sql query`.

use std::{future::Future, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use datafusion::{
    arrow::array::RecordBatch,
    common::tree_node::TreeNode,
    error::DataFusionError,
    execution::TaskContext,
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream},
    prelude::{SessionConfig, SessionContext},
};
use futures::{Stream, StreamExt};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::mpsc::{Receiver, Sender, channel},
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

/// The batches of a result, then `None`. The engine has failed if there is no `None`.
pub(crate) type Batches = Receiver<Result<Option<RecordBatch>, DataFusionError>>;

/// The error of a result without its end, for example after a panic.
pub(crate) const NO_END: &str = "the engine stopped before the end of the query";

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

/// A query that is ready to run.
pub(crate) struct Plan {
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    /// Whether it writes files itself, as COPY and INSERT do.
    pub(crate) writes_files: bool,
}

/// Plans a query.
pub(crate) async fn plan(context: &SessionContext, args: &QueryArgs) -> Result<Plan> {
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
    let writes =
        |plan: &LogicalPlan| Ok(matches!(plan, LogicalPlan::Copy(_) | LogicalPlan::Dml(_)));
    let writes_files = frame.logical_plan().exists(writes).map_err(explained)?;
    let physical = frame.create_physical_plan().await.map_err(explained)?;
    Ok(Plan {
        physical,
        writes_files,
    })
}

/// Applies the settings of the command line.
pub(crate) fn configure(mut config: SessionConfig, args: &QueryArgs) -> Result<SessionConfig> {
    let set = |config: &mut SessionConfig, name: &str, value: &str| {
        let result = config.options_mut().set(name, value);
        result.map_err(|error| anyhow::anyhow!("{name}={value}: {}", error.strip_backtrace()))
    };
    set(&mut config, "wgpu_elu.rounding", args.rounding.name())?;
    if let Some(partitions) = args.partitions {
        config = config.with_target_partitions(partitions);
    }
    for (name, value) in &args.settings {
        set(&mut config, name, value)?;
    }
    Ok(config)
}

/// Executes a plan on the threads of the engine. Dropping the receiver stops it.
pub(crate) fn execute(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    engine: &Handle,
) -> Batches {
    let (sender, receiver) = channel(2);
    engine.spawn(async move {
        match execute_stream(plan, context) {
            Ok(stream) => send(stream, sender).await,
            Err(error) => drop(sender.send(Err(error)).await),
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
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
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
    let sink = target.open(plan.physical.schema())?;
    let batches = execute(plan.physical, context.task_ctx(), engine);
    drain(batches, sink, Progress::new(args.quiet)).await
}

/// Sends all batches, then `None`. Stops when the receiver is dropped.
async fn send(
    mut stream: impl Stream<Item = Result<RecordBatch, DataFusionError>> + Unpin,
    sender: Sender<Result<Option<RecordBatch>, DataFusionError>>,
) {
    loop {
        let batch = tokio::select! {
            () = sender.closed() => return,
            batch = stream.next() => batch.transpose(),
        };
        let is_last = !matches!(batch, Ok(Some(_)));
        if sender.send(batch).await.is_err() || is_last {
            return;
        }
    }
}

/// Writes all batches, and shows how many rows they have.
async fn drain(mut batches: Batches, mut sink: Sink, mut progress: Progress) -> Result<()> {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            batch = batches.recv() => match batch.context(NO_END)?.map_err(explained)? {
                Some(batch) => sink.write(batch)?,
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

#[cfg(test)]
mod tests {
    use datafusion::arrow::{
        array::{ArrayRef, Int32Array},
        datatypes::SchemaRef,
    };
    use futures::stream;

    use super::*;

    fn batch() -> RecordBatch {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        RecordBatch::try_from_iter([("a", values)]).unwrap()
    }

    async fn drained(
        target: &Target,
        schema: SchemaRef,
        stream: impl Stream<Item = Result<RecordBatch, DataFusionError>> + Send + Unpin + 'static,
    ) -> Result<()> {
        let (sender, batches) = channel(2);
        tokio::spawn(send(stream, sender));
        drain(batches, target.open(schema)?, Progress::new(true)).await
    }

    #[tokio::test]
    async fn a_panic_of_the_engine_is_not_the_end_of_the_result() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("y.parquet");
        let target = Target::new(Some(&path), 0).unwrap();
        let schema = batch().schema();
        let broken = stream::iter([0, 1]).map(|number| match number {
            0 => Ok(batch()),
            _ => panic!("a panic of the engine"),
        });
        let error = drained(&target, schema.clone(), broken).await.unwrap_err();
        assert_eq!(error.to_string(), NO_END);
        assert!(!path.exists());

        let failed = stream::iter([
            Ok(batch()),
            Err(DataFusionError::Execution("it failed".into())),
        ]);
        let error = drained(&target, schema.clone(), failed).await.unwrap_err();
        assert_eq!(error.to_string(), "Execution error: it failed");
        assert!(!path.exists());

        let complete = stream::iter([Ok(batch()), Ok(batch())]);
        drained(&target, schema, complete).await.unwrap();
        assert!(path.exists());
    }
}
