//! Settings of the HTTP server.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::duration;

use super::tls::TlsSettings;

/// Where the server listens, who may call it, how long it waits for clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The IP address to listen on. Beyond loopback at least one key is required.
    pub address: IpAddr,
    /// The TCP port; 0: the system chooses a free one, which the log names.
    pub port: u16,
    /// The keys of callers: name = key, each of 16 characters or more. Without any, requests need no key.
    pub keys: BTreeMap<String, String>,
    /// The names of keys whose callers may not leave: their programs and sandboxes never reach the internet, neither by
    /// `machine.egress` nor in a cloud.
    pub offline_keys: Vec<String>,
    /// The key for `/v1/admin`, of 16 characters or more. No other key is accepted there. Not set: these paths are
    /// disabled.
    pub admin_key: Option<String>,
    /// The domain that E2B's clients reach sandboxes by, with its port unless that is 443: a sandbox's ports are at
    /// `PORT-ID.DOMAIN`, the API at `api.DOMAIN`, and these names must lead to this server. Not set: what follows
    /// `api.` in the host that a client called, `localhost` for clients on this machine, else a name that does not exist.
    pub domain: Option<String>,
    /// Whether a client of E2B may create a sandbox whose interpreter answers without a token (`secure: false`, which old
    /// clients leave out). Whoever knows the id of such a sandbox runs code in it. Not set: only while there are no `keys`.
    pub open_interpreters: Option<bool>,
    /// Whether the ports of an E2B client's sandbox answer everybody who knows their address, as at E2B, where its creation does
    /// not say (`allowPublicTraffic`). Otherwise they need the sandbox's traffic token.
    pub public_ports: bool,
    /// TLS on the same port.
    pub tls: TlsSettings,
    /// Connections at once. For one more, the one that has been silent longest is closed, one without a complete
    /// request first; where all are busy, the new one waits. Never more than the limit on open files allows.
    pub max_connections: usize,
    /// Connections of one peer address at once; 0: any number. Behind a proxy all clients share its address.
    pub max_connections_per_address: usize,
    /// Connections that the kernel holds until they are accepted. `net.core.somaxconn` may lower it.
    pub backlog: u32,
    /// Time from the start of a connection until the head of its first request is complete.
    #[serde(with = "duration")]
    pub head_timeout: Duration,
    /// Time that a client may take for the head of a later request, for the next piece of a body, and for reading a
    /// piece of an answer; also how long an idle connection is kept.
    #[serde(with = "duration")]
    pub client_timeout: Duration,
    /// How long running programs may go on after SIGTERM or SIGINT; 0: they are cancelled at once.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// Time between the comments that keep a silent event stream open.
    #[serde(with = "duration")]
    pub keep_alive_interval: Duration,
}

/// The domains of E2B itself. Their names never lead to this server.
const E2B_DOMAINS: [&str; 3] = ["e2b.app", "e2b.dev", "e2b.pro"];

/// Whether a text is a host name, with a port or without, that can be a domain of sandboxes: no address, and not E2B's.
pub(crate) fn is_domain(text: &str) -> bool {
    let (name, port) = split_port(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_of_e2b = |own: &&str| {
        let name = name.to_ascii_lowercase();
        name.strip_suffix(*own).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    // The labels `PORT-ID` come before it, in at most 253 bytes together. The last label of an address is a number.
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 180
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
        && port.is_none_or(|port| parse_port(port).is_some())
        && !E2B_DOMAINS.iter().any(is_of_e2b)
}

/// Returns the port in a text: digits only, without the sign that a number may have.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits?.parse().ok().filter(|port| *port > 0)
}

/// Splits a host into its name and its port, if it has one.
pub(crate) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 3001,
            keys: BTreeMap::new(),
            offline_keys: Vec::new(),
            admin_key: None,
            domain: None,
            open_interpreters: None,
            public_ports: false,
            tls: TlsSettings::default(),
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
    /// Returns the address and the port to listen on.
    pub fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Returns whether sandboxes may be created whose interpreter answers without a token.
    pub(crate) fn allows_open_interpreters(&self) -> bool {
        self.open_interpreters.unwrap_or(self.keys.is_empty())
    }

    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        if let Some(name) = self.keys.iter().find_map(|(name, key)| (key.len() < 16).then_some(name)) {
            return Some(format!("keys.{name} is too short: a key has at least 16 characters"));
        }
        if let Some(name) = self.offline_keys.iter().find(|name| !self.keys.contains_key(*name)) {
            return Some(format!("offline_keys has {name}, which is no name of a key in http.keys"));
        }
        if self.admin_key.as_ref().is_some_and(|key| key.len() < 16) {
            return Some("admin_key is too short: a key has at least 16 characters".to_owned());
        }
        if let Some(domain) = self.domain.as_ref().filter(|domain| !is_domain(domain)) {
            return Some(format!(
                "domain must be a host name of your own, with a port or without, such as boxes.example:3001, not {domain:?}"
            ));
        }
        if let Some(problem) = self.tls.problem() {
            return Some(problem);
        }
        if let Some(name) = [("max_connections", self.max_connections), ("backlog", self.backlog as usize)]
            .into_iter()
            .find_map(|(name, count)| (count == 0).then_some(name))
        {
            return Some(format!("{name} must be at least 1: with 0 nobody could connect"));
        }
        let times = [
            ("client_timeout", self.client_timeout),
            ("keep_alive_interval", self.keep_alive_interval),
            ("head_timeout", self.head_timeout),
        ];
        let zero = times.into_iter().find_map(|(name, time)| time.is_zero().then_some(name))?;
        Some(format!("{zero} must be longer than 0s"))
    }

    /// Returns why a server must not listen with these settings; `None` when it may.
    pub fn exposure_problem(&self) -> Option<String> {
        (!self.address.is_loopback() && self.keys.is_empty()).then(|| {
            format!(
                "http.address is {}, which other machines can reach, so a key is required: set http.keys, or listen on 127.0.0.1",
                self.address
            )
        })
    }
}
