//! Local machines in a build without the Cargo feature `machine`: absent, with the reason.

use std::sync::Arc;

use switchtower_core::router::Router;
use switchtower_core::tier::AbsentTier;

use super::{MachineReport, NamedBackend, not_built};
use crate::config::Config;

/// The reason why the tier is absent; `None` if it is disabled.
#[derive(Default)]
pub(super) struct MachineTier {
    pub(super) absent: Option<AbsentTier>,
}

fn absent(config: &Config) -> AbsentTier {
    not_built::tier(config.machine.tier.clone(), "machine", true)
}

impl MachineTier {
    pub(super) fn for_command(config: &Config, _has_cloud: bool) -> Self {
        Self { absent: config.machine.enabled.then(|| absent(config)) }
    }

    pub(super) fn for_server(config: &Config, has_cloud: bool, _report: fn(&str)) -> Self {
        Self::for_command(config, has_cloud)
    }

    pub(super) fn backends(&self, _config: &Config) -> Option<NamedBackend> {
        None
    }

    pub(super) fn start_pool(&self, _router: Arc<Router>) -> impl Future<Output = ()> + use<> {
        std::future::ready(())
    }

    pub(super) async fn started(config: &Config, has_cloud: bool) -> Self {
        Self::for_command(config, has_cloud)
    }

    pub(super) async fn close(self) {}
}

/// Returns the state of local machines, as `doctor` reports it.
pub async fn check_machines(config: &Config) -> MachineReport {
    if config.machine.enabled { MachineReport::Absent(absent(config)) } else { MachineReport::Disabled }
}
