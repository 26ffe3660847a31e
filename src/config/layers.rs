//! Lays settings over each other: defaults, a file, the environment, flags.

use serde_json::{Map, Value};

/// A setting that cannot be used, and where it was given.
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

/// Tables whose keys are names that the operator chooses. Their values are secrets.
pub(super) const OPEN: [&str; 1] = ["http.keys"];

/// The table of cloud accounts, which may have any names.
const CLOUDS: &str = "clouds";
/// How the variables of its settings begin.
const CLOUD_VARIABLES: &str = "SWITCHTOWER_CLOUDS_";

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
                    let fresh = super::clouds::defaults()
                        .map_err(|error| ConfigError::new(place, format!("{path} cannot be set: {error}")))?;
                    lay_at(base.entry(key).or_insert(fresh), value, &path, place)
                }
                None => Err(ConfigError::new(place, unknown(&path, &key, at, base))),
            }
        }),
        (Value::Object(_), _) => Err(ConfigError::new(place, format!("{at} is a table, it cannot be a single value"))),
        (base, over) => {
            *base = over;
            Ok(())
        }
    }
}

fn unknown(path: &str, key: &str, at: &str, known: &Map<String, Value>) -> String {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let place = if at.is_empty() { "at the top".to_owned() } else { format!("in {at}") };
    let hint = closest(key, names.iter().copied()).map_or_else(String::new, |name| format!("; did you mean {name}?"));
    format!("there is no setting {path}{hint} (known {place}: {})", names.join(", "))
}

/// Returns the name that is most like this one, where one is so much like it that it may be meant.
fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.85;
    let measured = known.map(|known| (strsim::jaro_winkler(name, known), known));
    measured.filter(|(likeness, _)| *likeness >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// Variables that name no setting: the build, tests or the command line read them.
const OTHERS: [&str; 5] = [
    "SWITCHTOWER_CONFIG",
    "SWITCHTOWER_GUEST",
    "SWITCHTOWER_GUEST_HASH",
    "SWITCHTOWER_LIBPYTHON_DIR",
    "SWITCHTOWER_WORKLOADS",
];

/// Returns the layers that environment variables make, each in every way that its text can be read:
/// `SWITCHTOWER_HTTP_PORT` is `http.port`, and so on for every setting of `known`. `SWITCHTOWER_PORT` is short for it.
pub(super) fn environment(
    known: &Value,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Vec<(String, Vec<Value>)>, ConfigError> {
    let leaves: Vec<(Vec<String>, &Value)> = leaves(known);
    let names: Vec<String> = leaves.iter().map(|(path, _)| variable(path)).collect();
    let ours = variables.filter(|(name, _)| name.starts_with("SWITCHTOWER_") && !OTHERS.contains(&name.as_str()));
    ours.map(|(name, text)| {
        let wanted = if name == "SWITCHTOWER_PORT" { "SWITCHTOWER_HTTP_PORT" } else { name.as_str() };
        let (path, value) = names.iter().position(|name| name == wanted).map(|at| &leaves[at]).ok_or_else(|| {
            if name.starts_with(CLOUD_VARIABLES)
                && let Err(error) = super::clouds::defaults()
            {
                return ConfigError::new(&name, format!("it cannot be set: {error}"));
            }
            let hint = closest(wanted, names.iter().map(String::as_str));
            let hint = hint.map_or_else(String::new, |name| format!("did you mean {name}? "));
            ConfigError::new(&name, format!("this names no setting; {hint}`switchtower config` lists all"))
        })?;
        let at =
            |value| path.iter().rev().fold(value, |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])));
        Ok((name.clone(), read(&name, &text, value)?.into_iter().map(at).collect()))
    })
    .collect()
}

/// Returns the variable of a setting.
pub(super) fn variable(path: &[String]) -> String {
    format!("SWITCHTOWER_{}", path.join("_").to_ascii_uppercase())
}

/// Returns every setting with its path.
pub(super) fn leaves(table: &Value) -> Vec<(Vec<String>, &Value)> {
    let mut leaves = Vec::new();
    collect(table, &mut Vec::new(), &mut leaves);
    leaves
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

/// Reads a variable's text as what its setting is: numbers and switches as such, lists as `a,b,…` or as TOML or JSON
/// has them, tables as `name=value,…` or as TOML or JSON has them. What cannot be read stays a text, for the setting to
/// refuse.
fn read(name: &str, text: &str, value: &Value) -> Result<Vec<Value>, ConfigError> {
    Ok(vec![match value {
        Value::Number(_) => number(text).unwrap_or_else(|| Value::from(text)),
        Value::Bool(_) => text.parse().map_or_else(|_| Value::from(text), Value::Bool),
        Value::Array(_) => list(name, text)?,
        Value::Object(_) => named_secrets(name, text)?,
        // What has no value does not show whether it would be a text, a number or a table.
        Value::Null => match structured(text) {
            Some(structured) => structured,
            None => return Ok([Some(Value::from(text)), number(text)].into_iter().flatten().collect()),
        },
        Value::String(_) => Value::from(text),
    }])
}

fn number(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_number)
}

/// Reads a list or a table as JSON or TOML writes it.
fn structured(text: &str) -> Option<Value> {
    text.starts_with(['[', '{']).then_some(())?;
    serde_json::from_str(text)
        .ok()
        .or_else(|| toml::from_str::<Map<String, Value>>(&format!("value = {text}")).ok()?.remove("value"))
}

fn list(name: &str, text: &str) -> Result<Value, ConfigError> {
    const FORM: &str = r#"it has the form a,b or ["a", "b"]"#;
    let items = if text.starts_with('[') {
        match structured(text) {
            Some(Value::Array(items)) => items,
            _ => return Err(ConfigError::new(name, format!("{text} is no list; {FORM}"))),
        }
    } else if text.trim().is_empty() {
        Vec::new()
    } else {
        text.split(',').map(str::trim).map(Value::from).collect()
    };
    for (number, item) in (1..).zip(&items) {
        match item {
            Value::String(item) if !item.trim().is_empty() => {}
            Value::String(_) => return Err(ConfigError::new(name, format!("item {number} is empty; {FORM}"))),
            other => {
                return Err(ConfigError::new(name, format!("item {number} is {other}, it must be a text; {FORM}")));
            }
        }
    }
    Ok(Value::Array(items))
}

/// A table of names and secrets; no message repeats a secret.
fn named_secrets(name: &str, text: &str) -> Result<Value, ConfigError> {
    let wrong = || ConfigError::new(name, r#"it has the form name=value,name=value or {name = "value"}"#);
    if text.starts_with('{') {
        return match structured(text) {
            Some(Value::Object(table)) if table.values().all(Value::is_string) => Ok(Value::Object(table)),
            _ => Err(wrong()),
        };
    }
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        Ok((key.trim().to_owned(), Value::from(value.trim())))
    };
    text.split(',').map(pair).collect::<Result<Map<_, _>, _>>().map(Value::Object)
}
