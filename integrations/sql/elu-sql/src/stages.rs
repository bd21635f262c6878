//! The executors of the scheduler, their free slots, and the rule that no stage of a job runs twice.
//!
//! If an executor is lost while a later stage runs, Ballista 55 rolls the stage back and runs it again, together with the
//! tasks whose results are lost. That has three faults, which were seen in the tests of this project:
//!
//! - The canceled tasks of the first run may still end, and write to the files of the second run, because the names of
//!   the files are the same. A result then lacks the rows of such a file, without an error.
//! - The slots of the canceled tasks are never given back. The other executors seem to be busy forever.
//! - The adaptive planner fails to note the results of a stage that runs again, so the job hangs.
//!
//! So the tasks of a job whose stages were rolled back get no slots any more, the job is canceled, and the client runs the
//! query again in a new job, whose files have other names. Tasks that run again within the first run of their stage are
//! safe: they get new numbers, which are part of the names of their files. A query of one stage is such a case.
//!
//! This also counts the slots that tasks hold, and gives all of them back when an executor is lost or stages are rolled
//! back. Tasks of other jobs then hold no slots any more, so an executor may have more tasks than slots until it has been
//! idle once.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use ballista_core::{
    JobId,
    error::{BallistaError, Result},
    serde::{
        protobuf::ExecutorHeartbeat,
        scheduler::{ExecutorData, ExecutorMetadata},
    },
};
use ballista_scheduler::{
    cluster::{
        BoundTask, ClusterState, ClusterStateEventStream, ExecutorSlot,
        memory::InMemoryClusterState,
    },
    config::TaskDistributionPolicy,
    state::{
        execution_graph::ExecutionGraphBox, execution_stage::ExecutionStage,
        task_manager::JobInfoCache,
    },
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{api::in_address, identity::check_executor};

/// The executors of a cluster, in memory. Refuses executors that have other functions than this program.
pub(crate) struct Executors {
    inner: InMemoryClusterState,
    /// The slots that the tasks of each executor hold.
    held: Mutex<HashMap<String, u32>>,
    /// The jobs whose stages were rolled back.
    rolled_back: Mutex<HashSet<JobId>>,
    to_cancel: UnboundedSender<JobId>,
}

impl Executors {
    /// Returns the executors, and the jobs that must be canceled.
    pub(crate) fn new() -> (Self, UnboundedReceiver<JobId>) {
        let (to_cancel, jobs) = unbounded_channel();
        let executors = Self {
            inner: InMemoryClusterState::default(),
            held: Mutex::default(),
            rolled_back: Mutex::default(),
            to_cancel,
        };
        (executors, jobs)
    }

    fn with_held<T>(&self, work: impl FnOnce(&mut HashMap<String, u32>) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn give_all_slots_back(&self) -> Result<()> {
        let all = self.with_held(|held| held.drain().collect());
        self.inner.unbind_tasks(all).await
    }

    /// Returns the jobs without those whose stages were rolled back, which it reports once.
    async fn of_first_runs(
        &self,
        jobs: &HashMap<JobId, JobInfoCache>,
    ) -> Result<Arc<HashMap<JobId, JobInfoCache>>> {
        let mut first_runs = HashMap::new();
        for (id, job) in jobs {
            if !is_rolled_back(&*job.execution_graph.read().await) {
                first_runs.insert(id.clone(), job.clone());
                continue;
            }
            let rolled_back = self.rolled_back.lock();
            let is_new = rolled_back
                .unwrap_or_else(PoisonError::into_inner)
                .insert(id.clone());
            if is_new {
                self.give_all_slots_back().await?;
                let _ = self.to_cancel.send(id.clone()); // at the end of the process nobody receives it
            }
        }
        Ok(Arc::new(first_runs))
    }
}

/// Returns whether a stage of the job has run before, or was about to.
fn is_rolled_back(job: &ExecutionGraphBox) -> bool {
    job.stages().values().any(|stage| {
        let attempt = match stage {
            ExecutionStage::UnResolved(stage) => stage.stage_attempt_num,
            ExecutionStage::Resolved(stage) => stage.stage_attempt_num,
            ExecutionStage::Running(stage) => stage.stage_attempt_num,
            ExecutionStage::Successful(stage) => stage.stage_attempt_num,
            ExecutionStage::Failed(stage) => stage.stage_attempt_num,
        };
        attempt > 0
    })
}

#[async_trait]
impl ClusterState for Executors {
    async fn bind_schedulable_tasks(
        &self,
        distribution: TaskDistributionPolicy,
        active_jobs: Arc<HashMap<JobId, JobInfoCache>>,
        executors: Option<HashSet<String>>,
    ) -> Result<Vec<BoundTask>> {
        let jobs = self.of_first_runs(&active_jobs).await?;
        let inner = &self.inner;
        let tasks = inner
            .bind_schedulable_tasks(distribution, jobs, executors)
            .await?;
        self.with_held(|held| {
            for (executor, task) in &tasks {
                *held.entry(executor.clone()).or_default() += task.vcores_consumed;
            }
        });
        Ok(tasks)
    }

    /// Gives slots back, but never more than tasks hold.
    async fn unbind_tasks(&self, mut slots: Vec<ExecutorSlot>) -> Result<()> {
        self.with_held(|held| {
            for (executor, count) in &mut slots {
                let held = held.entry(executor.clone()).or_default();
                *count = (*count).min(*held);
                *held -= *count;
            }
        });
        self.inner.unbind_tasks(slots).await
    }

    async fn register_executor(
        &self,
        metadata: ExecutorMetadata,
        data: ExecutorData,
    ) -> Result<()> {
        let address = format!("{}:{}", in_address(&metadata.host), metadata.port);
        check_executor(&metadata.id, &address)
            .map_err(|error| BallistaError::Configuration(error.to_string()))?;
        self.inner.register_executor(metadata, data).await
    }

    async fn save_executor_metadata(&self, metadata: ExecutorMetadata) -> Result<()> {
        self.inner.save_executor_metadata(metadata).await
    }

    async fn get_executor_metadata(&self, id: &str) -> Result<ExecutorMetadata> {
        self.inner.get_executor_metadata(id).await
    }

    async fn registered_executor_metadata(&self) -> Vec<ExecutorMetadata> {
        self.inner.registered_executor_metadata().await
    }

    async fn save_executor_heartbeat(&self, heartbeat: ExecutorHeartbeat) -> Result<()> {
        self.inner.save_executor_heartbeat(heartbeat).await
    }

    async fn remove_executor(&self, id: &str) -> Result<()> {
        self.inner.remove_executor(id).await?;
        self.give_all_slots_back().await
    }

    fn executor_heartbeats(&self) -> HashMap<String, ExecutorHeartbeat> {
        self.inner.executor_heartbeats()
    }

    fn get_executor_heartbeat(&self, id: &str) -> Option<ExecutorHeartbeat> {
        self.inner.get_executor_heartbeat(id)
    }

    async fn cluster_state_events(&self) -> Result<ClusterStateEventStream> {
        self.inner.cluster_state_events().await
    }
}

#[cfg(test)]
mod tests {
    use ballista_core::serde::scheduler::{
        ExecutorOperatingSystemSpecification, ExecutorSpecification,
    };

    use super::*;
    use crate::identity::new_executor_id;

    async fn register(executors: &Executors) -> String {
        let id = new_executor_id();
        let metadata = ExecutorMetadata {
            id: id.clone(),
            host: "127.0.0.1".into(),
            port: 1,
            grpc_port: 2,
            specification: ExecutorSpecification::default().with_vcores(4),
            os_info: ExecutorOperatingSystemSpecification::default(),
        };
        let data = ExecutorData {
            executor_id: id.clone(),
            total_vcores: 4,
            available_vcores: 4,
        };
        executors.register_executor(metadata, data).await.unwrap();
        id
    }

    fn held(executors: &Executors, id: &str) -> u32 {
        executors.with_held(|held| held.get(id).copied().unwrap_or_default())
    }

    #[tokio::test]
    async fn no_more_slots_are_given_back_than_tasks_hold() {
        let (executors, _jobs) = Executors::new();
        let id = register(&executors).await;
        executors.with_held(|held| held.insert(id.clone(), 3));
        executors.unbind_tasks(vec![(id.clone(), 2)]).await.unwrap();
        assert_eq!(held(&executors, &id), 1);
        let more = vec![(id.clone(), 1), (id.clone(), 5)];
        executors.unbind_tasks(more).await.unwrap();
        assert_eq!(held(&executors, &id), 0);
        executors.unbind_tasks(vec![(id.clone(), 1)]).await.unwrap();
        assert_eq!(held(&executors, &id), 0);
    }

    #[tokio::test]
    async fn the_loss_of_an_executor_gives_all_slots_back() {
        let (executors, _jobs) = Executors::new();
        let (lost, other) = (register(&executors).await, register(&executors).await);
        executors.with_held(|held| {
            held.insert(lost.clone(), 1);
            held.insert(other.clone(), 2)
        });
        executors.remove_executor(&lost).await.unwrap();
        assert_eq!((held(&executors, &lost), held(&executors, &other)), (0, 0));
        let left = executors.registered_executor_metadata().await;
        let left: Vec<_> = left.into_iter().map(|executor| executor.id).collect();
        assert_eq!(left, std::slice::from_ref(&other));
        // A task of the other executor that ends now gives nothing back once more.
        executors
            .unbind_tasks(vec![(other.clone(), 2)])
            .await
            .unwrap();
        assert_eq!(held(&executors, &other), 0);
    }

    #[tokio::test]
    async fn an_executor_with_other_functions_is_refused() {
        let (executors, _jobs) = Executors::new();
        let metadata = ExecutorMetadata {
            id: "another".into(),
            host: "::1".into(),
            port: 1,
            grpc_port: 2,
            specification: ExecutorSpecification::default(),
            os_info: ExecutorOperatingSystemSpecification::default(),
        };
        let data = ExecutorData {
            executor_id: "another".into(),
            total_vcores: 4,
            available_vcores: 4,
        };
        let error = executors
            .register_executor(metadata, data)
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("executor [::1]:1 is not elu-sql"),
            "{error}"
        );
    }
}
