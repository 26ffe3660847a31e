//! Rules that can be replaced while they are used: a whole compiled set at once, or not at all.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

use super::rules::{self, Rules, RulesError, Source};

/// The rules in force, shared by all who decide.
pub struct SharedRules {
    dir: Option<PathBuf>,
    /// Guards the set in force and what is known of the folder; held for a moment, never while compiling.
    inner: RwLock<Inner>,
}

struct Inner {
    rules: Arc<Rules>,
    version: u64,
    /// What the folder held when it was last looked at, good or bad.
    seen: Result<Vec<Source>, RulesError>,
    error: Option<RulesError>,
}

/// What is in force, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// Counts the sets that were in force, from 1.
    pub version: u64,
    pub files: Vec<PathBuf>,
    /// Why the folder's present files are not in force.
    pub error: Option<RulesError>,
}

/// What a look at the folder led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// A new set is in force.
    Replaced { version: u64 },
    /// The files changed and are wrong; the old set stands.
    Kept(RulesError),
}

impl SharedRules {
    /// The built-in policy; there is no folder to look at.
    pub fn builtin() -> Self {
        Self::with(Rules::builtin(), None, Ok(Vec::new()))
    }

    /// The rules of a folder.
    pub fn load(dir: &Path) -> Result<Self, RulesError> {
        let sources = rules::sources(dir)?;
        Ok(Self::with(Rules::compile(&sources)?, Some(dir.to_owned()), Ok(sources)))
    }

    fn with(rules: Rules, dir: Option<PathBuf>, seen: Result<Vec<Source>, RulesError>) -> Self {
        let inner = Inner { rules: Arc::new(rules), version: 1, seen, error: None };
        Self { dir, inner: RwLock::new(inner) }
    }

    /// The set in force. Whoever holds it goes on with it, whatever comes after.
    pub fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.inner.read().unwrap_or_else(PoisonError::into_inner).rules)
    }

    /// Returns the set in force and its number, from 1.
    pub fn current_revision(&self) -> (Arc<Rules>, u64) {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&inner.rules), inner.version)
    }

    /// Puts another set in force and gives its version.
    pub fn replace(&self, rules: Rules) -> u64 {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.rules = Arc::new(rules);
        inner.version += 1;
        inner.error = None;
        inner.version
    }

    pub fn state(&self) -> State {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let files = inner.rules.files().map(Path::to_owned).collect();
        State { version: inner.version, files, error: inner.error.clone() }
    }

    /// Looks at the folder, and where its files changed puts the new set in force or says what is wrong with it. Reads
    /// files: call it from a thread that may block, every second or so, one caller at a time.
    pub fn check(&self) -> Option<Reloaded> {
        let found = rules::sources(self.dir.as_deref()?);
        {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            if inner.seen == found {
                return None;
            }
            inner.seen.clone_from(&found);
        }
        match found.and_then(|sources| Rules::compile(&sources)) {
            Ok(rules) => Some(Reloaded::Replaced { version: self.replace(rules) }),
            Err(error) => {
                self.inner.write().unwrap_or_else(PoisonError::into_inner).error = Some(error.clone());
                Some(Reloaded::Kept(error))
            }
        }
    }
}
