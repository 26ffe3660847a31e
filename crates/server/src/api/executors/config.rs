//! The settings of the executors' protocol.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use switchtower_contract::Language;

/// The executors' protocol: programs over WebSockets at a port of its own, in the form of the containers of Switchtower's
/// predecessor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address and the port to listen on, such as `127.0.0.1:8765`. Not set: the protocol is not served. Beyond
    /// loopback a key is required.
    pub listen: Option<SocketAddr>,
    /// The languages, at least one: each has a path of its name, such as `/cpp`, and the first one is that of a message at `/`
    /// that names none. If the protocol is served, `/ready` answers 503 until a tier that is up runs each of them.
    pub languages: Vec<Language>,
    /// WebSockets at once, at least 1, at most 10,000.
    pub max_connections: usize,
    /// WebSockets of one caller at once, at least 1.
    pub max_connections_per_caller: usize,
}

/// Upper limit of `max_connections`.
const MAX_CONNECTIONS: usize = 10_000;

impl Config {
    /// Returns a message about the first invalid setting, beginning with its name; `None` if all are valid.
    pub fn problem(&self) -> Option<String> {
        if self.languages.is_empty() {
            return Some("languages must have at least one: with none no program would be accepted".to_owned());
        }
        if !(1..=MAX_CONNECTIONS).contains(&self.max_connections) {
            return Some(format!("max_connections must be between 1 and {MAX_CONNECTIONS}"));
        }
        let none = self.max_connections_per_caller == 0;
        none.then(|| "max_connections_per_caller must be at least 1: with 0 nobody could connect".to_owned())
    }

    /// Returns why a server must not listen with these settings; `None` when it may. `has_keys`: whether callers need a key.
    pub fn exposure_problem(&self, has_keys: bool) -> Option<String> {
        let listen = self.listen.filter(|listen| !listen.ip().is_loopback() && !has_keys)?;
        Some(format!(
            "executors.listen is {listen}, which other machines can reach, so a key is required: set http.keys, or listen on 127.0.0.1"
        ))
    }

    /// Returns the languages that a server must be able to run: none where the protocol is not served.
    pub fn required_languages(&self) -> &[Language] {
        if self.listen.is_some() { &self.languages } else { &[] }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: None,
            languages: vec![Language::Python, Language::JavaScript, Language::Cpp],
            max_connections: 64,
            max_connections_per_caller: 32,
        }
    }
}
