//! Bars: programs, and pairs of class and rule, whose results are not cached because two runs of one request differed.
//!
//! A program is barred at its first difference, its class and rule after three such programs. A bar stays until the operator
//! lifts it, because each difference is a defect of the static proof or of what a sandbox observes. Barring the class and rule
//! also bounds the number of barred programs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use super::compare::{Offset, ResultDigest};
use super::fingerprint::Digest;
use crate::analyse::Class;
use crate::route::TierName;

/// Number of programs of one class and rule with a difference from which the class and rule are barred.
const RULE_AFTER: usize = 3;
/// Number of differences that are reported to the operator, the latest ones.
const MAX_DIFFERENCES: usize = 16;
/// Bytes of each stdout that a difference reports.
const MAX_STDOUT_BYTES: usize = 16 << 10;

/// What a request can be barred by: its program, and its class and rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub program: Digest,
    pub class: Class,
    /// The rule that chose its route.
    pub rule: Arc<str>,
}

/// Two different results of one request.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// The digest of the program with its inputs, in hexadecimal.
    pub program: String,
    pub class: &'static str,
    pub rule: Arc<str>,
    pub tier: TierName,
    /// The digests of the two results, in hexadecimal, the earlier one first.
    pub results: [String; 2],
    /// Position of the first difference; `None` if the earlier result is no longer stored.
    pub first: Option<Offset>,
    /// The stdout of the two runs, at most 16 KiB each; empty if the earlier result is no longer stored.
    pub stdout: [String; 2],
    #[serde(skip)]
    pub at: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Bars {
    programs: BTreeSet<Digest>,
    rules: BTreeSet<(Class, Arc<str>)>,
    /// Programs with a difference, by class and rule.
    differed: BTreeMap<(Class, Arc<str>), BTreeSet<Digest>>,
    /// The latest differences, the oldest first.
    differences: VecDeque<Difference>,
}

impl Bars {
    pub(super) fn has(&self, subject: &Subject) -> bool {
        // The usual case: nothing is barred.
        !self.programs.is_empty()
            && (self.programs.contains(&subject.program) || self.rules.contains(&(subject.class, subject.rule.clone())))
    }

    /// Bars the program, and its class and rule if [`RULE_AFTER`] of their programs differed. Returns whether the class and
    /// rule are barred.
    pub(super) fn add(&mut self, subject: &Subject, difference: Difference) -> bool {
        if self.differences.len() == MAX_DIFFERENCES {
            self.differences.pop_front();
        }
        self.differences.push_back(difference);
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

    /// Lifts all bars and returns how many programs were barred.
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
            differences: self.differences.iter().cloned().collect(),
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

    /// Adds the position of the first difference and the stdout of both runs.
    pub(super) fn with_outputs(mut self, first: Option<Offset>, stdout: [&str; 2]) -> Self {
        self.first = first;
        self.stdout = stdout.map(|text| {
            let end = text.floor_char_boundary(MAX_STDOUT_BYTES);
            text[..end].to_owned()
        });
        self
    }
}

/// What is barred, and the differences that led to it. It contains callers' output: for the operator only.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The digests of the barred programs, in hexadecimal.
    pub programs: Vec<String>,
    pub rules: Vec<BarredRule>,
    /// The latest differences, the oldest first.
    pub differences: Vec<Difference>,
}

/// A class and rule that are barred together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BarredRule {
    pub class: &'static str,
    pub rule: Arc<str>,
}
