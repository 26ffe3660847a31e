//! Requests: a program, who sent it, and how to run it. A [`Request`] is valid once built.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{File, Isolation, Language, NetworkPolicy, Program, byte_size, duration, rounded};

use crate::route::TierName;
use crate::schema::Storable;

/// Maximum length of a user's name, in bytes.
pub const MAX_USER_BYTES: usize = 256;
/// Minimum memory that a request may set, in bytes.
pub const MIN_MEMORY: u64 = 1 << 20;

/// One request. [`Request::new`] builds it and checks it against the [`RequestLimits`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub kind: RequestKind,
    pub program: Program,
    pub caller: Caller,
    pub priority: Priority,
    /// The tier to run in; `None`: the rules choose.
    pub tier: Option<TierName>,
    /// The isolation floor: the weakest isolation that the caller accepts.
    pub isolation: Option<Isolation>,
    pub cache: CacheMode,
    /// Wall time from the arrival of the request to its answer: all waits, and the program's time in all tiers together.
    #[serde(rename = "timeout_micros", with = "switchtower_contract::stored::micros")]
    pub timeout: Duration,
    /// Memory for the program, in bytes; `None`: each tier's default.
    #[serde(rename = "memory_bytes")]
    pub memory: Option<u64>,
}

impl Storable for Request {
    const NAME: &'static str = "request";
    const SCHEMA: u32 = 1;
}

impl Request {
    /// Returns a request of the default caller with default options.
    ///
    /// # Errors
    /// The program exceeds a limit, or a path or a variable's name is invalid.
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

    /// Returns a request for a machine, for a command, a port or a file of a session. The rules route it. `line`: the command, as
    /// a line for a shell; empty for all else.
    pub fn command(caller: Caller, timeout: Duration, line: &str) -> Self {
        Self {
            kind: RequestKind::Command,
            program: Program::new(Language::Bash, line),
            caller,
            priority: Priority::Normal,
            tier: None,
            isolation: None,
            cache: CacheMode::Bypass,
            timeout,
            memory: None,
        }
    }

    /// Checks a request that was changed after it was built.
    ///
    /// # Errors
    /// A field exceeds its limit, or a path or a variable's name is invalid.
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
        if let Some(folder) = file_used_as_folder(&program.files) {
            return Err(Invalid::new(
                "files",
                format!("without {folder:?} as a file, because another one is below it"),
            ));
        }
        if self.timeout.is_zero() || self.timeout > request_limits.max_timeout {
            return Err(Invalid::new(
                "timeout_ms",
                format!("between 1 and {}", request_limits.max_timeout.as_millis()),
            ));
        }
        if self.memory.is_some_and(|memory| memory < MIN_MEMORY || memory > request_limits.max_memory) {
            return Err(Invalid::new("memory_mb", format!("between 1 and {}", request_limits.max_memory >> 20)));
        }
        if self.caller.user.len() > MAX_USER_BYTES {
            return Err(Invalid::new("user", format!("at most {MAX_USER_BYTES} bytes")));
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

/// A field with an invalid value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {allowed}")]
pub struct Invalid {
    pub field: &'static str,
    /// What is allowed, as the end of the sentence "field must be …".
    pub allowed: String,
}

impl Invalid {
    /// Returns the error for a field; `allowed` ends the sentence "field must be …".
    pub fn new(field: &'static str, allowed: impl Into<String>) -> Self {
        Self { field, allowed: allowed.into() }
    }
}

/// The limits of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestLimits {
    /// Maximum size of the source.
    #[serde(with = "byte_size")]
    pub code: u64,
    /// Maximum size of standard input; 0: none is accepted.
    #[serde(with = "byte_size")]
    pub stdin: u64,
    /// Maximum size of all files together; 0: only empty files are accepted.
    #[serde(with = "byte_size")]
    pub files: u64,
    /// Maximum number of files; 0: none is accepted.
    pub file_count: u64,
    /// Maximum size of all environment variables together, names and values; 0: none is accepted.
    #[serde(with = "byte_size")]
    pub env: u64,
    /// Longest timeout that a request may set.
    #[serde(with = "duration")]
    pub max_timeout: Duration,
    /// Timeout of a request that sets none; at most `max_timeout`.
    #[serde(with = "duration")]
    pub default_timeout: Duration,
    /// Maximum memory that a request may set, at least 1MiB. A request that sets none gets its tier's `default_memory`.
    #[serde(with = "byte_size")]
    pub max_memory: u64,
}

impl RequestLimits {
    /// Returns a message about the first invalid setting, beginning with its name; `None` if all are valid.
    pub fn problem(&self) -> Option<String> {
        if self.code == 0 {
            return Some("code must be at least 1B: with 0 no program would be accepted".to_owned());
        }
        if self.default_timeout.is_zero() {
            return Some("default_timeout must be longer than 0s".to_owned());
        }
        if self.default_timeout > self.max_timeout {
            let (default, most) = (rounded(self.default_timeout), rounded(self.max_timeout));
            return Some(format!("default_timeout is {default}: it must be at most limits.max_timeout, {most}"));
        }
        (self.max_memory < MIN_MEMORY).then(|| "max_memory must be at least 1MiB".to_owned())
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
            max_timeout: Duration::from_secs(300),
            default_timeout: Duration::from_secs(30),
            max_memory: 2048 << 20,
        }
    }
}

/// Returns the path of a file that another one needs as its folder. Takes the time of sorting the paths, however deep they are.
fn file_used_as_folder(files: &[File]) -> Option<&str> {
    // With the separator before all other bytes, what is below a path follows it directly.
    let order = |path: &str| -> Vec<u8> { path.bytes().map(|byte| if byte == b'/' { 0 } else { byte }).collect() };
    let mut paths: Vec<(Vec<u8>, &str)> = files.iter().map(|file| (order(&file.path), file.path.as_str())).collect();
    paths.sort_unstable();
    paths.windows(2).find_map(|two| {
        let rest = two[1].0.strip_prefix(two[0].0.as_slice())?;
        rest.starts_with(&[0]).then_some(two[0].1)
    })
}

/// The sender of a request: a user, and the API key that authenticated the request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    pub user: Arc<str>,
    /// The name of the key in the settings; `None` if the server requires no key.
    #[serde(default)]
    pub key: Option<Arc<str>>,
    /// Whether its programs and machines may not reach the internet, neither from this host nor in a cloud.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
}

impl Caller {
    /// Returns a user without a key.
    pub fn named(user: impl Into<Arc<str>>) -> Self {
        Self { user: user.into(), key: None, offline: false }
    }

    /// Returns what its programs and machines may reach.
    pub fn network(&self) -> NetworkPolicy {
        NetworkPolicy { internet: self.offline.then_some(false), ..NetworkPolicy::OPEN }
    }

    /// Returns the caller for a key that a client sent to a server without configured keys: the user is `key-` and 128 bits
    /// of the key's hash, in hexadecimal. The key itself is not stored, and finding another key of the same user is
    /// infeasible.
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
    /// A program, in a fresh sandbox.
    #[default]
    Program,
    /// A cell, in a session.
    Cell,
    /// A shell command, a port, or a file outside the scratch folders: everything for which a session needs a machine.
    Command,
}

/// The priority of a request in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

/// What a run of a program may change beyond its output, by static analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SideEffects {
    /// Nothing: it may run twice, and its sandbox may be reused.
    None,
    /// Its sandbox: files that it writes or that came with the request, threads. It may run twice.
    Sandbox,
    /// Something outside its sandbox: it must not run twice. A program that cannot be analysed is in this class.
    World,
}

/// How a request uses the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheMode {
    /// Return a stored result if there is one, and store the result of a run.
    #[default]
    Use,
    /// Run; neither return nor store a result.
    Bypass,
    /// Run, and replace the stored result.
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
    fn a_file_that_another_one_needs_as_a_folder_is_refused() {
        let with = |paths: &[&str]| {
            let file = |path: &&str| File { path: (*path).to_owned(), content: Vec::new() };
            let program = Program { files: paths.iter().map(file).collect(), ..Program::python("") };
            Request::new(program, &RequestLimits::default())
                .and_then(|request| request.checked(&RequestLimits::default()))
        };
        assert!(with(&["a/b", "a/c", "ab", "d"]).is_ok());
        let deep = ["x/".repeat(1 << 20) + "y", "x/".repeat(1 << 20) + "z", "x.txt".to_owned()];
        assert!(with(&deep.each_ref().map(String::as_str)).is_ok());
        for paths in [["a", "a/b"], ["x/y/z", "x"], ["a-b", "a-b/c"]] {
            assert!(with(&paths).unwrap_err().to_string().contains("another one is below it"), "{paths:?}");
        }
    }

    #[test]
    fn the_user_of_an_unknown_key_is_128_bits_of_its_hash() {
        let caller = Caller::of_key(b"any text");
        let digits = caller.user.strip_prefix("key-").unwrap();
        assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digits}");
        assert_eq!(caller, Caller::of_key(b"any text"));
        // Callers are compared by all 128 bits, not by a prefix.
        let other = Caller::of_key(b"any texu");
        assert!(caller != other && caller.user[4..12] != other.user[4..12] && caller.user[28..] != other.user[28..]);
    }
}
