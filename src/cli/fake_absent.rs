//! `switchtower fake-e2b` and `bench seed-load` in a build without the stand-in for E2B: both return an error.

use std::process::ExitCode;

use clap::Args;

use super::exit::CliError;

/// The arguments of a command that this build does not include; all are accepted.
#[derive(Debug, Args)]
pub(super) struct FakeE2b {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

impl FakeE2b {
    pub(super) fn serve(&self) -> Result<ExitCode, CliError> {
        let why =
            "this build of Switchtower does not include the stand-in for E2B; build with the Cargo feature `fake`";
        Err(CliError::usage(why))
    }
}
