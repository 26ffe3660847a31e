//! Reading and refusing settings.

use serde_json::json;

use switchtower_e2b::limits::CreationBudget;

use super::load::layered;
use super::*;

fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into_iter()
}

#[test]
fn a_flag_goes_over_a_variable_and_a_variable_over_the_file() {
    let file = "[http]\nport = 1\nclient_timeout = \"5s\"\nmax_connections = 7\nkeys = { ci = \"0123456789abcdef\" }";
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
    let of_file =
        |text: &str| layered(Some(("a.toml".into(), text.into())), variables(&[]), json!({})).unwrap_err().to_string();
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
    insta::assert_snapshot!(of_variable("SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIMITS_MAX_CREATIONS_PER_HOUR", "many"), @r#"SWITCHTOWER_CLOUDS_E2B_ACCOUNT_LIMITS_MAX_CREATIONS_PER_HOUR: clouds.e2b.account.limits.max_creations_per_hour must be a whole number between 0 and 4294967295, or "plan", not "many""#);
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
    assert_eq!(e2b.account.limits.max_creations_per_hour, Some(CreationBudget::Number(100)));
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
    insta::assert_snapshot!(refused("SWITCHTOWER_SESSIONS_QUEUE_SLOTS", "0"), @"SWITCHTOWER_SESSIONS_QUEUE_SLOTS: sessions.queue.slots must be at least 1: with 0 nothing would ever run");
    insta::assert_snapshot!(refused("SWITCHTOWER_SESSIONS_QUEUE_PER_USER", "0"), @"SWITCHTOWER_SESSIONS_QUEUE_PER_USER: sessions.queue.per_user must be at least 1: with 0 nothing would ever run");
    insta::assert_snapshot!(refused("SWITCHTOWER_SESSIONS_QUEUE_SLOTS", "300"), @"SWITCHTOWER_SESSIONS_QUEUE_SLOTS: sessions.queue.slots and extra_slots are 308 together: they must be at most 200");
    insta::assert_snapshot!(refused("SWITCHTOWER_SESSIONS_MAX_SESSIONS", "0"), @"SWITCHTOWER_SESSIONS_MAX_SESSIONS: sessions.max_sessions must be at least 1: with 0 no session could be created");
    insta::assert_snapshot!(refused("SWITCHTOWER_SESSIONS_MAX_PER_CALLER", "0"), @"SWITCHTOWER_SESSIONS_MAX_PER_CALLER: sessions.max_per_caller must be at least 1: with 0 no session could be created");
    insta::assert_snapshot!(refused("SWITCHTOWER_QUEUE_SLOTS", "0"), @"SWITCHTOWER_QUEUE_SLOTS: queue.slots must be at least 1: with 0 nothing would ever run");
    insta::assert_snapshot!(refused("SWITCHTOWER_RULES_RELOAD_INTERVAL", "0s"), @"SWITCHTOWER_RULES_RELOAD_INTERVAL: rules.reload_interval must be longer than 0s");
    insta::assert_snapshot!(refused("SWITCHTOWER_QUOTA_BURST", "0"), @"SWITCHTOWER_QUOTA_BURST: quota.burst must be at least 1: with 0 no request would be accepted");
    insta::assert_snapshot!(refused("SWITCHTOWER_MEMORY_PER_CALLER", "1GiB"), @"SWITCHTOWER_MEMORY_PER_CALLER: memory.per_caller is 1GiB: it must be at most memory.total, 512MiB");
    insta::assert_snapshot!(refused("SWITCHTOWER_LIMITS_DEFAULT_TIMEOUT", "10m"), @"SWITCHTOWER_LIMITS_DEFAULT_TIMEOUT: limits.default_timeout is 10m: it must be at most limits.max_timeout, 5m");
    insta::assert_snapshot!(refused("SWITCHTOWER_CLOUDS_E2B_TIER_BREAKER_FAILURE_THRESHOLD", "0"), @"SWITCHTOWER_CLOUDS_E2B_TIER_BREAKER_FAILURE_THRESHOLD: clouds.e2b.tier.breaker.failure_threshold must be at least 1: with 0 the breaker would never close");
    insta::assert_snapshot!(refused("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_MAX", "0"), @"SWITCHTOWER_CLOUDS_E2B_TIER_POOL_MAX: clouds.e2b.tier.pool.max must be at least 1: with 0 nothing would ever run");
    insta::assert_snapshot!(refused("SWITCHTOWER_CLOUDS_E2B_TIER_POOL_MIN_READY", "11"), @"SWITCHTOWER_CLOUDS_E2B_TIER_POOL_MIN_READY: clouds.e2b.tier.pool.min_ready is 11: it must be at most min, 0, the sandboxes that are kept from the start, or the server is never ready");
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
fn a_duration_of_more_than_ten_years_is_refused_in_every_setting() {
    let all = serde_json::to_value(Config::default()).unwrap();
    let is_duration = |text: &str| duration::parse(text).is_ok();
    let durations = layers::leaves(&all).into_iter().filter(|(_, value)| value.as_str().is_some_and(is_duration));
    let names: Vec<String> = durations.map(|(path, _)| layers::variable(&path)).collect();
    assert!(names.len() > 50, "{names:?}");
    for name in &names {
        for value in ["11y", "584000000000y", "99999999999999999999y"] {
            let error = layered(None, variables(&[(name, value)]), json!({})).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}: ")), "{error}");
            let end = format!(" must be a duration of at most 10 years, not \"{value}\"");
            assert!(error.ends_with(&end), "{error}");
        }
    }
    let longest = layered(None, variables(&[("SWITCHTOWER_HTTP_CLIENT_TIMEOUT", "10y")]), json!({})).unwrap();
    assert_eq!(longest.http.client_timeout, duration::MAX);
    let refused = layered(None, variables(&[("SWITCHTOWER_HTTP_CLIENT_TIMEOUT", "11y")]), json!({})).unwrap_err();
    insta::assert_snapshot!(refused.to_string(), @r#"SWITCHTOWER_HTTP_CLIENT_TIMEOUT: http.client_timeout must be a duration of at most 10 years, not "11y""#);
}

#[test]
fn a_count_that_sizes_a_table_or_a_number_of_processes_has_a_maximum() {
    let counts = [
        ("cache.max_entries", 10_000_000),
        ("cache.max_digests", 10_000_000),
        ("wasm.workers", 1024),
        ("wasm.kernel_workers", 1024),
        ("wasm.kernels_per_worker", 10_000),
        ("wasm.prewarmed", 1000),
        ("native.workers", 1024),
        ("native.kernel_workers", 1024),
        ("native.kernels_per_worker", 10_000),
        ("native.prewarmed", 1000),
        ("clouds.e2b.tier.pool.max", 10_000),
        ("record.max_records", 1_000_000),
    ];
    for (setting, max) in counts {
        let variable = layers::variable(&setting.split('.').map(str::to_owned).collect::<Vec<_>>());
        let set = |value: u64| layered(None, variables(&[(&variable, &value.to_string())]), json!({}));
        assert!(set(max).is_ok(), "{setting}");
        for value in [max + 1, u64::MAX] {
            let error = set(value).unwrap_err().to_string();
            assert_eq!(error, format!("{variable}: {setting} is {value}: it must be at most {max}"));
        }
    }
}

#[test]
fn an_error_in_a_files_syntax_has_its_place_but_not_the_line_which_may_hold_a_key() {
    let lines = [
        "a = 'SECRETSECRETSECRET",
        "a = \"SECRETSECRETSECRET",
        "a = SECRETSECRETSECRET",
        "a = 'SECRETSECRETSECRET' b",
        "a = \"SECRET\\qSECRETSECRET\"",
        "a SECRETSECRETSECRET",
        "a = 'x'\na = 'SECRETSECRETSECRET'",
    ];
    for line in lines {
        let file = format!("[http.keys]\n{line}\n");
        let error = layered(Some(("a.toml".into(), file)), variables(&[]), json!({})).unwrap_err().to_string();
        assert!(error.starts_with("a.toml: line ") && error.contains(", column "), "{error}");
        assert!(!error.contains("SECRET") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn what_is_printed_as_the_settings_in_force_can_be_read_as_a_file() {
    let text = toml::to_string(&Config::default()).unwrap();
    assert_eq!(layered(Some(("printed".into(), text)), variables(&[]), json!({})).unwrap(), Config::default());
}

#[test]
fn a_profile_comes_before_all_other_settings_whichever_of_them_names_it() {
    let pool = |config: &Config| config.clouds.0["e2b"].tier.pool.clone().unwrap();
    let file = ("a.toml".to_owned(), "[clouds.e2b.tier.pool]\nmax = 7".to_owned());
    let by_flag = layered(Some(file), variables(&[]), json!({ "profile": "seed" })).unwrap();
    let by_variable = layered(None, variables(&[("SWITCHTOWER_PROFILE", "seed")]), json!({})).unwrap();
    let file = ("a.toml".to_owned(), "profile = \"seed\"\n[queue]\nslots = 4".to_owned());
    let by_file = layered(Some(file), variables(&[]), json!({})).unwrap();
    assert_eq!([pool(&by_flag).max, pool(&by_variable).max, pool(&by_file).max], [7, 10, 10]);
    assert_eq!([by_flag.queue.slots, by_variable.queue.slots, by_file.queue.slots], [Some(6), Some(6), Some(4)]);

    let seed = by_variable;
    let pool = pool(&seed);
    assert_eq!((pool.min, pool.target, pool.max, pool.min_ready, pool.follow_demand), (2, 3, 10, 3, false));
    assert_eq!((seed.queue.slots, seed.queue.per_user), (Some(6), Some(2)));
    let account = &seed.clouds.0["e2b"].account;
    assert_eq!(
        (account.template.as_deref(), account.build_tag.as_deref()),
        (Some("prod-all"), Some("npf-20250805-003130"))
    );
    let of_sdks = [("SWITCHTOWER_PROFILE", "seed"), ("E2B_TEMPLATE_ID", "izdx3u0apwnbdatk6pmh")];
    let by_id = layered(None, variables(&of_sdks), json!({})).unwrap();
    assert_eq!(by_id.clouds.0["e2b"].account.template.as_deref(), Some("izdx3u0apwnbdatk6pmh"));
    assert_eq!(account.build_tag_timeout, Duration::from_secs(3));
    assert_eq!(seed.limits.max_timeout, Duration::from_secs(120));
    let per_hour = |plan| account.limits.max_creations_per_hour.unwrap().creations(plan);
    use switchtower_e2b::limits::Plan;
    assert_eq!([per_hour(Plan::Hobby), per_hour(Plan::Pro), per_hour(Plan::Enterprise)], [50, 100, 500]);

    let wrong = layered(None, variables(&[("SWITCHTOWER_PROFILE", "sed")]), json!({})).unwrap_err();
    insta::assert_snapshot!(wrong, @"SWITCHTOWER_PROFILE: profile must be one of `default`, `seed`, `containers`, not `sed`");
}

#[test]
fn the_profile_of_containers_has_their_ports_limits_and_machines_that_are_always_up() {
    let containers = layered(None, variables(&[]), json!({ "profile": "containers" })).unwrap();
    let Config { http, executors, limits, tiers, machine, .. } = &containers;
    assert_eq!((http.listen().to_string(), http.port), ("127.0.0.1:5000".to_owned(), 5000));
    assert_eq!(executors.listen.unwrap().to_string(), "127.0.0.1:8765");
    use switchtower_contract::Language::{Cpp, JavaScript, Python};
    assert_eq!(executors.required_languages(), [Python, JavaScript, Cpp]);
    assert_eq!((limits.default_timeout, limits.max_timeout), (Duration::from_secs(30), Duration::from_secs(30)));
    let memory = [&tiers.wasm, &tiers.native, &tiers.machine].map(|tier| tier.default_memory);
    assert_eq!((memory, machine.memory, limits.max_memory), ([256 << 20; 3], 256 << 20, 256 << 20));
    assert_eq!((machine.enabled, machine.processors), (true, 0.5));
    let pool = tiers.machine.pool.as_ref().unwrap();
    assert_eq!((pool.kept_from_start(), pool.min_ready, pool.reuse), (3, 3, tier::pool::Reuse::Never));

    let default = Config::default();
    assert_eq!((default.executors.listen, default.executors.required_languages()), (None, &[][..]));
    assert_eq!((default.machine.memory, default.machine.processors), (1 << 30, 0.0));
}

#[test]
fn executors_beyond_loopback_need_a_key_and_their_settings_are_refused_by_name() {
    let of = |table: serde_json::Value| layered(None, variables(&[]), json!({ "executors": table }));
    let wide = of(json!({ "listen": "0.0.0.0:8765" })).unwrap();
    assert!(wide.exposure_problem().unwrap().starts_with("executors.listen is 0.0.0.0:8765"));
    let keys = [("a".to_owned(), "0123456789abcdef".to_owned())].into();
    assert_eq!(Config { http: service::Config { keys, ..wide.http.clone() }, ..wide }.exposure_problem(), None);
    let refusal = |table| of(table).unwrap_err().to_string();
    let refusals = [
        refusal(json!({ "listen": "8765" })),
        refusal(json!({ "languages": [] })),
        refusal(json!({ "languages": ["ruby"] })),
        refusal(json!({ "max_connections": 0 })),
        refusal(json!({ "max_connections_per_caller": 0 })),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    the flags: executors.listen must be an address with a port, such as 127.0.0.1:8765
    the flags: executors.languages must have at least one: with none no program would be accepted
    the flags: executors.languages[0]: unknown language "ruby": allowed are python, javascript, typescript, c, cpp, bash, r, java
    the flags: executors.max_connections must be between 1 and 10000
    the flags: executors.max_connections_per_caller must be at least 1: with 0 nobody could connect
    "#);
    let by_variable = layered(None, variables(&[("SWITCHTOWER_EXECUTORS_LANGUAGES", "cpp,bash")]), json!({})).unwrap();
    use switchtower_contract::Language::{Bash, Cpp};
    assert_eq!(by_variable.executors.languages, [Cpp, Bash]);
}
