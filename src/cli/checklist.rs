//! `switchtower config check`: nine points to look at before a deployment. They are decided from the settings and the
//! environment; nothing is started and nobody is asked.

use std::path::Path;

use switchtower_contract::rounded;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::checks::Check;
use crate::assemble;
use crate::config::{Config, LogFormat};

/// Returns the result of each point.
pub(super) fn checks(config: &Config) -> Vec<Check> {
    vec![
        settings(config),
        rules(config),
        tiers(config),
        limits(config),
        folders(config),
        callers(config),
        operator(config),
        log(config),
        maintenance(config),
    ]
}

fn settings(config: &Config) -> Check {
    match config.exposure_problem() {
        Some(problem) => Check::broken("settings", problem, "change the setting named here; `serve` refuses it"),
        None => Check::ok("settings", "all are valid"),
    }
}

fn rules(config: &Config) -> Check {
    match assemble::load_rules(&config.rules) {
        Ok(_) => match &config.rules.folder {
            Some(folder) => {
                Check::ok("rules", format!("{} loads; `switchtower rules test` runs its cases", folder.display()))
            }
            None => Check::ok("rules", "the built-in ones"),
        },
        Err(error) => Check::broken("rules", error.to_string(), "`switchtower rules check DIR` prints the line"),
    }
}

/// Which tiers the settings ask for. `doctor` tries them.
fn tiers(config: &Config) -> Check {
    let is_set = |variable: &str| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    let mut named = vec![config.wasm.tier.to_string()];
    named.extend(config.native.enabled.then(|| config.native.tier.to_string()));
    named.extend(config.machine.enabled.then(|| config.machine.tier.to_string()));
    let (with_key, without): (Vec<_>, Vec<_>) =
        config.clouds.key_variables().partition(|(_, variable)| is_set(variable));
    named.extend(with_key.iter().map(|(name, _)| name.to_string()));
    let named = format!("{}; `switchtower doctor` tries them", named.join(", "));
    if without.is_empty() {
        return Check::ok("tiers", named);
    }
    let variables: Vec<&str> = without.into_iter().map(|(_, variable)| variable).collect();
    let remedy = format!("set {}; without it no program moves to the cloud", variables.join(", "));
    Check::missing("tiers", named, remedy)
}

/// Whether the limits fit each other and the plan.
fn limits(config: &Config) -> Check {
    let mut doubts = config.clouds.doubtful_limits();
    let slots = config.queue.slots;
    doubts.extend(
        slots.filter(|slots| *slots > config.http.max_connections).map(|slots| {
            format!("queue.slots is {slots}, above http.max_connections, {}", config.http.max_connections)
        }),
    );
    if doubts.is_empty() {
        return Check::ok("limits", "they fit each other and the plans of the accounts");
    }
    Check::missing("limits", doubts.join("; "), "see whether this is meant")
}

/// Whether files that must outlive the server can be written.
fn folders(config: &Config) -> Check {
    let files = config.record.file.as_deref().into_iter().chain(config.clouds.budget_files());
    for file in files {
        // A folder that does not exist yet is created in the nearest one that does.
        let there = file.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        let writable = match there == file || there.is_dir() {
            true => rustix::fs::access(there, rustix::fs::Access::WRITE_OK),
            false => Err(rustix::io::Errno::NOTDIR),
        };
        if let Err(error) = writable {
            let remedy = "let the server's user write there, or set another file";
            return Check::broken("files", format!("{} cannot be written: {error}", file.display()), remedy);
        }
    }
    match &config.record.file {
        Some(file) => Check::ok("files", format!("each decision is kept in {}", file.display())),
        None => {
            let detail = "record.file is not set: decisions are in memory only";
            Check::missing("files", detail, "set it, to compare rules and costs later")
        }
    }
}

fn callers(config: &Config) -> Check {
    let keys = config.http.keys.len();
    if keys == 0 {
        let remedy = "set http.keys, so that callers have shares, limits and sessions of their own";
        return Check::missing("callers", "everybody on this machine is one caller, without a key", remedy);
    }
    if config.quota.per_minute == 0 {
        let remedy = "set quota.per_minute to bound what one caller can ask for";
        return Check::missing("callers", format!("{keys} keys; no caller has a rate limit"), remedy);
    }
    let quota = &config.quota;
    Check::ok("callers", format!("{keys} keys, {} requests a minute each", quota.per_minute))
}

fn operator(config: &Config) -> Check {
    match config.http.admin_key {
        Some(_) => Check::ok("operator", "http.admin_key is set: /v1/admin, `breaker` and `cache` work"),
        None => {
            let remedy = "set it, to see pools, budgets and breakers and to close a breaker";
            Check::missing("operator", "http.admin_key is not set: /v1/admin is disabled", remedy)
        }
    }
}

/// Whether what goes wrong is in the log, in a form that a collector reads.
fn log(config: &Config) -> Check {
    let filter = match EnvFilter::try_new(&config.log.filter) {
        Ok(filter) => filter,
        Err(error) => {
            let detail = format!("log.filter {:?}: {error}", config.log.filter);
            return Check::broken("log", detail, "write it as `info` or `warn,switchtower=debug`");
        }
    };
    let level = filter.max_level_hint().and_then(LevelFilter::into_level);
    if level.is_none_or(|level| level < Level::WARN) {
        let detail = format!("log.filter {:?} leaves out warnings, which are the alerts", config.log.filter);
        return Check::missing("log", detail, "set it to `info` or `warn`");
    }
    match config.log.format {
        LogFormat::Json => Check::ok("log", "one JSON object a line, on standard error"),
        LogFormat::Text => {
            let detail = "lines for people, on standard error";
            Check::missing("log", detail, "`log.format = \"json\"` is for collectors of logs and errors")
        }
    }
}

/// Whether what runs from time to time does.
fn maintenance(config: &Config) -> Check {
    let rules = format!("changed rules are looked for every {}", rounded(config.rules.reload_interval));
    match config.cache.recheck_one_in {
        0 => {
            let detail = format!("{rules}; no stored result is ever run again (cache.recheck_one_in is 0)");
            Check::missing("maintenance", detail, "set it to 200 to notice a result that should not have been stored")
        }
        one_in => Check::ok("maintenance", format!("{rules}; one in {one_in} hits is run again to compare")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state_of(config: &Config, what: &str) -> (String, String) {
        let all = serde_json::to_value(checks(config)).unwrap();
        let found = all.as_array().unwrap().iter().find(|check| check["what"] == what).unwrap();
        (found["state"].as_str().unwrap().to_owned(), found["detail"].as_str().unwrap().to_owned())
    }

    #[test]
    fn each_of_the_nine_points_notices_what_it_is_for() {
        let config = |table: serde_json::Value| serde_json::from_value::<Config>(table).unwrap();
        assert_eq!(checks(&Config::default()).len(), 9);
        let key = "0123456789abcdef";
        let good = config(json!({
            "http": { "keys": { "a": key }, "admin_key": key },
            "quota": { "per_minute": 60 },
            "log": { "format": "json" },
            "record": { "file": "records.jsonl" },
        }));
        for what in ["settings", "rules", "files", "callers", "operator", "log", "maintenance"] {
            assert_eq!(state_of(&good, what).0, "ok", "{what}: {:?}", state_of(&good, what));
        }
        for (what, state, part, table) in [
            ("settings", "broken", "a key is required", json!({ "http": { "address": "0.0.0.0" } })),
            ("rules", "broken", "no-such-folder", json!({ "rules": { "folder": "/no-such-folder" } })),
            ("files", "missing", "in memory only", json!({})),
            ("files", "broken", "cannot be written", json!({ "record": { "file": "/dev/null/records.jsonl" } })),
            ("callers", "missing", "one caller", json!({})),
            ("callers", "missing", "no caller has a rate limit", json!({ "http": { "keys": { "a": key } } })),
            ("operator", "missing", "disabled", json!({})),
            ("log", "missing", "lines for people", json!({})),
            ("log", "missing", "leaves out warnings", json!({ "log": { "filter": "error", "format": "json" } })),
            ("log", "broken", "log.filter", json!({ "log": { "filter": "a=b=c" } })),
            ("maintenance", "missing", "recheck_one_in", json!({ "cache": { "recheck_one_in": 0 } })),
        ] {
            let (found, detail) = state_of(&config(table), what);
            assert!(found == state && detail.contains(part), "{what}: {found}, {detail}");
        }
    }

    #[cfg(feature = "e2b")]
    #[test]
    fn limits_that_do_not_fit_the_plan_or_each_other_are_named() {
        let limits = |table: serde_json::Value| {
            let clouds = json!({ "e2b": { "account": { "limits": table }, "tier": { "pool": { "max": 30 } } } });
            state_of(&serde_json::from_value(json!({ "clouds": clouds })).unwrap(), "limits").1
        };
        let found = limits(json!({ "creations_per_second": 2 }));
        for part in [
            "clouds.e2b.account.limits.creations_per_second is 2, above what the plan hobby allows, 1",
            "clouds.e2b.tier.pool.max is 30, above the sandboxes that the account may run, 20",
            "max_creations_per_hour is not set: above 50",
        ] {
            assert!(found.contains(part), "{found}");
        }
        assert_eq!(
            limits(json!({ "plan": "pro", "max_creations_per_hour": 7 })),
            "they fit each other and the plans of the accounts"
        );
    }
}
