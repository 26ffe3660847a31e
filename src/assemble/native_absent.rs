//! The native tier in a build without the Cargo feature `native`: absent, with the reason.

use std::sync::Arc;

use switchtower_contract::Backend;
use switchtower_core::tier::AbsentTier;

use super::{BuildError, NamedBackend, NativeReport};
use crate::config::Config;

const REASON: &str = "this build of Switchtower does not include it";
const REMEDY: &str = "build with the Cargo feature `native`";

/// The reason why the tier is absent; `None` if it is disabled.
#[derive(Default)]
pub(super) struct NativeTier {
    pub(super) absent: Option<AbsentTier>,
}

fn absent(config: &Config) -> AbsentTier {
    let tier = config.native.tier.clone();
    AbsentTier { tier, reason: REASON.to_owned(), remedy: Some(REMEDY.to_owned()), machine: false }
}

impl NativeTier {
    pub(super) fn for_command(config: &Config) -> Self {
        Self { absent: config.native.enabled.then(|| absent(config)) }
    }

    pub(super) async fn for_server(config: &Config) -> Self {
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
        Err(BuildError::new(format!("the native tier is needed, and {REASON}; {REMEDY}")))
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
