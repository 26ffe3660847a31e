//! Programming languages: their names, and how another one is added to those that are built in.
//!
//! A language that is added is known to the whole process: to requests, rules, records and files of programs. It runs once a
//! backend offers it. The steps are in `docs/adding-a-language.md`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A programming language. The default is the language of requests that name none.
///
/// Its stored form is its name; workers get a number. The order is that of the variants, and of added languages that in which they were added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    #[default]
    Python,
    JavaScript,
    TypeScript,
    C,
    Cpp,
    Bash,
    R,
    Java,
    /// A language that [`register`](Self::register) has added.
    Added(AddedLanguage),
}

/// A language that is not built in, by its place among those that were added. Only [`Language::register`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddedLanguage(u8);

/// The names of a language, and the files that have its programs.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    /// The name in requests, rules, records and answers: 1 to 32 lower-case letters, digits, `+`, `#`, `-` and `_`.
    pub name: &'static str,
    /// Other names that requests may use, of the same form.
    pub aliases: &'static [&'static str],
    /// The ends of its files' names, without the dot.
    pub endings: &'static [&'static str],
}

/// The languages that were added to this process. None is removed.
static ADDED: RwLock<Vec<&'static Definition>> = RwLock::new(Vec::new());
/// Most languages that can be added.
const MAX_ADDED: u8 = 64;
/// The longest name, in bytes.
const MAX_NAME: usize = 32;

impl Language {
    /// The languages that no program has to add.
    pub const BUILT_IN: [Self; 8] =
        [Self::Python, Self::JavaScript, Self::TypeScript, Self::C, Self::Cpp, Self::Bash, Self::R, Self::Java];

    /// Adds a language to this process, and returns it. Call it before the first request. The same definition may be added
    /// again, which changes nothing.
    ///
    /// # Errors
    /// A name has another form or belongs to another language, or there are 64 added languages.
    pub fn register(definition: &'static Definition) -> Result<Self, RefusedLanguage> {
        if let Some(name) = definition.names().find(|name| !is_name(name)) {
            return Err(RefusedLanguage::Malformed { name });
        }
        let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
        let others = added.iter().copied().filter(|other| *other != definition);
        for other in Self::BUILT_IN.map(Self::definition).into_iter().chain(others) {
            if let Some(name) = definition.names().find(|name| other.is_called(name)) {
                return Err(RefusedLanguage::Taken { name, by: other.name });
            }
        }
        let known = added.iter().position(|other| *other == definition);
        let number = u8::try_from(known.unwrap_or(added.len())).ok().filter(|number| *number < MAX_ADDED);
        let number = number.ok_or(RefusedLanguage::TooMany)?;
        if known.is_none() {
            added.push(definition);
        }
        Ok(Self::Added(AddedLanguage(number)))
    }

    /// Returns the built-in languages, and those that were added, in the order in which they were.
    pub fn all() -> Vec<Self> {
        Self::BUILT_IN.into_iter().chain(Self::added()).collect()
    }

    /// Returns the languages that were added, in the order in which they were.
    pub fn added() -> Vec<Self> {
        let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
        (0..MAX_ADDED).zip(added.iter()).map(|(number, _)| Self::Added(AddedLanguage(number))).collect()
    }

    /// Returns the names of all languages, for messages.
    pub fn names() -> Vec<&'static str> {
        Self::all().into_iter().map(Self::name).collect()
    }

    /// Returns the language of a file's program by the end of the file's name, without the dot; `None`: no language has it.
    pub fn of_ending(ending: &str) -> Option<Self> {
        Self::all().into_iter().find(|language| language.definition().endings.contains(&ending))
    }

    /// Returns the name used in requests, rules, records and answers.
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    /// Returns whether its programs are compiled as a whole: then no kernel keeps names from cell to cell.
    pub fn is_compiled(self) -> bool {
        matches!(self, Self::C | Self::Cpp)
    }

    /// Returns the names of a language, and the ends of its files' names.
    pub fn definition(self) -> &'static Definition {
        match self {
            Self::Python => &Definition { name: "python", aliases: &["python3", "py"], endings: &["py"] },
            Self::JavaScript => {
                &Definition { name: "javascript", aliases: &["js", "node"], endings: &["js", "mjs", "cjs"] }
            }
            Self::TypeScript => &Definition { name: "typescript", aliases: &["ts"], endings: &["ts", "mts", "cts"] },
            Self::C => &Definition { name: "c", aliases: &[], endings: &["c"] },
            Self::Cpp => &Definition { name: "cpp", aliases: &["c++", "cxx"], endings: &["cpp", "cc", "cxx"] },
            Self::Bash => &Definition { name: "bash", aliases: &["sh", "shell"], endings: &["sh", "bash"] },
            Self::R => &Definition { name: "r", aliases: &[], endings: &["r", "R"] },
            Self::Java => &Definition { name: "java", aliases: &[], endings: &["java"] },
            Self::Added(AddedLanguage(number)) => {
                let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
                added
                    .get(usize::from(number))
                    .expect("only a language that was added has a number, and none is removed")
            }
        }
    }
}

impl Definition {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name].into_iter().chain(self.aliases.iter().copied())
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+#-_".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_allowed)
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The form of a language in formats that no human reads, such as frames to workers: a number, which stays what it is, and of an added
/// language its name as well.
#[derive(Serialize, Deserialize)]
enum Numbered<'a> {
    Python,
    JavaScript,
    TypeScript,
    C,
    Cpp,
    Bash,
    R,
    Java,
    Added(Cow<'a, str>),
}

impl From<Language> for Numbered<'static> {
    fn from(language: Language) -> Self {
        match language {
            Language::Python => Self::Python,
            Language::JavaScript => Self::JavaScript,
            Language::TypeScript => Self::TypeScript,
            Language::C => Self::C,
            Language::Cpp => Self::Cpp,
            Language::Bash => Self::Bash,
            Language::R => Self::R,
            Language::Java => Self::Java,
            Language::Added(_) => Self::Added(language.name().into()),
        }
    }
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.serialize_str(self.name()) } else { Numbered::from(*self).serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = if from.is_human_readable() {
            String::deserialize(from)?
        } else {
            match Numbered::deserialize(from)? {
                Numbered::Python => return Ok(Self::Python),
                Numbered::JavaScript => return Ok(Self::JavaScript),
                Numbered::TypeScript => return Ok(Self::TypeScript),
                Numbered::C => return Ok(Self::C),
                Numbered::Cpp => return Ok(Self::Cpp),
                Numbered::Bash => return Ok(Self::Bash),
                Numbered::R => return Ok(Self::R),
                Numbered::Java => return Ok(Self::Java),
                Numbered::Added(name) => name.into_owned(),
            }
        };
        let known = Self::all().into_iter().find(|language| language.name() == name);
        known.ok_or_else(|| D::Error::custom(UnknownLanguage(name)))
    }
}

/// The text names no language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown language {given:?}: allowed are {allowed}", given = .0, allowed = Language::names().join(", "))]
pub struct UnknownLanguage(pub String);

impl FromStr for Language {
    type Err = UnknownLanguage;

    /// Returns the language with this name or other name, in letters of either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.to_ascii_lowercase();
        let known = Self::all().into_iter().find(|language| language.definition().is_called(&name));
        known.ok_or_else(|| UnknownLanguage(text.to_owned()))
    }
}

/// A language cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedLanguage {
    #[error(
        "{name:?} is no name of a language: allowed are 1 to {MAX_NAME} lower-case letters, digits, `+`, `#`, `-` and `_`"
    )]
    Malformed { name: &'static str },
    #[error("{name} is a name of the language {by}: choose another one")]
    Taken { name: &'static str, by: &'static str },
    #[error("at most {MAX_ADDED} languages can be added")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_language_is_known_and_belongs_to_it_alone() {
        for language in Language::BUILT_IN {
            let name = language.name();
            assert_eq!(Language::register(language.definition()), Err(RefusedLanguage::Taken { name, by: name }));
            for name in language.definition().names() {
                assert!(is_name(name), "{name}");
                assert_eq!(name.to_ascii_uppercase().parse(), Ok(language), "{name}");
            }
            for ending in language.definition().endings {
                assert_eq!(Language::of_ending(ending), Some(language), "{ending}");
            }
        }
        assert_eq!(Language::of_ending("txt"), None);
    }

    #[test]
    fn a_language_with_a_name_of_another_one_or_of_another_form_is_refused() {
        static TAKEN: Definition = Definition { name: "serpent", aliases: &["py"], endings: &[] };
        static EMPTY: Definition = Definition { name: "", aliases: &[], endings: &[] };
        static UPPER_CASE: Definition = Definition { name: "Ada", aliases: &[], endings: &[] };
        let refused = |definition| Language::register(definition).unwrap_err().to_string();
        assert_eq!(refused(&TAKEN), "py is a name of the language python: choose another one");
        for definition in [&EMPTY, &UPPER_CASE] {
            assert!(refused(definition).contains("is no name of a language: allowed are"), "{definition:?}");
        }
        assert_eq!(Language::added(), []);
    }
}
