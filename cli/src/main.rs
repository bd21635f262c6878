//! The command `elu`.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    without_wayland_message();
    elu_cli::main(std::env::args_os())
}

/// Starts the command again with `XDG_RUNTIME_DIR` set, if it is not set, as in containers. Mesa's drivers look for Wayland
/// even if nothing is drawn, and Wayland's library prints two errors if the variable is not set. Setting a variable of
/// the running process would be unsafe in Rust.
#[cfg(target_os = "linux")]
fn without_wayland_message() {
    use std::{env, os::unix::process::CommandExt, process::Command};

    // A new process could not detect that standard output is closed.
    if env::var_os("XDG_RUNTIME_DIR").is_some() || elu_cli::stdout_is_closed() {
        return;
    }
    if let Ok(program) = env::current_exe() {
        let mut args = env::args_os();
        let mut command = Command::new(program);
        if let Some(name) = args.next() {
            command.arg0(name);
        }
        // Any absolute path avoids the errors. One that does not exist cannot contain a Wayland socket of somebody else.
        let command = command.args(args).env("XDG_RUNTIME_DIR", "/nonexistent");
        // Returns only if it fails. The command then runs in this process.
        let _ = command.exec();
    }
}
