//! Why a root file system could not be imported.

use std::fmt::Display;
use std::io;
use std::path::Path;

/// A root file system could not be imported or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ImportError {
    pub reason: String,
    /// How to fix it, where that is known.
    pub remedy: Option<String>,
}

impl ImportError {
    /// Control characters are escaped: names in an archive are somebody else's text, and this one is shown on terminals.
    pub(crate) fn new(reason: impl Display) -> Self {
        let mut shown = String::new();
        for character in reason.to_string().chars() {
            match character {
                '\n' | '\t' => shown.push(character),
                other if other.is_control() => shown.extend(other.escape_default()),
                other => shown.push(other),
            }
        }
        Self { reason: shown, remedy: None }
    }

    #[must_use]
    pub(crate) fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    pub(crate) fn at(path: &Path, error: &io::Error) -> Self {
        Self::new(format!("{}: {error}", path.display()))
    }
}
