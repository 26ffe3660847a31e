//! Sandboxes as the control plane describes them.

use serde_json::{Value, json};
use switchtower_e2b_wire::control::{Details, SandboxInfo, State};

use crate::fake::Fake;
use crate::sandboxes::{SandboxEntry, SandboxState};

/// The version of envd whose features are served, apart from watches: uploads as they are, standard input that can be closed, a
/// default user, metadata of files.
const ENVD_VERSION: &str = "0.6.4";

/// The machine that every sandbox claims to run on.
const CLIENT: &str = "6532622b";

fn sandbox(entry: &SandboxEntry) -> SandboxInfo<'_> {
    let sandbox = &entry.sandbox;
    SandboxInfo {
        id: &sandbox.id,
        client: CLIENT,
        template: &sandbox.template,
        access_token: &sandbox.token,
        traffic_token: sandbox.traffic_token.as_deref(),
        envd_version: ENVD_VERSION,
        domain: None,
    }
}

fn details<'a>(fake: &Fake, entry: &'a SandboxEntry) -> Details<'a> {
    let clock = &fake.state.clock;
    Details {
        started: clock.at(entry.sandbox.started),
        ends: clock.at(entry.ends),
        metadata: &entry.sandbox.metadata,
        state: match entry.state {
            SandboxState::Running => State::Running,
            SandboxState::Paused => State::Paused,
        },
    }
}

/// Returns the answer to a creation or a connection.
pub(super) fn connection(entry: &SandboxEntry) -> Value {
    sandbox(entry).connection()
}

/// Returns an entry of the list.
pub(super) fn list_entry(fake: &Fake, entry: &SandboxEntry) -> Value {
    sandbox(entry).list_entry(&details(fake, entry))
}

/// Returns the answer to a request for one sandbox.
pub(super) fn detail(fake: &Fake, entry: &SandboxEntry) -> Value {
    let mut detail = sandbox(entry).detail(&details(fake, entry));
    let network = entry.sandbox.network();
    detail["allowInternetAccess"] = json!(network.internet);
    detail["network"] = network.network.into();
    detail
}
