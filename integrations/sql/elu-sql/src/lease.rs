//! Jobs end with their client.
//!
//! Ballista runs a job to its end even if its client is gone. So a client tells the scheduler every two seconds that it
//! still waits, by Ballista's call that updates a session. The scheduler cancels the jobs of a client that has not done
//! so for ten seconds. Jobs of clients other than elu-sql are left alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ballista_core::serde::protobuf::{
    CreateUpdateSessionParams, KeyValuePair, scheduler_grpc_client::SchedulerGrpcClient,
};
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::common::config::ExtensionOptions;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::{task::AbortHandle, time::sleep};

use crate::identity::Client;

const RENEWAL: Duration = Duration::from_secs(2);
const TERM: Duration = Duration::from_secs(10);

/// When each client was last heard of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases(Arc<Mutex<HashMap<String, Instant>>>);

impl Leases {
    /// Notes that a client waits for its jobs.
    pub(crate) fn renew(&self, client: &str) {
        if !client.is_empty() {
            self.lock().insert(client.into(), Instant::now());
        }
    }

    /// Cancels the jobs of clients that are gone. Does not return.
    pub(crate) async fn watch(self, scheduler: SchedulerServer<LogicalPlanNode, PhysicalPlanNode>) {
        loop {
            sleep(RENEWAL).await;
            let gone = self.take_expired(Instant::now());
            if gone.is_empty() {
                continue;
            }
            let jobs = scheduler.state.task_manager.get_running_job_cache();
            for (id, job) in jobs.iter() {
                let name = job.execution_graph.read().await.job_name().to_string();
                if gone.contains(&name) {
                    log::warn!(
                        "canceling job {id}: its client has not been heard of for {} s",
                        TERM.as_secs()
                    );
                    if let Err(error) = scheduler.cancel_job(id.clone()).await {
                        log::error!("cannot cancel job {id}: {error}");
                        self.renew(&name); // tries again
                    }
                }
            }
        }
    }

    // ---- Internals ----

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes and returns the clients whose leases have expired.
    fn take_expired(&self, now: Instant) -> Vec<String> {
        let mut leases = self.lock();
        let is_expired = |renewed: &Instant| now.saturating_duration_since(*renewed) > TERM;
        let expired = leases.extract_if(|_, renewed| is_expired(renewed));
        expired.map(|(client, _)| client).collect()
    }
}

/// A lease that a client renews until it is dropped.
pub(crate) struct Lease(AbortHandle);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Renews the lease of a client.
pub(crate) fn keep(scheduler: &str, client: &Client) -> Lease {
    let url = format!("http://{scheduler}");
    let settings = client.entries().into_iter().map(|entry| KeyValuePair {
        key: entry.key,
        value: entry.value,
    });
    let params = CreateUpdateSessionParams {
        session_id: client.id.clone(),
        settings: settings.collect(),
    };
    let renewals = tokio::spawn(async move {
        loop {
            // If the scheduler does not answer, the query itself fails.
            if let Ok(mut scheduler) = SchedulerGrpcClient::connect(url.clone()).await {
                while scheduler
                    .create_update_session(params.clone())
                    .await
                    .is_ok()
                {
                    sleep(RENEWAL).await;
                }
            }
            sleep(RENEWAL).await;
        }
    });
    Lease(renewals.abort_handle())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_expires_unless_it_is_renewed() {
        let leases = Leases::default();
        leases.renew("a");
        leases.renew("");
        let later = Instant::now() + TERM + RENEWAL;
        assert_eq!(leases.take_expired(Instant::now()), [""; 0]);
        assert_eq!(leases.take_expired(later), ["a"]);
        assert_eq!(leases.take_expired(later), [""; 0]);
    }
}
