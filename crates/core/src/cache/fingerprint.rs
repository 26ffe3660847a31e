//! Cache keys: a hash of every input of a run in a canonical form.
//!
//! A wrong key would give one program's result to another, so the form is written out here instead of left to a serialiser:
//! before each part there is its length, or its number of parts.

use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use switchtower_contract::{Program, Randomness};

use super::Scope;
use crate::request::{Caller, Request};
use crate::route::TierName;

/// The digest of a program with its inputs: equal programs have equal digests. It is written in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The cache key of a request: equal programs with equal limits, in the same scope and on tiers with the same runtimes, have
/// equal fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Version of the meaning of a result. It is raised when the meaning of any part of a result changes, so that keys of earlier
/// versions match no more.
const CONTRACT: u64 = 2;

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        blake3::Hash::from_hex(hex).map(|hash| Self(*hash.as_bytes())).map_err(D::Error::custom)
    }
}

impl Digest {
    /// Returns the digest of a program with its inputs.
    pub fn of(program: &Program) -> Self {
        // Destructured, so that a new field is a compile error and not a wrong key.
        let Program { language, source, stdin, files, env, randomness } = program;
        let mut hasher = CanonicalHasher::new();
        hasher.text(language.name());
        hasher.text(source);
        hasher.option(stdin.as_ref(), |hasher, stdin| hasher.text(stdin));
        hasher.number(files.len() as u64);
        for file in files {
            hasher.text(&file.path);
            hasher.bytes(&file.content);
        }
        hasher.option(env.as_ref(), |hasher, env| {
            hasher.number(env.len() as u64);
            for (name, value) in env {
                hasher.text(name);
                hasher.text(value);
            }
        });
        match randomness {
            Randomness::Fresh => hasher.number(0),
            Randomness::Seeded(seed) => {
                hasher.number(1);
                hasher.number(*seed);
            }
        }
        Self(hasher.finish())
    }

    pub(super) fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl Fingerprint {
    /// Returns the cache key of a request. `digest` is that of its program; `runtimes` are the tiers of its route, each with
    /// its runtime's id.
    pub fn new<'a>(
        digest: &Digest,
        request: &Request,
        scope: Scope,
        runtimes: impl IntoIterator<Item = (&'a TierName, Arc<str>)>,
    ) -> Self {
        let mut hasher = CanonicalHasher::new();
        hasher.number(CONTRACT);
        hasher.number(scope as u64);
        let Caller { user, key, .. } = &request.caller;
        let (key, user) = match scope {
            Scope::Caller => (key.as_ref(), Some(user)),
            Scope::Key => (key.as_ref(), None),
            Scope::Shared => (None, None),
        };
        hasher.option(key, |hasher, key| hasher.text(key));
        hasher.option(user, |hasher, user| hasher.text(user));
        hasher.bytes(&digest.0);
        hasher.option(request.memory, CanonicalHasher::number);
        hasher.number(request.timeout.as_secs());
        hasher.number(u64::from(request.timeout.subsec_nanos()));
        for (tier, runtime) in runtimes {
            hasher.text(tier.as_str());
            hasher.text(&runtime);
        }
        Self(hasher.finish())
    }
}

/// Hashes the canonical form of values: numbers as eight bytes, everything of variable length with its length before it.
pub(super) struct CanonicalHasher(blake3::Hasher);

impl CanonicalHasher {
    pub(super) fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn option<T>(&mut self, part: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.number(u64::from(part.is_some()));
        if let Some(part) = part {
            write(self, part);
        }
    }

    pub(super) fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;
    use switchtower_contract::{File, Language};

    use super::*;
    use crate::request::RequestLimits;

    /// Few and short texts, so that parts without a length before them would often look the same.
    fn text() -> impl Strategy<Value = String> {
        "[ab]{0,3}"
    }

    fn program() -> impl Strategy<Value = Program> {
        let file = (text(), vec(0u8..3, 0..3)).prop_map(|(path, content)| File { path, content });
        let randomness = prop_oneof![Just(Randomness::Fresh), (0u64..3).prop_map(Randomness::Seeded)];
        let env = option::of(btree_map(text(), text(), 0..3));
        (text(), option::of(text()), vec(file, 0..3), env, randomness).prop_map(
            |(source, stdin, files, env, randomness)| Program {
                language: Language::Python,
                source,
                stdin,
                files,
                env,
                randomness,
            },
        )
    }

    type Run = (Program, u64, u64, Vec<(String, String)>);

    fn run() -> impl Strategy<Value = Run> {
        (program(), 1u64..4, 1u64..4, vec((text(), text()), 0..3))
    }

    fn key((program, memory, millis, tiers): &Run) -> Fingerprint {
        let mut request = Request::new(program.clone(), &RequestLimits::default()).unwrap_or_else(|_| {
            Request::new(Program { files: vec![], env: None, ..program.clone() }, &RequestLimits::default()).unwrap()
        });
        request.program = program.clone();
        request.memory = memory.checked_sub(1).map(|memory| memory << 20);
        request.timeout = std::time::Duration::from_millis(*millis);
        let tiers: Vec<_> = tiers.iter().map(|(tier, id)| (TierName::from(tier.as_str()), id.as_str())).collect();
        let runtimes = tiers.iter().map(|(tier, id)| (tier, Arc::from(*id)));
        Fingerprint::new(&Digest::of(program), &request, Scope::Shared, runtimes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn keys_are_equal_exactly_when_the_runs_are(one in run(), two in run()) {
            prop_assert_eq!(one == two, key(&one) == key(&two));
            prop_assert_eq!(key(&one), key(&one.clone()));
        }

        #[test]
        fn a_change_of_any_input_changes_the_key(run in run(), which in 0..10usize) {
            let mut other = run.clone();
            match which {
                0 => other.0.source.push('a'),
                1 => other.0.stdin = match other.0.stdin { None => Some(String::new()), Some(_) => None },
                2 => other.0.files.push(File { path: String::new(), content: vec![] }),
                3 => match other.0.files.first_mut() {
                    Some(file) => file.content.push(0),
                    None => other.0.files.push(File { path: "a".into(), content: vec![] }),
                },
                4 => other.0.env = match other.0.env { None => Some([].into()), Some(_) => None },
                5 => { other.0.env.get_or_insert_default().insert("c".into(), String::new()); }
                6 => other.0.randomness = match other.0.randomness {
                    Randomness::Fresh => Randomness::Seeded(0),
                    Randomness::Seeded(seed) => Randomness::Seeded(seed + 1),
                },
                7 => other.1 += 1,
                8 => other.2 += 1,
                _ => other.3.push((String::new(), String::new())),
            }
            prop_assert_ne!(key(&run), key(&other));
        }
    }

    /// Returns the fingerprint of a fixed program for a request of this user with this key.
    fn key_for(scope: Scope, key: Option<&str>, user: &str) -> Fingerprint {
        let mut request = Request::new(Program::python("1"), &RequestLimits::default()).unwrap();
        request.caller = Caller { key: key.map(Into::into), ..Caller::named(user) };
        Fingerprint::new(&Digest::of(&request.program), &request, scope, [])
    }

    #[test]
    fn a_result_is_shared_exactly_within_its_scope() {
        let shares = |scope, one: (Option<&str>, &str), other: (Option<&str>, &str)| {
            key_for(scope, one.0, one.1) == key_for(scope, other.0, other.1)
        };
        let (ada, bob, other_key) = ((Some("ci"), "ada"), (Some("ci"), "bob"), (Some("web"), "ada"));
        assert!(shares(Scope::Shared, ada, other_key) && shares(Scope::Shared, ada, (None, "eve")));
        assert!(shares(Scope::Key, ada, bob) && !shares(Scope::Key, ada, other_key));
        assert!(shares(Scope::Key, (None, "ada"), (None, "bob")) && !shares(Scope::Key, ada, (None, "ada")));
        assert!(!shares(Scope::Caller, ada, bob) && !shares(Scope::Caller, ada, other_key));
        assert!(shares(Scope::Caller, ada, ada));
        // A key in one scope does not equal a user in another.
        assert_ne!(key_for(Scope::Key, Some("x"), "u"), key_for(Scope::Caller, None, "x"));
    }

    #[test]
    fn priority_is_not_part_of_the_key() {
        let request = Request::new(Program::python("1"), &RequestLimits::default()).unwrap();
        let other = Request { priority: crate::request::Priority::High, ..request.clone() };
        let key = |request: &Request| Fingerprint::new(&Digest::of(&request.program), request, Scope::Key, []);
        assert_eq!(key(&request), key(&other));
    }
}
