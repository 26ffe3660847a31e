//! The settings of cloud accounts in a build without the cloud tiers: none, and each is refused.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchtower_core::route::TierName;

/// Accounts of cloud sandboxes, of which this build has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clouds {}

impl Clouds {
    /// Returns no templates: there are no accounts.
    pub fn templates(&self) -> impl Iterator<Item = String> {
        std::iter::empty()
    }

    /// Returns no keys.
    pub fn key_variables(&self) -> impl Iterator<Item = (&TierName, &str)> {
        std::iter::empty()
    }

    /// Returns no files.
    pub fn budget_files(&self) -> impl Iterator<Item = &Path> {
        std::iter::empty()
    }

    /// Returns no limits.
    pub fn doubtful_limits(&self) -> Vec<String> {
        Vec::new()
    }

    pub(super) fn problem(&self) -> Option<String> {
        None
    }

    /// Returns 0: no sandbox is left.
    pub fn limit_lifetimes(&mut self, _longest: Duration) -> Duration {
        Duration::ZERO
    }
}

/// Refuses the settings of an account.
///
/// # Errors
/// Always.
pub(super) fn defaults() -> Result<Value, String> {
    Err("this build of Switchtower has no cloud tiers; build with the Cargo feature `e2b`, or remove the setting"
        .to_owned())
}
