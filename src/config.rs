//! All settings: one struct of the rooms' structs. Defaults, then a file, then the environment, then flags.

mod layers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchtower_core::request::Ceilings;
use switchtower_core::route::TierName;

pub use layers::ConfigError;

use switchtower_core::{cache, memory, quota, record, session, tier};
use switchtower_server::http;

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub http: http::Config,
    pub limits: Ceilings,
    pub rules: Rules,
    pub quota: quota::Config,
    pub memory: memory::Config,
    pub cache: cache::Config,
    /// Limits over all tiers together, for programs and batches.
    pub queue: tier::queue::Overall,
    pub tiers: Tiers,
    pub wasm: Wasm,
    pub native: Native,
    /// Accounts of cloud sandboxes, each a tier by its name.
    pub clouds: Clouds,
    pub sessions: session::Config,
    pub record: record::Config,
    pub log: Log,
}

/// Where the routing rules are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// A folder of `*.rhai`; the built-in rules where there is none.
    pub folder: Option<PathBuf>,
    /// How often a running server looks for changes.
    #[serde(with = "humantime_serde")]
    pub reload: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { folder: None, reload: Duration::from_secs(1) }
    }
}

/// The tiers, each a table by its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tiers {
    pub wasm: tier::Config,
    pub native: tier::Config,
}

impl Default for Tiers {
    fn default() -> Self {
        let queue = |extra_slots| tier::queue::Config { extra_slots, ..tier::queue::Config::default() };
        let wasm = tier::Config { queue: queue(4), ..tier::Config::default() };
        // The packages themselves take room, in each process too, and a command starts the tier when the first program needs
        // it.
        let native = tier::Config {
            default_memory: 512 << 20,
            open_timeout: Duration::from_secs(90),
            queue: queue(1),
            ..wasm.clone()
        };
        Self { wasm, native }
    }
}

/// The WebAssembly backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wasm {
    /// The name of its tier, as rules, requests and answers have it.
    pub tier: TierName,
    /// Worker processes of a server that run programs, beside those for extra slots (`tiers.wasm.queue.extra_slots`); 0: one
    /// per core, and no more than there are slots.
    pub workers: usize,
    /// Worker processes that keep the kernels of sessions; 0: two per core, at most 8. Each runs as many cells at once as
    /// `sessions.queue.slots` allows.
    pub kernel_workers: usize,
    /// Kernels that each of these has room for.
    pub kernels_per_worker: usize,
    /// Instances that each worker keeps made ahead.
    pub prewarmed: usize,
    /// Where the compiled guest is kept; the user's cache folder where none is given.
    pub cache: Option<PathBuf>,
}

impl Default for Wasm {
    fn default() -> Self {
        Self { tier: "wasm".into(), workers: 0, kernel_workers: 0, kernels_per_worker: 1024, prewarmed: 4, cache: None }
    }
}

/// The scientific backend: native Python in a jail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Native {
    /// Without it nothing is looked for.
    pub enabled: bool,
    /// The name of its tier, as rules, requests and answers have it.
    pub tier: TierName,
    /// Where it is installed; the user's data folder where none is given.
    pub folder: Option<PathBuf>,
    /// Which walls its programs are behind.
    pub profile: Profile,
    /// Worker processes of a server that run programs, beside those for extra slots (`tiers.native.queue.extra_slots`); 0:
    /// one per core, and no more than there are slots.
    pub workers: usize,
    /// Worker processes that keep the kernels of sessions; 0: one per core. Each runs as many cells at once as
    /// `sessions.queue.slots` allows.
    pub kernel_workers: usize,
    /// Kernels that each of these has room for.
    pub kernels_per_worker: usize,
    /// These processes end after so long without a kernel, which gives their memory back; the next cell that needs one
    /// waits until they are there again, about 2.5 s. 0: they never end.
    #[serde(with = "humantime_serde")]
    pub kernel_worker_idle: Duration,
    /// Jailed children that each worker keeps ready.
    pub prewarmed: usize,
    /// Packages that a worker imports before its first program. Any other is imported by the program that wants it.
    pub preload: Vec<String>,
    /// Programs after which a worker is replaced by a fresh one.
    pub max_runs_per_worker: u64,
    /// Time after which it is.
    #[serde(with = "humantime_serde")]
    pub max_worker_age: Duration,
    /// Bytes that a program may have in files.
    pub scratch_bytes: u64,
    /// Bytes of memory that one worker may have with all its programs and kernels, where it may make a control group; 0: its
    /// share of the machine's memory, between 1 and 4 GiB.
    pub worker_memory: u64,
}

impl Default for Native {
    fn default() -> Self {
        Self {
            enabled: true,
            tier: "native".into(),
            folder: None,
            profile: Profile::Auto,
            workers: 0,
            kernel_workers: 0,
            kernels_per_worker: 32,
            kernel_worker_idle: Duration::from_secs(600),
            prewarmed: 2,
            preload: switchtower_native::Config::default().preload,
            max_runs_per_worker: 5000,
            max_worker_age: Duration::from_secs(3600),
            scratch_bytes: 128 << 20,
            worker_memory: 0,
        }
    }
}

/// The walls of the scientific tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The full ones where the system allows them, else the reduced ones.
    Auto,
    /// With namespaces; where they are forbidden there is no such tier.
    Full,
    /// Without namespaces.
    Reduced,
}

impl Profile {
    pub(crate) fn profile(self) -> Option<switchtower_native::JailProfile> {
        match self {
            Self::Auto => None,
            Self::Full => Some(switchtower_native::JailProfile::Full),
            Self::Reduced => Some(switchtower_native::JailProfile::Reduced),
        }
    }
}

/// Accounts by the names of their tiers. `e2b` is there unless it is taken out by a key that is not set; any other name
/// is one more service, region or template, such as `dedicated`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Clouds(pub BTreeMap<TierName, Cloud>);

impl Default for Clouds {
    fn default() -> Self {
        Self([(TierName::from("e2b"), Cloud::default())].into())
    }
}

/// A tier of cloud sandboxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cloud {
    pub account: switchtower_e2b::Config,
    pub tier: tier::Config,
}

impl Default for Cloud {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let tier = tier::Config {
            // Three retries after 1, 2 and 4 seconds at most; a rate limit that says when is waited out.
            backoff: tier::backoff::Config {
                retries: 3,
                base_delay: seconds(1),
                max_delay: seconds(10),
                max_retry_after: seconds(60),
            },
            queue: tier::queue::Config { wait_timeout: seconds(120), ..tier::queue::Config::default() },
            breaker: Some(tier::breaker::Config::default()),
            pool: Some(tier::pool::Config::default()),
            open_timeout: seconds(90),
            // It may have to wake, to wait for a right, to restart a kernel.
            grace_period: seconds(150),
            default_memory: switchtower_e2b::Config::default().default_memory,
            ..tier::Config::default()
        };
        Self { account: switchtower_e2b::Config::default(), tier }
    }
}

/// The log on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// As `RUST_LOG` has it: `info`, or `warn,switchtower=debug`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// The settings in force. `flags` is a table like the file's, with only what was given.
///
/// # Errors
/// The first setting that does not fit, with the place that it was given at.
pub fn load(file: Option<&Path>, flags: Value) -> Result<Config, ConfigError> {
    let text = match file {
        Some(path) => Some((
            path.display().to_string(),
            std::fs::read_to_string(path)
                .map_err(|error| ConfigError::new(path.display().to_string(), error.to_string()))?,
        )),
        None => None,
    };
    layered(text, std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))), flags)
}

fn layered(
    file: Option<(String, String)>,
    variables: impl Iterator<Item = (String, String)>,
    flags: Value,
) -> Result<Config, ConfigError> {
    let mut all =
        serde_json::to_value(Config::default()).map_err(|error| ConfigError::new("the defaults", error.to_string()))?;
    let mut layers = Vec::new();
    let variables = layers::environment(&all, variables)?;
    if let Some((place, text)) = file {
        let table = toml::from_str(&text).map_err(|error| ConfigError::new(&place, error.to_string()))?;
        layers.push((place, vec![table]));
    }
    layers.extend(variables);
    layers.push(("the flags".to_owned(), vec![flags]));
    let mut config = Config::default();
    for (place, readings) in layers {
        let mut wrong = None;
        let laid = readings.into_iter().find_map(|layer| match laid(all.clone(), layer, &place) {
            Ok(laid) => Some(laid),
            Err(error) => {
                wrong.get_or_insert(error);
                None
            }
        });
        match (laid, wrong) {
            (Some(laid), _) => (all, config) = laid,
            (None, Some(wrong)) => return Err(wrong),
            (None, None) => {}
        }
    }
    match config.objection() {
        Some(objection) => Err(ConfigError::new("the settings", objection)),
        None => Ok(config),
    }
}

impl Config {
    /// The first queue that could run or hold nothing, in words; `None` when all is well.
    fn objection(&self) -> Option<String> {
        let clouds = self.clouds.0.iter().map(|(name, cloud)| (format!("clouds.{name}.tier.queue"), &cloud.tier.queue));
        let own = [("tiers.wasm.queue", &self.tiers.wasm.queue), ("tiers.native.queue", &self.tiers.native.queue)];
        let queues = own.map(|(name, queue)| (name.to_owned(), queue)).into_iter().chain(clouds);
        let wrong = |(name, queue): (String, &tier::queue::Config)| Some(format!("{name}.{}", queue.objection()?));
        let overall = self.queue.objection().map(|wrong| format!("queue.{wrong}"));
        let sessions = || self.sessions.objection().map(|wrong| format!("sessions.{wrong}"));
        overall.or_else(|| queues.into_iter().find_map(wrong)).or_else(sessions)
    }
}

/// Lays a layer and reads what comes of it, so that a wrong type is blamed on the place that brought it.
fn laid(mut all: Value, layer: Value, place: &str) -> Result<(Value, Config), ConfigError> {
    layers::lay(&mut all, layer, place)?;
    let config = serde_path_to_error::deserialize(&all)
        .map_err(|error| ConfigError::new(place, format!("{}: {}", error.path(), error.inner())))?;
    Ok((all, config))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn a_flag_goes_over_a_variable_and_a_variable_over_the_file() {
        let file =
            "[http]\nport = 1\nclient_timeout = \"5s\"\nmax_connections = 7\nkeys = { ci = \"0123456789abcdef\" }";
        let set = variables(&[("SWITCHTOWER_PORT", "2"), ("SWITCHTOWER_HTTP_CLIENT_TIMEOUT", "6s"), ("PATH", "/bin")]);
        let config = layered(Some(("a file".into(), file.into())), set, json!({ "http": { "port": 3 } })).unwrap();
        assert_eq!(
            (config.http.port, config.http.client_timeout, config.http.max_connections),
            (3, Duration::from_secs(6), 7)
        );
        assert_eq!(config.http.keys["ci"], "0123456789abcdef");
        assert_eq!(config.limits, Ceilings::default());
    }

    #[test]
    fn a_setting_that_does_not_exist_or_does_not_fit_is_named_with_its_place() {
        let of_file = |text: &str| {
            layered(Some(("a.toml".into(), text.into())), variables(&[]), json!({})).unwrap_err().to_string()
        };
        let of_variable = |name, value| layered(None, variables(&[(name, value)]), json!({})).unwrap_err().to_string();
        insta::assert_snapshot!(of_file("[log]\nformat = \"xml\""), @"a.toml: log.format: unknown variant `xml`, expected `text` or `json`");
        insta::assert_snapshot!(of_file("[log]\nfromat = \"json\""), @"a.toml: there is no setting log.fromat; in log are filter, format");
        insta::assert_snapshot!(of_file("http = 3"), @"a.toml: http is a table, it cannot be a single value");
        insta::assert_snapshot!(of_variable("SWITCHTOWER_HTTP_PORT", "eighty"), @r#"SWITCHTOWER_HTTP_PORT: "eighty" is not a number"#);
        insta::assert_snapshot!(of_variable("SWITCHTOWER_HTTP_PORT", "80000"), @"SWITCHTOWER_HTTP_PORT: http.port: invalid value: integer `80000`, expected u16");
        insta::assert_snapshot!(of_variable("SWITCHTOWER_HTPP_PORT", "80"), @"SWITCHTOWER_HTPP_PORT: this names no setting; `switchtower config` lists them");
        insta::assert_snapshot!(of_variable("SWITCHTOWER_HTTP_KEYS", "secret"), @"SWITCHTOWER_HTTP_KEYS: it has the form name=value,name=value");
    }

    #[test]
    fn a_setting_without_a_default_is_read_as_what_it_is() {
        let set = variables(&[
            ("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIMITS_MAX_PER_HOUR", "100"),
            ("SWITCHTOWER_HTTP_ADMIN_KEY", "1234567890123456"),
            ("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_TARGET", "5"),
        ]);
        let config = layered(None, set, json!({})).unwrap();
        let e2b = &config.clouds.0["e2b"];
        assert_eq!(e2b.account.limits.max_per_hour, Some(100));
        assert_eq!(config.http.admin_key.as_deref(), Some("1234567890123456"));
        assert_eq!(e2b.tier.pool.as_ref().unwrap().target, 5);
    }

    #[test]
    fn another_cloud_has_the_settings_of_the_first_but_for_what_is_said() {
        let file = "[clouds.dedicated.account]\ntemplate = \"big\"\n[clouds.dedicated.tier.queue]\nslots = 2";
        let config = layered(Some(("a file".into(), file.into())), variables(&[]), json!({})).unwrap();
        let (e2b, dedicated) = (&config.clouds.0["e2b"], &config.clouds.0["dedicated"]);
        assert_eq!((dedicated.account.template(), dedicated.tier.queue.slots), ("big", 2));
        assert_eq!((&dedicated.tier.pool, &dedicated.tier.backoff), (&e2b.tier.pool, &e2b.tier.backoff));
        assert_eq!(e2b, &Cloud::default());
        let wrong = "[clouds.dedicated.account]\ntemplat = \"big\"";
        let error = layered(Some(("a file".into(), wrong.into())), variables(&[]), json!({})).unwrap_err();
        assert!(
            error.to_string().starts_with("a file: there is no setting clouds.dedicated.account.templat;"),
            "{error}"
        );
    }

    #[test]
    fn the_door_is_on_loopback_3001_and_needs_a_key_beyond_it() {
        let config = layered(None, variables(&[]), json!({})).unwrap();
        assert_eq!(config.http.listen().to_string(), "127.0.0.1:3001");
        assert_eq!(config.http.objection(), None);
        let wide = layered(None, variables(&[("SWITCHTOWER_HTTP_ADDRESS", "0.0.0.0")]), json!({})).unwrap();
        assert!(wide.http.objection().unwrap().contains("http.keys"));
    }

    #[test]
    fn a_queue_in_which_nothing_could_run_is_refused_by_its_name() {
        let refused = |name, value| layered(None, variables(&[(name, value)]), json!({})).unwrap_err().to_string();
        insta::assert_snapshot!(refused("SWITCHTOWER_TIERS_WASM_QUEUE_SLOTS", "0"), @"the settings: tiers.wasm.queue.slots is 0: nothing would ever run, at least 1 is needed");
        insta::assert_snapshot!(refused("SWITCHTOWER_TIERS_NATIVE_QUEUE_PER_USER", "0"), @"the settings: tiers.native.queue.per_user is 0: nothing would ever run, at least 1 is needed");
        insta::assert_snapshot!(refused("SWITCHTOWER_CLOUDS_E2B_TIER_QUEUE_LENGTH_PER_USER", "0"), @"the settings: clouds.e2b.tier.queue.length_per_user is 0: nobody could wait, at least 1 is needed (length = 0 lets nobody wait)");
        insta::assert_snapshot!(refused("SWITCHTOWER_SESSIONS_QUEUE_SLOTS", "300"), @"the settings: sessions.queue.slots and extra_slots are 308 together: at most 200 are allowed");
        insta::assert_snapshot!(refused("SWITCHTOWER_QUEUE_SLOTS", "0"), @"the settings: queue.slots is 0: nothing would ever run, at least 1 is needed");
        let set = variables(&[("SWITCHTOWER_QUEUE_SLOTS", "6"), ("SWITCHTOWER_QUEUE_PER_USER", "2")]);
        let overall = tier::queue::Overall { slots: Some(6), per_user: Some(2) };
        assert_eq!(layered(None, set, json!({})).unwrap().queue, overall);
        assert!(!Config::default().queue.is_set());
    }

    #[test]
    fn what_is_printed_as_the_settings_in_force_can_be_read_as_a_file() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(layered(Some(("printed".into(), text)), variables(&[]), json!({})).unwrap(), Config::default());
    }
}
