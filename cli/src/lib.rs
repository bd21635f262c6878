//! The command `elu`. The public modules are those that the benchmarks and the fuzz targets use: [`npy`] and
//! [`safetensors`] read files, [`bytes`] contains the types of their readers and writers, and [`timing`] measures
//! times.

mod bench;
pub mod bytes;
mod check;
mod device_args;
mod files;
mod info;
mod interrupt;
pub mod npy;
mod output;
mod plot;
mod run;
pub mod safetensors;
mod shader;
pub mod timing;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

const AFTER_HELP: &str = "\
Exit codes: 0 success; 1 an error, or `elu check` found a result that breaks the contract; 2 a wrong command line; 130 \
stopped by Ctrl-C; any other code above 128 stopped by another signal. Files are written completely or not at all. \
After a failure, standard output may have received a part of the result, except with exit code 2.

Environment variables: WGPU_BACKEND (vulkan, metal, dx12, gl), WGPU_ADAPTER_NAME (a part of the name) and \
WGPU_POWER_PREF (low, high) select an adapter; RAYON_NUM_THREADS sets the number of threads of the CPU path; \
RUST_LOG=info prints wgpu's log to standard error.";

/// Compute the ELU activation on a GPU, through wgpu, or on the CPU
#[derive(Parser)]
#[command(name = "elu", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Bench(bench::Args),
    Info(info::Args),
    Shader(shader::Args),
}

/// Runs the command and returns its exit code. The first of `args` is the program's name.
///
/// If `args` ask for help or the version, or if clap rejects them, this function ends the process and does not return.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Fails if the process already has a logger, which then stays.
    let _ = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off"))
        .try_init();
    let command = Cli::parse_from(args).command;
    interrupt::listen();
    let result = match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Shader(args) => shader::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // File names and dtype names may contain control characters. Escapes them, so that the message stays on one
            // line.
            let line: String = format!("{error:#}")
                .chars()
                .flat_map(escape_control)
                .collect();
            eprintln!("elu: {line}");
            if is_usage_error(&error) {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// An error in the command line that clap does not detect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Returns whether the command line caused the error. `NotInvertible` is such an error, because the operation and alpha
/// come from the command line.
fn is_usage_error(error: &anyhow::Error) -> bool {
    let library_error = error.downcast_ref::<wgpu_elu::Error>();
    error.is::<Usage>() || matches!(library_error, Some(wgpu_elu::Error::NotInvertible { .. }))
}

/// Builds a usage error (exit code 2).
fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Escapes a control character, for example as `\n`, and returns every other character unchanged.
fn escape_control(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let unchanged = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(unchanged)
}
