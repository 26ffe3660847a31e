//! Rules that can be replaced while they are used, always as a whole compiled set.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

use super::rules::{self, RuleSource, Rules, RulesError};

/// The rules in force, shared by all requests.
pub struct SharedRules {
    dir: Option<PathBuf>,
    /// Locked for a moment, never while rules compile.
    inner: RwLock<Inner>,
}

struct Inner {
    rules: Arc<Rules>,
    version: u64,
    /// The files of the folder at the last check, valid or not.
    last_sources: Result<Vec<RuleSource>, RulesError>,
    error: Option<RulesError>,
}

/// The state of the rules, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulesState {
    /// The number of the set in force, from 1.
    pub version: u64,
    pub files: Vec<PathBuf>,
    /// Why the present files of the folder are not in force.
    pub error: Option<RulesError>,
}

/// The result of a check that found changed files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// A new set is in force.
    Replaced { version: u64 },
    /// The files are invalid; the old set remains in force.
    Kept(RulesError),
}

impl SharedRules {
    /// Returns the built-in policy, without a folder to check.
    pub fn builtin() -> Self {
        Self::new(Rules::builtin(), None, Ok(Vec::new()))
    }

    /// Returns the policy that sends everything to remote tiers, without a folder to check.
    pub fn force_remote() -> Self {
        Self::new(Rules::force_remote(), None, Ok(Vec::new()))
    }

    /// Loads the rules of a folder.
    pub fn load(dir: &Path) -> Result<Self, RulesError> {
        let sources = rules::sources(dir)?;
        Ok(Self::new(Rules::compile(&sources)?, Some(dir.to_owned()), Ok(sources)))
    }

    fn new(rules: Rules, dir: Option<PathBuf>, last_sources: Result<Vec<RuleSource>, RulesError>) -> Self {
        let inner = Inner { rules: Arc::new(rules), version: 1, last_sources, error: None };
        Self { dir, inner: RwLock::new(inner) }
    }

    /// Returns the set in force. A later replacement does not change it.
    pub fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.inner.read().unwrap_or_else(PoisonError::into_inner).rules)
    }

    /// Returns the set in force and its number, from 1.
    pub fn current_revision(&self) -> (Arc<Rules>, u64) {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&inner.rules), inner.version)
    }

    /// Puts another set in force and returns its number.
    pub fn replace(&self, rules: Rules) -> u64 {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.rules = Arc::new(rules);
        inner.version += 1;
        inner.error = None;
        inner.version
    }

    /// Returns the number and the files of the set in force, and what is wrong with the present files.
    pub fn state(&self) -> RulesState {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let files = inner.rules.files().map(Path::to_owned).collect();
        RulesState { version: inner.version, files, error: inner.error.clone() }
    }

    /// Reads the folder. Where its files changed, puts them in force or returns what is wrong with them; `None` where
    /// nothing changed. Blocks on files: call it from a blocking thread, one call at a time.
    pub fn check(&self) -> Option<Reloaded> {
        let found = rules::sources(self.dir.as_deref()?);
        {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            if inner.last_sources == found {
                return None;
            }
            inner.last_sources.clone_from(&found);
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
