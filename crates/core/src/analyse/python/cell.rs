//! Notebook cells that begin with a cell magic: `%%bash`, `%%writefile`, `%%time`.

use super::modules::is_shell_magic;
use crate::request::SideEffects;

use crate::analyse::profile::{Class, FileScope, Profile, Reason, StaticEffect};

pub(super) struct NotebookCell<'a> {
    /// The part that is Python: the whole cell, or nothing if a magic interprets it.
    pub python: &'a str,
    magic: Option<&'a str>,
}

impl<'a> NotebookCell<'a> {
    pub(super) fn parse(source: &'a str) -> Self {
        let magic = source.trim_start().strip_prefix("%%").and_then(|rest| rest.split_whitespace().next());
        match magic {
            None => Self { python: source, magic: None },
            // The body is Python; the lexer recognises the first line as a magic.
            Some("time" | "timeit" | "capture" | "prun" | "debug") => Self { python: source, magic: None },
            Some(magic) => Self { python: "", magic: Some(magic) },
        }
    }

    /// Adds the effects of the cell magic to the profile of the Python part.
    pub(super) fn add_to(&self, profile: &mut Profile) {
        let Some(magic) = self.magic else { return };
        let shell = is_shell_magic(magic) || magic.starts_with('!');
        profile.effects.insert(if shell { StaticEffect::Shell } else { StaticEffect::Magic });
        profile.class = if shell { Class::Shell } else { Class::Unknown };
        if magic == "writefile" {
            profile.effects.insert(StaticEffect::Files);
            profile.files = FileScope::Computed;
            profile.class = Class::Filesystem;
        }
        profile.side_effects = SideEffects::World;
        profile.verdict.deterministic = false;
        profile
            .verdict
            .reasons
            .push(Reason { text: format!("the cell magic %%{magic} interprets the body"), line: None });
    }
}
