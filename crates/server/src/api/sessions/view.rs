//! A session as its owner sees it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use switchtower_core::session::{ContextInfo, Session, SessionState};

#[derive(Serialize)]
pub(super) struct Described {
    id: String,
    state: &'static str,
    /// It ends when nobody has used it for so long.
    idle_ms: u64,
    created_at: String,
    expires_at: String,
    tier: String,
    metadata: BTreeMap<String, String>,
    contexts: Vec<DescribedContext>,
}

#[derive(Serialize)]
pub(super) struct DescribedContext {
    id: String,
    folder: String,
}

impl Described {
    pub(super) fn of(session: &Session) -> Self {
        let asked = session.options();
        Self {
            id: session.id().to_owned(),
            state: match session.state() {
                SessionState::Running => "running",
                SessionState::Paused => "paused",
                SessionState::Ended => "ended",
            },
            idle_ms: u64::try_from(asked.timeout.as_millis()).unwrap_or(u64::MAX),
            created_at: timestamp(session.started_at()),
            expires_at: timestamp(session.ends_at()),
            tier: tier(session),
            metadata: asked.metadata.clone(),
            contexts: session.contexts().into_iter().map(DescribedContext::from).collect(),
        }
    }
}

impl From<ContextInfo> for DescribedContext {
    fn from(context: ContextInfo) -> Self {
        Self { id: context.id, folder: context.folder }
    }
}

/// Where it is.
fn tier(session: &Session) -> String {
    session.tier().map_or_else(|| "local".to_owned(), ToString::to_string)
}

/// ISO 8601 with milliseconds, UTC.
fn timestamp(time: SystemTime) -> String {
    format!("{:.3}", jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX))
}
