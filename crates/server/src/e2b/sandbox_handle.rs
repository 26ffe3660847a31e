//! A sandbox that an authorized request uses.

use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use switchtower_core::session::Session;
use switchtower_e2b_wire::errors;

use super::response::Refusal;
use super::state::E2bState;
use crate::service::body::{BodyError, ChargedBody};
use crate::service::body_limits::BodyKind;

pub(super) struct SandboxHandle {
    pub(super) state: Arc<E2bState>,
    pub(super) session: Arc<Session>,
}

impl SandboxHandle {
    /// Reads a body, charged to the sandbox's owner.
    pub(super) async fn read(&self, kind: BodyKind, headers: &HeaderMap, body: Body) -> Result<ChargedBody, BodyError> {
        self.state.bodies.read(self.session.caller(), kind, headers, body).await
    }

    /// Returns the answer for a sandbox that is not running.
    pub(super) fn not_running(&self) -> Refusal {
        Box::new(errors::sandbox_not_running(self.session.id()))
    }
}
