//! The sandbox and the port that a request is for.

use axum::http::{HeaderMap, header};
pub(super) use switchtower_e2b_wire::control::{ENVD_PORT, INTERPRETER_PORT};

use crate::service::config::parse_port;

/// A sandbox and one of its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) id: String,
    /// `None`: the request names no port, or an invalid one.
    pub(super) port: Option<u16>,
}

impl Address {
    /// Returns the address in the headers, or in a host like `49999-ID.domain`; `None` when the request names no
    /// sandbox.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(id) = text("e2b-sandbox-id") {
            let port = text("e2b-sandbox-port").and_then(|port| parse_port(port.trim()));
            return Some(Self { id: sandbox_id(id).to_owned(), port });
        }
        let (port, id) = text(header::HOST.as_str())?.split_once('.')?.0.split_once('-')?;
        // Sandbox ids begin with a letter; names of machines may not: `10-0-0-1.example`.
        if !id.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return None;
        }
        Some(Self { id: sandbox_id(id).to_owned(), port: Some(parse_port(port)?) })
    }
}

/// Returns what follows `/sandboxes` in a path of the control plane, with or without `/v2`. Nothing in a sandbox has such a
/// path.
pub(super) fn control_path(path: &str) -> Option<&str> {
    let path = path.strip_prefix("/v2").unwrap_or(path);
    path.strip_prefix("/sandboxes").filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the id of a sandbox without the client id that older SDKs append to it.
pub(super) fn sandbox_id(id: &str) -> &str {
    id.split('-').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(pairs: &[(&'static str, &'static str)]) -> Option<Address> {
        let headers =
            pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)));
        Address::of(&headers.collect())
    }

    #[test]
    fn headers_take_precedence_over_the_host_and_without_both_no_sandbox_is_named() {
        let address = |id: &str, port| Some(Address { id: id.to_owned(), port });
        let host = ("host", "49999-iabc.e2b.localhost:3001");
        assert_eq!(of(&[host]), address("iabc", Some(49999)));
        assert_eq!(of(&[("host", "8080-iabc-6532622b.x")]), address("iabc", Some(8080)));
        assert_eq!(
            of(&[host, ("e2b-sandbox-id", "idef"), ("e2b-sandbox-port", "49983")]),
            address("idef", Some(49983))
        );
        for port in ["x", "", "+49983", "-1", "0", "65536"] {
            assert_eq!(of(&[("e2b-sandbox-id", "idef"), ("e2b-sandbox-port", port)]), address("idef", None), "{port}");
        }
        for host in [
            "localhost:3001",
            "127.0.0.1:3001",
            "my-host.example",
            "99999-i.x",
            "+49999-iabc.x",
            "0-iabc.x",
            "49999-iabc",
            "10-0-0-1.x",
        ] {
            assert_eq!(of(&[("host", host)]), None, "{host}");
        }
    }
}
