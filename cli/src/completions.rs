//! `elu completions`: prints the completions for a shell.

use anyhow::Result;
use clap::Command;
use clap_complete::{Shell, generate};

use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  elu completions bash > elu.bash    # source this file in ~/.bashrc
  elu completions zsh > elu.zsh      # source this file in ~/.zshrc
  elu completions fish > elu.fish    # put it into ~/.config/fish/completions

docs/cli.md in the repository has the steps for every shell.";

/// Print the completions of the command's arguments for a shell
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell that reads the completions
    #[arg(value_enum, ignore_case = true)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut command: Command) -> Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut command, "elu", &mut script);
    Output::stdout()?.write(&script)
}
