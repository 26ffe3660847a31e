//! The queries of the control plane. Names and values that are not known are refused: no filter is ignored.

use std::time::SystemTime;

use axum::extract::Query;
use switchtower_e2b_wire::control::{PAGE_SIZE, parse_timestamp};

/// The pairs of a query, as a handler receives them.
pub(super) type RawQuery = Query<Vec<(String, String)>>;

/// The pairs of a query whose names are all known. Pairs without a value count as absent.
pub(super) struct KnownQuery<'a>(Vec<(&'a str, &'a str)>);

impl<'a> KnownQuery<'a> {
    /// Reads a query that may have only these names, each with or without `[]` at its end.
    ///
    /// # Errors
    /// It has another name.
    pub(super) fn read(query: &'a RawQuery, names: &[&str]) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for (name, value) in &query.0 {
            let name = name.strip_suffix("[]").unwrap_or(name);
            if !names.contains(&name) {
                return Err(format!("the parameter {name:?} is not supported by Switchtower: {}", allowed(names)));
            }
            if !value.is_empty() {
                pairs.push((name, value.as_str()));
            }
        }
        Ok(Self(pairs))
    }

    /// Returns the values of a name that may be given several times.
    pub(super) fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'a str> + 'b {
        self.0.iter().filter(move |(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// Returns the value of a name that may be given once.
    ///
    /// # Errors
    /// It is given several times, with different values.
    pub(super) fn one(&self, name: &str) -> Result<Option<&'a str>, String> {
        let mut values = self.all(name);
        let first = values.next();
        if values.any(|other| Some(other) != first) {
            return Err(format!("{name} must be given once"));
        }
        Ok(first)
    }

    /// Returns a time in seconds since 1970.
    ///
    /// # Errors
    /// It is no whole number, or negative.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<u64>, String> {
        let parse = |text: &str| {
            text.parse().map_err(|_| format!("{name} must be a whole number of seconds since 1970, not {text:?}"))
        };
        self.one(name)?.map(parse).transpose()
    }

    /// Returns a time in the form of ISO 8601.
    ///
    /// # Errors
    /// It is in another form.
    pub(super) fn time(&self, name: &str) -> Result<Option<SystemTime>, String> {
        let parse = |text: &str| {
            let wrong = || format!("{name} must be a time such as 2026-08-21T09:30:00Z, not {text:?}");
            parse_timestamp(text).ok_or_else(wrong)
        };
        self.one(name)?.map(parse).transpose()
    }

    /// Returns the size of a page.
    ///
    /// # Errors
    /// It is no number from 1 to [`PAGE_SIZE`].
    pub(super) fn limit(&self) -> Result<usize, String> {
        let Some(text) = self.one("limit")? else { return Ok(PAGE_SIZE) };
        let limit = text.parse().ok().filter(|limit| (1..=PAGE_SIZE).contains(limit));
        limit.ok_or_else(|| format!("limit must be a number from 1 to {PAGE_SIZE}, not {text:?}"))
    }
}

fn allowed(names: &[&str]) -> String {
    if names.is_empty() { "this path has none".to_owned() } else { format!("this path has {}", names.join(", ")) }
}
