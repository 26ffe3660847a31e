//! Sandboxes as the control plane describes them.

use serde_json::{Value, json};
use switchtower_core::session::{AtEnd, Session, SessionState};
use switchtower_e2b_wire::control::{Details, SandboxInfo, State};

use super::network;

/// The version of envd whose features are served: uploads as they are or compressed, metadata of files, watches whose
/// events have their entries, watches of network mounts.
const ENVD_VERSION: &str = "0.6.4";

/// E2B's clients require a client id; it identifies nothing here.
const CLIENT: &str = "switchtower";

fn describe<'a>(session: &'a Session, domain: Option<&'a str>) -> SandboxInfo<'a> {
    SandboxInfo {
        id: session.id(),
        client: CLIENT,
        template: &session.options().template,
        access_token: session.access_token(),
        // The SDKs send it with calls to the interpreter, users with calls to other ports.
        traffic_token: Some(session.traffic_token()),
        envd_version: ENVD_VERSION,
        domain,
    }
}

fn details(session: &Session) -> Details<'_> {
    Details {
        started: session.lifetime().started_at(),
        ends: session.lifetime().ends_at(),
        metadata: &session.options().metadata,
        state: if session.lifetime().state() == SessionState::Paused { State::Paused } else { State::Running },
    }
}

/// Returns the answer to a creation or a connection.
pub(super) fn connection(session: &Session, domain: &str) -> Value {
    describe(session, Some(domain)).connection()
}

/// Returns an entry of the list.
pub(super) fn list_entry(session: &Session) -> Value {
    describe(session, None).list_entry(&details(session))
}

/// Returns the answer to `GET /sandboxes/{id}`.
pub(super) fn detail(session: &Session, domain: &str) -> Value {
    let options = session.options();
    let mut detail = describe(session, Some(domain)).detail(&details(session));
    let (internet, network) = network::describe(session);
    detail["allowInternetAccess"] = internet;
    detail["network"] = network.into();
    detail["lifecycle"] = json!({
        "onTimeout": if options.at_end == AtEnd::Pause { "pause" } else { "kill" },
        "autoResume": options.auto_resume,
    });
    detail
}
