//! The command `elu`. The public modules are those that the benchmarks and the fuzz targets use: [`npy`], [`npz`] and
//! [`safetensors`] read files, [`entries`] describes what they contain, [`bytes`] contains the types of their readers
//! and writers, and [`timing`] measures times.

mod advice;
mod bench;
pub mod bytes;
mod check;
mod completions;
mod content;
mod device_args;
pub mod entries;
mod files;
mod function;
mod info;
mod input;
mod interrupt;
mod json;
pub mod npy;
pub mod npz;
mod output;
mod plot;
mod run;
pub mod safetensors;
mod shader;
pub mod timing;

use std::{
    backtrace::Backtrace,
    ffi::OsString,
    io::{self, Write},
    panic,
    sync::{Arc, Mutex, PoisonError},
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

const AFTER_HELP: &str = "\
Examples:
  elu run x.npy -o y.npy              # applies ELU to a file
  elu check -d cpu --dtype float16    # measures the errors of the CPU path
  elu help run                        # prints every option of `elu run`

Exit codes: 0 success; 1 an error, or `elu check` found a result that breaks the contract; 2 a wrong command line; 130 \
stopped by Ctrl-C; any other code above 128 stopped by another signal. Files are written completely or not at all. \
After a failure, standard output may have received a part of the result, except with exit code 2.

Environment variables: WGPU_BACKEND (vulkan, metal, dx12, gl), WGPU_ADAPTER_NAME (a part of the name) and \
WGPU_POWER_PREF (low, high, none) select an adapter; RAYON_NUM_THREADS sets the number of threads of the CPU path; \
RUST_LOG=info prints wgpu's log to standard error.";

/// Compute the ELU activation on a GPU, through wgpu, or on the CPU
#[derive(Parser)]
#[command(name = "elu", version, arg_required_else_help = true, after_long_help = AFTER_HELP)]
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
    Completions(completions::Args),
}

/// Runs the command and returns its exit code. The first of `args` is the program's name.
///
/// Installs a panic hook and signal handlers, and a logger unless the process already has one.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    // Only a panic that ends the command is printed. The library turns panics of drivers into errors.
    panic::set_hook(Box::new(|panic| {
        log::error!("{panic}\n{}", Backtrace::capture());
        let place = panic.location().map(ToString::to_string);
        *PANIC_PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place.unwrap_or_default();
    }));
    match catch_panic(|| run(args)) {
        Ok(()) => 0,
        // The reader of a pipe, such as `head`, has read what it needs.
        Err(error) if is_broken_pipe(&error) => 0,
        Err(error) => {
            if let Some(error) = error.downcast_ref::<clap::Error>() {
                return print(error);
            }
            report(&format!("{error:#}"));
            if is_usage_error(&error) { 2 } else { 1 }
        }
    }
}

/// Returns whether standard input, output or error was closed when the process started.
pub fn a_standard_stream_is_closed() -> bool {
    output::a_standard_stream_is_closed()
}

/// The place in the code of the last panic.
static PANIC_PLACE: Mutex<String> = Mutex::new(String::new());

/// Calls `run`. A panic becomes an error.
fn catch_panic(run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    panic::catch_unwind(panic::AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref().copied());
        let place = PANIC_PLACE.lock().unwrap_or_else(PoisonError::into_inner);
        Err(anyhow::anyhow!(
            "internal error: {} ({place})",
            message.unwrap_or("no message")
        ))
    })
}

fn run(args: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
    device_args::check_log_variable()?;
    // Fails if the process already has a logger, which then stays.
    let _ = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off"))
        .try_init();
    let args: Vec<OsString> = args.into_iter().collect();
    let matches = Cli::command()
        .try_get_matches_from(&args)
        .map_err(|error| advice::with_advice(error, &args, &Cli::command()))?;
    interrupt::listen();
    let done = match Cli::from_arg_matches(&matches)?.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Shader(args) => shader::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
    };
    done.map_err(|error| match error.downcast::<Conflict>() {
        Ok(conflict) => conflict.in_subcommand(matches.subcommand_name()),
        Err(error) => error,
    })
}

/// Prints help, the version or a usage error as clap formats it, and returns the exit code.
fn print(error: &clap::Error) -> u8 {
    if error.use_stderr() {
        let _ = error.print(); // if standard error is closed or full, only the exit code is left
        return 2;
    }
    let printed = output::Output::stdout().and_then(|_| Ok(error.print()?));
    match printed {
        Err(error) if !is_broken_pipe(&error) => {
            report(&format!("{error:#}"));
            1
        }
        _ => 0,
    }
}

/// Prints an error on one line of standard error.
fn report(message: &str) {
    // File names and dtype names may contain control characters. Escapes them, so that the message stays on one line.
    let line: String = message.chars().flat_map(escape_control).collect();
    // If standard error is closed or full, only the exit code is left.
    let _ = writeln!(io::stderr(), "elu: {line}");
}

/// An error in the command line that clap does not detect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Arguments that contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Conflict(String);

impl Conflict {
    /// Converts the error into clap's, with the usage line of the subcommand.
    fn in_subcommand(self, name: Option<&str>) -> anyhow::Error {
        let mut cli = Cli::command();
        cli.build(); // a subcommand's usage line contains the names of its parents only then
        let command = match name.and_then(|name| cli.find_subcommand_mut(name)) {
            Some(subcommand) => subcommand,
            None => &mut cli,
        };
        command.error(ErrorKind::ArgumentConflict, self.0).into()
    }
}

/// Returns whether the command line caused the error. `NotInvertible` is such an error, because the operation and alpha
/// come from the command line.
fn is_usage_error(error: &anyhow::Error) -> bool {
    let library_error = error.downcast_ref::<wgpu_elu::Error>();
    error.is::<Usage>() || matches!(library_error, Some(wgpu_elu::Error::NotInvertible { .. }))
}

/// Returns whether the reader of a pipe that the command writes to has closed it.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        // The library's errors contain I/O errors in an `Arc`.
        let shared = cause.downcast_ref::<Arc<io::Error>>();
        let cause = cause.downcast_ref().or(shared.map(|shared| &**shared));
        cause.is_some_and(|cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Builds a usage error (exit code 2).
fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Builds a usage error for arguments that contradict each other. It is printed in the form of clap's own errors.
fn conflict(message: &str) -> anyhow::Error {
    Conflict(message.into()).into()
}

/// Escapes a control character, for example as `\n`, and returns every other character unchanged.
fn escape_control(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let unchanged = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(unchanged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        *PANIC_PLACE.lock().unwrap() = "src/a.rs:1:2".into();
        for (error, message) in [
            (catch_panic(|| panic!("words")), "words"),
            (catch_panic(|| panic!("{} words", 2)), "2 words"),
            (catch_panic(|| panic::panic_any(3)), "no message"),
        ] {
            assert_eq!(
                error.unwrap_err().to_string(),
                format!("internal error: {message} (src/a.rs:1:2)")
            );
        }
    }
}
