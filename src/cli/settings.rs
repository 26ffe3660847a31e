//! `switchtower config`: prints the settings in force, without secrets, or checks them.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::exit::CliError;
use super::{checklist, checks, terminal};
use crate::assemble;
use crate::config::{Config, SettingsSource};

/// Arguments of `config`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every setting has an environment variable: http.port is SWITCHTOWER_HTTP_PORT, and so on. The output can be used as a
configuration file. Comments at its end show the numbers that depend on this machine.")]
pub(super) struct Show {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check nine points before a deployment, without starting anything; `doctor` tries what they set.
    Check {
        /// Print the checks as JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Show {
    pub(super) fn show(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let config = crate::config::load(source)?;
        if let Some(Action::Check { json }) = self.action {
            return checks::print(&checklist::checks(&config), json);
        }
        terminal::out(&text(config, assemble::cores()).map_err(|error| CliError::failed(error.to_string()))?);
        Ok(ExitCode::SUCCESS)
    }
}

fn text(mut config: Config, cores: usize) -> Result<String, toml::ser::Error> {
    for key in config.http.keys.values_mut() {
        "(masked)".clone_into(key);
    }
    if let Some(key) = &mut config.http.admin_key {
        "(masked)".clone_into(key);
    }
    let mut text = toml::to_string(&config)?;
    let _ = writeln!(text, "\n# In force in a server on this machine, which has {cores} cores:");
    for (setting, number) in assemble::derived(&config) {
        let _ = writeln!(text, "# {setting} = {number}");
    }
    Ok(text)
}
