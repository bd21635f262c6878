use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use ballista_core::{
    BALLISTA_PROTOCOL_VERSION,
    serde::protobuf::{
        ExecutorOperatingSystemSpecification, ExecutorRegistration, ExecutorSpecification,
        RegisterExecutorParams, scheduler_grpc_client::SchedulerGrpcClient,
    },
};

use crate::support::{Process, elu_sql, message, ports, stderr, wait_for_port, write};

const VERSION: &str = env!("CARGO_PKG_VERSION");

struct Cluster {
    address: String,
    scheduler: Process,
    executor: Process,
}

fn scheduler(port: u16) -> Process {
    scheduler_with(port, &[])
}

fn scheduler_with(port: u16, options: &[&str]) -> Process {
    let port_option = port.to_string();
    let args = [&["scheduler", "--port", &port_option], options].concat();
    let scheduler = Process::start(&args);
    wait_for_port(port);
    scheduler
}

fn cluster() -> Cluster {
    cluster_with(&[], &[])
}

/// Starts a scheduler and an executor with these options.
fn cluster_with(scheduler_options: &[&str], executor_options: &[&str]) -> Cluster {
    let port = ports();
    let scheduler = scheduler_with(port, scheduler_options);
    let address = format!("127.0.0.1:{port}");
    let data_port = (port + 1).to_string();
    let args = [
        "executor",
        "--scheduler",
        &address,
        "--port",
        &data_port,
        "--tasks",
        "1",
    ];
    let mut executor = Process::start(&[&args, executor_options].concat());
    let log = executor.wait_for("Executor registration succeed");
    assert!(
        log.contains(&format!(
            "elu-sql {} executor 127.0.0.1:{} with elu, selu, celu, elu_backward, elu_backward_from_output, elu_nearest",
            VERSION,
            port + 1
        )),
        "{log}"
    );
    wait_for_port(port + 1);
    Cluster {
        address,
        scheduler,
        executor,
    }
}

#[test]
fn a_cluster_gives_the_bits_of_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
    for part in 0..3 {
        let sql = format!(
            "SELECT value AS id, arrow_cast(sin(value * 12.9898) * 9, 'Float32') AS x, [value * -0.001, NULL] AS v, \
             arrow_cast(arrow_cast(value % 5 - 3, 'Float32'), 'Dictionary(Int32, Float32)') AS d \
             FROM generate_series({}, {})",
            part * 1000,
            part * 1000 + 999
        );
        write(&sql, &directory.path().join(format!("x{part}.parquet")));
    }
    let cluster = cluster();
    let files = at("x*.parquet");
    for sql in [
        "SELECT id, elu(x) AS y, selu(x), celu(x, 0.3), elu(v, 0.5), elu_backward(x, x) FROM t ORDER BY id",
        "SELECT id, elu(x, id % 3) AS y, elu_backward_from_output(x, 1) FROM t ORDER BY id",
        "SELECT id % 7 AS k, max(elu(x)) AS y, min(array_length(elu(v))) FROM t GROUP BY 1 ORDER BY k",
        "SELECT elu(d) AS d, count(*) FROM t GROUP BY 1 ORDER BY 1",
        "SELECT id FROM t WHERE elu(x) < -0.9 ORDER BY elu(x), id",
    ] {
        let sql = sql.replace("FROM t", &format!("FROM '{files}'"));
        for rounding in ["faithful", "nearest"] {
            let print = |more: &[&str]| {
                let args = ["query", &sql, "--rounding", rounding, "--rows", "4000"];
                let output = elu_sql(args.iter().chain(more).copied()).output().unwrap();
                assert!(output.status.success(), "{}", stderr(&output));
                String::from_utf8(output.stdout).unwrap()
            };
            let (one, many) = (print(&[]), print(&["--cluster", &cluster.address]));
            assert!(one.lines().count() > 5);
            assert_eq!(one, many, "{sql}, {rounding}");
        }
    }
    let sql = format!("SELECT celu(x, id - 1000) FROM '{files}'");
    let message = message(
        &[
            "query",
            &sql,
            "--cluster",
            &cluster.address,
            "-o",
            &at("y.parquet"),
        ],
        1,
    );
    assert!(
        message.contains("celu: alpha must be between 2^-64 and 2^64, found -1000"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(!directory.path().join("y.parquet").exists());
}

#[test]
fn a_scheduler_without_executors() {
    let port = ports();
    let _scheduler = scheduler(port);
    let address = format!("127.0.0.1:{port}");
    let args = [
        "query",
        "SELECT elu(1.0)",
        "--cluster",
        &address,
        "--wait-for-executors",
        "1",
        "-q",
    ];
    let start = Instant::now();
    assert_eq!(
        message(&args, 1),
        format!(
            "elu-sql: scheduler {address} has no executor after 1 s: start elu-sql executor --scheduler {address}\n"
        )
    );
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn an_executor_of_another_version_is_refused() {
    let port = ports();
    let _scheduler = scheduler(port);
    let url = format!("http://127.0.0.1:{port}");
    let mut scheduler = SchedulerGrpcClient::connect(url).await.unwrap();
    let other = port + 1;
    let _listener = TcpListener::bind(("127.0.0.1", other)).unwrap(); // the scheduler connects to the executor
    for (id, expected) in [
        (
            "elu-sql_0.0.9_1",
            format!(
                "executor 127.0.0.1:{other} is elu-sql 0.0.9, this is {VERSION}: start the same version on every machine"
            ),
        ),
        (
            "another",
            format!(
                "executor 127.0.0.1:{other} is not elu-sql {VERSION} and may lack its functions: it registered as \
                 \"another\""
            ),
        ),
    ] {
        let metadata = ExecutorRegistration {
            id: id.into(),
            host: Some("127.0.0.1".into()),
            port: other.into(),
            grpc_port: other.into(),
            specification: Some(ExecutorSpecification { resources: vec![] }),
            os_info: Some(ExecutorOperatingSystemSpecification::default()),
            ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
        };
        let metadata = Some(metadata);
        let answer = scheduler.register_executor(RegisterExecutorParams { metadata });
        let status = answer.await.unwrap_err();
        assert!(
            status.message().ends_with(&expected),
            "{}",
            status.message()
        );
    }
}

#[test]
fn queries_that_a_cluster_cannot_run() {
    let cluster = cluster();
    let sql = "SELECT elu(value) FROM generate_series(1, 2)";
    assert_eq!(
        message(&["query", sql, "--cluster", &cluster.address], 1),
        "elu-sql: a cluster reads files, but the query reads another table, such as generate_series\n"
    );

    // A client of another version is one whose settings say so.
    let directory = tempfile::tempdir().unwrap();
    write("SELECT 1.0 AS x", &directory.path().join("x.parquet"));
    let sql = format!(
        "SELECT elu(x) FROM '{}/x.parquet'",
        directory.path().display()
    );
    let query = ["query", &sql, "--cluster", &cluster.address];
    let found = message(
        &[&query[..], &["--set", "elu_sql.version=0.0.9"]].concat(),
        1,
    );
    let expected = format!(
        "scheduler {} is elu-sql {VERSION}, the client is 0.0.9: start the same version on every machine",
        cluster.address
    );
    assert!(found.contains(&expected), "{found}");
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[test]
fn root_confines_scheduler_and_executors() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().canonicalize().unwrap();
    let (root, outside) = (base.join("root"), base.join("outside"));
    for directory in [&root, &outside] {
        std::fs::create_dir(directory).unwrap();
        write("SELECT 1.0 AS x", &directory.join("x.parquet"));
    }
    let root_option = ["--root", root.to_str().unwrap()];
    // The scheduler looks for the files of a query. Executors read them, and write those of COPY.
    for (scheduler_options, executor_options) in [(&root_option[..], &[][..]), (&[], &root_option)]
    {
        let cluster = cluster_with(scheduler_options, executor_options);
        let query = |sql: &str| {
            let args = ["query", "-q", sql, "--cluster", &cluster.address];
            elu_sql(args).output().unwrap()
        };
        for (table, works) in [(&root, true), (&outside, false)] {
            let sql = format!("SELECT elu(x) FROM '{}/x.parquet'", table.display());
            let output = query(&sql);
            let message = stderr(&output);
            assert_eq!(output.status.success(), works, "{message}");
            assert_eq!(message.contains("(--root)"), !works, "{message}");
        }
        if executor_options.is_empty() {
            continue;
        }
        let target = outside.join("y.parquet");
        let sql = format!(
            "COPY (SELECT x FROM '{}/x.parquet') TO '{}'",
            root.display(),
            target.display()
        );
        let output = query(&sql);
        assert!(!output.status.success());
        assert!(stderr(&output).contains("(--root)"), "{}", stderr(&output));
        assert!(!target.exists());
    }
}

#[test]
fn a_query_without_progress_is_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
    let numbers = directory.path().join("x.parquet");
    write(
        "SELECT value AS x FROM generate_series(1, 1000000)",
        &numbers,
    );
    let cluster = cluster();
    let x = at("x.parquet");
    let long = format!("SELECT sum(elu(a.x * -0.5) + b.x) AS y FROM '{x}' a CROSS JOIN '{x}' b");
    let run = |sql: &str, retries: &str| {
        let args = [
            "query",
            sql,
            "--cluster",
            &cluster.address,
            "--no-progress-limit",
            "1",
            "--retries",
            retries,
        ];
        message(&args, 1)
    };
    let reason = "no task finished and no row arrived for 1 s (--no-progress-limit)";
    assert_eq!(
        run(&long, "1"),
        format!(
            "elu-sql: {reason}; running the query again\nelu-sql: gave up after 2 runs: {reason}\n"
        )
    );
    // What a query has written itself would be there twice.
    assert_eq!(
        run(&format!("COPY ({long}) TO '{}'", at("y.parquet")), "1"),
        format!(
            "elu-sql: {reason}: not run again, because the query writes files; remove what it wrote\n"
        )
    );
}

/// SIGTERM is how service managers stop servers, so it is no failure. The executor leaves the cluster.
#[test]
fn servers_end_well_by_sigterm() {
    let cluster = cluster();
    assert_eq!(cluster.executor.terminate(), Some(0));
    let args = [
        "query",
        "SELECT 1",
        "--cluster",
        &cluster.address,
        "--wait-for-executors",
        "1",
        "-q",
    ];
    let message = message(&args, 1);
    assert!(message.contains("has no executor after 1 s"), "{message}");
    assert_eq!(cluster.scheduler.terminate(), Some(0));
}

#[test]
fn a_cluster_on_ipv6() {
    if TcpListener::bind(("::1", 0)).is_err() {
        eprintln!("this machine has no IPv6 loopback: not tested");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    write("SELECT -1.0 AS x", &directory.path().join("x.parquet"));
    let port = ports();
    let address = format!("[::1]:{port}");
    let mut scheduler =
        Process::start(&["scheduler", "--bind", "::1", "--port", &port.to_string()]);
    scheduler.wait_for(&format!("scheduler on {address}"));
    let data_port = (port + 1).to_string();
    let args = [
        "executor",
        "--scheduler",
        &address,
        "--bind",
        "::1",
        "--port",
        &data_port,
    ];
    let mut executor = Process::start(&args);
    executor.wait_for("Executor registration succeed");
    let sql = format!(
        "SELECT elu(x) FROM '{}/x.parquet'",
        directory.path().display()
    );
    let output = elu_sql(["query", &sql, "--cluster", &address])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("-0.6321205588285577"), "{text}");
}

/// A browser lets a page read an answer only if it names the page's origin. That of a sandboxed page is `null`.
#[test]
fn no_web_page_may_read_the_rest_api() {
    let port = ports();
    let _scheduler = scheduler(port);
    for origin in ["null", "http://localhost:8080", "https://example.com"] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(
            stream,
            "GET /api/executors HTTP/1.0\r\nOrigin: {origin}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        let allowed = answer
            .lines()
            .find(|line| line.starts_with("access-control-allow-origin"));
        assert_eq!(allowed, None);
    }
}

#[test]
fn every_port_is_on_loopback() {
    let port = ports();
    let scheduler = scheduler(port);
    let address = format!("127.0.0.1:{port}");
    let mut executor = Process::start(&[
        "executor",
        "--scheduler",
        &address,
        "--port",
        &(port + 1).to_string(),
    ]);
    executor.wait_for("Executor registration succeed");
    wait_for_port(port + 1);
    assert_eq!(listening(scheduler.id()), [format!("0100007F:{port:04X}")]);
    let ports = [port + 1, port + 2].map(|port| format!("0100007F:{port:04X}"));
    assert_eq!(listening(executor.id()), ports);
}

/// Returns the addresses that a process listens on, as /proc/net/tcp writes them.
fn listening(process: u32) -> Vec<String> {
    let sockets: Vec<_> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    let mut found = vec![];
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(table).unwrap().lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            if fields[3] == "0A" && sockets.contains(&format!("socket:[{}]", fields[9])) {
                found.push(fields[1].to_string());
            }
        }
    }
    found.sort();
    found
}
