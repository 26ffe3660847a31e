//! `switchtower breaker`: how a running server's circuit breaker stands, and closing it by hand.

use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use http::Request;
use switchtower_e2b::{Transport as _, Web};

use super::exit::Complaint;
use super::terminal;

/// Arguments of `breaker`.
#[derive(Debug, Args)]
#[command(after_help = "\
The server must have an admin key (http.admin_key, or SWITCHTOWER_HTTP_ADMIN_KEY); the same setting is read here.")]
pub(super) struct Breaker {
    #[command(subcommand)]
    what: What,
    /// Where the server is.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "CODE_EXECUTION_URL",
        default_value = "http://localhost:3001"
    )]
    server: String,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Print the state, the failures in a row, and when a probe may go.
    Show {
        #[arg(value_name = "TIER", default_value = "e2b")]
        tier: String,
    },
    /// Close it, whatever it has seen.
    Reset {
        #[arg(value_name = "TIER", default_value = "e2b")]
        tier: String,
    },
}

impl Breaker {
    pub(super) fn breaker(&self, file: Option<&Path>) -> Result<ExitCode, Complaint> {
        let config = crate::config::load(file, serde_json::json!({}))?;
        let key = config.http.admin_key.ok_or_else(|| {
            Complaint::usage(
                "there is no admin key: set http.admin_key, or SWITCHTOWER_HTTP_ADMIN_KEY, as at the server",
            )
        })?;
        let text = match &self.what {
            What::Show { tier } => {
                let tiers = self.ask(&key, "GET", "/v1/admin/tiers")?;
                let all = tiers.as_array().map(Vec::as_slice).unwrap_or_default();
                let found = all.iter().find(|standing| standing["tier"] == tier.as_str());
                let found = found.ok_or_else(|| Complaint::usage(format!("the server has no tier {tier}")))?;
                match &found["breaker"] {
                    serde_json::Value::Null => format!("the tier {tier} has no breaker"),
                    breaker => breaker.to_string(),
                }
            }
            What::Reset { tier } => {
                self.ask(&key, "POST", &format!("/v1/admin/tiers/{tier}/breaker/reset"))?.to_string()
            }
        };
        terminal::out(&format!("{text}\n"));
        Ok(ExitCode::SUCCESS)
    }

    fn ask(&self, key: &str, method: &str, path: &str) -> Result<serde_json::Value, Complaint> {
        let server = self.server.trim_end_matches('/');
        let request = Request::builder()
            .method(method)
            .uri(format!("{server}{path}"))
            .header("authorization", format!("Bearer {key}"))
            .body(Bytes::new())
            .map_err(|error| Complaint::usage(format!("--server {server}: {error}")))?;
        let unreachable = |error: &dyn std::fmt::Display| {
            Complaint::failed(format!("no answer from {server}: {error}; is `switchtower serve` running there?"))
        };
        super::runtime(1)?.block_on(async {
            let web = Web::new().map_err(|error| Complaint::failed(error.to_string()))?;
            let response = web.send(request).await.map_err(|error| unreachable(&error))?;
            let status = response.status();
            let (mut body, mut pieces) = (Vec::new(), response.into_body());
            while let Some(piece) = pieces.next().await {
                body.extend_from_slice(&piece.map_err(|error| unreachable(&error))?);
            }
            let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            if status.is_success() {
                return Ok(answer);
            }
            let detail = answer["detail"].as_str().unwrap_or("it gives no reason");
            Err(Complaint::failed(format!("{server} refuses ({}): {detail}", status.as_u16())))
        })
    }
}
