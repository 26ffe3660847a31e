//! API keys, compared in constant time.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use switchtower_core::request::Caller;

use super::problem::{Problem, ProblemKind};

/// The accepted keys with the callers that hold them. Only hashes of the keys are kept.
#[derive(Clone)]
pub(crate) struct ApiKeys(Vec<(Caller, blake3::Hash)>);

impl ApiKeys {
    /// `offline`: the names of those whose callers may not reach the internet.
    pub(crate) fn new(keys: &BTreeMap<String, String>, offline: &[String]) -> Self {
        let entry = |(name, key): (&String, &String)| {
            let offline = offline.contains(name);
            let name: Arc<str> = name.as_str().into();
            (Caller { user: Arc::clone(&name), key: Some(name), offline }, blake3::hash(key.as_bytes()))
        };
        Self(keys.iter().map(entry).collect())
    }

    /// Whether no key is required.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the caller whose key a request shows. Without configured keys that is the anonymous caller.
    ///
    /// # Errors
    /// The request shows no key, or an unknown one.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if self.0.is_empty() {
            return Ok(Caller::default());
        }
        let presented = presented_key(headers).ok_or_else(|| {
            Problem::new(ProblemKind::Unauthorized, "send Authorization: Bearer KEY, or X-API-Key: KEY")
        })?;
        let presented = blake3::hash(presented);
        // All keys are compared, each in constant time, which `blake3::Hash` guarantees for its equality.
        let found =
            self.0.iter().fold(None, |found, (caller, key)| if *key == presented { Some(caller) } else { found });
        found.cloned().ok_or_else(|| Problem::new(ProblemKind::Unauthorized, "unknown API key"))
    }
}

/// The operator's key. No other key is accepted for `/v1/admin`.
#[derive(Clone)]
pub(crate) struct AdminKey(Option<blake3::Hash>);

impl AdminKey {
    pub(crate) fn new(key: Option<&str>) -> Self {
        Self(key.map(|key| blake3::hash(key.as_bytes())))
    }

    pub(crate) fn authorize(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let key = self.0.ok_or_else(|| {
            Problem::new(
                ProblemKind::Forbidden,
                "no admin key is configured: set http.admin_key to a text of at least 16 characters",
            )
        })?;
        let presented = presented_key(headers).ok_or_else(|| {
            Problem::new(
                ProblemKind::Unauthorized,
                "send the admin key as Authorization: Bearer KEY, or X-API-Key: KEY",
            )
        })?;
        if blake3::hash(presented) == key {
            Ok(())
        } else {
            Err(Problem::new(ProblemKind::Unauthorized, "wrong admin key"))
        }
    }
}

fn presented_key(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(key) = headers.get("x-api-key") {
        return Some(key.as_bytes());
    }
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}
