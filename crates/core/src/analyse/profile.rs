//! The language-neutral result of analysis.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::request::SideEffects;

/// The result of analysing a program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    pub class: Class,
    /// The sum of `weight · value` over all signals: an estimate of the work and the resources that the program needs.
    pub score: f64,
    pub signals: Vec<Signal>,
    pub imports: Vec<Import>,
    pub effects: BTreeSet<StaticEffect>,
    /// The widest scope of the file paths that it uses.
    pub files: FileScope,
    /// What a run may change outside of the interpreter.
    pub side_effects: SideEffects,
    /// How certainly it uses the network.
    pub network: NetworkUse,
    /// The estimated memory in bytes, from literal sizes and the sizes of its files. Temporary values and sizes that
    /// are computed at run time are not included.
    pub memory: u64,
    /// The work of training models; `None` if it trains none.
    pub training: Option<Training>,
    pub verdict: Verdict,
    /// Whether the language's parser accepts the program.
    pub parses: bool,
    /// Why the program was not analysed: it does not parse, or it is too long or nested too deeply. `None` if it was.
    pub analysis_error: Option<Reason>,
    pub lines: u32,
}

impl Profile {
    /// Returns the profile of a valid program that could not be analysed for the given reason: it is not deterministic,
    /// and any side effect is possible.
    pub fn unknown(reason: &str, lines: u32) -> Self {
        let reason = Reason { text: reason.to_owned(), line: None };
        Self {
            class: Class::Unknown,
            score: 0.0,
            signals: Vec::new(),
            imports: Vec::new(),
            effects: BTreeSet::new(),
            files: FileScope::None,
            side_effects: SideEffects::World,
            network: NetworkUse::None,
            memory: 0,
            training: None,
            verdict: Verdict {
                deterministic: false,
                reasons: vec![Reason { text: format!("it is not analysed: {}", reason.text), line: None }],
                doubt: Some(reason.clone()),
            },
            parses: true,
            analysis_error: Some(reason),
            lines,
        }
    }

    /// Returns the profile of a program without imports and effects, whose output is always the same: what an analyser changes
    /// where it finds more.
    pub fn pure(class: Class, lines: u32) -> Self {
        Self {
            class,
            side_effects: SideEffects::None,
            verdict: Verdict { deterministic: true, reasons: Vec::new(), doubt: None },
            analysis_error: None,
            ..Self::unknown("", lines)
        }
    }

    /// Returns the signal of this name, if the program has it.
    pub fn signal(&self, name: &str) -> Option<&Signal> {
        self.signals.iter().find(|signal| signal.name == name)
    }

    /// Returns the top-level names of the modules that the program requires, without duplicates.
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
    /// The line at which it was found, from 1.
    pub line: Option<u32>,
}

/// A module that the program imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The dotted name, as written.
    pub module: String,
    /// Whether a name that the import binds is read.
    pub used: bool,
    /// Whether the program runs without the module: the import is in a `try` with `except ImportError`, or under `if
    /// TYPE_CHECKING`.
    pub optional: bool,
    pub line: u32,
}

impl Import {
    /// Returns the name of the top-level package.
    pub fn top(&self) -> &str {
        self.module.split('.').next().unwrap_or(&self.module)
    }
}

/// How certainly a program uses the network whenever it runs, as far as its text shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkUse {
    /// Its text does not name the network.
    None,
    /// Only in functions that it defines and does not call, that it replaces by mocks, or that come after its end.
    Possible,
    Certain,
}

impl NetworkUse {
    /// Returns the name that rules get.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Possible => "possible",
            Self::Certain => "certain",
        }
    }
}

/// The estimated work of training models, within about a factor of ten.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Training {
    /// Operations, of which a native tier runs about 10⁹ in a second.
    pub operations: f64,
    /// Whether the text of the program and its files show all sizes; otherwise the operations are a lower bound.
    pub exact: bool,
    /// The line at which the first model is trained, from 1.
    pub line: u32,
}

impl Training {
    /// Returns the order of magnitude of the operations: 9 for a billion.
    pub fn magnitude(&self) -> u32 {
        self.operations.max(1.0).log10() as u32
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

/// An effect that a program appears to have, judging by its source.
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

/// The scope of the file paths that a program uses, narrowest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileScope {
    #[default]
    None,
    /// Relative paths, and those in `/tmp` and `/home/user`, which are empty in every new sandbox.
    Scratch,
    /// Paths that are computed at run time.
    Computed,
    /// Other absolute paths, and paths with `..`.
    Outside,
}

impl FileScope {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Scratch => "scratch",
            Self::Computed => "computed",
            Self::Outside => "outside",
        }
    }
}

/// Whether a program with the same inputs must produce the same output in every process and at any time. Conservative:
/// a program that analysis cannot follow counts as not deterministic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub deterministic: bool,
    /// Why the program is not proven deterministic: the first few reasons, ordered by line.
    pub reasons: Vec<Reason>,
    /// Why a result must not be shared between requests although the sandbox observed no effects: the output may depend
    /// on the order of a set, and so on hashes that differ between processes; or the source reads the clock, draws
    /// randomness or reads an input that was not given, which another run may do.
    pub doubt: Option<Reason>,
}

impl Verdict {
    /// Marks the program as not deterministic, for a reason that has no line in the source.
    pub(super) fn refuse(&mut self, text: &str) {
        self.deterministic = false;
        self.reasons.push(Reason { text: text.to_owned(), line: None });
    }
}

/// A sentence fragment for people, with the line that it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub text: String,
    /// From 1.
    pub line: Option<u32>,
}
