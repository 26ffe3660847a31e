//! A program: its source and all its inputs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::language::Language;

/// A piece of code with all its inputs. Two runs of equal programs differ only by randomness, clock and place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    pub language: Language,
    pub source: String,
    /// The whole of standard input. `None`: none was given, so reading it is an [`Effect`](crate::Effect); `Some("")`
    /// is an input that is known to be empty.
    pub stdin: Option<String>,
    /// Files that are written to the scratch file system before the start.
    pub files: Vec<File>,
    /// The environment variables that the program sees. `None`: none were given.
    pub env: Option<BTreeMap<String, String>>,
    pub randomness: Randomness,
}

impl Program {
    /// Returns a Python program without inputs.
    pub fn python(source: impl Into<String>) -> Self {
        Self::new(Language::Python, source)
    }

    /// Returns a program without inputs.
    pub fn new(language: Language, source: impl Into<String>) -> Self {
        Self {
            language,
            source: source.into(),
            stdin: None,
            files: Vec::new(),
            env: None,
            randomness: Randomness::Fresh,
        }
    }

    #[must_use]
    pub fn with_stdin(mut self, stdin: impl Into<String>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }
}

/// A file given with a program. A relative path starts at the program's working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub path: String,
    #[serde(with = "crate::stored::bytes_or_base64")]
    pub content: Vec<u8>,
}

/// The source of a program's clock and randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Randomness {
    /// The real clock and the operating system's randomness.
    Fresh,
    /// A virtual clock and a random stream, both derived from this seed: the same program prints the same bytes
    /// anywhere.
    Seeded(u64),
}
