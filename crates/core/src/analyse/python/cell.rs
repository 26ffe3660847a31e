//! Notebook cells whose first line hands the rest to something else: `%%bash`, `%%writefile`, `%%time`.

use super::modules::is_shell_magic;
use crate::request::SideEffects;

use crate::analyse::profile::{Class, Profile, Reach, Reason, StaticEffect};

pub(super) struct Cell<'a> {
    /// What is Python of it.
    pub python: &'a str,
    magic: Option<&'a str>,
}

impl<'a> Cell<'a> {
    pub(super) fn of(source: &'a str) -> Self {
        let magic = source.trim_start().strip_prefix("%%").and_then(|rest| rest.split_whitespace().next());
        match magic {
            None => Self { python: source, magic: None },
            // The body is Python; the lexer takes the first line for a magic by itself.
            Some("time" | "timeit" | "capture" | "prun" | "debug") => Self { python: source, magic: None },
            Some(magic) => Self { python: "", magic: Some(magic) },
        }
    }

    /// Adds what the first line says to what the Python says.
    pub(super) fn add_to(&self, profile: &mut Profile) {
        let Some(magic) = self.magic else { return };
        let shell = is_shell_magic(magic) || magic.starts_with('!');
        profile.effects.insert(if shell { StaticEffect::Shell } else { StaticEffect::Magic });
        profile.class = if shell { Class::Shell } else { Class::Unknown };
        if magic == "writefile" {
            profile.effects.insert(StaticEffect::Files);
            profile.files = Reach::Unseen;
            profile.class = Class::Filesystem;
        }
        profile.side_effects = SideEffects::World;
        profile.verdict.deterministic = false;
        profile.verdict.reasons.push(Reason { text: format!("the cell is handed to %%{magic}"), line: None });
    }
}
