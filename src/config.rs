//! All settings: one struct of the modules' structs. Defaults, then a file, then the environment, then flags.

#[cfg(feature = "e2b")]
mod clouds;
#[cfg(not(feature = "e2b"))]
#[path = "config/clouds_absent.rs"]
mod clouds;
mod layers;
mod wording;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchtower_contract::byte_size;
use switchtower_core::request::RequestLimits;
use switchtower_core::route::TierName;

#[cfg(feature = "e2b")]
pub use clouds::Cloud;
pub use clouds::Clouds;
pub use layers::ConfigError;

use switchtower_core::{cache, memory, quota, record, session, tier};
use switchtower_server::service;

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the server listens, who may call it, how long it waits for clients.
    pub http: service::Config,
    /// The limits of one request.
    pub limits: RequestLimits,
    /// The routing rules.
    pub rules: Rules,
    /// The rate limit of each caller.
    pub quota: quota::Config,
    /// How many bytes the server may hold for its callers: request bodies, files, cells and their histories.
    pub memory: memory::Config,
    /// How many results are stored, for how long, and who shares them.
    pub cache: cache::Config,
    /// Limits over all tiers together, for programs and batches, beside each tier's own.
    pub queue: tier::queue::Overall,
    /// The local tiers: queues, retries, limits.
    pub tiers: Tiers,
    /// The WebAssembly backend.
    pub wasm: Wasm,
    /// The scientific backend: native Python in a jail.
    pub native: Native,
    /// Accounts of cloud sandboxes, each a tier by its name.
    pub clouds: Clouds,
    /// How many sessions there may be, how long they live, and the limits of their kernels.
    pub sessions: session::Config,
    /// Which records are kept, and where.
    pub record: record::Config,
    /// The log on standard error.
    pub log: Log,
}

/// The routing rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// A folder of `*.rhai` files. Not set: the built-in rules.
    pub folder: Option<PathBuf>,
    /// Time between two looks of a running server for changed rules.
    #[serde(with = "humantime_serde")]
    pub reload_interval: Duration,
}

impl Rules {
    fn problem(&self) -> Option<String> {
        self.reload_interval.is_zero().then(|| "reload_interval must be longer than 0s".to_owned())
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self { folder: None, reload_interval: Duration::from_secs(1) }
    }
}

/// The local tiers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tiers {
    /// The tier of the WebAssembly backend.
    pub wasm: tier::Config,
    /// The tier of the scientific backend.
    pub native: tier::Config,
}

impl Default for Tiers {
    fn default() -> Self {
        let queue = |extra_slots| tier::queue::Config { extra_slots, ..tier::queue::Config::default() };
        let wasm = tier::Config { queue: queue(4), ..tier::Config::default() };
        // The packages themselves take memory, in each process too, and a command starts the tier when the first
        // program needs it.
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
    /// The name of its tier in rules, requests and answers.
    pub tier: TierName,
    /// Worker processes of a server that run programs, beside one for each extra slot (`tiers.wasm.queue.extra_slots`);
    /// 0: one per core, and no more than there are slots.
    pub workers: usize,
    /// Worker processes that keep the kernels of sessions; 0: two per core, at most 8. Each runs as many cells at once
    /// as `sessions.queue` allows.
    pub kernel_workers: usize,
    /// Kernels that one of these processes keeps, at least 1.
    pub kernels_per_worker: usize,
    /// Instances that each worker process makes ahead; 0: none.
    pub prewarmed: usize,
    /// The folder for the compiled guest. Not set: the user's cache folder.
    pub cache_folder: Option<PathBuf>,
}

impl Wasm {
    fn problem(&self) -> Option<String> {
        (self.kernels_per_worker == 0)
            .then(|| "kernels_per_worker must be at least 1: with 0 no session could run a cell".to_owned())
    }
}

impl Default for Wasm {
    fn default() -> Self {
        Self {
            tier: "wasm".into(),
            workers: 0,
            kernel_workers: 0,
            kernels_per_worker: 1024,
            prewarmed: 4,
            cache_folder: None,
        }
    }
}

/// The scientific backend: native Python in a jail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Native {
    /// Whether the backend is used where it is installed.
    pub enabled: bool,
    /// The name of its tier in rules, requests and answers.
    pub tier: TierName,
    /// The folder of its installation. Not set: the one in the user's data folder.
    pub folder: Option<PathBuf>,
    /// Which jail its programs run in: `auto`, the full one where the system allows namespaces, else the reduced one;
    /// `full`, with namespaces, and no such tier where they are forbidden; `reduced`, without namespaces.
    pub jail_profile: JailProfileSetting,
    /// Worker processes of a server that run programs, beside one for each extra slot
    /// (`tiers.native.queue.extra_slots`); 0: one per core, and no more than there are slots.
    pub workers: usize,
    /// Worker processes that keep the kernels of sessions; 0: one per core. Each runs as many cells at once as
    /// `sessions.queue` allows.
    pub kernel_workers: usize,
    /// Kernels that one of these processes keeps, at least 1.
    pub kernels_per_worker: usize,
    /// These processes end after this time without a kernel, which frees their memory; the next cell that needs one
    /// waits until they have started again, about 2.5 s. 0: they never end.
    #[serde(with = "humantime_serde")]
    pub kernel_worker_idle: Duration,
    /// Jailed children that each worker process keeps ready; 0: none.
    pub prewarmed: usize,
    /// Packages that a worker process imports before its first program. Other packages are imported by the programs
    /// that use them.
    pub preload: Vec<String>,
    /// Programs after which a worker process is replaced by a fresh one, at least 1.
    pub max_runs_per_worker: u64,
    /// Time after which a worker process is replaced by a fresh one.
    #[serde(with = "humantime_serde")]
    pub max_worker_age: Duration,
    /// Bytes that a program may hold in files; 0: only empty files.
    #[serde(with = "byte_size")]
    pub scratch_bytes: u64,
    /// Bytes of memory of one worker process with all its programs and kernels, where it may create a control group; 0:
    /// its share of the machine's memory, between 1GiB and 4GiB.
    #[serde(with = "byte_size")]
    pub max_worker_memory: u64,
}

impl Native {
    fn problem(&self) -> Option<String> {
        let is_name = |name: &String| {
            name.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
        };
        if let Some(name) = self.preload.iter().find(|name| !is_name(name)) {
            return Some(format!("preload has {name:?}, which is not the name of a package"));
        }
        if self.kernels_per_worker == 0 {
            return Some(
                "kernels_per_worker must be at least 1: with 0 no session could have a native kernel".to_owned(),
            );
        }
        if self.max_runs_per_worker == 0 {
            return Some("max_runs_per_worker must be at least 1: with 0 no program would ever run".to_owned());
        }
        self.max_worker_age.is_zero().then(|| "max_worker_age must be longer than 0s".to_owned())
    }
}

/// The packages that most scientific programs import.
const PRELOAD: [&str; 6] = ["numpy", "pandas", "scipy", "sympy", "matplotlib", "sklearn"];

impl Default for Native {
    fn default() -> Self {
        Self {
            enabled: true,
            tier: "native".into(),
            folder: None,
            jail_profile: JailProfileSetting::Auto,
            workers: 0,
            kernel_workers: 0,
            kernels_per_worker: 32,
            kernel_worker_idle: Duration::from_secs(600),
            prewarmed: 2,
            preload: PRELOAD.map(str::to_owned).to_vec(),
            max_runs_per_worker: 5000,
            max_worker_age: Duration::from_secs(3600),
            scratch_bytes: 128 << 20,
            max_worker_memory: 0,
        }
    }
}

/// The jail of the scientific tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JailProfileSetting {
    /// The full ones where the system allows them, else the reduced ones.
    Auto,
    /// With namespaces; where they are forbidden there is no such tier.
    Full,
    /// Without namespaces.
    Reduced,
}

/// The log on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text`, lines for people, or `json`, one object a line.
    pub format: LogFormat,
    /// What is logged, in the form of `RUST_LOG`: `info`, or `warn,switchtower=debug`.
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
    let mut settings = Settings::default();
    if let Some((place, text)) = file {
        let table = toml::from_str(&text).map_err(|error| ConfigError::new(&place, error.to_string()))?;
        settings.lay(place, vec![table])?;
    }
    // After the file, which may name further clouds.
    for (place, readings) in layers::environment(&as_table(&settings.config)?, variables)? {
        settings.lay(place, readings)?;
    }
    settings.lay("the flags".to_owned(), vec![flags])?;
    match settings.config.problem() {
        Some(problem) => Err(ConfigError::new(settings.place(&problem), problem)),
        None => Ok(settings.config),
    }
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

impl Config {
    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    /// What only a server must not do is [`service::Config::exposure_problem`]'s.
    fn problem(&self) -> Option<String> {
        let own = [
            ("http", self.http.problem()),
            ("limits", self.limits.problem()),
            ("rules", self.rules.problem()),
            ("quota", self.quota.problem()),
            ("memory", self.memory.problem()),
            ("queue", self.queue.problem()),
            ("tiers.wasm", self.tiers.wasm.problem()),
            ("tiers.native", self.tiers.native.problem()),
            ("wasm", self.wasm.problem()),
            ("native", self.native.problem()),
            ("sessions", self.sessions.problem()),
        ];
        let own = own.into_iter().find_map(|(table, problem)| Some(format!("{table}.{}", problem?)));
        own.or_else(|| self.clouds.problem().map(|problem| format!("clouds.{problem}")))
    }
}

// The examples have cloud tiers.
#[cfg(all(test, feature = "e2b"))]
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
        assert_eq!(config.limits, RequestLimits::default());
    }

    #[test]
    fn a_setting_that_does_not_exist_or_does_not_fit_is_named_with_its_place() {
        let of_file = |text: &str| {
            layered(Some(("a.toml".into(), text.into())), variables(&[]), json!({})).unwrap_err().to_string()
        };
        let of_variable = |name, value| layered(None, variables(&[(name, value)]), json!({})).unwrap_err().to_string();
        insta::assert_snapshot!(of_file("[log]\nformat = \"xml\""), @"a.toml: log.format must be `text` or `json`, not `xml`");
        insta::assert_snapshot!(of_file("[log]\nfromat = \"json\""), @"a.toml: there is no setting log.fromat; did you mean format? (known in log: filter, format)");
        insta::assert_snapshot!(of_file("[cache]\nentries = 5"), @"a.toml: there is no setting cache.entries; did you mean max_entries? (known in cache: max_bytes, max_digests, max_entries, recheck_one_in, scope, ttl)");
        insta::assert_snapshot!(of_file("http = 3"), @"a.toml: http is a table, it cannot be a single value");
        insta::assert_snapshot!(of_file("[http]\nport = -1"), @"a.toml: http.port must be a whole number between 0 and 65535, not -1");
        insta::assert_snapshot!(of_file("[http]\nclient_timeout = 30"), @"a.toml: http.client_timeout must be a duration such as 30s, 5m or 1h, not 30");
        insta::assert_snapshot!(of_file("[http.keys]\nci = 1234567890123456"), @"a.toml: http.keys.ci must be a text");
        insta::assert_snapshot!(of_file("[native]\nenabled = \"no\""), @r#"a.toml: native.enabled must be true or false, not "no""#);
        insta::assert_snapshot!(of_file("[tiers.wasm.breaker]\nfailure = 3"), @"a.toml: there is no setting tiers.wasm.breaker.failure (known in tiers.wasm.breaker: failure_threshold, open_for)");
        insta::assert_snapshot!(of_file("[limits]\ncode = \"1M\""), @r#"a.toml: limits.code: "1M" is not a size in bytes, or with a unit: 512MiB is 512 × 1024², 512MB is 512 × 1000²"#);
        insta::assert_snapshot!(of_variable("SWITCHTOWER_HTTP_PORT", "eighty"), @r#"SWITCHTOWER_HTTP_PORT: http.port must be a whole number between 0 and 65535, not "eighty""#);
        insta::assert_snapshot!(of_variable("SWITCHTOWER_HTTP_PORT", "80000"), @"SWITCHTOWER_HTTP_PORT: http.port must be a whole number between 0 and 65535, not 80000");
        insta::assert_snapshot!(of_variable("SWITCHTOWER_HTPP_PORT", "80"), @"SWITCHTOWER_HTPP_PORT: this names no setting; did you mean SWITCHTOWER_HTTP_PORT? `switchtower config` lists all");
        insta::assert_snapshot!(of_variable("SWITCHTOWER_CEILINGS_CODE", "80"), @"SWITCHTOWER_CEILINGS_CODE: this names no setting; did you mean SWITCHTOWER_LIMITS_CODE? `switchtower config` lists all");
        insta::assert_snapshot!(of_variable("SWITCHTOWER_HTTP_KEYS", "secret"), @r#"SWITCHTOWER_HTTP_KEYS: it has the form name=value,name=value or {name = "value"}"#);
        insta::assert_snapshot!(of_variable("SWITCHTOWER_CACHE_MAX_BYTES", "-5"), @r#"SWITCHTOWER_CACHE_MAX_BYTES: cache.max_bytes: "-5" is not a size in bytes, or with a unit: 512MiB is 512 × 1024², 512MB is 512 × 1000²"#);
        insta::assert_snapshot!(of_variable("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIMITS_MAX_CREATIONS_PER_HOUR", "many"), @r#"SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIMITS_MAX_CREATIONS_PER_HOUR: clouds.e2b.account.limits.max_creations_per_hour must be a whole number between 0 and 4294967295, not "many""#);
    }

    #[test]
    fn a_list_is_read_in_each_of_its_forms_and_a_wrong_item_is_named() {
        let set = |text| layered(None, variables(&[("SWITCHTOWER_NATIVE_PRELOAD", text)]), json!({}));
        let preload = |text| set(text).unwrap().native.preload;
        for text in ["numpy,pandas", "numpy, pandas", r#"["numpy","pandas"]"#, "['numpy', \"pandas\",]"] {
            assert_eq!(preload(text), ["numpy", "pandas"], "{text}");
        }
        assert!(preload("").is_empty() && preload("[]").is_empty());
        let refused = |text| set(text).unwrap_err().to_string();
        insta::assert_snapshot!(refused("numpy,,pandas"), @r#"SWITCHTOWER_NATIVE_PRELOAD: item 2 is empty; it has the form a,b or ["a", "b"]"#);
        insta::assert_snapshot!(refused("[\"numpy\", 3]"), @r#"SWITCHTOWER_NATIVE_PRELOAD: item 2 is 3, it must be a text; it has the form a,b or ["a", "b"]"#);
        insta::assert_snapshot!(refused("[\"numpy\""), @r#"SWITCHTOWER_NATIVE_PRELOAD: ["numpy" is no list; it has the form a,b or ["a", "b"]"#);
        insta::assert_snapshot!(refused("numpy,scikit-learn"), @r#"SWITCHTOWER_NATIVE_PRELOAD: native.preload has "scikit-learn", which is not the name of a package"#);
        let keys = |text| layered(None, variables(&[("SWITCHTOWER_HTTP_KEYS", text)]), json!({})).unwrap().http.keys;
        let expected = [("ci".to_owned(), "0123456789abcdef".to_owned())];
        for text in ["ci=0123456789abcdef", r#"{"ci": "0123456789abcdef"}"#, r#"{ci = "0123456789abcdef"}"#] {
            assert_eq!(keys(text), expected.clone().into(), "{text}");
        }
    }

    #[test]
    fn a_size_is_read_with_and_without_a_unit() {
        let set = variables(&[("SWITCHTOWER_MEMORY_TOTAL", "2GB"), ("SWITCHTOWER_LIMITS_CODE", "4096")]);
        let file = "[cache]\nmax_bytes = \"16 MiB\"\n[native]\nscratch_bytes = 1048576";
        let config = layered(Some(("a file".into(), file.into())), set, json!({})).unwrap();
        assert_eq!((config.memory.total, config.limits.code), (2_000_000_000, 4096));
        assert_eq!((config.cache.max_bytes, config.native.scratch_bytes), (16 << 20, 1 << 20));
    }

    #[test]
    fn a_variable_sets_what_only_the_file_has_named() {
        let file = "[clouds.dedicated.account]\ntemplate = \"big\"";
        let set = variables(&[("SWITCHTOWER_CLOUDS_DEDICATED_TIER_POOL_MAX", "3")]);
        let config = layered(Some(("a file".into(), file.into())), set, json!({})).unwrap();
        assert_eq!(config.clouds.0["dedicated"].tier.pool.as_ref().unwrap().max, 3);
    }

    #[test]
    fn a_setting_without_a_default_is_read_as_what_it_is() {
        let set = variables(&[
            ("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIMITS_MAX_CREATIONS_PER_HOUR", "100"),
            ("SWITCHTOWER_HTTP_ADMIN_KEY", "1234567890123456"),
            ("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_TARGET", "5"),
        ]);
        let config = layered(None, set, json!({})).unwrap();
        let e2b = &config.clouds.0["e2b"];
        assert_eq!(e2b.account.limits.max_creations_per_hour, Some(100));
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
            error
                .to_string()
                .starts_with("a file: there is no setting clouds.dedicated.account.templat; did you mean template?"),
            "{error}"
        );
    }

    #[test]
    fn the_server_listens_on_loopback_3001_and_needs_a_key_beyond_it() {
        let config = layered(None, variables(&[]), json!({})).unwrap();
        assert_eq!(config.http.listen().to_string(), "127.0.0.1:3001");
        assert_eq!(config.http.exposure_problem(), None);
        let wide = layered(None, variables(&[("SWITCHTOWER_HTTP_ADDRESS", "0.0.0.0")]), json!({})).unwrap();
        assert!(wide.http.exposure_problem().unwrap().contains("http.keys"));
    }

    #[test]
    fn a_setting_with_which_nothing_could_run_is_refused_by_its_name_and_its_place() {
        let refused = |name, value| layered(None, variables(&[(name, value)]), json!({})).unwrap_err().to_string();
        insta::assert_snapshot!(refused("SWITCHTOWER_TIERS_WASM_QUEUE_SLOTS", "0"), @"SWITCHTOWER_TIERS_WASM_QUEUE_SLOTS: tiers.wasm.queue.slots must be at least 1: with 0 nothing would ever run");
        insta::assert_snapshot!(refused("SWITCHTOWER_TIERS_NATIVE_QUEUE_PER_USER", "0"), @"SWITCHTOWER_TIERS_NATIVE_QUEUE_PER_USER: tiers.native.queue.per_user must be at least 1: with 0 nothing would ever run");
        insta::assert_snapshot!(refused("SWITCHTOWER_CLOUDS_E2B_TIER_QUEUE_LENGTH_PER_USER", "0"), @"SWITCHTOWER_CLOUDS_E2B_TIER_QUEUE_LENGTH_PER_USER: clouds.e2b.tier.queue.length_per_user must be at least 1 (length = 0 lets no request wait)");
        insta::assert_snapshot!(refused("SWITCHTOWER_SESSIONS_QUEUE_SLOTS", "300"), @"SWITCHTOWER_SESSIONS_QUEUE_SLOTS: sessions.queue.slots and extra_slots are 308 together: they must be at most 200");
        insta::assert_snapshot!(refused("SWITCHTOWER_QUEUE_SLOTS", "0"), @"SWITCHTOWER_QUEUE_SLOTS: queue.slots must be at least 1: with 0 nothing would ever run");
        insta::assert_snapshot!(refused("SWITCHTOWER_RULES_RELOAD_INTERVAL", "0s"), @"SWITCHTOWER_RULES_RELOAD_INTERVAL: rules.reload_interval must be longer than 0s");
        insta::assert_snapshot!(refused("SWITCHTOWER_QUOTA_BURST", "0"), @"SWITCHTOWER_QUOTA_BURST: quota.burst must be at least 1: with 0 no request would be accepted");
        insta::assert_snapshot!(refused("SWITCHTOWER_MEMORY_PER_CALLER", "1GiB"), @"SWITCHTOWER_MEMORY_PER_CALLER: memory.per_caller is 1GiB: it must be at most memory.total, 512MiB");
        insta::assert_snapshot!(refused("SWITCHTOWER_LIMITS_DEFAULT_TIMEOUT", "10m"), @"SWITCHTOWER_LIMITS_DEFAULT_TIMEOUT: limits.default_timeout is 10m: it must be at most limits.max_timeout, 5m");
        insta::assert_snapshot!(refused("SWITCHTOWER_CLOUDS_E2B_TIER_BREAKER_FAILURE_THRESHOLD", "0"), @"SWITCHTOWER_CLOUDS_E2B_TIER_BREAKER_FAILURE_THRESHOLD: clouds.e2b.tier.breaker.failure_threshold must be at least 1: with 0 the breaker would never close");
        insta::assert_snapshot!(refused("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_MAX", "0"), @"SWITCHTOWER_CLOUDS_E2B_TIER_POOL_MAX: clouds.e2b.tier.pool.max must be at least 1: with 0 nothing would ever run");
        insta::assert_snapshot!(refused("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_MIN_READY", "11"), @"SWITCHTOWER_CLOUDS_E2B_TIER_POOL_MIN_READY: clouds.e2b.tier.pool.min_ready is 11: it must be at most max, 10, or the server is never ready");
        insta::assert_snapshot!(refused("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIMITS_MAX_SANDBOXES", "0"), @"SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIMITS_MAX_SANDBOXES: clouds.e2b.account.limits.max_sandboxes must be at least 1: with 0 nothing would ever run");
        insta::assert_snapshot!(refused("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIFETIME", "0s"), @"SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIFETIME: clouds.e2b.account.lifetime must be longer than 0s");
        insta::assert_snapshot!(refused("SWITCHTOWER_NATIVE_MAX_RUNS_PER_WORKER", "0"), @"SWITCHTOWER_NATIVE_MAX_RUNS_PER_WORKER: native.max_runs_per_worker must be at least 1: with 0 no program would ever run");
        insta::assert_snapshot!(refused("SWITCHTOWER_HTTP_MAX_CONNECTIONS", "0"), @"SWITCHTOWER_HTTP_MAX_CONNECTIONS: http.max_connections must be at least 1: with 0 nobody could connect");
        insta::assert_snapshot!(refused("SWITCHTOWER_HTTP_KEYS", "ci=short"), @"SWITCHTOWER_HTTP_KEYS: http.keys.ci is too short: a key has at least 16 characters");
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
