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

/// An executor that the scheduler takes for alive.
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
    let executor = |value: &Value| {
        let (host, port) = (value["host"].as_str()?, value["port"].as_u64()?);
        Some(Executor {
            id: value["id"].as_str()?.into(),
            address: address(host, port),
        })
    };
    let executors = answer.as_array().map(|list| list.iter().map(executor));
    executors
        .and_then(Iterator::collect)
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
    let jobs = answer.as_array().into_iter().flatten();
    let jobs = jobs.filter(|job| job["job_name"] == name).map(|job| Job {
        id: job["job_id"].as_str().unwrap_or_default().into(),
        state: match job["status"].as_str() {
            Some("Queued" | "Running") => JobState::Active,
            Some("Completed") => JobState::Complete,
            _ => JobState::Failed,
        },
    });
    Ok(jobs.collect())
}

/// Returns the number of tasks of a job that have finished.
pub(crate) async fn tasks(scheduler: &str, job: &str) -> Result<Tasks> {
    let answer = get(scheduler, &format!("/api/job/{job}/stages")).await?;
    let stages = answer["stages"].as_array().into_iter().flatten();
    let tasks = stages.flat_map(|stage| stage["tasks"].as_array().into_iter().flatten());
    Ok(tasks.fold(Tasks::default(), |tasks, task| Tasks {
        finished: tasks.finished + usize::from(task["status"] == "Successful"),
        known: tasks.known + 1,
    }))
}

/// Returns whether a process accepts connections.
pub(crate) async fn accepts(address: &str) -> bool {
    matches!(
        timeout(CONNECT_LIMIT, TcpStream::connect(address)).await,
        Ok(Ok(_))
    )
}

// ---- Internals ----

/// Joins a host and a port. An IPv6 address needs brackets.
fn address(host: &str, port: u64) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
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
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(
            parse(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n[1]"),
            Some(serde_json::json!([1]))
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
