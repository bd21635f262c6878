//! The command `elu`.

use std::process::ExitCode;

fn main() -> ExitCode {
    elu_cli::main(std::env::args_os())
}
