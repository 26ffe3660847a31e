//! Which sandbox, and which port in it, a request is for; and its body.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use switchtower_e2b_wire::errors::{api, sandbox_not_running, text, unauthorized};

use super::MAX_BODY_BYTES;
use super::errors::Refusal;
use crate::fake::Fake;
use crate::latency::Operation;
use crate::sandbox::Sandbox;

/// Returns the port and the id of the sandbox: from the headers, or from a host like `49999-ID.domain`. The port is empty
/// where the headers name none.
pub(super) fn address(headers: &HeaderMap) -> Option<(String, String)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(id) = text("e2b-sandbox-id") {
        return Some((text("e2b-sandbox-port").unwrap_or_default().to_owned(), id.to_owned()));
    }
    let (port, id) = text(header::HOST.as_str())?.split('.').next()?.split_once('-')?;
    port.parse::<u16>().ok()?;
    Some((port.to_owned(), id.to_owned()))
}

/// Returns the sandbox that a request is for. Refuses a request that names none, or one that does not run.
pub(super) fn sandbox(fake: &Fake, headers: &HeaderMap) -> Result<Arc<Sandbox>, Refusal> {
    let Some((_, id)) = address(headers) else {
        return Err(text(StatusCode::BAD_REQUEST, "missing header").into());
    };
    fake.state.sandboxes.running(&id).ok_or_else(|| sandbox_not_running(&id).into())
}

/// Whether a request has the sandbox's token.
pub(super) fn has_token(sandbox: &Sandbox, headers: &HeaderMap) -> bool {
    headers.get("x-access-token").is_some_and(|token| token.as_bytes() == sandbox.token.as_bytes())
}

/// As [`sandbox`]. Refuses a request without the sandbox's token too.
pub(super) fn sandbox_with_token(fake: &Fake, headers: &HeaderMap) -> Result<Arc<Sandbox>, Refusal> {
    let sandbox = sandbox(fake, headers)?;
    if has_token(&sandbox, headers) { Ok(sandbox) } else { Err(unauthorized().into()) }
}

/// Simulates the latency of a call, then returns [`sandbox`].
pub(super) async fn delayed_sandbox(fake: &Fake, headers: &HeaderMap) -> Result<Arc<Sandbox>, Refusal> {
    fake.simulate_latency(Operation::Other).await;
    sandbox(fake, headers)
}

/// Simulates the latency of a call, then returns [`sandbox_with_token`].
pub(super) async fn delayed_sandbox_with_token(fake: &Fake, headers: &HeaderMap) -> Result<Arc<Sandbox>, Refusal> {
    fake.simulate_latency(Operation::Other).await;
    sandbox_with_token(fake, headers)
}

/// Reads a body that a scripted sandbox answers.
pub(super) async fn read_body(body: Body) -> Result<Bytes, Refusal> {
    to_bytes(body, MAX_BODY_BYTES)
        .await
        .map_err(|error| api(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body was not read: {error}")).into())
}
