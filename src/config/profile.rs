//! Named sets of settings, which come before all that an operator sets.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A named set of settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SettingsProfile {
    /// Machines are bought when they are needed; an hour's budget only warns.
    #[default]
    Default,
    /// The numbers of the system that Switchtower's requirements come from: a pool of 2, 3 and 10 sandboxes, 6 requests at
    /// once, 2 of one user, a budget by plan, and its template.
    Seed,
    /// The ports, languages and limits of a service with one container for each language: 5000 and 8765, 256 MiB and half a
    /// processor, 30 seconds, machines that are always up.
    Containers,
}

impl SettingsProfile {
    /// Returns its name, as settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Seed => "seed",
            Self::Containers => "containers",
        }
    }

    /// Returns its settings, as a file has them.
    pub(super) fn settings(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Seed => include_str!("profiles/seed.toml"),
            Self::Containers => include_str!("profiles/containers.toml"),
        }
    }

    /// Returns the profile that a layer names in any of its readings.
    pub(super) fn named_in(readings: &[Value]) -> Option<Self> {
        readings.iter().find_map(|layer| serde_json::from_value(layer.get("profile")?.clone()).ok())
    }
}
