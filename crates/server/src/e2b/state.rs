//! What all handlers of the E2B API share.

use switchtower_core::session::Sessions;

use super::link_failures::LinkFailures;
use super::recent_sandboxes::RecentSandboxes;
use crate::service::body::BodyReader;
use crate::service::keys::ApiKeys;

pub(super) struct E2bState {
    pub(super) sessions: Sessions,
    pub(super) keys: ApiKeys,
    /// The domain of sandboxes in the settings.
    pub(super) domain: Option<String>,
    /// Whether interpreters that answer without a token may be created.
    pub(super) allows_open_interpreters: bool,
    /// Whether ports answer without a token where a creation does not say.
    pub(super) public_ports: bool,
    pub(super) bodies: BodyReader,
    /// The sandboxes that a signed link without a sandbox id may belong to.
    pub(super) recent_sandboxes: RecentSandboxes,
    pub(super) link_failures: LinkFailures,
}
