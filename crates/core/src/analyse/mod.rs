//! Static analysis: derives the [`Profile`] of a program from its source, without running it.
//!
//! Each language has an analyser in its own folder; profile and score are language-neutral. Analysis never panics on
//! any input. Its results are advice for routing and may be wrong about what a program does: isolation is the task of
//! the sandboxes. Only a verdict of "deterministic" must never be wrong.

mod javascript;
mod profile;
mod python;
mod score;
mod shell;
pub mod summary;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use switchtower_contract::{Language, Program};

use crate::request::SideEffects;

pub(crate) use python::PIP;
pub use python::{EscapeCommand, escape_commands};

pub use profile::{Class, FileScope, Import, NetworkUse, Profile, Reason, Signal, StaticEffect, Training, Verdict};

/// Bytes of memory that a table takes for each byte of the text file that it is read from.
const TABLE_BYTES_PER_FILE_BYTE: u64 = 4;

/// Analyses a program. Takes at most 100 ms for one megabyte of arbitrary bytes in an optimised build.
pub fn analyse(program: &Program) -> Profile {
    analyse_with(analyser(program.language), program)
}

/// Returns the side effects that a program may have had when an exception ended it at `line` (from 1). If the line is
/// an import at the top level, only the code before the import has run; otherwise the result is [`SideEffects::World`].
pub fn side_effects_before_import(program: &Program, line: u32) -> SideEffects {
    match program.language {
        Language::Python => python::side_effects_before_import(program, line),
        _ => SideEffects::World,
    }
}

/// Returns whether a module's top-level name is that of a well-known package, rather than of a module of the caller's.
pub fn is_known_package(top: &str) -> bool {
    python::is_known_package(top)
}

/// Returns the module that a distribution of Python brings, where its name is another.
fn module_of_distribution(name: &str) -> Option<&'static str> {
    python::packages::module_of_distribution(name)
}

/// What is known of a module that a program imports and a tier lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingModule<'a> {
    /// The module that is probably meant: of another spelling, or that of a package whose name was imported.
    pub meant: Option<&'a str>,
    /// The name of the package that brings it; `None` if it belongs to the language itself.
    pub package: Option<String>,
    /// Whether the scientific tier has it after an installation without options.
    pub scientific: bool,
    /// Whether it may be a module of the caller's own.
    pub own: bool,
}

impl<'a> MissingModule<'a> {
    /// Returns what is known of the module with this top-level name. `present`: the modules that the tiers have.
    pub fn new(top: &str, present: impl IntoIterator<Item = &'a str>) -> Self {
        use python::packages;
        let known = is_known_package(top);
        let renamed = packages::module_of_distribution(top);
        let similar = || if known { None } else { packages::similar(top, present) };
        Self {
            meant: renamed.or_else(similar),
            package: (!packages::is_standard(top)).then(|| packages::distribution(top)),
            scientific: packages::is_scientific(top),
            own: !known,
        }
    }
}

/// Analyses programs of one language. It must be pure, must not panic, and must take time in proportion to the program.
pub type Analyser = fn(&Program) -> Profile;

/// The analysers of languages that were added.
static ADDED: RwLock<BTreeMap<Language, Analyser>> = RwLock::new(BTreeMap::new());

/// Sets the analyser of a language that [`Language::register`] has added. Call it before the first request: profiles are kept.
///
/// # Errors
/// The language has an analyser.
pub fn register(language: Language, analyser: Analyser) -> Result<(), AnalyserExists> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    if built_in(language).is_some() || added.contains_key(&language) {
        return Err(AnalyserExists(language));
    }
    added.insert(language, analyser);
    Ok(())
}

/// A language has an analyser, and cannot have another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("programs in {0} have an analyser: it can be set once")]
pub struct AnalyserExists(Language);

/// Returns the analyser of a language, if it has one. Programs without an analyser run with an unknown profile.
fn analyser(language: Language) -> Option<Analyser> {
    let added = || ADDED.read().unwrap_or_else(PoisonError::into_inner).get(&language).copied();
    built_in(language).or_else(added)
}

fn built_in(language: Language) -> Option<Analyser> {
    match language {
        Language::Python => Some(python::analyse),
        Language::JavaScript | Language::TypeScript => Some(javascript::analyse),
        Language::Bash => Some(shell::analyse),
        _ => None,
    }
}

fn analyse_with(analyser: Option<Analyser>, program: &Program) -> Profile {
    let mut profile = match analyser {
        Some(analyse) => analyse(program),
        None => {
            let lines = u32::try_from(program.source.lines().count()).unwrap_or(u32::MAX);
            Profile::unknown(&format!("{} programs are not analysed", program.language), lines)
        }
    };
    let file_bytes: usize = program.files.iter().map(|file| file.content.len()).sum();
    profile.memory = profile.memory.saturating_add((file_bytes as u64).saturating_mul(TABLE_BYTES_PER_FILE_BYTE));
    if !program.files.is_empty() {
        // A request may place files at any path, including those that a kernel reads when it starts.
        profile.side_effects = profile.side_effects.max(SideEffects::Sandbox);
    }
    profile
}
