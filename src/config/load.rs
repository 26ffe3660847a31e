//! Reads the settings: a profile over the defaults, a file over the profile, the environment over the file, flags over all.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::layers::ConfigError;
use super::{Config, SettingsProfile, layers, wording};

/// Maximum size of a settings file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where the settings of a command come from, beside its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct SettingsSource {
    /// The configuration file (TOML). Environment variables override it, and flags override both.
    // Commands have arguments with the name `file`.
    #[arg(id = "settings file", long = "config", global = true, value_name = "FILE", env = "SWITCHTOWER_CONFIG")]
    pub file: Option<PathBuf>,
    /// A named set of settings that all others override.
    #[arg(id = "settings profile", long = "profile", global = true, value_enum, value_name = "NAME")]
    pub profile: Option<SettingsProfile>,
}

/// Returns the settings in force.
///
/// # Errors
/// The first setting that does not fit, with the place that it was given at.
pub fn load(source: &SettingsSource) -> Result<Config, ConfigError> {
    load_with_flags(source, json!({}))
}

/// Returns the settings in force. `flags` is a table like the file's, with only what was given.
///
/// # Errors
/// As [`load`].
pub fn load_with_flags(source: &SettingsSource, mut flags: Value) -> Result<Config, ConfigError> {
    let text = match &source.file {
        Some(path) => {
            let place = path.display().to_string();
            let text = read(path).map_err(|message| ConfigError::new(&place, message))?;
            Some((place, text))
        }
        None => None,
    };
    if let Some(profile) = source.profile {
        flags["profile"] = json!(profile);
    }
    layered(text, std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))), flags)
}

/// Reads a settings file, of an endless one no more than the limit and one byte.
fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("a settings file must be at most {MAX_FILE_BYTES} bytes, this has more"));
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())
}

/// The variable of E2B's SDKs with a template's name or id.
const TEMPLATE_VARIABLE: &str = "E2B_TEMPLATE_ID";

pub(super) fn layered(
    file: Option<(String, String)>,
    variables: impl Iterator<Item = (String, String)>,
    flags: Value,
) -> Result<Config, ConfigError> {
    let mut settings = Settings::default();
    let file = match file {
        Some((place, text)) => {
            let table = toml::from_str::<Value>(&text);
            Some((place.clone(), table.map_err(|error| ConfigError::new(&place, syntax_problem(&text, &error)))?))
        }
        None => None,
    };
    // With the clouds that the file names.
    let mut known = Settings::default();
    if let Some((place, table)) = &file {
        known.lay(place.clone(), vec![table.clone()])?;
    }
    let variables: Vec<(String, String)> = variables.collect();
    let template = variables.iter().find(|(name, value)| name == TEMPLATE_VARIABLE && !value.is_empty());
    let template = template.map(|(_, value)| json!({ "clouds": { "e2b": { "account": { "template": value } } } }));
    let mut laid: Vec<(String, Vec<Value>)> = file.into_iter().map(|(place, table)| (place, vec![table])).collect();
    laid.extend(layers::environment(&as_table(&known.config)?, variables.into_iter())?);
    laid.push(("the flags".to_owned(), vec![flags]));
    // Below all others, whichever of them names it.
    if let Some(profile) = laid.iter().rev().find_map(|(_, readings)| SettingsProfile::named_in(readings)) {
        let table =
            toml::from_str(profile.settings()).map_err(|error| ConfigError::new("the profile", error.message()))?;
        settings.lay("the profile".to_owned(), vec![table])?;
        // The variable of E2B's SDKs names another template than a profile's.
        if let Some(table) = template {
            settings.lay(TEMPLATE_VARIABLE.to_owned(), vec![table])?;
        }
    }
    for (place, readings) in laid {
        settings.lay(place, readings)?;
    }
    match settings.config.problem() {
        Some(problem) => Err(ConfigError::new(settings.place(&problem), problem)),
        None => Ok(settings.config),
    }
}

/// Returns what is wrong with a file and where. Without the line itself, which the error's display has: it may hold a key.
fn syntax_problem(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message.to_owned() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {message}")
}

/// Settings, and the layers that they come from.
#[derive(Default)]
struct Settings {
    config: Config,
    /// What each place has set, in the order in which they were laid.
    layers: Vec<(String, Value)>,
}

impl Settings {
    /// Lays a layer, in the first reading of it that fits, so that a wrong type is blamed on the place that brought it.
    fn lay(&mut self, place: String, readings: Vec<Value>) -> Result<(), ConfigError> {
        let mut wrong = None;
        for layer in readings {
            let mut all = as_table(&self.config)?;
            let laid = layers::lay(&mut all, layer.clone(), &place).and_then(|()| {
                serde_path_to_error::deserialize(&all).map_err(|error| {
                    let message = wording::refusal(&error.path().to_string(), &error.inner().to_string());
                    ConfigError::new(&place, message)
                })
            });
            match laid {
                Ok(config) => {
                    self.config = config;
                    self.layers.push((place, layer));
                    return Ok(());
                }
                Err(error) => {
                    wrong.get_or_insert(error);
                }
            }
        }
        wrong.map_or(Ok(()), Err)
    }

    /// Returns the last place that has set the setting with which `problem` begins.
    fn place(&self, problem: &str) -> &str {
        let setting = problem.split(' ').next().unwrap_or_default();
        let sets = |layer: &Value| setting.split('.').try_fold(layer, |table, key| table.get(key)).is_some();
        self.layers.iter().rev().find(|(_, layer)| sets(layer)).map_or("the settings", |(place, _)| place)
    }
}

fn as_table(config: &Config) -> Result<Value, ConfigError> {
    serde_json::to_value(config).map_err(|error| ConfigError::new("the settings", error.to_string()))
}
