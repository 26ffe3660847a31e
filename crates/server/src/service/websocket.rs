//! WebSockets of clients: which are opened, and what bounds them.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts as _, Request};
use axum::http::{HeaderMap, HeaderValue, header};

use super::problem::{Problem, ProblemKind};
use super::stopping::Stopping;

/// Pings without any answer after which the client is gone.
pub(crate) const UNANSWERED_PINGS: u32 = 3;

/// Accepts a request for a WebSocket with messages of at most so many bytes.
///
/// # Errors
/// It is no such request, or comes from a page of another site.
pub(crate) async fn accept(
    request: Request,
    max_message_bytes: usize,
) -> Result<(WebSocketUpgrade, Stopping), Problem> {
    let (mut parts, _) = request.into_parts();
    check_origin(&parts.headers)?;
    let stopping = Stopping::of(&parts.extensions);
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map_err(|error| Problem::field("Upgrade", format!("this path is for WebSocket: {error}")))?;
    Ok((upgrade.max_message_size(max_message_bytes).max_frame_size(max_message_bytes), stopping))
}

/// Refuses pages of other sites: a browser sends their WebSocket requests, unlike others, without asking first.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_own =
        [&b"http://"[..], b"https://"].iter().any(|scheme| origin.as_bytes().strip_prefix(*scheme) == Some(host));
    let refusal = || Problem::new(ProblemKind::Forbidden, "a page of another origin may not open a WebSocket here");
    is_own.then_some(()).ok_or_else(refusal)
}
