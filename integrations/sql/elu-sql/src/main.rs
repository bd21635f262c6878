//! The command `elu-sql`: SQL queries with ELU on Parquet files, in one process or on a cluster.

mod api;
mod args;
mod cluster;
mod executor;
mod identity;
mod lease;
mod output;
mod progress;
mod query;
mod root;
mod scheduler;
mod session;
mod stages;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use tokio::runtime::Builder;

use args::{Cli, Command};

fn main() -> ExitCode {
    let command = match Cli::command_line() {
        Ok(command) => command,
        Err(error) => {
            let _ = error.print(); // if the stream is closed, only the exit code is left
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let log = match command {
        Command::Query(_) => "off",
        Command::Scheduler(_) | Command::Executor(_) => "info",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(log)).init();
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            let line = one_line(&format!("{error:#}"));
            let _ = writeln!(io::stderr(), "elu-sql: {line}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let engine = Builder::new_multi_thread().enable_all().build()?;
    let result = match command {
        // The engine may compute for minutes without a pause on all of its threads. Time limits and signals need a thread
        // of their own.
        Command::Query(args) => {
            let control = Builder::new_current_thread().enable_all().build()?;
            control.block_on(query::run(&args, engine.handle()))
        }
        Command::Scheduler(args) => engine.block_on(scheduler::run(&args)),
        Command::Executor(args) => engine.block_on(executor::run(&args)),
    };
    engine.shutdown_background(); // does not wait
    result
}

/// Returns a message without line breaks and control characters: engines put plans and lists into their messages.
fn one_line(message: &str) -> String {
    let words: Vec<_> = message.split_whitespace().collect();
    let line = words.join(" ");
    line.chars()
        .filter(|character| !character.is_control())
        .collect()
}
