//! The part of a program's analysis that its record contains.

use serde::{Deserialize, Serialize};

use super::{Class, Profile, Signal};
use crate::request::SideEffects;

/// The part of a [`Profile`] that is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSummary {
    pub class: Class,
    pub score: f64,
    pub signals: Vec<SignalSummary>,
    pub side_effects: SideEffects,
    /// Memory that the literal sizes in the program and its files require, in bytes.
    pub memory_bytes: u64,
    /// Whether the static proof says that every run of the program has the same output.
    pub deterministic: bool,
    /// The first reasons why it is not deterministic.
    pub reasons: Vec<String>,
}

/// One term of the score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalSummary {
    pub name: String,
    pub weight: f64,
    pub value: f64,
}

impl From<&Profile> for ProfileSummary {
    fn from(profile: &Profile) -> Self {
        let signal = |signal: &Signal| SignalSummary {
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
