//! Calls of a running server's operator paths in a build without an HTTP client: refused.

use clap::Args;
use serde_json::Value;

use super::exit::CliError;
use crate::config::SettingsSource;

/// What every command says that would call them.
pub(super) const HELP: &str = "\
This build of Switchtower has no HTTP client, so that the command is refused. The Cargo feature `e2b` brings it.";

/// Which server.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// Where the server is.
    #[arg(long, global = true, value_name = "URL", env = "CODE_EXECUTION_URL")]
    server: Option<String>,
}

/// A server that can be called, of which there is none.
pub(super) enum Operator {}

impl Server {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub(super) fn operator(&self, _source: &SettingsSource) -> Result<Operator, CliError> {
        Err(CliError::usage(
            "this build of Switchtower has no HTTP client to call a server with; build with the Cargo feature `e2b`",
        ))
    }
}

impl Operator {
    pub(super) fn call(&self, _method: &str, _path: &str) -> Result<Value, CliError> {
        match *self {}
    }
}
