//! Calls the admin API of a running server, with the admin key of the same settings.

use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;
use http::Request;
use serde_json::Value;
use switchtower_e2b::{HttpTransport, Transport as _};

use super::exit::CliError;
use crate::config::SettingsSource;

/// The help text of every command that calls the admin API.
pub(super) const HELP: &str = "\
The server must have an admin key (http.admin_key, or SWITCHTOWER_HTTP_ADMIN_KEY); the same setting is read here.";

/// The argument that selects a server.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// The URL of the server; by default this machine, at the port in the settings.
    #[arg(long, global = true, value_name = "URL", env = "CODE_EXECUTION_URL")]
    server: Option<String>,
}

/// A client of one server's admin API.
pub(super) struct Operator {
    server: String,
    key: String,
}

impl Server {
    /// Returns a client of the selected server.
    ///
    /// # Errors
    /// The settings cannot be read, or have no admin key.
    pub(super) fn operator(&self, source: &SettingsSource) -> Result<Operator, CliError> {
        let config = crate::config::load(source)?;
        let key = config.http.admin_key.ok_or_else(|| {
            CliError::usage(
                "there is no admin key: set http.admin_key or SWITCHTOWER_HTTP_ADMIN_KEY to the server's admin key",
            )
        })?;
        let local = || format!("http://localhost:{}", config.http.port);
        let server = self.server.as_deref().map_or_else(local, |server| server.trim_end_matches('/').to_owned());
        Ok(Operator { server, key })
    }
}

impl Operator {
    /// Returns the server's answer.
    ///
    /// # Errors
    /// The server does not answer, or refuses; the message gives the reason.
    pub(super) fn call(&self, method: &str, path: &str) -> Result<Value, CliError> {
        let Self { server, key } = self;
        let request = Request::builder()
            .method(method)
            .uri(format!("{server}{path}"))
            .header("authorization", format!("Bearer {key}"))
            .body(Bytes::new())
            .map_err(|error| CliError::usage(format!("--server {server}: {error}")))?;
        let unreachable = |error: &dyn std::fmt::Display| {
            CliError::failed(format!("no answer from {server}: {error}; is `switchtower serve` running there?"))
        };
        super::runtime(1)?.block_on(async {
            let web = HttpTransport::new().map_err(|error| CliError::failed(error.to_string()))?;
            let response = web.send(request).await.map_err(|error| unreachable(&error))?;
            let status = response.status();
            let (mut body, mut pieces) = (Vec::new(), response.into_body());
            while let Some(piece) = pieces.next().await {
                body.extend_from_slice(&piece.map_err(|error| unreachable(&error))?);
            }
            let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
            if status.is_success() {
                return Ok(answer);
            }
            let detail = answer["detail"].as_str().unwrap_or("it gives no reason");
            Err(CliError::failed(format!("{server} refuses ({}): {detail}", status.as_u16())))
        })
    }
}
