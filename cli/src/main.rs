//! The command `elu`.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    without_wayland_message();
    elu_cli::main(std::env::args_os()).into()
}

/// Starts the command again with a valid `XDG_RUNTIME_DIR`, if the variable is not set or not an absolute path. It is
/// often not set in containers. Mesa's drivers look for Wayland even if nothing is drawn, and Wayland's library then
/// prints two errors. Setting a variable of the running process would be unsafe in Rust.
#[cfg(target_os = "linux")]
fn without_wayland_message() {
    use std::{env, os::unix::process::CommandExt, path::Path, process::Command};

    let found = env::var_os("XDG_RUNTIME_DIR");
    let is_valid = found.is_some_and(|found| Path::new(&found).is_absolute());
    // If a standard stream is closed, Rust's runtime has opened `/dev/null` in its place. After `exec`, the stream
    // would seem to be open, and the command could not report that it was closed.
    if is_valid || elu_cli::a_standard_stream_is_closed() {
        return;
    }
    if let Ok(program) = env::current_exe() {
        let mut args = env::args_os();
        let mut command = Command::new(program);
        if let Some(name) = args.next() {
            command.arg0(name);
        }
        // Any absolute path avoids the errors. One that does not exist cannot contain a Wayland socket of somebody
        // else.
        let command = command.args(args).env("XDG_RUNTIME_DIR", "/nonexistent");
        // Returns only if it fails. The command then runs in this process.
        let _ = command.exec();
    }
}
