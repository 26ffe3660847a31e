//! What comes before every call of the control plane: it is counted, and its API key is checked.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use switchtower_e2b_wire::errors::api;

use super::errors::Refusal;
use crate::fake::Fake;
use crate::faults::FaultKind;
use crate::latency::Operation;

/// Counts a call and checks its key.
pub(super) fn check(fake: &Fake, headers: &HeaderMap) -> Result<(), Refusal> {
    let state = &fake.state;
    state.sandboxes.count(|counts| counts.api_calls += 1);
    let refuse = |message: &str| Err(api(StatusCode::UNAUTHORIZED, message).into());
    let key = headers.get("x-api-key").map(HeaderValue::as_bytes).unwrap_or_default();
    if state.faults.triggers(FaultKind::Auth, &state.random) {
        return refuse("Invalid API key");
    }
    match &state.settings.key {
        _ if key.is_empty() => refuse("Invalid API key format"),
        Some(known) if known.as_bytes() != key => refuse("Invalid API key"),
        _ => Ok(()),
    }
}

/// As [`check`], then waits as long as such a call takes.
pub(super) async fn check_and_wait(fake: &Fake, headers: &HeaderMap) -> Result<(), Refusal> {
    check(fake, headers)?;
    fake.simulate_latency(Operation::Other).await;
    Ok(())
}
