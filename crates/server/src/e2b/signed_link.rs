//! Signed links to files: the holder of a sandbox's token can make one for somebody without the token.
//!
//! A link with the sandbox's host (`49983-ID.domain`) costs one hash. A link with the address of this server names no
//! sandbox, so the tokens of the most recently used sandboxes are tried, a bounded number. What the trials have in
//! common is hashed once, so the length of a path counts once. An address that keeps showing wrong links has to wait.

use std::net::IpAddr;

use axum::Json;
use axum::extract::{Query, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use switchtower_core::error::Kind;
use switchtower_e2b_wire::errors;

use super::address::{Address, ENVD_PORT};
use super::recent_sandboxes::MAX_SANDBOXES;
use super::response::{self, Refusal};
use super::state::E2bState;
use crate::service::peer::PeerAddress;

/// Maximum bytes of a link's query: the longest path with each byte escaped, and the other parameters.
const MAX_QUERY_BYTES: usize = 16 << 10;

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct LinkQuery {
    #[serde(default)]
    path: String,
    #[serde(default)]
    username: String,
    signature: Option<String>,
    /// Seconds since 1970.
    signature_expiration: Option<u64>,
}

/// Why a link is refused. The messages are E2B's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkError {
    Missing,
    Invalid,
    Expired,
}

impl LinkError {
    fn message(self) -> &'static str {
        match self {
            Self::Missing => "missing signature query parameter",
            Self::Invalid => "invalid signature",
            Self::Expired => "signature is already expired",
        }
    }

    fn refusal(self) -> Refusal {
        Box::new(errors::api(StatusCode::UNAUTHORIZED, self.message()))
    }
}

/// A request for a file with a signature.
pub(super) struct SignedLink {
    /// The signature in the link.
    digest: blake3::Hash,
    /// The hash of what comes before the token.
    prefix: Sha256,
    /// What comes after the token.
    suffix: String,
}

impl SignedLink {
    /// Whether a request is for a file: without a token it needs a signature.
    pub(super) fn is_for_file(request: &Request) -> bool {
        request.uri().path() == "/files" && matches!(*request.method(), Method::GET | Method::POST)
    }

    /// Whether a request shows a signature, right or wrong, in place of a token.
    pub(super) fn is_link(request: &Request) -> bool {
        let has_signature = |query: &str| query.split('&').any(|pair| pair.starts_with("signature="));
        Self::is_for_file(request) && request.uri().query().is_some_and(has_signature)
    }

    /// Reads a link. `now`: seconds since 1970.
    ///
    /// # Errors
    /// It has no signature or a malformed one, or has expired.
    fn read(method: &Method, uri: &Uri, now: u64) -> Result<Self, LinkError> {
        let operation = if *method == Method::GET { "read" } else { "write" };
        if uri.query().is_some_and(|query| query.len() > MAX_QUERY_BYTES) {
            return Err(LinkError::Invalid);
        }
        let link = Query::<LinkQuery>::try_from_uri(uri).map_err(|_| LinkError::Invalid)?.0;
        let signature = link.signature.filter(|signature| !signature.is_empty()).ok_or(LinkError::Missing)?;
        // A link shows its own end, so this reveals nothing about the sandbox, whether or not the signature is right.
        if link.signature_expiration.is_some_and(|until| until < now) {
            return Err(LinkError::Expired);
        }
        let signature = signature.strip_prefix("v1_").and_then(|text| STANDARD_NO_PAD.decode(text).ok());
        let signature = signature.and_then(|bytes| bytes.try_into().ok()).ok_or(LinkError::Invalid)?;
        let digest = blake3::Hash::from_bytes(signature);
        let prefix = Sha256::new_with_prefix(format!("{}:{operation}:{}:", link.path, link.username));
        let suffix = link.signature_expiration.map_or_else(String::new, |until| format!(":{until}"));
        Ok(Self { digest, prefix, suffix })
    }

    /// Whether it was made with this token. The comparison takes constant time.
    fn is_made_with(&self, token: &str) -> bool {
        let made = self.prefix.clone().chain_update(token).chain_update(&self.suffix).finalize();
        blake3::Hash::from_bytes(made.into()) == self.digest
    }

    fn of(state: &E2bState, request: &Request) -> Result<Self, LinkError> {
        let now = state.sessions.router().wall().unix_millis() / 1000;
        Self::read(request.method(), request.uri(), now)
    }

    /// Checks a link for the sandbox with this id, whether or not that exists.
    ///
    /// # Errors
    /// The signature is wrong, or too many wrong ones came from the same address.
    pub(super) fn check(state: &E2bState, id: &str, request: &Request) -> Result<(), Refusal> {
        let address = check_rate(state, request)?;
        let token = state.sessions.access_token(id);
        let error = match Self::of(state, request) {
            Ok(signed) if signed.is_made_with(&token) => return Ok(()),
            Ok(_) => LinkError::Invalid,
            Err(error) => error,
        };
        state.link_failures.record(address);
        Err(error.refusal())
    }

    /// Finds the sandbox of a link that names none, among the most recently used ones.
    ///
    /// # Errors
    /// The link is for none of them, or too many wrong ones came from the same address.
    pub(super) fn find(state: &E2bState, request: &Request) -> Result<Address, Refusal> {
        let address = check_rate(state, request)?;
        let find =
            |link: Self| state.recent_sandboxes.list().into_iter().find(|it| link.is_made_with(it.access_token()));
        let signed = match Self::of(state, request) {
            Ok(signed) => signed,
            Err(error) => {
                state.link_failures.record(address);
                return Err(error.refusal());
            }
        };
        if let Some(session) = find(signed) {
            return Ok(Address { id: session.id().to_owned(), port: Some(ENVD_PORT) });
        }
        state.link_failures.record(address);
        // The message is E2B's; what else may be the cause here is beside it.
        let hint = format!(
            "it may also be of a sandbox that is not among the {MAX_SANDBOXES} most recently used ones: for that use the \
             host {ENVD_PORT}-SANDBOX_ID.DOMAIN, or send the header E2b-Sandbox-Id"
        );
        let status = StatusCode::UNAUTHORIZED;
        let body = json!({ "code": status.as_u16(), "message": LinkError::Invalid.message(), "hint": hint });
        Err(Box::new((status, Json(body)).into_response()))
    }
}

/// Returns the address that a link comes from, unless too many wrong ones came from it.
fn check_rate(state: &E2bState, request: &Request) -> Result<Option<IpAddr>, Refusal> {
    let address = request.extensions().get::<PeerAddress>().map(|peer| peer.0);
    let Some(wait) = state.link_failures.wait(address) else { return Ok(address) };
    let message = "too many wrong signatures from this address; retry later";
    let mut response = errors::api(response::status_of(Kind::Quota), message);
    response::add_retry_after(response.headers_mut(), wait);
    Err(Box::new(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_valid(query: &str, method: &Method, token: &str, now: u64) -> bool {
        let uri = format!("http://x/files?{query}").parse().unwrap();
        SignedLink::read(method, &uri, now).is_ok_and(|signed| signed.is_made_with(token))
    }

    #[test]
    fn a_link_is_valid_for_its_file_its_operation_and_its_time_only() {
        // As Python has it: "v1_" + b64encode(sha256(b"/tmp/a b:read::token:100").digest()).rstrip("=")
        let signature = "v1_cfuH8XiSzYd95t+m4hUg8x5RJQY08mR2LRmDnAxqto0";
        let query = format!("path=/tmp/a%20b&signature_expiration=100&signature={}", signature.replace('+', "%2B"));
        let (read, write) = (Method::GET, Method::POST);
        assert!(is_valid(&query, &read, "token", 100));
        assert!(!is_valid(&query, &read, "token", 101) && !is_valid(&query, &write, "token", 1));
        assert!(!is_valid(&query, &read, "other", 1));
        assert!(!is_valid(&query.replace("a%20b", "b"), &read, "token", 1));
        assert!(!is_valid(&query.replace("=100", "=999"), &read, "token", 1));
        assert!(!is_valid("path=/tmp/a", &read, "token", 1));
        for wrong in ["v1_", "v1_!!!", "v2_cfuH8XiSzYd95t+m4hUg8x5RJQY08mR2LRmDnAxqto0", "v1_cfuH"] {
            assert!(!is_valid(&format!("path=/tmp/a&signature={wrong}"), &read, "token", 1), "{wrong}");
        }
    }

    #[test]
    fn a_link_longer_than_any_path_makes_it_is_not_hashed() {
        let made = |path: &str| {
            let digest = STANDARD_NO_PAD.encode(Sha256::digest(format!("{path}:read::token")));
            format!("path={path}&signature=v1_{}", digest.replace('+', "%2B"))
        };
        assert!(is_valid(&made(&"a".repeat(4000)), &Method::GET, "token", 1));
        assert!(!is_valid(&made(&"a".repeat(MAX_QUERY_BYTES)), &Method::GET, "token", 1));
    }
}
