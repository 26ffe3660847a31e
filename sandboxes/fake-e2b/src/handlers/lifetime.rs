//! The lifetime that clients request for a sandbox.

use std::time::Duration;

use axum::http::StatusCode;
use switchtower_e2b_wire::errors::api;

use super::errors::Refusal;
use crate::fake::Fake;

/// Returns a time-out in seconds as a lifetime, rounded up to whole seconds, where the plan allows it.
pub(super) fn allowed(fake: &Fake, seconds: f64) -> Result<Duration, Refusal> {
    let longest = fake.state.settings.plan.max_lifetime();
    let refuse = |message: String| Err(api(StatusCode::BAD_REQUEST, &message).into());
    match Duration::try_from_secs_f64(seconds.ceil()) {
        Ok(lifetime) if lifetime <= longest => Ok(lifetime),
        Ok(_) => refuse(format!("Timeout cannot be greater than {} hours", longest.as_secs() / 3600)),
        Err(error) => refuse(format!("Error when parsing request: timeout: {error}")),
    }
}
