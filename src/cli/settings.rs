//! `switchtower config`: the settings in force, and nothing secret.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::exit::Complaint;
use super::terminal;

/// Arguments of `config`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every setting has a variable: http.port is SWITCHTOWER_HTTP_PORT, and so on. What is printed here can be used as a file.")]
pub(super) struct Show {}

impl Show {
    pub(super) fn show(&self, file: Option<&Path>) -> Result<ExitCode, Complaint> {
        let mut config = crate::config::load(file, serde_json::json!({}))?;
        for key in config.http.keys.values_mut() {
            "(masked)".clone_into(key);
        }
        if let Some(key) = &mut config.http.admin_key {
            "(masked)".clone_into(key);
        }
        let text = toml::to_string(&config).map_err(|error| Complaint::failed(error.to_string()))?;
        terminal::out(&text);
        Ok(ExitCode::SUCCESS)
    }
}
