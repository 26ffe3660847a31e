//! Signed links to files: whoever has the token of a sandbox can make one for somebody who has not.

use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::super::Door;
use super::super::plane::Visit;
use crate::session::Session;

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

/// A call for a file that has a signature in place of the token.
pub(super) fn is_signed(visit: &Visit, parts: &Parts) -> bool {
    Signed::of(&parts.method, &parts.uri).is_some_and(|signed| signed.stands(&visit.door, &visit.session))
}

/// A call for a file with a signature.
pub(in super::super) struct Signed {
    operation: &'static str,
    link: Link,
}

impl Signed {
    pub(in super::super) fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let operation = match *method {
            Method::GET => "read",
            Method::POST => "write",
            _ => return None,
        };
        let link = Query::<Link>::try_from_uri(uri).ok().filter(|_| uri.path() == "/files")?.0;
        link.signature.is_some().then_some(Self { operation, link })
    }

    /// The token of this session made it, and its time is not over.
    pub(in super::super) fn stands(&self, door: &Door, session: &Session) -> bool {
        let now = door.parts.sessions.router().wall().unix_millis() / 1000;
        self.link.stands(self.operation, session.token(), now)
    }
}

impl Link {
    fn stands(&self, operation: &str, token: &str, now: u64) -> bool {
        let Some(shown) = &self.signature else { return false };
        if self.signature_expiration.is_some_and(|until| until < now) {
            return false;
        }
        let right = self.signature(operation, token);
        // The equality of hashes takes the same time whatever is shown.
        blake3::hash(shown.as_bytes()) == blake3::hash(right.as_bytes())
    }

    fn signature(&self, operation: &str, token: &str) -> String {
        let mut signed = format!("{}:{operation}:{}:{token}", self.path, self.username);
        if let Some(until) = self.signature_expiration {
            signed.push_str(&format!(":{until}"));
        }
        format!("v1_{}", STANDARD_NO_PAD.encode(Sha256::digest(signed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(query: &str) -> Link {
        Query::try_from_uri(&format!("http://x/files?{query}").parse().unwrap()).unwrap().0
    }

    #[test]
    fn a_link_stands_for_its_file_its_operation_and_its_time() {
        // As Python has it: "v1_" + b64encode(sha256(b"/tmp/a b:read::token:100").digest()).rstrip("=")
        let signature = "v1_cfuH8XiSzYd95t+m4hUg8x5RJQY08mR2LRmDnAxqto0";
        let query = format!("path=/tmp/a%20b&signature_expiration=100&signature={}", signature.replace('+', "%2B"));
        let signed = link(&query);
        assert!(signed.stands("read", "token", 100));
        assert!(!signed.stands("read", "token", 101) && !signed.stands("write", "token", 1));
        assert!(!signed.stands("read", "other", 1));
        assert!(!link(&query.replace("a%20b", "b")).stands("read", "token", 1));
        assert!(!link(&query.replace("=100", "=999")).stands("read", "token", 1));
        assert!(!link("path=/tmp/a").stands("read", "token", 1));
    }
}
