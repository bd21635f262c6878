//! What the scheduler's REST API says about its executors and a job.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a process may take to accept a connection, and to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// No answer is longer.
const MAX_ANSWER: u64 = 256 << 20;

/// An executor that the scheduler considers alive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Executor {
    pub(crate) id: String,
    /// Its host and port.
    pub(crate) address: String,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tasks {
    pub(crate) finished: usize,
    /// The tasks that are known so far. A stage's tasks are known when it starts.
    pub(crate) known: usize,
}

/// Returns the executors of a scheduler.
pub(crate) async fn executors(scheduler: &str) -> Result<Vec<Executor>> {
    let answer = get(scheduler, "/api/executors").await?;
    executors_of(&answer)
        .with_context(|| format!("scheduler {scheduler} listed its executors in an unknown form"))
}

/// A job that the scheduler knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) state: JobState,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum JobState {
    /// It waits or runs.
    Active,
    /// Its results lie on the executors.
    Complete,
    Failed,
}

/// Returns the jobs that have this name.
pub(crate) async fn jobs(scheduler: &str, name: &str) -> Result<Vec<Job>> {
    let answer = get(scheduler, "/api/jobs").await?;
    jobs_of(&answer, name)
        .with_context(|| format!("scheduler {scheduler} listed its jobs in an unknown form"))
}

/// Returns the number of tasks of a job that have finished.
pub(crate) async fn tasks(scheduler: &str, job: &str) -> Result<Tasks> {
    let answer = get(scheduler, &format!("/api/job/{job}/stages")).await?;
    tasks_of(&answer)
        .with_context(|| format!("scheduler {scheduler} listed stages in an unknown form"))
}

/// Returns whether a process accepts connections.
pub(crate) async fn accepts(address: &str) -> bool {
    matches!(
        timeout(CONNECT_LIMIT, TcpStream::connect(address)).await,
        Ok(Ok(_))
    )
}

/// Returns a host as addresses with a port contain it. An IPv6 address needs brackets.
pub(crate) fn in_address(host: &str) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]"),
        false => host.into(),
    }
}

// ---- Internals ----

fn executors_of(answer: &Value) -> Option<Vec<Executor>> {
    let executors = answer.as_array()?.iter().map(|value| {
        let (host, port) = (value["host"].as_str()?, value["port"].as_u64()?);
        Some(Executor {
            id: value["id"].as_str()?.into(),
            address: format!("{}:{port}", in_address(host)),
        })
    });
    executors.collect()
}

/// Returns the jobs of this name.
fn jobs_of(answer: &Value, name: &str) -> Option<Vec<Job>> {
    let jobs = answer.as_array()?.iter();
    let jobs = jobs.filter(|job| job["job_name"] == name).map(|job| {
        Some(Job {
            id: job["job_id"].as_str()?.into(),
            state: match job["status"].as_str()? {
                "Queued" | "Running" => JobState::Active,
                "Completed" => JobState::Complete,
                "Failed" | "Invalid" => JobState::Failed,
                _ => return None,
            },
        })
    });
    jobs.collect()
}

fn tasks_of(answer: &Value) -> Option<Tasks> {
    let mut found = Tasks::default();
    for stage in answer["stages"].as_array()? {
        let tasks = stage["tasks"].as_array()?;
        for task in tasks.iter().filter(|task| !task.is_null()) {
            found.known += 1;
            found.finished += usize::from(task["status"].as_str()? == "Successful");
        }
    }
    Some(found)
}

/// Sends a request in HTTP 1.0, in which the answer ends with the connection.
async fn get(scheduler: &str, path: &str) -> Result<Value> {
    let connect = timeout(CONNECT_LIMIT, TcpStream::connect(scheduler)).await;
    let mut stream = match connect {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => bail!("cannot reach scheduler {scheduler}: {error}"),
        Err(_) => bail!("cannot reach scheduler {scheduler}: no answer in 3 s"),
    };
    let exchange = async {
        let request = format!("GET {path} HTTP/1.0\r\nHost: {scheduler}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = match timeout(ANSWER_LIMIT, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => bail!("lost the connection to scheduler {scheduler}: {error}"),
        Err(_) => bail!("scheduler {scheduler} did not answer in 10 s"),
    };
    parse(&answer).with_context(|| {
        format!("scheduler {scheduler} has no REST API at {path}: is it an elu-sql scheduler?")
    })
}

/// Returns the JSON of an answer, if its status is 200.
fn parse(answer: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    (status == "200").then(|| serde_json::from_str(body).ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers() {
        assert_eq!(
            parse(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n[1]"),
            Some(json!([1]))
        );
        for answer in [
            &b"HTTP/1.0 404 Not Found\r\n\r\n[1]"[..],
            b"HTTP/1.0 200 OK\r\n\r\n[1",
            b"HTTP/1.0 200 OK\r\n",
            b"\xff",
            b"",
        ] {
            assert_eq!(parse(answer), None);
        }
    }

    #[test]
    fn lists_of_the_scheduler() {
        let executor = |id: &str, address: &str| Executor {
            id: id.into(),
            address: address.into(),
        };
        assert_eq!(
            executors_of(&json!([
                {"id": "a", "host": "127.0.0.1", "port": 1, "other": null},
                {"id": "b", "host": "::1", "port": 2},
            ])),
            Some(vec![executor("a", "127.0.0.1:1"), executor("b", "[::1]:2")])
        );
        for unknown in [json!({}), json!([{"id": "a", "host": "b"}])] {
            assert_eq!(executors_of(&unknown), None);
        }

        let job =
            |id: &str, status: &str| json!({"job_name": "me", "job_id": id, "status": status});
        let other = json!({"job_name": "other"});
        let jobs = json!([
            job("a", "Queued"),
            job("b", "Running"),
            job("c", "Completed"),
            job("d", "Failed"),
            other
        ]);
        let found = jobs_of(&jobs, "me").unwrap();
        let states: Vec<_> = found.iter().map(|job| (&*job.id, job.state)).collect();
        assert_eq!(
            states,
            [
                ("a", JobState::Active),
                ("b", JobState::Active),
                ("c", JobState::Complete),
                ("d", JobState::Failed),
            ]
        );
        for unknown in [
            json!({}),
            json!([job("a", "Paused")]),
            json!([{"job_name": "me"}]),
        ] {
            assert_eq!(jobs_of(&unknown, "me"), None);
        }

        let stages = json!({"stages": [
            {"tasks": [{"status": "Successful"}, {"status": "Running"}, null]},
            {"tasks": []},
            {"tasks": [{"status": "Successful"}]},
        ]});
        let tasks = Tasks {
            finished: 2,
            known: 3,
        };
        assert_eq!(tasks_of(&stages), Some(tasks));
        for unknown in [
            json!([]),
            json!({"stages": [{}]}),
            json!({"stages": [{"tasks": [{}]}]}),
        ] {
            assert_eq!(tasks_of(&unknown), None);
        }
    }

    #[tokio::test]
    async fn no_scheduler() {
        let error = executors("127.0.0.1:1").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot reach scheduler 127.0.0.1:1: Connection refused (os error 111)"
        );
        assert!(!accepts("127.0.0.1:1").await);
    }
}
