//! The native tier in a build without the Cargo feature `native`: absent, with the reason.

use std::sync::Arc;

use switchtower_contract::Backend;
use switchtower_core::tier::AbsentTier;

use super::{BuildError, NamedBackend, NativeReport, not_built};
use crate::config::Config;

/// The reason why the tier is absent; `None` if it is disabled.
#[derive(Default)]
pub(super) struct NativeTier {
    pub(super) absent: Option<AbsentTier>,
}

fn absent(config: &Config) -> AbsentTier {
    not_built::tier(config.native.tier.clone(), "native", false)
}

impl NativeTier {
    pub(super) fn for_command(config: &Config) -> Self {
        Self { absent: config.native.enabled.then(|| absent(config)) }
    }

    pub(super) fn for_server(config: &Config, _report: fn(&str)) -> Self {
        Self::for_command(config)
    }

    pub(super) fn backends(&self, _config: &Config) -> Option<NamedBackend> {
        None
    }

    pub(super) async fn close(self) {}
}

/// Returns the state of the tier, as `doctor` reports it.
pub async fn check_native(config: &Config) -> NativeReport {
    if config.native.enabled { NativeReport::Absent(absent(config)) } else { NativeReport::Disabled }
}

/// Replaces the workers of the native tier, which this build does not have.
pub enum IndependentWorkers {}

impl IndependentWorkers {
    /// Returns an error: this build has no native tier.
    ///
    /// # Errors
    /// Always.
    pub async fn start(_config: &Config) -> Result<Self, BuildError> {
        Err(not_built::error("the native tier", "native"))
    }

    /// Returns both workers, each as a backend of its own.
    pub fn backends(&self) -> [Arc<dyn Backend>; 2] {
        match *self {}
    }

    /// Ends the processes of both workers.
    pub async fn close(self) {
        match self {}
    }
}
