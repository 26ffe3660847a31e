//! The domain of sandboxes: clients reach a port of a sandbox at `PORT-ID.DOMAIN`, and the control plane at
//! `api.DOMAIN`.
//!
//! Older clients send cells with a sandbox's token to that domain, or to E2B's own if an answer names none. So every
//! answer names one: that of the settings, one that leads back to this server, or one that does not exist.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, header};

use crate::service::config::{is_domain, split_port};

/// The domain where no other is known. Names under `.invalid` do not exist (RFC 2606), so nothing is sent anywhere, and
/// the client's error contains the setting that is missing.
pub(super) const UNKNOWN: &str = "set-http-domain.invalid";

/// Returns the domain for a client, by the host that it called.
pub(super) fn of_request(configured: Option<&str>, headers: &HeaderMap) -> String {
    if let Some(domain) = configured {
        return domain.to_owned();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    derived(&host.to_ascii_lowercase()).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// Returns the domain that a host belongs to: what follows `api.`, or `localhost`, all of whose names are this machine
/// (RFC 6761), for a host of this machine.
fn derived(host: &str) -> Option<String> {
    let (name, port) = split_port(host);
    let ip = name.trim_matches(['[', ']']);
    let is_loopback = name == "localhost"
        || name.ends_with(".localhost")
        || ip.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
        || ip.parse().is_ok_and(|ip: Ipv6Addr| ip.is_loopback());
    let name = name.strip_prefix("api.").or_else(|| is_loopback.then_some("localhost"))?;
    let domain = port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    is_domain(&domain).then_some(domain)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn an_answer_names_the_configured_domain_one_that_leads_back_here_or_one_that_does_not_exist() {
        let of = |configured, host: &'static str| {
            of_request(configured, &HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]))
        };
        assert_eq!(of(Some("boxes.example:8443"), "127.0.0.1:3001"), "boxes.example:8443");
        for (host, expected) in [
            ("127.0.0.1:3001", "localhost:3001"),
            ("localhost:3001", "localhost:3001"),
            ("LOCALHOST", "localhost"),
            ("[::1]:3001", "localhost:3001"),
            ("tower.localhost:3001", "localhost:3001"),
            ("api.boxes.example", "boxes.example"),
            ("API.Boxes.example:4200", "boxes.example:4200"),
            ("api.localhost:4200", "localhost:4200"),
            // Their names do not have to lead here.
            ("192.0.2.1:3001", UNKNOWN),
            ("box.example:3001", UNKNOWN),
            ("api.192.0.2.1", UNKNOWN),
            // A client that was redirected here by DNS must not be sent to E2B.
            ("api.e2b.app", UNKNOWN),
            ("api.eu.e2b.dev", UNKNOWN),
            ("api.x y", UNKNOWN),
            ("api.", UNKNOWN),
            // What follows the colon must be a port.
            ("localhost:", UNKNOWN),
            ("localhost:x", UNKNOWN),
            ("localhost:+80", UNKNOWN),
            ("127.0.0.1:99999", UNKNOWN),
            ("[::1]:0", UNKNOWN),
            ("api.boxes.example:+80", UNKNOWN),
            ("api.boxes.example:", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(of(None, host), expected, "{host}");
        }
        assert_eq!(of_request(None, &HeaderMap::new()), UNKNOWN);
    }
}
