//! Sandboxes as the control plane describes them.

use serde_json::{Value, json};
use switchtower_core::session::{AtEnd, Session, SessionState};

use super::super::response::zulu;

/// The version of envd whose features are served: raw uploads, `CloseStdin`, a default user.
const ENVD: &str = "0.5.7";
/// E2B's clients require a client id; it identifies nothing here.
const CLIENT: &str = "switchtower";

/// The resources that sandboxes are described with. Programs of a local sandbox have the limits of their tier instead.
pub(super) const CPUS: u32 = 2;
pub(super) const MEMORY_MB: u64 = 2048;
pub(super) const DISK_MB: u64 = 10 << 10;

/// Returns the answer to `create` and `connect`.
pub(super) fn sandbox(session: &Session) -> Value {
    json!({
        "templateID": session.options().template,
        "alias": session.options().template,
        "sandboxID": session.id(),
        "clientID": CLIENT,
        "envdVersion": ENVD,
        "envdAccessToken": session.access_token(),
        // The SDKs send it with calls to the interpreter, users with calls to other ports.
        "trafficAccessToken": session.traffic_token(),
        "domain": null,
    })
}

/// Returns an entry of the list.
pub(super) fn listed(session: &Session) -> Value {
    let asked = session.options();
    json!({
        "templateID": asked.template,
        "alias": asked.template,
        "sandboxID": session.id(),
        "clientID": CLIENT,
        "startedAt": zulu(session.started_at()),
        "endAt": zulu(session.ends_at()),
        "envdVersion": ENVD,
        "cpuCount": CPUS,
        "memoryMB": MEMORY_MB,
        "diskSizeMB": DISK_MB,
        "metadata": asked.metadata,
        "state": if session.state() == SessionState::Paused { "paused" } else { "running" },
    })
}

/// Returns the answer to `GET /sandboxes/{id}`.
pub(super) fn detail(session: &Session) -> Value {
    let asked = session.options();
    let mut detail = listed(session);
    detail["envdAccessToken"] = session.access_token().into();
    detail["domain"] = Value::Null;
    detail["lifecycle"] = json!({
        "onTimeout": if asked.at_end == AtEnd::Pause { "pause" } else { "kill" },
        "autoResume": asked.auto_resume,
    });
    detail
}
