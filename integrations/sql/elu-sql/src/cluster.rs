//! A query on a cluster.
//!
//! Ballista survives the loss of an executor in a query of one stage. If it must roll later stages back, our scheduler
//! cancels the job: see [`crate::stages`]. So a query that lost an executor is run again as a whole, in a new job, and so
//! is a query without progress. A query that writes files itself is not run again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use ballista::prelude::SessionContextExt;
use ballista_core::{
    config::BALLISTA_JOB_NAME,
    execution_plans::DistributedQueryExec,
    serde::protobuf::{
        CancelJobParams, CleanJobDataParams, GetJobStatusParams, job_status::Status,
        scheduler_grpc_client::SchedulerGrpcClient,
    },
};
use datafusion::{error::DataFusionError, physical_plan::ExecutionPlan, prelude::SessionContext};
use datafusion_proto::protobuf::LogicalPlanNode;
use futures::future::join_all;
use tokio::{runtime::Handle, time::sleep};

use crate::{
    api::{self, Executor, JobState, Tasks},
    args::{HostPort, QueryArgs},
    identity::{Client, check_executor},
    lease,
    output::{Sink, Target},
    progress::Progress,
    query::{NO_END, Plan, TICK, configure, execute, explained, plan},
    session,
};

/// How long the scheduler may take to notice that an executor is dead. Its default is 8 s, and 2 s between looks.
const NOTICE_LIMIT: Duration = Duration::from_secs(15);

/// How long canceling jobs may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// The cluster of a scheduler.
pub(crate) struct Cluster {
    /// The scheduler's host and port.
    scheduler: String,
    /// Its id is the name of our jobs.
    client: Client,
}

impl Cluster {
    /// Fails if the settings of the command line are wrong.
    pub(crate) fn new(scheduler: &HostPort, args: &QueryArgs) -> Result<Self> {
        configure(session::cluster_config(), args)?;
        Ok(Self {
            scheduler: scheduler.to_string(),
            client: Client::new(),
        })
    }

    /// Runs a query, again if an executor was lost or if there was no progress.
    pub(crate) async fn query(
        &self,
        args: &QueryArgs,
        target: &Target,
        engine: &Handle,
    ) -> Result<()> {
        let mut progress = Progress::new(args.quiet);
        self.wait_for_executors(args.wait_for_executors, &mut progress)
            .await?;
        let _lease = lease::keep(&self.scheduler, &self.client);
        let mut retries = 0;
        loop {
            let context = self.context(args).await?;
            let plan = plan(&context, args).await?;
            let mut executors = self.executors().await?;
            let attempt = self.attempt(
                &context,
                &plan,
                target.open(plan.physical.schema())?,
                engine,
                args.no_progress_limit,
                &mut executors,
                &mut progress,
            );
            let outcome = attempt.await;
            self.end().await;
            let failure = match outcome {
                Ok(sink) => {
                    // The output appears last, so that no signal can report a failure after it.
                    progress.clear();
                    return sink.finish();
                }
                Err(failure) => failure,
            };
            let lost = self.lost(executors).await;
            let executor = lost.first();
            let executor = executor.map(|lost| format!("executor {} was lost", lost.address));
            let reason = match (failure, executor) {
                (Failure::Error(error), None) => return Err(error), // the query itself failed
                (Failure::Error(error), Some(executor)) => format!("{executor}: {error:#}"),
                (Failure::NoProgress, executor) => {
                    let seconds = args.no_progress_limit.as_secs_f64();
                    let executor = executor.map_or(String::new(), |executor| executor + ", then ");
                    format!(
                        "{executor}no task finished and no row arrived for {seconds} s (--no-progress-limit)"
                    )
                }
            };
            if plan.writes_files {
                bail!(
                    "{reason}: not run again, because the query writes files; remove what it wrote"
                );
            }
            if retries == args.retries {
                let runs = retries + 1;
                bail!(
                    "gave up after {runs} run{}: {reason}",
                    if runs == 1 { "" } else { "s" }
                );
            }
            retries += 1;
            progress.event(&format!("{reason}; running the query again"));
            self.wait_until_noticed(&lost).await?;
            self.wait_for_executors(args.wait_for_executors, &mut progress)
                .await?;
        }
    }

    /// Cancels our job if it runs, and removes its results from the executors if it is complete.
    pub(crate) async fn end(&self) {
        let end = async {
            let jobs = api::jobs(&self.scheduler, &self.client.id).await?;
            let url = format!("http://{}", self.scheduler);
            let mut client = SchedulerGrpcClient::connect(url).await?;
            for job in jobs {
                let job_id = job.id;
                match job.state {
                    JobState::Active => drop(client.cancel_job(CancelJobParams { job_id }).await?),
                    JobState::Complete => {
                        let remove_stage_ids = vec![]; // all
                        let params = CleanJobDataParams {
                            job_id,
                            remove_stage_ids,
                        };
                        client.clean_job_data(params).await?;
                    }
                    JobState::Failed => {}
                }
            }
            Ok::<_, anyhow::Error>(())
        };
        // If the scheduler does not answer, it ends the job itself when the lease has expired.
        let _ = tokio::time::timeout(CANCEL_LIMIT, end).await;
    }
}

// ---- Internals ----

enum Failure {
    Error(anyhow::Error),
    NoProgress,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Cluster {
    /// Returns the executors, if all have the functions of this program.
    async fn executors(&self) -> Result<Vec<Executor>> {
        let executors = api::executors(&self.scheduler).await?;
        for executor in &executors {
            check_executor(&executor.id, &executor.address)?;
        }
        Ok(executors)
    }

    async fn wait_for_executors(&self, limit: Duration, progress: &mut Progress) -> Result<()> {
        let start = Instant::now();
        while self.executors().await?.is_empty() {
            if start.elapsed() >= limit {
                bail!(
                    "scheduler {} has no executor after {} s: start elu-sql executor --scheduler {}",
                    self.scheduler,
                    limit.as_secs_f64(),
                    self.scheduler
                );
            }
            progress.update("waiting for an executor");
            sleep(TICK).await;
        }
        Ok(())
    }

    /// Waits until the scheduler gives no more work to executors that are lost.
    async fn wait_until_noticed(&self, lost: &[Executor]) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < NOTICE_LIMIT {
            let executors = self.executors().await?;
            if !lost.iter().any(|lost| has(&executors, lost)) {
                break;
            }
            sleep(TICK).await;
        }
        Ok(())
    }

    /// Returns the executors that the scheduler does not list any more, or that accept no connections.
    async fn lost(&self, executors: Vec<Executor>) -> Vec<Executor> {
        // If the scheduler does not answer, the next call of it fails.
        let listed = api::executors(&self.scheduler).await;
        let listed = listed.unwrap_or_else(|_| executors.clone());
        let accept = executors
            .iter()
            .map(|executor| api::accepts(&executor.address));
        let accept = join_all(accept).await;
        let executors = executors.into_iter().zip(accept);
        let lost = executors.filter(|(executor, accepts)| !accepts || !has(&listed, executor));
        lost.map(|(executor, _)| executor).collect()
    }

    async fn context(&self, args: &QueryArgs) -> Result<SessionContext> {
        let config = session::cluster_config().with_option_extension(self.client.clone());
        let config = configure(config, args)?.set_str(BALLISTA_JOB_NAME, &self.client.id);
        let runtime = session::runtime(args.root.as_deref()).map_err(explained)?;
        let state = session::local_state(config, runtime).map_err(explained)?;
        let url = format!("df://{}", self.scheduler);
        let context = SessionContext::remote_with_state(&url, state)
            .await
            .map_err(explained)?;
        let mut context = context.enable_url_table();
        // `remote_with_state` has replaced the functions of the state.
        wgpu_elu_datafusion::register(&mut context).map_err(explained)?;
        Ok(context)
    }

    /// Runs the query once. Adds the executors that register meanwhile to `known`.
    #[expect(clippy::too_many_arguments, reason = "all of them differ")]
    async fn attempt(
        &self,
        context: &SessionContext,
        plan: &Plan,
        mut sink: Sink,
        engine: &Handle,
        no_progress_limit: Duration,
        known: &mut Vec<Executor>,
        progress: &mut Progress,
    ) -> Result<Sink, Failure> {
        let mut batches = execute(Arc::clone(&plan.physical), context.task_ctx(), engine);
        let mut tick = tokio::time::interval(TICK);
        let (mut tasks, mut last) = (Tasks::default(), Instant::now());
        let mut written = None;
        loop {
            tokio::select! {
                batch = batches.recv() => {
                    let batch = match batch.context(NO_END)? {
                        Ok(batch) => batch,
                        Err(error) => return Err(self.blamed(local_table(error)).await),
                    };
                    // The first row arrives when the job is complete. The scheduler forgets complete jobs after an hour.
                    let written = match written {
                        Some(written) => written,
                        None => *written.insert(self.written_rows(plan.physical.as_ref()).await?),
                    };
                    match (batch, written) {
                        (Some(batch), _) => sink.write(batch)?,
                        (None, Some(written)) if written != sink.rows() => {
                            let arrived = sink.rows();
                            return Err(anyhow!("the executors wrote {written} rows, but {arrived} arrived").into());
                        }
                        (None, _) => return Ok(sink),
                    }
                    last = Instant::now();
                }
                _ = tick.tick() => {
                    let executors = self.executors().await.context("lost the scheduler during the query")?;
                    if let Ok(Some(found)) = self.tasks().await
                        && found != tasks
                    {
                        (tasks, last) = (found, Instant::now());
                    }
                    let new = executors.iter().filter(|executor| !has(known, executor));
                    known.extend(new.cloned().collect::<Vec<_>>());
                    if last.elapsed() >= no_progress_limit {
                        return Err(Failure::NoProgress);
                    }
                    progress.update(&format!(
                        "{} of {} tasks on {} executor{}, {} rows",
                        tasks.finished,
                        tasks.known,
                        executors.len(),
                        if executors.len() == 1 { "" } else { "s" },
                        sink.rows()
                    ));
                }
            }
        }
    }

    /// Returns the number of rows that the executors wrote for our job, which must be complete. Ballista counts rows when
    /// it writes them, but does not compare. Returns `None` for what is not executed on the cluster, such as a query of
    /// the catalog.
    async fn written_rows(&self, plan: &dyn ExecutionPlan) -> Result<Option<u64>> {
        let exec = plan.downcast_ref::<DistributedQueryExec<LogicalPlanNode>>();
        let Some(job) = exec.and_then(|exec| exec.job_id()) else {
            return Ok(None);
        };
        let url = format!("http://{}", self.scheduler);
        let mut client = SchedulerGrpcClient::connect(url).await?;
        let job_id = job.to_string();
        let answer = client.get_job_status(GetJobStatusParams { job_id }).await?;
        let status = answer.into_inner().status.and_then(|job| job.status);
        let Some(Status::Successful(job)) = status else {
            bail!("rows arrived, but the scheduler reports no success");
        };
        let rows = job.partition_location.iter().map(|partition| {
            let stats = partition.partition_stats.as_ref();
            stats.and_then(|stats| u64::try_from(stats.num_rows).ok())
        });
        let rows = rows.sum::<Option<u64>>();
        Ok(Some(rows.context(
            "the executors did not count the rows that they wrote",
        )?))
    }

    /// Returns how far our job is, if it runs.
    async fn tasks(&self) -> Result<Option<Tasks>> {
        let jobs = api::jobs(&self.scheduler, &self.client.id).await?;
        match jobs.iter().find(|job| job.state == JobState::Active) {
            Some(job) => Ok(Some(api::tasks(&self.scheduler, &job.id).await?)),
            None => Ok(None),
        }
    }

    /// Explains an error of a query by that of the scheduler, if there is one.
    async fn blamed(&self, error: anyhow::Error) -> Failure {
        match self.executors().await {
            Ok(_) => Failure::Error(error),
            Err(cause) => Failure::Error(cause.context("lost the scheduler during the query")),
        }
    }
}

/// Explains why a query cannot be sent to a cluster.
fn local_table(error: DataFusionError) -> anyhow::Error {
    let error = explained(error);
    match error
        .to_string()
        .contains("failed to serialize logical plan")
    {
        true => anyhow!(
            "a cluster reads files, but the query reads another table, such as generate_series"
        ),
        false => error,
    }
}

fn has(executors: &[Executor], executor: &Executor) -> bool {
    executors.iter().any(|other| other.id == executor.id)
}
