//! `switchtower cache`: shows the counts and bars of a running server's result cache, and lifts the bars.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::exit::CliError;
use super::operator::{HELP, Server};
use super::terminal;
use crate::config::SettingsSource;

/// Arguments of `cache`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Cache {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Print the counts, and the programs and rules that are barred because two runs of one request differed.
    Show,
    /// Lift all bars. Look at their reasons first.
    Reset,
}

impl Cache {
    pub(super) fn cache(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let operator = self.server.operator(source)?;
        let answer = match &self.action {
            Action::Show => operator.call("GET", "/v1/admin/cache")?,
            Action::Reset => operator.call("POST", "/v1/admin/cache/bars/reset")?,
        };
        let text = serde_json::to_string_pretty(&answer).map_err(|error| CliError::failed(error.to_string()))?;
        terminal::out(&format!("{text}\n"));
        Ok(ExitCode::SUCCESS)
    }
}
