//! Reads a JSON object field by field. Every refusal names the field and what is allowed.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::service::problem::Problem;

/// The fields of an object that have not been read yet.
pub(super) struct Fields {
    /// The path of the object in the body, as a prefix of its fields' names.
    prefix: String,
    fields: Map<String, Value>,
}

impl Fields {
    /// Returns the fields of the body.
    pub(super) fn of_body(value: Value, known: &[&str]) -> Result<Self, Problem> {
        Self::of(value, String::new(), known)
    }

    fn of(value: Value, at: String, known: &[&str]) -> Result<Self, Problem> {
        let Value::Object(fields) = value else {
            let what = if at.is_empty() { "the body" } else { at.as_str() };
            return Err(Problem::field(what, format!("{what} must be an object, not {}", kind(&value))));
        };
        let prefix = if at.is_empty() { at } else { format!("{at}.") };
        if let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            let path = format!("{prefix}{unknown}");
            let detail = format!("there is no field {path}: known here are {}", known.join(", "));
            return Err(Problem::field(path, detail).with("allowed", known.to_vec()));
        }
        Ok(Self { prefix, fields })
    }

    /// Returns the field's full name.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Removes a field. `null` counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn mismatch(&self, name: &str, value: &Value, wanted: &str) -> Problem {
        let path = self.path(name);
        let detail = format!("{path} must be {wanted}, not {}", kind(value));
        Problem::field(path, detail).with("allowed", wanted)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.mismatch(name, &other, "a string")),
        }
    }

    pub(super) fn required_text(&mut self, name: &str) -> Result<String, Problem> {
        self.text(name)?.ok_or_else(|| {
            let path = self.path(name);
            let detail = format!("{path} must be a string; it is missing");
            Problem::field(path, detail).with("allowed", "a string")
        })
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.mismatch(name, &value, "a whole number from 0")),
            },
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.mismatch(name, &other, "true or false")),
        }
    }

    /// Returns one of a set of names.
    pub(super) fn named<T: FromStr>(&mut self, name: &str, allowed: &[&str]) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let path = self.path(name);
            let detail = format!("{path} must be one of {}, not {text:?}", allowed.join(", "));
            Problem::field(path, detail).with("allowed", allowed.to_vec())
        })
    }

    /// Returns a required list of 1 to `max` items.
    pub(super) fn list(&mut self, name: &str, max: usize) -> Result<Vec<Value>, Problem> {
        let wanted = format!("a list of 1 to {max} objects");
        match self.take(name) {
            Some(Value::Array(items)) if (1..=max).contains(&items.len()) => Ok(items),
            Some(Value::Array(items)) => {
                let path = self.path(name);
                let detail = format!("{path} must be {wanted}, not {} items", items.len());
                Err(Problem::field(path, detail).with("allowed", wanted))
            }
            Some(other) => Err(self.mismatch(name, &other, &wanted)),
            None => Err(self.mismatch(name, &Value::Null, &wanted)),
        }
    }

    /// Returns a list of objects with these fields.
    pub(super) fn objects(&mut self, name: &str, known: &[&str]) -> Result<Vec<Self>, Problem> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                let path = self.path(name);
                let at = |i: usize| format!("{path}[{i}]");
                items.into_iter().enumerate().map(|(i, item)| Self::of(item, at(i), known)).collect()
            }
            Some(other) => Err(self.mismatch(name, &other, "a list of objects")),
        }
    }

    /// Returns an object whose values are all text.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<(String, String)>>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(map)) => {
                let text = |(key, value): (String, Value)| match value {
                    Value::String(text) => Ok((key, text)),
                    other => Err(self.mismatch(&format!("{name}.{key}"), &other, "a string")),
                };
                map.into_iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            Some(other) => Err(self.mismatch(name, &other, "an object of strings")),
        }
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
