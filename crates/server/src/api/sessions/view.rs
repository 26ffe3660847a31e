//! Sessions and contexts as JSON.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use switchtower_core::session::{ContextInfo, Session, SessionState};

#[derive(Serialize)]
pub(super) struct SessionView {
    id: String,
    state: &'static str,
    /// The session ends after this time without a use.
    idle_ms: u64,
    created_at: String,
    expires_at: String,
    tier: String,
    metadata: BTreeMap<String, String>,
    contexts: Vec<ContextView>,
}

#[derive(Serialize)]
pub(super) struct ContextView {
    id: String,
    folder: String,
}

impl SessionView {
    pub(super) fn of(session: &Session) -> Self {
        let options = session.options();
        Self {
            id: session.id().to_owned(),
            state: match session.lifetime().state() {
                SessionState::Running => "running",
                SessionState::Paused => "paused",
                SessionState::Ended => "ended",
            },
            idle_ms: u64::try_from(options.timeout.as_millis()).unwrap_or(u64::MAX),
            created_at: timestamp(session.lifetime().started_at()),
            expires_at: timestamp(session.lifetime().ends_at()),
            tier: tier(session),
            metadata: options.metadata.clone(),
            contexts: session.contexts().infos().into_iter().map(ContextView::from).collect(),
        }
    }
}

impl From<ContextInfo> for ContextView {
    fn from(context: ContextInfo) -> Self {
        Self { id: context.id, folder: context.folder }
    }
}

/// Returns the tier of the session.
fn tier(session: &Session) -> String {
    session.machine_slot().tier().map_or_else(|| "local".to_owned(), |tier| tier.to_string())
}

/// ISO 8601 with milliseconds, UTC.
fn timestamp(time: SystemTime) -> String {
    format!("{:.3}", jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX))
}
