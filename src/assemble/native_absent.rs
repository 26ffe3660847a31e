//! The native tier of a build without it: absent, with a sentence that says so.

use std::sync::Arc;

use switchtower_contract::Backend;
use switchtower_core::tier::AbsentTier;

use super::{BuildError, NamedBackend, NativeReport};
use crate::config::Config;

const REASON: &str = "this build of Switchtower does not have it";
const REMEDY: &str = "build with the Cargo feature `native`";

/// The tier as far as it is known here: why it is absent.
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

/// Two workers of the native tier, of which this build has none.
pub enum IndependentWorkers {}

impl IndependentWorkers {
    /// Refuses: there is no such tier.
    ///
    /// # Errors
    /// Always.
    pub async fn start(_config: &Config) -> Result<Self, BuildError> {
        Err(BuildError::new(format!("the native tier is needed, and {REASON}; {REMEDY}")))
    }

    /// Returns both, each as a backend of its own.
    pub fn backends(&self) -> [Arc<dyn Backend>; 2] {
        match *self {}
    }

    /// Ends their processes.
    pub async fn close(self) {
        match self {}
    }
}
