//! What a caller asks for: a program with the way it is to be run. A [`Request`] is valid once built.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Isolation, Program, byte_size, rounded};

use crate::route::TierName;
use crate::schema::{Storable, micros};

/// One request. Build it with [`Request::new`], which holds it against the [`RequestLimits`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub kind: RequestKind,
    pub program: Program,
    pub caller: Caller,
    pub priority: Priority,
    /// The tier that the caller insists on; `None` leaves it to the rules.
    pub tier: Option<TierName>,
    /// The isolation floor: the weakest isolation that the caller accepts.
    pub isolation: Option<Isolation>,
    pub cache: CacheMode,
    /// Wall time from the request to its answer: the program's own, in all tiers together, and every wait before it.
    #[serde(rename = "timeout_micros", with = "micros")]
    pub timeout: Duration,
    /// Bytes of memory for the program; `None`: each tier's default.
    #[serde(rename = "memory_bytes")]
    pub memory: Option<u64>,
}

impl Storable for Request {
    const NAME: &'static str = "request";
    const SCHEMA: u32 = 1;
}

impl Request {
    /// A request with the usual settings.
    pub fn new(program: Program, request_limits: &RequestLimits) -> Result<Self, Invalid> {
        Self {
            kind: RequestKind::Program,
            program,
            caller: Caller::default(),
            priority: Priority::Normal,
            tier: None,
            isolation: None,
            cache: CacheMode::Use,
            timeout: request_limits.default_timeout,
            memory: None,
        }
        .checked(request_limits)
    }

    /// Returns a command of the system, for the rules to route: it has no program, and nothing runs it as one.
    pub fn command(caller: Caller, timeout: Duration) -> Self {
        Self {
            kind: RequestKind::Command,
            program: Program::python(""),
            caller,
            priority: Priority::Normal,
            tier: None,
            isolation: None,
            cache: CacheMode::Bypass,
            timeout,
            memory: None,
        }
    }

    /// Holds a request that was changed after building against the request_limits again.
    pub fn checked(self, request_limits: &RequestLimits) -> Result<Self, Invalid> {
        let program = &self.program;
        at_most("code", "bytes", program.source.len() as u64, request_limits.code)?;
        at_most("stdin", "bytes", program.stdin.as_ref().map_or(0, String::len) as u64, request_limits.stdin)?;
        at_most("files", "bytes", program.files.iter().map(|f| f.content.len() as u64).sum(), request_limits.files)?;
        at_most("files", "files", program.files.len() as u64, request_limits.file_count)?;
        let env = program.env.iter().flatten().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        at_most("env", "bytes", env as u64, request_limits.env)?;
        for (name, value) in program.env.iter().flatten() {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(Invalid::new("env", "variables whose names are not empty and contain neither '=' nor NUL"));
            }
        }
        for file in &program.files {
            if file.path.is_empty() || file.path.contains('\0') || file.path.split('/').any(|part| part == "..") {
                return Err(Invalid::new("files", "at paths that are not empty and contain neither NUL nor '..'"));
            }
        }
        if self.timeout.is_zero() || self.timeout > request_limits.timeout {
            return Err(Invalid::new("timeout_ms", format!("between 1 and {}", request_limits.timeout.as_millis())));
        }
        if self.memory.is_some_and(|memory| memory < (1 << 20) || memory > request_limits.memory) {
            return Err(Invalid::new("memory_mb", format!("between 1 and {}", request_limits.memory >> 20)));
        }
        if self.caller.user.len() > 256 {
            return Err(Invalid::new("user", "at most 256 bytes"));
        }
        Ok(self)
    }
}

fn at_most(field: &'static str, unit: &str, actual: u64, limit: u64) -> Result<(), Invalid> {
    if actual <= limit {
        return Ok(());
    }
    Err(Invalid::new(field, format!("at most {limit} {unit}, this has {actual}")))
}

/// A field with a value that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {allowed}")]
pub struct Invalid {
    pub field: &'static str,
    /// What is allowed, as the end of the sentence "field must be …".
    pub allowed: String,
}

impl Invalid {
    pub fn new(field: &'static str, allowed: impl Into<String>) -> Self {
        Self { field, allowed: allowed.into() }
    }
}

/// The most that one request may contain or ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestLimits {
    /// Bytes of source text.
    #[serde(with = "byte_size")]
    pub code: u64,
    /// Bytes of standard input; 0: none may be given.
    #[serde(with = "byte_size")]
    pub stdin: u64,
    /// Bytes of all given files together; 0: only empty ones may be given.
    #[serde(with = "byte_size")]
    pub files: u64,
    /// Number of given files; 0: none may be given.
    pub file_count: u64,
    /// Bytes of all environment variables, names and values together; 0: none may be given.
    #[serde(with = "byte_size")]
    pub env: u64,
    /// The longest time-out that a request may ask for.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// The time-out of a request that asks for none; at most `timeout`.
    #[serde(with = "humantime_serde")]
    pub default_timeout: Duration,
    /// The most memory that a request may ask for, at least 1MiB. A request that asks for none gets what its tier gives
    /// (`default_memory`).
    #[serde(with = "byte_size")]
    pub memory: u64,
}

impl RequestLimits {
    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        if self.code == 0 {
            return Some("code must be at least 1B: with 0 no program would be accepted".to_owned());
        }
        if self.default_timeout.is_zero() {
            return Some("default_timeout must be longer than 0s".to_owned());
        }
        if self.default_timeout > self.timeout {
            let (default, most) = (rounded(self.default_timeout), rounded(self.timeout));
            return Some(format!("default_timeout is {default}: it must be at most limits.timeout, {most}"));
        }
        (self.memory < (1 << 20)).then(|| "memory must be at least 1MiB".to_owned())
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            code: 1 << 20,
            stdin: 4 << 20,
            files: 8 << 20,
            file_count: 256,
            env: 64 << 10,
            timeout: Duration::from_secs(300),
            default_timeout: Duration::from_secs(30),
            memory: 2048 << 20,
        }
    }
}

/// Whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    pub user: Arc<str>,
    /// The name of the key that it showed; `None` where none is asked for.
    #[serde(default)]
    pub key: Option<Arc<str>>,
}

impl Caller {
    /// Returns a caller that no key is asked of.
    pub fn named(user: impl Into<Arc<str>>) -> Self {
        Self { user: user.into(), key: None }
    }
}

impl Caller {
    /// Returns the caller that any text stands for where no keys are set: `key-` and 128 bits of its hash. The text itself
    /// is not kept, and nobody finds a second text for the same caller.
    pub fn of_key(key: &[u8]) -> Self {
        Self::named(format!("key-{}", &blake3::hash(key).to_hex()[..32]))
    }
}

impl Default for Caller {
    fn default() -> Self {
        Self::named("anonymous")
    }
}

/// What a request runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// A program, in a sandbox that starts empty.
    #[default]
    Program,
    /// A cell, in a session.
    Cell,
    /// A command of the system, a port or a file outside the scratch folders: what a session needs a machine for.
    Command,
}

/// Who goes first in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

/// What running a program may leave behind beyond its output, as far as its text shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SideEffects {
    /// Nothing: it may run twice, and another may run after it in the same place.
    None,
    /// Something in its sandbox: files, its own or given with it; threads. It may run twice.
    Sandbox,
    /// Something in the world: it must not run twice. Whatever cannot be read counts as this.
    World,
}

/// How a request uses the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheMode {
    /// Take an answer from it, give an answer to it.
    #[default]
    Use,
    /// Neither take nor give.
    Bypass,
    /// Run, and replace what the cache holds.
    Refresh,
}

macro_rules! named {
    ($type:ident, $($variant:ident = $name:literal),+) => {
        impl $type {
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is none of {}", Self::NAMES.join(", "))),
                }
            }
        }
    };
}

named!(RequestKind, Program = "program", Cell = "cell", Command = "command");
named!(Priority, High = "high", Normal = "normal", Low = "low");
named!(CacheMode, Use = "use", Bypass = "bypass", Refresh = "refresh");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_of_any_text_has_128_bits_of_its_hash_and_nothing_of_the_text() {
        let caller = Caller::of_key(b"any text");
        let digits = caller.user.strip_prefix("key-").unwrap();
        assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digits}");
        assert_eq!(caller, Caller::of_key(b"any text"));
        // The last bit of the 128 tells callers apart too: no prefix of the hash is all that is looked at.
        let other = Caller::of_key(b"any texu");
        assert!(caller != other && caller.user[4..12] != other.user[4..12] && caller.user[28..] != other.user[28..]);
    }
}
