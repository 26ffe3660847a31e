//! What analysis says about a program.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::request::SideEffects;

/// Everything that can be said about a program without running it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    pub class: Class,
    /// The sum of `weight · value` over all signals: how much work and world the program asks for.
    pub score: f64,
    pub signals: Vec<Signal>,
    pub imports: Vec<Import>,
    pub effects: BTreeSet<StaticEffect>,
    /// The farthest place that files are looked for.
    pub files: Reach,
    /// What a run may leave behind.
    pub side_effects: SideEffects,
    /// Bytes that its literal sizes and its files ask for. What a run makes of them on the way is not in it, nor what
    /// only the run can tell.
    pub memory: u64,
    pub verdict: Verdict,
    /// False where Python itself refuses the program.
    pub parses: bool,
    /// Why nothing more is known: it does not parse, or it is too long or too deep to be looked into.
    pub unread: Option<Reason>,
    pub lines: u32,
}

impl Profile {
    /// Returns the profile of a program that may run but about which nothing is known, for this reason: no proof, and any
    /// side effect is possible.
    pub(super) fn unknown(reason: &str, lines: u32) -> Self {
        let reason = Reason { text: reason.to_owned(), line: None };
        Self {
            class: Class::Unknown,
            score: 0.0,
            signals: Vec::new(),
            imports: Vec::new(),
            effects: BTreeSet::new(),
            files: Reach::None,
            side_effects: SideEffects::World,
            memory: 0,
            verdict: Verdict {
                deterministic: false,
                reasons: vec![Reason { text: format!("it is not analysed: {}", reason.text), line: None }],
                doubt: Some(reason.clone()),
            },
            parses: true,
            unread: Some(reason),
            lines,
        }
    }

    /// The signal of that name, where it was found.
    pub fn signal(&self, name: &str) -> Option<&Signal> {
        self.signals.iter().find(|signal| signal.name == name)
    }

    /// Top-level names of the modules that the program cannot do without, each once.
    pub fn needed_modules(&self) -> impl Iterator<Item = &str> {
        let needed = |import: &&Import| import.used && !import.optional;
        let names = self.imports.iter().filter(needed).map(Import::top);
        names.collect::<BTreeSet<_>>().into_iter()
    }
}

/// One part of the score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signal {
    pub name: &'static str,
    pub weight: f64,
    pub value: f64,
    /// The line that it was found at, from 1.
    pub line: Option<u32>,
}

/// A module that the program names in an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Dotted, as written.
    pub module: String,
    /// A name that it binds is read somewhere.
    pub used: bool,
    /// The program has an answer to its absence: the import stands under `except ImportError` or `TYPE_CHECKING`.
    pub optional: bool,
    pub line: u32,
}

impl Import {
    /// The top-level package.
    pub fn top(&self) -> &str {
        self.module.split('.').next().unwrap_or(&self.module)
    }
}

/// The kind of work that a program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    SimpleMath,
    Algorithm,
    Symbolic,
    DataScience,
    Plotting,
    MlTraining,
    Network,
    Filesystem,
    Shell,
    Unknown,
}

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Self::SimpleMath => "simple_math",
            Self::Algorithm => "algorithm",
            Self::Symbolic => "symbolic",
            Self::DataScience => "data_science",
            Self::Plotting => "plotting",
            Self::MlTraining => "ml_training",
            Self::Network => "network",
            Self::Filesystem => "filesystem",
            Self::Shell => "shell",
            Self::Unknown => "unknown",
        }
    }
}

/// What a program seems to ask the world for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StaticEffect {
    Network,
    Files,
    Processes,
    Environment,
    Clock,
    /// Randomness that no literal seed fixes.
    Randomness,
    Threads,
    Display,
    /// `!command` lines.
    Shell,
    /// `%magic` and `%%cell` lines, `?` help.
    Magic,
}

impl StaticEffect {
    pub const ALL: [Self; 10] = [
        Self::Network,
        Self::Files,
        Self::Processes,
        Self::Environment,
        Self::Clock,
        Self::Randomness,
        Self::Threads,
        Self::Display,
        Self::Shell,
        Self::Magic,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Files => "files",
            Self::Processes => "processes",
            Self::Environment => "environment",
            Self::Clock => "clock",
            Self::Randomness => "randomness",
            Self::Threads => "threads",
            Self::Display => "display",
            Self::Shell => "shell",
            Self::Magic => "magic",
        }
    }
}

/// Where a program's files lie, nearest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    #[default]
    None,
    /// Relative paths, `/tmp`, `/home/user`: every tier has those, fresh and empty.
    Scratch,
    /// Paths that are made while the program runs.
    Unseen,
    /// Any other absolute path, or one that climbs out.
    Outside,
}

impl Reach {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Scratch => "scratch",
            Self::Unseen => "unseen",
            Self::Outside => "outside",
        }
    }
}

/// Whether the same program with the same inputs must give the same output, in any process on any day. Strict: what
/// cannot be followed is not deterministic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub deterministic: bool,
    /// Why not: the first few, in the order of their lines.
    pub reasons: Vec<Reason>,
    /// What speaks against keeping a result for others although a sandbox saw the program ask for nothing: the order of a
    /// set may show, which follows hashes that differ from process to process; or a clock, chance, an input that was not
    /// given stand in the text and may be asked another time.
    pub doubt: Option<Reason>,
}

impl Verdict {
    /// Ends the proof for a reason that stands in no line of the source.
    pub(super) fn refuse(&mut self, text: &str) {
        self.deterministic = false;
        self.reasons.push(Reason { text: text.to_owned(), line: None });
    }
}

/// A sentence fragment and the line that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub text: String,
    /// From 1.
    pub line: Option<u32>,
}
