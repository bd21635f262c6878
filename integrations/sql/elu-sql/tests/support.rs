//! Runs the command.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Returns the command with these arguments.
pub(crate) fn elu_sql<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elu-sql"));
    command.args(args).env_remove("RUST_LOG");
    command
}

/// Runs a query in one process and returns the rows that it prints, without the frame of the table.
#[track_caller]
pub(crate) fn rows(args: &[&str]) -> Vec<String> {
    let output = elu_sql(["query"].into_iter().chain(args.iter().copied()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
    rows.map(|line| line.trim_matches(['|', ' ']).to_string())
        .collect()
}

/// Runs a command that must fail with this code, and returns its message.
#[track_caller]
pub(crate) fn message(args: &[&str], code: i32) -> String {
    let output = elu_sql(args.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    stderr(&output)
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Writes the result of a query to a file.
#[track_caller]
pub(crate) fn write(sql: &str, path: &Path) {
    let path = path.to_str().unwrap();
    let output = elu_sql(["query", sql, "-o", path]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

/// A process that is killed at the end of a test.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = elu_sql(args.iter().copied());
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Waits until the process has written these words to its log.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        let mut log = String::new();
        let mut byte = [0];
        let pipe = self.0.stderr.as_mut().unwrap();
        while pipe.read(&mut byte).unwrap() == 1 {
            log.push(byte[0].into());
            if log.ends_with(words) {
                return log;
            }
        }
        panic!("the process ended: {log}");
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends SIGTERM and returns the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let id = self.id().to_string();
        let kill = Command::new("kill").arg(id).status();
        assert!(kill.unwrap().success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a port such that it and the next two are free.
pub(crate) fn ports() -> u16 {
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        if port < 65_000 && (port..port + 3).all(is_free) {
            return port;
        }
    }
}

/// Waits until something accepts connections.
#[track_caller]
pub(crate) fn wait_for_port(port: u16) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "nothing listens on {port}"
        );
        sleep(Duration::from_millis(20));
    }
}
