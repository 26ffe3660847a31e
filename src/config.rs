//! All settings: one struct of the modules' structs. Defaults, then a file, then the environment, then flags.

#[cfg(feature = "e2b")]
mod clouds;
#[cfg(not(feature = "e2b"))]
#[path = "config/clouds_absent.rs"]
mod clouds;
mod layers;
mod load;
mod local;
mod machine;
mod profile;
#[cfg(all(test, feature = "e2b"))]
mod tests;
mod wording;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::duration;
use switchtower_core::request::RequestLimits;

#[cfg(feature = "e2b")]
pub use clouds::Cloud;
pub use clouds::Clouds;
pub use layers::ConfigError;
pub use load::{SettingsSource, load, load_with_flags};
pub use local::{JailProfileSetting, Native, Tiers, Wasm};
pub use machine::{BUILT_IN, LocalMachines, STRONGEST};
pub use profile::SettingsProfile;

use switchtower_core::{cache, memory, quota, record, session, tier};
use switchtower_server::api::executors;
use switchtower_server::service;

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The set of settings that the others are laid over.
    pub profile: SettingsProfile,
    /// Where the server listens, who may call it, how long it waits for clients.
    pub http: service::Config,
    /// The executors' protocol, at a port of its own.
    pub executors: executors::Config,
    /// The limits of one request.
    pub limits: RequestLimits,
    /// The routing rules.
    pub rules: Rules,
    /// The rate limit of each caller.
    pub quota: quota::Config,
    /// How many bytes the server may hold for its callers: request bodies, files, cells and their histories.
    pub memory: memory::Config,
    /// How many results are stored, for how long, and who shares them.
    pub cache: cache::Config,
    /// Limits over all tiers together, for programs and batches, beside each tier's own.
    pub queue: tier::queue::Overall,
    /// The local tiers: queues, retries, limits.
    pub tiers: Tiers,
    /// The WebAssembly backend.
    pub wasm: Wasm,
    /// The scientific backend: native Python in a jail.
    pub native: Native,
    /// Local machines: containers with commands, files and ports.
    pub machine: LocalMachines,
    /// Accounts of cloud sandboxes, each a tier by its name.
    pub clouds: Clouds,
    /// How many sessions there may be, how long they live, and the limits of their kernels.
    pub sessions: session::Config,
    /// Which records are kept, and where.
    pub record: record::Config,
    /// The log on standard error.
    pub log: Log,
}

/// The routing rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// A folder of `*.rhai` files. Not set: the built-in rules.
    pub folder: Option<PathBuf>,
    /// Send everything to remote tiers, whatever it costs: to measure what the local tiers save. A request that names a
    /// tier still gets that one. Cannot be combined with `folder`.
    pub force_remote: bool,
    /// Time between two looks of a running server for changed rules.
    #[serde(with = "duration")]
    pub reload_interval: Duration,
}

impl Rules {
    fn problem(&self) -> Option<String> {
        if self.force_remote && self.folder.is_some() {
            return Some(
                "force_remote cannot be combined with folder: rules of your own decide where programs run".to_owned(),
            );
        }
        self.reload_interval.is_zero().then(|| "reload_interval must be longer than 0s".to_owned())
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self { folder: None, force_remote: false, reload_interval: Duration::from_secs(1) }
    }
}

/// The log on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text`, lines for people, or `json`, one object a line.
    pub format: LogFormat,
    /// What is logged, in the form of `RUST_LOG`: `info`, or `warn,switchtower=debug`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    /// What only a server must not do is [`exposure_problem`](Self::exposure_problem)'s.
    fn problem(&self) -> Option<String> {
        let own = [
            ("http", self.http.problem()),
            ("executors", self.executors.problem()),
            ("limits", self.limits.problem()),
            ("rules", self.rules.problem()),
            ("quota", self.quota.problem()),
            ("memory", self.memory.problem()),
            ("cache", self.cache.problem()),
            ("queue", self.queue.problem()),
            ("tiers.wasm", self.tiers.wasm.problem()),
            ("tiers.native", self.tiers.native.problem()),
            ("tiers.machine", self.tiers.machine.problem()),
            ("wasm", self.wasm.problem()),
            ("native", self.native.problem()),
            ("machine", self.machine.problem()),
            ("sessions", self.sessions.problem()),
            ("record", self.record.problem()),
        ];
        let own = own.into_iter().find_map(|(table, problem)| Some(format!("{table}.{}", problem?)));
        own.or_else(|| self.clouds.problem().map(|problem| format!("clouds.{problem}")))
    }

    /// Returns why a server must not listen with these settings; `None` when it may.
    pub fn exposure_problem(&self) -> Option<String> {
        let has_keys = !self.http.keys.is_empty();
        self.http.exposure_problem().or_else(|| self.executors.exposure_problem(has_keys))
    }
}

// The examples have cloud tiers.
