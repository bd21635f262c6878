//! The free slots of executors, as the scheduler counts them.
//!
//! A task takes slots of its executor and gives them back when it ends. Ballista 55 looks the number up in the stage of
//! the task. If an executor is lost, later stages are taken back, and their tasks on the other executors are canceled.
//! When those end, their stage no longer knows them, and their slots are never given back: the other executors seem to
//! be busy forever, and the job hangs. So this counts the slots that tasks hold, and gives all of them back when an
//! executor is lost. Tasks of other jobs then hold no slots any more, so an executor may have more tasks than slots until
//! it has been idle once.

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
    state::task_manager::JobInfoCache,
};

use crate::identity::check_executor;

/// The executors of a cluster, in memory. Refuses executors that have other functions than this program.
#[derive(Default)]
pub(crate) struct Executors {
    inner: InMemoryClusterState,
    /// The slots that the tasks of each executor hold.
    held: Mutex<HashMap<String, u32>>,
}

impl Executors {
    fn with_held<T>(&self, work: impl FnOnce(&mut HashMap<String, u32>) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl ClusterState for Executors {
    async fn bind_schedulable_tasks(
        &self,
        distribution: TaskDistributionPolicy,
        active_jobs: Arc<HashMap<JobId, JobInfoCache>>,
        executors: Option<HashSet<String>>,
    ) -> Result<Vec<BoundTask>> {
        let inner = &self.inner;
        let tasks = inner
            .bind_schedulable_tasks(distribution, active_jobs, executors)
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
        let address = format!("{}:{}", metadata.host, metadata.port);
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
        let all = self.with_held(|held| {
            held.remove(id);
            held.drain().collect()
        });
        self.inner.unbind_tasks(all).await
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
