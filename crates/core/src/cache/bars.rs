//! What is kept out of the cache because it gave different results: a program at once, its class and rule after a few.
//!
//! A bar stays until the operator has looked and lifts it, since each one is a fault of the proof or of what a sandbox
//! observes. Without bars there would be no end of them: after three programs their class and rule are barred
//! together, so that there is a bounded number of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use super::compare::{Offset, ResultDigest};
use super::fingerprint::Digest;
use crate::analyse::Class;
use crate::route::TierName;

/// Programs of one class and rule that may differ before all of them are barred.
const RULE_AFTER: usize = 3;
/// Differences that are shown to the operator, the last ones.
const SHOWN: usize = 16;
/// Bytes of each output that are shown.
const SHOWN_BYTES: usize = 16 << 10;

/// What a request is to the cache, beside its fingerprint: what may be barred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub program: Digest,
    pub class: Class,
    /// The rule that decided where it runs.
    pub rule: Arc<str>,
}

/// Two results of one request that differ.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Of the program with its inputs.
    pub program: String,
    pub class: &'static str,
    pub rule: Arc<str>,
    pub tier: TierName,
    /// Digests of the two results.
    pub results: [String; 2],
    /// Where they first differ; none where the earlier one is no longer there.
    pub first: Option<Offset>,
    /// What the two runs wrote to stdout, cut after some kilobytes; empty where it is no longer there.
    pub stdout: [String; 2],
    #[serde(skip)]
    pub at: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Bars {
    programs: BTreeSet<Digest>,
    rules: BTreeSet<(Class, Arc<str>)>,
    /// Programs that differed, by class and rule.
    differed: BTreeMap<(Class, Arc<str>), BTreeSet<Digest>>,
    shown: VecDeque<Difference>,
}

impl Bars {
    pub(super) fn has(&self, subject: &Subject) -> bool {
        // Nothing is barred as a rule.
        !self.programs.is_empty()
            && (self.programs.contains(&subject.program) || self.rules.contains(&(subject.class, subject.rule.clone())))
    }

    /// Bars the program, and after a few its class and rule. Returns whether those are barred now.
    pub(super) fn add(&mut self, subject: &Subject, difference: Difference) -> bool {
        if self.shown.len() == SHOWN {
            self.shown.pop_front();
        }
        self.shown.push_back(difference);
        let of_rule = (subject.class, subject.rule.clone());
        let differed = self.differed.entry(of_rule.clone()).or_default();
        if differed.len() < RULE_AFTER {
            differed.insert(subject.program);
            self.programs.insert(subject.program);
        }
        let many = differed.len() >= RULE_AFTER;
        if many {
            self.rules.insert(of_rule);
        }
        many
    }

    /// Lifts all bars; how many programs they were.
    pub(super) fn lift(&mut self) -> usize {
        let barred = self.programs.len();
        *self = Self::default();
        barred
    }

    pub(super) fn status(&self) -> Status {
        let rules = self.rules.iter().map(|(class, rule)| BarredRule { class: class.name(), rule: rule.clone() });
        Status {
            programs: self.programs.iter().map(Digest::hex).collect(),
            rules: rules.collect(),
            differences: self.shown.iter().cloned().collect(),
        }
    }
}

impl Difference {
    pub(super) fn new(subject: &Subject, tier: &TierName, results: [ResultDigest; 2], now: Instant) -> Self {
        Self {
            program: subject.program.hex(),
            class: subject.class.name(),
            rule: subject.rule.clone(),
            tier: tier.clone(),
            results: results.map(|digest| digest.hex()),
            first: None,
            stdout: Default::default(),
            at: Some(now),
        }
    }

    /// With both outputs.
    pub(super) fn with_outputs(mut self, first: Option<Offset>, stdout: [&str; 2]) -> Self {
        self.first = first;
        self.stdout = stdout.map(|text| {
            let end = text.floor_char_boundary(SHOWN_BYTES);
            text[..end].to_owned()
        });
        self
    }
}

/// What is barred, and why. Outputs are the callers': this is for the operator only.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Digests of the programs.
    pub programs: Vec<String>,
    pub rules: Vec<BarredRule>,
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BarredRule {
    pub class: &'static str,
    pub rule: Arc<str>,
}
