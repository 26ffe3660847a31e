//! Program → [`Profile`]: what a program is, needs and may do, read from its source without running it.
//!
//! Each language has an analyser in a folder of its own; profile and score are the same for all. Analysis never panics on
//! any input. It is advice: it sends programs where they run best, and may be wrong about what they do. Isolation is the
//! sandboxes' task. Only a verdict of "deterministic" must never be wrong.

mod profile;
mod python;
mod score;
#[cfg(test)]
mod tests;

use switchtower_contract::{Language, Program};

use crate::request::SideEffects;

pub use profile::{Class, Import, Profile, Reach, Reason, Signal, StaticEffect, Verdict};

/// How much larger a text file becomes when it is read into a table.
const TABLE_PER_FILE_BYTE: u64 = 4;

/// Analyses a program. Takes at most 100 ms for a megabyte of any bytes in an optimised build.
pub fn analyse(program: &Program) -> Profile {
    analyse_with(analyser(program.language), program)
}

/// Returns the side effects that a program may have had which ended with an exception at this line, where the line is an
/// import at its top level: only what precedes the import has run. Anything else may have done all that the program can
/// do.
pub fn side_effects_before_import(program: &Program, line: u32) -> SideEffects {
    match program.language {
        Language::Python => python::side_effects_before_import(program, line),
    }
}

type Analyser = fn(&Program) -> Profile;

/// Returns the analyser of a language, if it has one. Without one a program runs unproven, wherever the rules send what
/// is not known.
fn analyser(language: Language) -> Option<Analyser> {
    match language {
        Language::Python => Some(python::analyse),
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
    let given: usize = program.files.iter().map(|file| file.content.len()).sum();
    profile.memory = profile.memory.saturating_add((given as u64).saturating_mul(TABLE_PER_FILE_BYTE));
    if !program.files.is_empty() {
        // A request may place files anywhere, also where a kernel looks when it starts.
        profile.side_effects = profile.side_effects.max(SideEffects::Sandbox);
    }
    profile
}
