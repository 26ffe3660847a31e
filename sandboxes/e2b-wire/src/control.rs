//! The control plane: its representations of sandboxes, and the bodies of its requests.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

/// The port of envd, the daemon for files and processes, inside a sandbox.
pub const ENVD_PORT: u16 = 49983;
/// The port of the code interpreter inside a sandbox.
pub const INTERPRETER_PORT: u16 = 49999;

/// Seconds that a sandbox lives where the request gives no time-out: created by `/sandboxes`, or refreshed.
pub const SHORT_TIMEOUT_SECONDS: u64 = 15;
/// Seconds that a sandbox lives where the request gives no time-out: created by `/v2/sandboxes`, or connected to.
pub const LONG_TIMEOUT_SECONDS: u64 = 300;

/// The maximum and default number of sandboxes in a page of the list.
pub const PAGE_SIZE: usize = 100;

/// Processors, memory and disk that sandboxes are described with. E2B's default template has these.
pub const CPU_COUNT: u32 = 2;
pub const MEMORY_MB: u64 = 2048;
pub const DISK_MB: u64 = 10 << 10;

/// Whether a sandbox runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    Paused,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
        }
    }
}

/// A sandbox, as both servers describe it.
#[derive(Debug, Clone, Copy)]
pub struct SandboxInfo<'a> {
    pub id: &'a str,
    /// The id of the machine that it runs on. Clients add it to that of the sandbox, and it is ignored.
    pub client: &'a str,
    pub template: &'a str,
    /// The token of calls to envd and to the interpreter.
    pub access_token: &'a str,
    /// The token of calls to the other ports, if they require one.
    pub traffic_token: Option<&'a str>,
    /// The version of envd whose features are served: clients ask only for those.
    pub envd_version: &'a str,
    /// The domain of its ports, with the port of the server; `None`: the client's own.
    pub domain: Option<&'a str>,
}

/// The fields of a list entry beyond those of [`SandboxInfo`].
#[derive(Debug, Clone, Copy)]
pub struct Details<'a> {
    pub started: SystemTime,
    /// When it ends; of a paused one, when it was paused.
    pub ends: SystemTime,
    pub metadata: &'a BTreeMap<String, String>,
    pub state: State,
}

impl SandboxInfo<'_> {
    /// Returns the answer to a creation or a connection.
    pub fn connection(&self) -> Value {
        let mut connection = json!({
            "templateID": self.template, "alias": self.template, "sandboxID": self.id, "clientID": self.client,
            "envdVersion": self.envd_version, "envdAccessToken": self.access_token, "domain": self.domain,
        });
        if let Some(token) = self.traffic_token {
            connection["trafficAccessToken"] = token.into();
        }
        connection
    }

    /// Returns an entry of the list.
    pub fn list_entry(&self, details: &Details<'_>) -> Value {
        json!({
            "templateID": self.template, "alias": self.template, "sandboxID": self.id, "clientID": self.client,
            "startedAt": timestamp(details.started), "endAt": timestamp(details.ends), "envdVersion": self.envd_version,
            "cpuCount": CPU_COUNT, "memoryMB": MEMORY_MB, "diskSizeMB": DISK_MB, "metadata": details.metadata,
            "state": details.state.name(),
        })
    }

    /// Returns the answer to a request for this sandbox: the entry of the list with its token.
    pub fn detail(&self, details: &Details<'_>) -> Value {
        let mut detail = self.list_entry(details);
        detail["envdAccessToken"] = self.access_token.into();
        detail["domain"] = self.domain.into();
        detail
    }
}

/// Returns a time as the control plane and envd write it: ISO 8601 in UTC with `Z`.
pub fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// Returns a time in seconds since 1970 as [`timestamp`] does.
pub fn unix_timestamp(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// Returns a time in whole seconds since 1970; 0 for earlier ones.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Reads a time in the form of ISO 8601 with an offset. A `+` that a client did not encode arrives as a space.
pub fn parse_timestamp(text: &str) -> Option<SystemTime> {
    let time: jiff::Timestamp = text.trim().replace(' ', "+").parse().ok()?;
    Some(time.into())
}

/// The bodies of requests that set how long a sandbox lives. Both are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct LifetimeRequest {
    pub timeout: Option<f64>,
    /// The name in `refreshes`.
    pub duration: Option<f64>,
}

/// Reads the `metadata` filter of a list, after the query itself was decoded: `a=b&c=d`, each part percent-encoded once
/// more by the SDKs before they encode the pairs as a query. `None`: a part has no `=`.
pub fn metadata_filter(text: &str) -> Option<Vec<(String, String)>> {
    let decode_twice = |text: &str| decode(&decode(text));
    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (decode_twice(key), decode_twice(value)));
    text.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// Decodes a part of a query; what is no escape stays as it is.
fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn metadata_is_encoded_twice_inside_the_query() {
        let pairs = metadata_filter("user=a%2520b&k=%2526%25C3%25A4&").unwrap();
        assert_eq!(pairs, [("user", "a b"), ("k", "&ä")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        // By hand it is encoded once.
        assert_eq!(metadata_filter("user=ä b"), Some(vec![("user".to_owned(), "ä b".to_owned())]));
        assert_eq!(metadata_filter("a=1&user"), None);
        assert_eq!(decode("100% %zz +"), "100% %zz  ");
    }

    #[test]
    fn a_time_has_an_offset_and_may_have_lost_its_plus_sign() {
        let time = Some(UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        for text in ["2001-09-09T01:46:40Z", "2001-09-09T03:46:40.000+02:00", "2001-09-09T01:46:40 00:00"] {
            assert_eq!(parse_timestamp(text), time, "{text}");
        }
        assert_eq!(unix_timestamp(1_000_000_000), "2001-09-09T01:46:40Z");
        for text in ["", "yesterday", "2001-09-09T01:46:40", "1000000000"] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
