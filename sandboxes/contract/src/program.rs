//! A program: source and everything it is given.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A piece of code with all its inputs. Two equal programs differ in their results only by chance, clock and place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    pub language: Language,
    pub source: String,
    /// The whole of standard input. `None`: nothing was given, so a program that reads asks for more than it has;
    /// `Some("")` is an input that is empty and known to be so.
    pub stdin: Option<String>,
    /// Files laid out in the scratch file system before the start.
    pub files: Vec<File>,
    /// The environment that the program sees. `None`: nothing was given.
    pub env: Option<BTreeMap<String, String>>,
    pub chance: Chance,
}

impl Program {
    /// A Python program without inputs.
    pub fn python(source: impl Into<String>) -> Self {
        Self {
            language: Language::Python,
            source: source.into(),
            stdin: None,
            files: Vec::new(),
            env: None,
            chance: Chance::Fresh,
        }
    }

    #[must_use]
    pub fn with_stdin(mut self, stdin: impl Into<String>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }
}

/// A file given with a program. Relative paths begin in the program's working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub path: String,
    pub content: Vec<u8>,
}

/// Where a program's clock and randomness come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Chance {
    /// The real clock and the operating system's randomness.
    Fresh,
    /// A virtual clock and a random stream, both made of this seed: the same program gives the same bytes anywhere.
    Seeded(u64),
}

/// A programming language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Python,
}

impl Language {
    pub const ALL: [Self; 1] = [Self::Python];

    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no language that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown language {0:?}: known are python, python3, py")]
pub struct UnknownLanguage(pub String);

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "python" | "python3" | "py" => Ok(Self::Python),
            _ => Err(UnknownLanguage(text.to_owned())),
        }
    }
}
