//! Commands that this build does not include: each returns an error that names the Cargo features.

use std::process::ExitCode;

use clap::Args;

use super::exit::CliError;

/// The arguments of a command that this build does not include; all are accepted.
#[derive(Debug, Args)]
pub(super) struct Absent {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

impl Absent {
    /// Returns an error. `what`: the missing part; `features`: those that include it, as "the Cargo feature `x`".
    ///
    /// # Errors
    /// Always.
    pub(super) fn refuse(&self, what: &str, features: &str) -> Result<ExitCode, CliError> {
        Err(CliError::usage(format!("this build of Switchtower does not include {what}; build with {features}")))
    }
}
