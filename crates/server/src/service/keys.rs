//! API keys: who may call, compared without telling by its time how much was right.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use switchtower_core::request::Caller;

use super::problem::{Kind, Problem};

/// The keys that are accepted, by the name of whoever holds them. Only their hashes are kept.
#[derive(Clone)]
pub(crate) struct Keys(Vec<(Caller, blake3::Hash)>);

impl Keys {
    pub(crate) fn new(keys: &BTreeMap<String, String>) -> Self {
        let entry = |(name, key): (&String, &String)| {
            let name: Arc<str> = name.as_str().into();
            (Caller { user: Arc::clone(&name), key: Some(name) }, blake3::hash(key.as_bytes()))
        };
        Self(keys.iter().map(entry).collect())
    }

    /// No key is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who calls. Without any key configured, everyone is the anonymous caller.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if self.0.is_empty() {
            return Ok(Caller::default());
        }
        let shown = shown(headers)
            .ok_or_else(|| Problem::new(Kind::Unauthorized, "send Authorization: Bearer KEY, or X-API-Key: KEY"))?;
        let shown = blake3::hash(shown);
        // Every key is compared, each in constant time: `blake3::Hash` promises that for its equality.
        let found = self.0.iter().fold(None, |found, (caller, key)| if *key == shown { Some(caller) } else { found });
        found.cloned().ok_or_else(|| Problem::new(Kind::Unauthorized, "this key is not known here"))
    }
}

/// The key of the operator, which opens what no caller's key does.
#[derive(Clone)]
pub(crate) struct AdminKey(Option<blake3::Hash>);

impl AdminKey {
    pub(crate) fn new(key: Option<&str>) -> Self {
        Self(key.map(|key| blake3::hash(key.as_bytes())))
    }

    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let key = self.0.ok_or_else(|| {
            Problem::new(
                Kind::Forbidden,
                "there is no key for it: set http.admin_key to a text of at least 16 characters",
            )
        })?;
        let shown = shown(headers).ok_or_else(|| {
            Problem::new(Kind::Unauthorized, "send the admin key as Authorization: Bearer KEY, or X-API-Key: KEY")
        })?;
        if blake3::hash(shown) == key {
            Ok(())
        } else {
            Err(Problem::new(Kind::Unauthorized, "this is not the admin key"))
        }
    }
}

fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(key) = headers.get("x-api-key") {
        return Some(key.as_bytes());
    }
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}
