//! Sandboxes as the control plane describes them.

use serde_json::{Value, json};
use switchtower_core::session::{AtEnd, Session, SessionState};

use super::super::response::zulu;

/// The envd whose features are here: uploads as they are, standard input that can be closed, a user by default.
const ENVD: &str = "0.5.7";
/// E2B's clients ask for the id of a machine; no machine is meant.
const CLIENT: &str = "switchtower";

/// What sandboxes are said to have. Nobody measures it: where it is local, programs have what their tier gives.
pub(super) const CPUS: u32 = 2;
pub(super) const MEMORY_MB: u64 = 2048;
pub(super) const DISK_MB: u64 = 10 << 10;

/// What creations and connections are answered with.
pub(super) fn sandbox(session: &Session) -> Value {
    json!({
        "templateID": session.options().template,
        "alias": session.options().template,
        "sandboxID": session.id(),
        "clientID": CLIENT,
        "envdVersion": ENVD,
        "envdAccessToken": session.access_token(),
        // Clients show it with every call to the interpreter, and their own clients with calls to ports.
        "trafficAccessToken": session.traffic_token(),
        "domain": null,
    })
}

/// A line of the list.
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

/// All of it.
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
