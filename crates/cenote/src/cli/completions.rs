//! `cenote completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use super::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: &CompletionsArgs) -> Result<(), Failure> {
    clap_complete::generate(arguments.shell, &mut Cli::command(), "cenote", &mut std::io::stdout());
    Ok(())
}
