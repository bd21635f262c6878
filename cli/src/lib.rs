//! The command `elu`, and the parts of it that other packages use: the readers of `.npy` and `.safetensors` files, and
//! timing.

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
Exit codes: 0 done; 1 failed, and no file was written, or `elu check` found a broken contract; 2 the command line is wrong; \
130 stopped by Ctrl-C; more than 128 stopped by another signal. No file is left half-written, but standard output may have \
received a part, except with 2.

Environment: WGPU_BACKEND (vulkan, metal, dx12, gl), WGPU_ADAPTER_NAME and WGPU_POWER_PREF (low, high) select an adapter; \
RAYON_NUM_THREADS limits the CPU path; RUST_LOG=info shows wgpu's log.";

/// The ELU activation on any GPU that wgpu supports, and on the CPU
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

/// Runs the command and returns its exit code. The first argument is the program's name. Help and a wrong command line
/// end the process.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Fails if the process already has a logger, which then stays.
    let _ = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off"))
        .try_init();
    let command = Cli::parse_from(args).command;
    interrupt::listen();
    let done = match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Shader(args) => shader::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Names of files and types may contain control characters; escaping them keeps the message on one line.
            let line: String = format!("{error:#}").chars().flat_map(visible).collect();
            eprintln!("elu: {line}");
            if is_of_the_command_line(&error) {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// An error in the command line that clap cannot detect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn is_of_the_command_line(error: &anyhow::Error) -> bool {
    let by_library = error.downcast_ref::<wgpu_elu::Error>();
    error.is::<Usage>() || matches!(by_library, Some(wgpu_elu::Error::NotInvertible { .. }))
}

/// Builds a usage error (exit code 2).
fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Escapes a control character, for example to `\n`, and returns every other character unchanged.
fn visible(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let unchanged = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(unchanged)
}
