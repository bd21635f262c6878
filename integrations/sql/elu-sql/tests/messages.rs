use std::{
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::support::{elu_sql, message};

/// A query that takes minutes.
const LONG: &str = "SELECT sum(elu(a.value * -0.5) + b.value) FROM generate_series(1, 1000000) a CROSS JOIN \
                    generate_series(1, 1000000) b";

#[test]
fn wrong_arguments() {
    for (args, expected) in [
        (
            &["SELECT 1", "--set", "wgpu_elu.rounding=up"][..],
            "wgpu_elu.rounding=up: Invalid or Unsupported Configuration: wgpu_elu.rounding must be faithful or nearest, \
             found \"up\"",
        ),
        (
            &["SELECT 1", "--cluster", "127.0.0.1:1"],
            "cannot reach scheduler 127.0.0.1:1: Connection refused (os error 111)",
        ),
        (
            &["SELECT 1", "-o", "y.csv"],
            "y.csv: needed a name that ends in .parquet, or in / for a directory",
        ),
        (
            &["SELECT 1", "--root", "/no/such"],
            "Error during planning: --root /no/such: No such file or directory (os error 2)",
        ),
    ] {
        let args: Vec<_> = ["query"].iter().chain(args).copied().collect();
        assert_eq!(message(&args, 1), format!("elu-sql: {expected}\n"));
    }
}

#[test]
fn wrong_command_lines() {
    let executor = &["executor", "--scheduler", "host:1"][..];
    let no_host = |address: &str| {
        format!("error: --bind {address} needs --host: the name by which others reach this machine")
    };
    let host_port = "needed HOST:PORT, or [ADDRESS]:PORT for an IPv6 address";
    for (command, args, expected) in [
        (
            &["query", "SELECT 1"][..],
            &["--rounding", "up"][..],
            "[possible values: faithful, nearest]",
        ),
        (
            &["query", "SELECT 1"],
            &["--partitions", "0"],
            "0 is not in 1..",
        ),
        (&["query", "SELECT 1"], &["--set", "a"], "needed NAME=VALUE"),
        (&["query", "SELECT 1"], &["--cluster", "host"], host_port),
        (
            &["query", "SELECT 1"],
            &["--cluster", "::1:50050"],
            host_port,
        ),
        (
            &["query", "SELECT 1"],
            &["--cluster", "host:70000"],
            host_port,
        ),
        (
            &["query", "SELECT 1"],
            &["--time-limit", "0"],
            "needed a number of seconds above 0, found \"0\"",
        ),
        (&["executor"], &["--scheduler", "host"], host_port),
        (executor, &["--tasks", "0"], "0 is not in 1.."),
        (executor, &["--memory", "0"], "0 is not in 1..=1073741824"),
        (
            executor,
            &["--memory", "1073741825"],
            "1073741825 is not in 1..=1073741824",
        ),
        (executor, &["--port", "65535"], "65535 is not in 1..=65534"),
        (executor, &["--bind", "0.0.0.0"], &no_host("0.0.0.0")),
        (&["scheduler"], &["--bind", "::"], &no_host("::")),
        (
            &["scheduler"],
            &["--executor-timeout", "4"],
            "4 is not in 5..",
        ),
    ] {
        let args = [command, args].concat();
        let message = message(&args, 2);
        assert!(message.contains(expected), "{args:?}: {message}");
    }
}

#[test]
fn a_message_has_one_line() {
    let message = message(&["query", "SELECT\n*\nFROM\nnowhere"], 1);
    assert_eq!(
        message,
        "elu-sql: Error during planning: table 'datafusion.public.nowhere' not found\n"
    );
}

#[test]
fn a_time_limit() {
    let start = Instant::now();
    let message = message(&["query", LONG, "--time-limit", "0.5", "--quiet"], 1);
    assert_eq!(message, "elu-sql: stopped after 0.5 s (--time-limit)\n");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn signals() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("y.parquet");
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut command = elu_sql(["query", "--quiet", LONG, "-o", path.to_str().unwrap()]);
        let mut query = command.stderr(Stdio::piped()).spawn().unwrap();
        while std::fs::read_dir(directory.path()).unwrap().count() == 0 {
            sleep(Duration::from_millis(10)); // until the temporary file exists
        }
        let id = query.id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-s", signal, &id])
            .status();
        assert!(kill.unwrap().success());
        assert_eq!(query.wait().unwrap().code(), Some(code));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn the_version_lists_the_functions() {
    let output = elu_sql(["--version"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for function in wgpu_elu_datafusion::functions() {
        let name = function.name().trim_end_matches("_nearest");
        assert!(text.contains(name), "{text}");
    }
}
