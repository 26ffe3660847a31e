//! What a record keeps of a program's analysis.

use serde::{Deserialize, Serialize};

use crate::analyse::{Class, Profile};
use crate::request::SideEffects;

/// The part of a [`Profile`] that is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSummary {
    pub class: Class,
    pub score: f64,
    pub signals: Vec<SignalSummary>,
    pub side_effects: SideEffects,
    /// Bytes that its literal sizes and its files ask for.
    pub memory_bytes: u64,
    /// Whether the static proof says that the same program has the same output.
    pub deterministic: bool,
    /// Why not: the first few reasons.
    pub reasons: Vec<String>,
}

/// One part of the score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalSummary {
    pub name: String,
    pub weight: f64,
    pub value: f64,
}

impl From<&Profile> for ProfileSummary {
    fn from(profile: &Profile) -> Self {
        let signal = |signal: &crate::analyse::Signal| SignalSummary {
            name: signal.name.to_owned(),
            weight: signal.weight,
            value: signal.value,
        };
        Self {
            class: profile.class,
            score: profile.score,
            signals: profile.signals.iter().map(signal).collect(),
            side_effects: profile.side_effects,
            memory_bytes: profile.memory,
            deterministic: profile.verdict.deterministic,
            reasons: profile.verdict.reasons.iter().map(|reason| reason.text.clone()).collect(),
        }
    }
}
