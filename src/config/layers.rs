//! Laying settings over each other: defaults, a file, the environment, flags.

use serde_json::{Map, Value};

/// A setting that does not fit, and where it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    /// A file, a variable, or the flags.
    pub place: String,
    pub message: String,
}

impl ConfigError {
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

/// Tables whose keys are names that the operator chooses.
const OPEN: [&str; 1] = ["http.keys"];

/// The table of cloud accounts, which may have any names.
const CLOUDS: &str = "clouds";

/// Lays `over` on `base`, key by key. A key that `base` does not have is refused by name.
pub(super) fn lay(base: &mut Value, over: Value, place: &str) -> Result<(), ConfigError> {
    lay_at(base, over, "", place)
}

fn lay_at(base: &mut Value, over: Value, at: &str, place: &str) -> Result<(), ConfigError> {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => over.into_iter().try_for_each(|(key, value)| {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            match base.get_mut(&key) {
                // What may be left out altogether has no keys to look at by default.
                Some(known) if known.is_null() => {
                    *known = value;
                    Ok(())
                }
                Some(known) => lay_at(known, value, &path, place),
                None if OPEN.contains(&at) => {
                    base.insert(key, value);
                    Ok(())
                }
                // A tier of its own, with everything that the first one has by default.
                None if at == CLOUDS => {
                    let fresh = serde_json::to_value(super::Cloud::default())
                        .map_err(|error| ConfigError::new("the defaults", error.to_string()))?;
                    lay_at(base.entry(key).or_insert(fresh), value, &path, place)
                }
                None => Err(ConfigError::new(place, unknown(&path, at, base))),
            }
        }),
        (Value::Object(_), _) => Err(ConfigError::new(place, format!("{at} is a table, it cannot be a single value"))),
        (base, over) => {
            *base = over;
            Ok(())
        }
    }
}

fn unknown(path: &str, at: &str, known: &Map<String, Value>) -> String {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let place = if at.is_empty() { "at the top".to_owned() } else { format!("in {at}") };
    format!("there is no setting {path}; {place} are {}", names.join(", "))
}

/// Variables that are no settings of this file: other parts read them.
const OTHERS: [&str; 4] =
    ["SWITCHTOWER_CONFIG", "SWITCHTOWER_GUEST", "SWITCHTOWER_GUEST_HASH", "SWITCHTOWER_WORKLOADS"];

/// The layers that environment variables make, each in every way that its text can be read: `SWITCHTOWER_HTTP_PORT` is `http.port`, and so on for every setting.
/// `SWITCHTOWER_PORT` is short for it.
pub(super) fn environment(
    defaults: &Value,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Vec<(String, Vec<Value>)>, ConfigError> {
    let mut leaves = Vec::new();
    collect(defaults, &mut Vec::new(), &mut leaves);
    let ours = variables.filter(|(name, _)| name.starts_with("SWITCHTOWER_") && !OTHERS.contains(&name.as_str()));
    ours.map(|(name, text)| {
        let wanted = if name == "SWITCHTOWER_PORT" { "SWITCHTOWER_HTTP_PORT" } else { name.as_str() };
        let (path, default) = leaves
            .iter()
            .find(|(path, _)| variable(path) == wanted)
            .ok_or_else(|| ConfigError::new(&name, "this names no setting; `switchtower config` lists them"))?;
        let at =
            |value| path.iter().rev().fold(value, |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])));
        let mut layers = vec![at(read(&name, &text, default)?)];
        // What has no value by default does not show whether it would be a text or a number.
        if default.is_null() {
            layers.extend(serde_json::from_str::<serde_json::Number>(&text).ok().map(|number| at(number.into())));
        }
        Ok((name, layers))
    })
    .collect()
}

fn variable(path: &[String]) -> String {
    format!("SWITCHTOWER_{}", path.join("_").to_ascii_uppercase())
}

fn collect<'a>(value: &'a Value, at: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, &'a Value)>) {
    match value {
        Value::Object(table) if !OPEN.contains(&at.join(".").as_str()) => {
            for (key, inner) in table {
                at.push(key.clone());
                collect(inner, at, leaves);
                at.pop();
            }
        }
        leaf => leaves.push((at.clone(), leaf)),
    }
}

/// Reads a variable's text as its setting is written: numbers and switches as such, tables as `name=value,…`.
fn read(name: &str, text: &str, default: &Value) -> Result<Value, ConfigError> {
    let wrong = |wanted: &str| ConfigError::new(name, format!("{text:?} is not {wanted}"));
    match default {
        Value::Number(_) => serde_json::from_str(text).ok().filter(Value::is_number).ok_or_else(|| wrong("a number")),
        Value::Bool(_) => text.parse().map(Value::Bool).map_err(|_| wrong("true or false")),
        Value::Array(_) => {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect())
        }
        // These may be secrets, so the text is not repeated.
        Value::Object(_) => {
            let wrong = || ConfigError::new(name, "it has the form name=value,name=value");
            let pair = |pair: &str| {
                let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
                Ok((key.trim().to_owned(), Value::from(value.trim())))
            };
            text.split(',').map(pair).collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        Value::Null | Value::String(_) => Ok(Value::from(text)),
    }
}
