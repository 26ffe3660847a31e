//! Settings of the door.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the door is, who may pass, how long it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub address: IpAddr,
    pub port: u16,
    /// Name of a caller → its key. Required as soon as `address` is not loopback.
    pub keys: BTreeMap<String, String>,
    /// The key for `/v1/admin`; without one, everything there is switched off. No other key opens it.
    pub admin_key: Option<String>,
    /// Connections at once. For one more, that which has been silent longest is closed, one without a whole request first;
    /// where all of them are busy, it waits. No more than the limit on open files leaves room for.
    pub max_connections: usize,
    /// Connections of one address at once; 0: any number. Behind a proxy all clients share its address.
    pub max_connections_per_address: usize,
    /// Connections that the kernel holds until they are accepted; it may hold fewer (`net.core.somaxconn`).
    pub backlog: u32,
    /// How long a new connection may take until the head of its first request is there.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// How long a client may take for later headers, for its body, and for taking in a piece of an answer; also how long
    /// an idle connection is kept.
    #[serde(with = "humantime_serde")]
    pub client_timeout: Duration,
    /// How long what runs may go on after SIGTERM or SIGINT.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Comments that keep a silent event stream alive are this far apart.
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

    /// What contradicts itself, in words; `None` when all is well.
    pub fn objection(&self) -> Option<String> {
        if !self.address.is_loopback() && self.keys.is_empty() {
            return Some(format!(
                "{} is reachable from other machines, so a key is required: set http.keys, or listen on 127.0.0.1",
                self.address
            ));
        }
        if let Some(name) = self.keys.iter().find_map(|(name, key)| (key.len() < 16).then_some(name)) {
            return Some(format!("http.keys.{name} is too short: a key has at least 16 characters"));
        }
        if self.admin_key.as_ref().is_some_and(|key| key.len() < 16) {
            return Some("http.admin_key is too short: a key has at least 16 characters".to_owned());
        }
        if self.max_connections == 0 {
            return Some("http.max_connections is 0: nobody could connect".to_owned());
        }
        if self.backlog == 0 {
            return Some("http.backlog is 0: nobody could connect".to_owned());
        }
        [
            ("client_timeout", self.client_timeout),
            ("keep_alive_interval", self.keep_alive_interval),
            ("head_timeout", self.head_timeout),
        ]
        .into_iter()
        .find_map(|(name, time)| time.is_zero().then(|| format!("http.{name} is 0: it must be longer")))
    }
}
