//! The cloud tiers of a build without them: absent, with a sentence that says so.

use std::time::Duration;

use switchtower_core::clock::WallClock;
use switchtower_core::router::Router;
use switchtower_core::tier::{AbsentTier, Tier};

use super::{AccountCheck, NamedBackend, not_built};
use crate::config::Config;

/// The tier that the settings have by default, as far as it is known here: why it is absent. Settings of other cloud
/// tiers are refused.
pub(super) struct Clouds {
    pub(super) absent: Vec<AbsentTier>,
}

/// Longest time to end sandboxes when a server closes.
pub(super) const CLOSING: Duration = Duration::ZERO;

fn absent() -> AbsentTier {
    not_built::tier("e2b".into(), "e2b", true)
}

impl Clouds {
    pub(super) fn for_server(_config: &Config, _wall: WallClock) -> Self {
        Self { absent: vec![absent()] }
    }

    pub(super) fn for_command(config: &Config, wall: WallClock) -> Self {
        Self::for_server(config, wall)
    }

    pub(super) fn tiers(&self, _config: &Config, _pooled: bool) -> Vec<NamedBackend> {
        Vec::new()
    }

    pub(super) fn with_account_status(&self, tier: Tier) -> Tier {
        tier
    }

    pub(super) fn maintain(&self, _router: std::sync::Arc<Router>) -> impl Future<Output = ()> + use<> {
        std::future::ready(())
    }

    /// Returns true: no sandbox is left.
    pub(super) async fn close(&self, _most: Duration) -> bool {
        true
    }
}

/// Returns the state of the cloud tiers, as `doctor` reports it.
pub async fn check_accounts(_config: &Config) -> Vec<AccountCheck> {
    vec![AccountCheck::Absent(absent())]
}
