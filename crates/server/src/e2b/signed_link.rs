//! SignedLink links to files: whoever has the token of a sandbox can make one for somebody who has not.
//!
//! A link with the address of this server names no sandbox, so the token of each is tried. What is common to all of them
//! is hashed once, so the length of a path counts once; and an address that keeps showing wrong links has to wait.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, Request};
use axum::http::{Method, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use switchtower_core::session::Session;

use super::Door;
use super::response::{self, Refusal};
use crate::service::peer::PeerAddress;

/// Longest query of a link, in bytes: the longest path, each byte of it escaped, and what stands beside it.
const LONGEST_QUERY: usize = 16 << 10;

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct Link {
    #[serde(default)]
    path: String,
    #[serde(default)]
    username: String,
    signature: Option<String>,
    /// Seconds since 1970.
    signature_expiration: Option<u64>,
}

/// A call for a file with a signature.
pub(super) struct SignedLink {
    /// The signature that was shown.
    digest: blake3::Hash,
    /// The hash of what comes before the token.
    prefix: Sha256,
    /// What comes after the token.
    suffix: String,
}

impl SignedLink {
    /// Whether a request shows a signature in place of a token. It may be a wrong one.
    pub(super) fn is_link(request: &Request) -> bool {
        let (method, uri) = (request.method(), request.uri());
        let shows = |query: &str| query.split('&').any(|pair| pair.starts_with("signature="));
        uri.path() == "/files" && matches!(*method, Method::GET | Method::POST) && uri.query().is_some_and(shows)
    }

    /// Reads a link whose time is not over; `now` in seconds since 1970. `None`: its signature cannot be right.
    fn read(method: &Method, uri: &Uri, now: u64) -> Option<Self> {
        let operation = if *method == Method::GET { "read" } else { "write" };
        uri.query().filter(|query| query.len() <= LONGEST_QUERY)?;
        let link = Query::<Link>::try_from_uri(uri).ok()?.0;
        if link.signature_expiration.is_some_and(|until| until < now) {
            return None;
        }
        let shown = STANDARD_NO_PAD.decode(link.signature?.strip_prefix("v1_")?).ok()?;
        let digest = blake3::Hash::from_bytes(shown.try_into().ok()?);
        let prefix = Sha256::new_with_prefix(format!("{}:{operation}:{}:", link.path, link.username));
        let suffix = link.signature_expiration.map_or_else(String::new, |until| format!(":{until}"));
        Some(Self { digest, prefix, suffix })
    }

    /// Whether it was made with this token. The comparison takes the same time whatever is shown.
    fn is_made_with(&self, token: &str) -> bool {
        let made = self.prefix.clone().chain_update(token).chain_update(&self.suffix).finalize();
        blake3::Hash::from_bytes(made.into()) == self.digest
    }

    fn of(door: &Door, request: &Request) -> Option<Self> {
        let now = door.parts.sessions.router().wall().unix_millis() / 1000;
        Self::read(request.method(), request.uri(), now)
    }

    /// Checks a link to a file of the sandbox with this id, whether or not there is one.
    ///
    /// # Errors
    /// Its signature is wrong, or too many from its address were.
    pub(super) fn check(door: &Door, id: &str, request: &Request) -> Result<(), Refusal> {
        let address = limited(door, request)?;
        let token = door.parts.sessions.access_token(id);
        if Self::of(door, request).is_some_and(|signed| signed.is_made_with(&token)) {
            return Ok(());
        }
        door.failures.record(address);
        Err(Box::new(response::token()))
    }

    /// Finds the sandbox that a link belongs to; `None`: to none.
    ///
    /// # Errors
    /// Too many links from its address belonged to none.
    pub(super) fn find(door: &Door, request: &Request) -> Result<Option<Arc<Session>>, Refusal> {
        let address = limited(door, request)?;
        let found = Self::of(door, request).and_then(|signed| {
            door.parts.sessions.list_all().into_iter().find(|it| signed.is_made_with(it.access_token()))
        });
        if found.is_none() {
            door.failures.record(address);
        }
        Ok(found)
    }
}

/// The address that a link is shown from.
fn limited(door: &Door, request: &Request) -> Result<Option<IpAddr>, Refusal> {
    let address = request.extensions().get::<PeerAddress>().map(|peer| peer.0);
    let Some(wait) = door.failures.wait(address) else { return Ok(address) };
    let message = "too many wrong signatures came from this address: send fewer, or wait";
    let mut response = response::api(StatusCode::TOO_MANY_REQUESTS, message);
    response::later(response.headers_mut(), wait);
    Err(Box::new(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(query: &str, method: &Method, token: &str, now: u64) -> bool {
        let uri = format!("http://x/files?{query}").parse().unwrap();
        SignedLink::read(method, &uri, now).is_some_and(|signed| signed.is_made_with(token))
    }

    #[test]
    fn a_link_stands_for_its_file_its_operation_and_its_time() {
        // As Python has it: "v1_" + b64encode(sha256(b"/tmp/a b:read::token:100").digest()).rstrip("=")
        let signature = "v1_cfuH8XiSzYd95t+m4hUg8x5RJQY08mR2LRmDnAxqto0";
        let query = format!("path=/tmp/a%20b&signature_expiration=100&signature={}", signature.replace('+', "%2B"));
        let (read, write) = (Method::GET, Method::POST);
        assert!(stands(&query, &read, "token", 100));
        assert!(!stands(&query, &read, "token", 101) && !stands(&query, &write, "token", 1));
        assert!(!stands(&query, &read, "other", 1));
        assert!(!stands(&query.replace("a%20b", "b"), &read, "token", 1));
        assert!(!stands(&query.replace("=100", "=999"), &read, "token", 1));
        assert!(!stands("path=/tmp/a", &read, "token", 1));
        for wrong in ["v1_", "v1_!!!", "v2_cfuH8XiSzYd95t+m4hUg8x5RJQY08mR2LRmDnAxqto0", "v1_cfuH"] {
            assert!(!stands(&format!("path=/tmp/a&signature={wrong}"), &read, "token", 1), "{wrong}");
        }
    }

    #[test]
    fn a_link_that_no_path_makes_so_long_is_not_even_hashed() {
        let made = |path: &str| {
            let digest = STANDARD_NO_PAD.encode(Sha256::digest(format!("{path}:read::token")));
            format!("path={path}&signature=v1_{}", digest.replace('+', "%2B"))
        };
        assert!(stands(&made(&"a".repeat(4000)), &Method::GET, "token", 1));
        assert!(!stands(&made(&"a".repeat(LONGEST_QUERY)), &Method::GET, "token", 1));
    }
}
