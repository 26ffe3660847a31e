//! Checks that the names of public items, messages, docstrings and settings are plain terms of the field.
//!
//! The lists have exact identifiers and phrases that have been replaced, not ordinary English. Allowed on purpose: walk, relay,
//! canary, zygote, tape, flight, lease, need, isolation floor, wall clock, home folder, a route's leg.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;
use switchtower::config::Config;

/// Names of types, functions, modules and fields that are not allowed, with their replacements.
const NAMES: &[(&str, &str)] = &[
    ("Asked", "the request's own name: CreateSession, ExecuteCell"),
    ("Said", "the event's own name: CellEvent, WorkerReport"),
    ("Told", "the event's own name"),
    ("Order", "WorkerCommand"),
    ("House", "Services, AppState"),
    ("Undecided", "DecideError"),
    ("Trouble", "the error's own name"),
    ("Standing", "TierStatus, SessionState"),
    ("Seat", "ContextState"),
    ("Seats", "permits"),
    ("Bench", "IdleWorkers, Suite"),
    ("Reserve", "Prewarmed"),
    ("Wall", "WallClock"),
    ("Walls", "Jail"),
    ("Footprint", "SideEffects"),
    ("Setback", "WalkError"),
    ("Exhausted", "QuotaExceeded"),
    ("Ceilings", "RequestLimits"),
    ("Trial", "AttemptRecorder"),
    ("Unbuilt", "BuildError"),
    ("Complaint", "CliError"),
    ("Science", "NativeReport"),
    ("Stuck", "NotReplayable"),
    ("Opening", "KernelOptions"),
    ("Ran", "CellOutcome"),
    ("Chance", "Randomness"),
    ("Bundle", "MimeBundle"),
    ("Upkeep", "Maintenance"),
    ("Renewal", "WorkerLifetime"),
    ("Patience", "Timeouts"),
    ("keep", "set_state, maintain"),
    ("lasts", "ensure_lifetime"),
    ("takes", "apply"),
    ("becomes", "transition_to"),
    ("settles", "resolve"),
    ("follows", "attach"),
    ("hears", "record_outcome"),
    ("lands", "complete"),
    ("objection", "problem"),
    ("arrive", "state_transfer"),
    ("carry", "state_transfer"),
    ("legs", "local"),
    ("seats", "permits"),
    ("upkeep", "maintenance"),
    ("asked", "parse"),
    ("described", "view"),
    ("glue", "into its caller"),
    ("ceilings", "limits"),
    ("patience", "wait_timeout"),
    ("Near", "LocalOutcome"),
    ("Here", "Local"),
    ("There", "Remote"),
    ("Nowhere", "Unplaced"),
    ("Place", "Placement, RouteLeg"),
    ("Places", "Route"),
    ("Home", "LeasedMachine"),
    ("Given", "ToChild, the request's own name"),
    ("Running", "RunningCommand, SupervisedRun"),
    ("Gone", "KernelUnavailable"),
    ("Room", "KernelPermit"),
    ("parcel", "the pickled value"),
    ("attend", "supervise"),
    ("rest", "push"),
    ("rise", "pop"),
    ("tells", "report"),
    ("ways_out", "dynamic_access"),
    ("draws", "random"),
];

/// Phrases of messages that are not allowed, with their replacements.
const PHRASES: &[(&str, &str)] = &[
    ("A field holds what it may not", "Invalid field value"),
    ("This is switched off", "Disabled on this server"),
    ("There is more work than room", "Server overloaded"),
    ("This path has other methods", "Method not allowed"),
    ("The body has another type", "Unsupported media type"),
    ("no end long after its deadline", "run did not return within its grace period"),
    ("A fault of the server", "Internal server error"),
    ("quota used up", "rate limit exceeded"),
    ("come back in", "retry after"),
    ("has not the module", "does not provide module"),
    ("to mend", "to fix"),
    ("mend:", "fix:"),
    ("It has ended", "Session ended"),
    ("what would bring it", "how to enable it"),
    ("whoever", "the caller, the client, the user"),
    ("the house", "the server"),
    ("the door", "the API"),
];

/// Names of settings, or parts of them between dots, that are not allowed, with their replacements.
const SETTINGS: &[(&str, &str)] = &[
    ("ceilings", "limits"),
    ("most", "max_…"),
    ("dear", "expensive_rebuild"),
    ("spill", "evict_after"),
    ("sleep", "machine_idle"),
    ("cell", "cell_timeout"),
    ("room", "kernels_per_worker"),
    ("reserve", "prewarmed"),
    ("renew_after", "max_runs_per_worker"),
    ("renew_every", "max_worker_age"),
    ("patience", "wait_timeout, client_timeout, max_retry_after"),
    ("opening", "open_timeout"),
    ("scratch", "scratch_bytes"),
    ("slice", "time_slice"),
    ("grace", "grace_period"),
    ("hold_back", "output_delay"),
    ("output", "max_output"),
    ("retries", "max_retries"),
    ("failures", "failure_threshold"),
    ("worker_memory", "max_worker_memory"),
    ("max_concurrent", "max_sandboxes"),
    ("max_per_hour", "max_creations_per_hour"),
];

/// Names that several public types have, with the reason. Every other public type has a name of its own.
const SHARED_TYPE_NAMES: &[(&str, &str)] = &[
    ("Config", "the settings of a module, written with it: `quota::Config`"),
    ("Settings", "the settings of a test double, written with it: `scripted::Settings`"),
    ("Status", "the snapshot of a module for operators, written with it: `pool::Status`"),
    ("Error", "the error of a module, written with it: `connect::Error`"),
    ("Native", "the section `native` of the configuration, and the backend that it configures"),
    ("Rules", "the section `rules` of the configuration, and what it configures"),
    ("Tiers", "the section `tiers` of the configuration, and what it configures"),
    ("Plan", "E2B's plans, for its client and for the stand-in, which import nothing of each other"),
];

/// Returns the files in these folders whose names end like this, without tests, benches and build output.
fn files(folders: &[&str], ending: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = folders.iter().map(|name| root.join(name)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() && !["tests", "target", "benches"].iter().any(|out| name == *out) {
                folders.push(path);
            } else if name.to_string_lossy().ends_with(ending) && name != "tests.rs" {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "no file ends with {ending}");
    files
}

/// Returns a source without its comments and the tests at its end.
fn program_text(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let comment = Regex::new(r"(?m)(^|\s)//.*$").unwrap();
    comment.replace_all(source, "").into_owned()
}

/// Runs a check on every Rust source and returns what it found, each with the path of the source.
fn check_sources(check: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    check_files(&files(&["src", "crates", "sandboxes"], ".rs"), |text| check(&program_text(text)))
}

/// Runs a check on files and returns what it found, each with the path of the file.
fn check_files(files: &[PathBuf], check: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let found = files.iter().flat_map(|path| {
        let text = fs::read_to_string(path).unwrap();
        check(&text).into_iter().map(|what| format!("{}: {what}", path.display())).collect::<Vec<_>>()
    });
    found.collect()
}

/// Returns what is wrong with the literals of a text. A line break within a literal counts as a space.
fn wrong_phrases<'t>(literals: impl Iterator<Item = &'t str>) -> Vec<String> {
    let line_break = Regex::new(r"\s*\\?\n\s*").unwrap();
    let wrong = literals.flat_map(|literal| {
        let literal = line_break.replace_all(literal, " ").into_owned();
        let phrases = PHRASES.iter().filter(move |(phrase, _)| literal.contains(phrase));
        phrases.map(|(phrase, instead)| format!("a text has {phrase:?}; write {instead}"))
    });
    wrong.collect()
}

/// Returns the string literals of a Python source, docstrings included.
fn python_literals(source: &str) -> Vec<&str> {
    let token = Regex::new(
        r#"(?s)"""(?:[^\\]|\\.)*?"""|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\#[^\n]*"#,
    )
    .unwrap();
    token.find_iter(source).map(|found| found.as_str()).filter(|token| !token.starts_with('#')).collect()
}

#[test]
fn public_names_are_terms_of_the_field() {
    let public =
        Regex::new(r"\bpub (?:async |unsafe |const )*(?:(?:fn|struct|enum|trait|type|mod|static|const) )?(\w+)")
            .unwrap();
    let wrong = check_sources(|text| {
        let named = public.captures_iter(text).filter_map(|found| {
            let (name, instead) = NAMES.iter().find(|(name, _)| *name == &found[1])?;
            Some(format!("`{name}` is public; write {instead}"))
        });
        named.collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_public_type_shares_its_name_with_no_other() {
    let public = Regex::new(r"(?m)^\s*pub (?:unsafe )?(?:struct|enum|trait|type|union) (\w+)").unwrap();
    let mut declared: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in files(&["src", "crates", "sandboxes"], ".rs") {
        // Where a feature is off, a module `…_absent` replaces another one and has the same names.
        if path.to_string_lossy().ends_with("_absent.rs") {
            continue;
        }
        let text = program_text(&fs::read_to_string(&path).unwrap());
        for found in public.captures_iter(&text) {
            declared.entry(found[1].to_owned()).or_default().push(path.clone());
        }
    }
    declared.retain(|_, paths| paths.len() > 1);
    for (name, reason) in SHARED_TYPE_NAMES {
        assert!(declared.remove(*name).is_some(), "only one public type is named {name}; remove its line ({reason})");
    }
    assert!(declared.is_empty(), "public types with the same name; qualify one of each: {declared:#?}");
}

#[test]
fn messages_and_docstrings_are_in_plain_words() {
    let literal = Regex::new(r#""(?:[^"\\]|\\.)*""#).unwrap();
    let of_literals = |text: &str| wrong_phrases(literal.find_iter(text).map(|found| found.as_str()));
    let mut wrong = check_sources(of_literals);
    wrong.extend(check_files(&files(&["crates/server/src"], "openapi.json"), of_literals));
    wrong.extend(check_files(&files(&["sandboxes"], ".py"), |text| wrong_phrases(python_literals(text).into_iter())));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn literals_of_python_are_found_without_comments() {
    let source =
        "# a \"b\nx = \"c # d\"  # 'e'\ndef f():\n    \"\"\"g\n    \"h\" i.\"\"\"\n    return 'j\\'k', f\"l\"\n";
    assert_eq!(python_literals(source), ["\"c # d\"", "\"\"\"g\n    \"h\" i.\"\"\"", "'j\\'k'", "\"l\""]);
    assert_eq!(wrong_phrases(["\"\"\"See\n    the house.\"\"\""].into_iter()).len(), 1);
}

#[test]
fn names_of_settings_are_terms_of_the_field() {
    fn keys(value: &Value, found: &mut Vec<String>) {
        for (key, inner) in value.as_object().into_iter().flatten() {
            found.push(key.clone());
            keys(inner, found);
        }
    }
    let mut found = Vec::new();
    keys(&serde_json::to_value(Config::default()).unwrap(), &mut found);
    for (name, instead) in SETTINGS {
        assert!(!found.iter().any(|key| key == name), "there is a setting {name}; write {instead}");
    }
}
