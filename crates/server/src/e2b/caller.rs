//! The caller of a request: the holder of an API key.

use axum::http::HeaderMap;
use switchtower_core::request::Caller;

use super::debug::{self, DebugPort};
use super::state::E2bState;

/// Returns the caller of a request, or `None` without a valid key. Without configured keys any key is valid, and each
/// key is a caller of its own. The key itself is not kept.
pub(super) fn identify(state: &E2bState, headers: &HeaderMap, debug_port: Option<DebugPort>) -> Option<Caller> {
    if !state.keys.is_empty() {
        return state.keys.caller(headers).ok();
    }
    match headers.get("x-api-key").filter(|key| !key.is_empty()) {
        Some(key) => Some(Caller::of_key(key.as_bytes())),
        None => debug_port.map(|_| debug::caller()),
    }
}
