//! Jobs end with their client.
//!
//! Ballista runs a job to its end even if its client is gone. So a client renews a lease every two seconds, by Ballista's
//! call that updates a session. The scheduler cancels the jobs of a client whose lease was not renewed for ten seconds. Jobs of clients other than elu-sql are left alone.

use std::{
    collections::{HashMap, HashSet},
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

/// How long an expired lease is kept. A job that waits to be planned is canceled when it runs.
const MEMORY: Duration = Duration::from_secs(3600);

/// When each client renewed its lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases(Arc<Mutex<HashMap<String, Instant>>>);

impl Leases {
    /// Renews the lease of a client.
    pub(crate) fn renew(&self, client: &str) {
        if !client.is_empty() {
            self.lock().insert(client.into(), Instant::now());
        }
    }

    /// Cancels the jobs of clients that are gone. Does not return.
    pub(crate) async fn watch(self, scheduler: SchedulerServer<LogicalPlanNode, PhysicalPlanNode>) {
        loop {
            sleep(RENEWAL).await;
            let gone = self.expired(Instant::now());
            if gone.is_empty() {
                continue;
            }
            let jobs = scheduler.state.task_manager.get_running_job_cache();
            for (id, job) in jobs.iter() {
                let name = job.execution_graph.read().await.job_name().to_string();
                if gone.contains(&name) {
                    log::warn!(
                        "canceling job {id}: its client has not renewed its lease for {} s",
                        TERM.as_secs()
                    );
                    // If this fails, the next look tries again.
                    if let Err(error) = scheduler.cancel_job(id.clone()).await {
                        log::error!("cannot cancel job {id}: {error}");
                    }
                }
            }
        }
    }

    // ---- Internals ----

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the clients whose leases have expired, and forgets those that expired long ago.
    fn expired(&self, now: Instant) -> HashSet<String> {
        let mut leases = self.lock();
        let age = |renewed: &Instant| now.saturating_duration_since(*renewed);
        leases.retain(|_, renewed| age(renewed) <= MEMORY);
        let expired = leases.iter().filter(|(_, renewed)| age(renewed) > TERM);
        expired.map(|(client, _)| client.clone()).collect()
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
        let expired = |now| leases.expired(now).into_iter().collect::<Vec<_>>();
        assert_eq!(expired(Instant::now()), [""; 0]);
        // A job that was queued at first is found at a later look.
        assert_eq!(expired(later), ["a"]);
        assert_eq!(expired(later), ["a"]);
        leases.renew("a");
        assert_eq!(expired(Instant::now()), [""; 0]);
        assert_eq!(expired(Instant::now() + MEMORY + RENEWAL), [""; 0]);
        assert!(leases.lock().is_empty());
    }
}
