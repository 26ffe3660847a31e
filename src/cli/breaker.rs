//! `switchtower breaker`: shows the circuit breakers of a running server, and closes one.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::exit::CliError;
use super::operator::{HELP, Server};
use super::terminal;
use crate::config::SettingsSource;

/// Arguments of `breaker`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Breaker {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Print the state, the consecutive failures, and the time until a probe is allowed.
    Show {
        #[arg(value_name = "TIER", default_value = "e2b")]
        tier: String,
    },
    /// Close the breaker, regardless of its failures.
    Reset {
        #[arg(value_name = "TIER", default_value = "e2b")]
        tier: String,
    },
}

impl Breaker {
    pub(super) fn breaker(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let operator = self.server.operator(source)?;
        let text = match &self.action {
            Action::Show { tier } => {
                let tiers = operator.call("GET", "/v1/admin/tiers")?;
                let all = tiers.as_array().map(Vec::as_slice).unwrap_or_default();
                let found = all.iter().find(|standing| standing["tier"] == tier.as_str());
                let found = found.ok_or_else(|| CliError::usage(format!("the server has no tier {tier}")))?;
                match &found["breaker"] {
                    serde_json::Value::Null => format!("the tier {tier} has no breaker"),
                    breaker => breaker.to_string(),
                }
            }
            Action::Reset { tier } => {
                operator.call("POST", &format!("/v1/admin/tiers/{tier}/breaker/reset"))?.to_string()
            }
        };
        terminal::out(&format!("{text}\n"));
        Ok(ExitCode::SUCCESS)
    }
}
