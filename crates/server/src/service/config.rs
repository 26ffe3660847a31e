//! The settings `http`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The address of the server, its keys, and the limits of its connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub address: IpAddr,
    pub port: u16,
    /// Name of a caller → its key, of 16 characters or more. Required unless `address` is loopback.
    pub keys: BTreeMap<String, String>,
    /// The key for `/v1/admin`, of 16 characters or more; no other key is accepted there. Without one, `/v1/admin` is
    /// disabled.
    pub admin_key: Option<String>,
    /// Maximum number of open connections. At the limit, the connection that has been silent longest is closed for a new
    /// one, connections without a whole request first; if all of them are busy, the new one waits. The limit on open files
    /// may lower it.
    pub max_connections: usize,
    /// Maximum number of open connections of one address; 0: no limit. Behind a proxy all clients share its address.
    pub max_connections_per_address: usize,
    /// Connections that the kernel holds until they are accepted. `net.core.somaxconn` may lower it.
    pub backlog: u32,
    /// Time within which a new connection must send the head of its first request.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// Longest silence of a client: between the chunks of a body, while it does not read a response, before the head of a
    /// later request. An idle connection is closed after this time.
    #[serde(with = "humantime_serde")]
    pub client_timeout: Duration,
    /// Time that requests in progress have to finish after SIGTERM or SIGINT.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Interval of the comments that keep a silent event stream alive.
    #[serde(with = "humantime_serde")]
    pub keep_alive_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 3001,
            keys: BTreeMap::new(),
            admin_key: None,
            max_connections: 1024,
            max_connections_per_address: 0,
            backlog: 4096,
            head_timeout: Duration::from_secs(5),
            client_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            keep_alive_interval: Duration::from_secs(15),
        }
    }
}

impl Config {
    pub fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Returns what is wrong with the settings, and how to fix it; `None` when they are valid.
    pub fn objection(&self) -> Option<String> {
        if !self.address.is_loopback() && self.keys.is_empty() {
            return Some(format!(
                "{} is reachable from other machines, so a key is required: set http.keys, or listen on 127.0.0.1",
                self.address
            ));
        }
        if let Some(name) = self.keys.iter().find_map(|(name, key)| (key.len() < 16).then_some(name)) {
            return Some(format!("http.keys.{name} must have at least 16 characters"));
        }
        if self.admin_key.as_ref().is_some_and(|key| key.len() < 16) {
            return Some("http.admin_key must have at least 16 characters".to_owned());
        }
        if self.max_connections == 0 {
            return Some("http.max_connections must be at least 1".to_owned());
        }
        if self.backlog == 0 {
            return Some("http.backlog must be at least 1".to_owned());
        }
        [
            ("client_timeout", self.client_timeout),
            ("keep_alive_interval", self.keep_alive_interval),
            ("head_timeout", self.head_timeout),
        ]
        .into_iter()
        .find_map(|(name, time)| time.is_zero().then(|| format!("http.{name} must be longer than 0s")))
    }
}
