//! Checks the layers inside `crates/core`, which Cargo cannot enforce: a module imports only the modules that the table allows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Modules of `crates/core/src`, each with the modules that it may import. A module may import only modules above its own line,
/// so that there are no cycles.
const ALLOWED: [(&str, &[&str]); 17] = [
    // Vocabulary.
    ("route", &[]),
    ("clock", &[]),
    ("seed", &[]),
    ("schema", &[]),
    ("request", &["route", "schema"]),
    // Decisions and accounts without any tier.
    ("memory", &["request"]),
    ("quota", &["request"]),
    ("analyse", &["request"]),
    ("decide", &["analyse", "request", "route", "schema"]),
    ("cache", &["analyse", "request", "route", "schema"]),
    // Execution.
    ("tier", &["analyse", "request", "route", "schema", "seed"]),
    ("error", &["decide", "memory", "quota", "request", "route", "tier"]),
    ("memo", &["analyse", "cache", "decide", "request", "route"]),
    ("recheck", &["cache", "request", "route", "tier"]),
    ("record", &["analyse", "cache", "clock", "decide", "error", "request", "route", "schema", "tier"]),
    // The request path, and the sessions on top of it.
    (
        "router",
        &[
            "analyse", "cache", "clock", "decide", "error", "memo", "quota", "recheck", "record", "request", "route",
            "seed", "tier",
        ],
    ),
    (
        "session",
        &[
            "analyse", "cache", "clock", "decide", "error", "memory", "record", "request", "route", "router", "seed",
            "tier",
        ],
    ),
];

/// Modules that only compute, and so do not depend on an asynchronous runtime.
const WITHOUT_TOKIO: [&str; 2] = ["analyse", "decide"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/core/src")
}

/// Returns the sources of a module without its tests.
fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let mut files = vec![root().join(format!("{module}.rs"))];
    files.extend(sources_below(root().join(module)));
    files.retain(|path| !path.ends_with("tests.rs") && !path.iter().any(|part| part == "tests"));
    let read = |path: PathBuf| Some((path.clone(), program_text(&fs::read_to_string(&path).ok()?)));
    files.into_iter().filter_map(read).collect()
}

/// Returns the paths of the Rust sources below a folder.
fn sources_below(folder: PathBuf) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Returns a source without its comments and the tests at its end.
fn program_text(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.collect::<Vec<_>>().join("\n")
}

/// Returns the modules of its crate that a source imports.
fn imports(source: &str) -> BTreeSet<String> {
    let single = Regex::new(r"\bcrate::(\w+)").unwrap();
    let group = Regex::new(r"\bcrate::\{([^}]*)\}").unwrap();
    let name = Regex::new(r"(?:^|,)\s*(\w+)").unwrap();
    let singles = single.captures_iter(source).map(|found| found[1].to_owned());
    let groups = group
        .captures_iter(source)
        .flat_map(|found| name.captures_iter(&found[1]).map(|found| found[1].to_owned()).collect::<Vec<_>>());
    singles.chain(groups).collect()
}

#[test]
fn a_module_of_the_core_imports_only_what_is_below_it() {
    let mut above = BTreeSet::new();
    for (module, allowed) in ALLOWED {
        assert!(allowed.iter().all(|name| above.contains(name)), "{module} may import only modules above its line");
        above.insert(module);
        let sources = sources(module);
        assert!(!sources.is_empty(), "there is no module {module}");
        for (path, source) in sources {
            let wrong: Vec<String> = imports(&source)
                .into_iter()
                .filter(|name| name != module && !allowed.contains(&name.as_str()))
                .collect();
            assert!(wrong.is_empty(), "{} imports {wrong:?}; {module} may import {allowed:?}", path.display());
        }
    }
    let declared = Regex::new(r"(?m)^(?:pub(?:\(crate\))? )?mod (\w+);").unwrap();
    let lib = fs::read_to_string(root().join("lib.rs")).unwrap();
    for module in declared.captures_iter(&lib).map(|found| found[1].to_owned()) {
        assert!(above.contains(module.as_str()), "the module {module} has no line in the table of this test");
    }
}

#[test]
fn analysis_and_rules_do_not_depend_on_tokio() {
    let tokio = Regex::new(r"\btokio\b").unwrap();
    for module in WITHOUT_TOKIO {
        for (path, source) in sources(module) {
            assert!(!tokio.is_match(&source), "{} imports tokio", path.display());
        }
    }
}

/// The sources that run in the simulations, whose runs are equal for equal seeds.
const SIMULATED: [&str; 4] =
    ["crates/core/src", "sandboxes/e2b/src", "sandboxes/fake-e2b/src", "sandboxes/contract/src"];

#[test]
fn what_runs_in_a_simulation_does_not_choose_among_ready_branches_at_random() {
    let select = Regex::new(r"select!\s*\{\s*(\w+;)?").unwrap();
    for folder in SIMULATED {
        let sources = sources_below(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        assert!(!sources.is_empty(), "{folder} has no sources");
        for path in sources {
            for found in select.captures_iter(&program_text(&fs::read_to_string(&path).unwrap())) {
                let mode = found.get(1).map(|mode| mode.as_str());
                assert_eq!(mode, Some("biased;"), "{}: `{}` without `biased`", path.display(), &found[0]);
            }
        }
    }
}
