//! Compares two transcripts of one script: against the stand-in for E2B alone, and against Switchtower with the stand-in as its
//! cloud. `tests/e2b-parity.md` lists every difference with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

/// The results of a script by step.
pub(super) struct Transcript(BTreeMap<String, Value>);

impl Transcript {
    /// Reads a transcript with one JSON object per line.
    pub(super) fn read(text: &str) -> Self {
        let lines =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}")));
        let steps = lines.map(|line| (line["step"].as_str().unwrap().to_owned(), line["result"].clone()));
        let steps: BTreeMap<_, _> = steps.collect();
        assert!(steps.keys().all(|step| !step.ends_with(": broke off")), "a chapter failed: {text}");
        Self(steps)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns the steps that are listed as different for a script.
fn listed(script: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2b-parity.md")).unwrap();
    let (_, section) = text.split_once(&format!("## {script}\n")).expect("a section for each script");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(step, _)| step.to_owned()).collect()
}

/// Asserts that every difference is listed and that every listed step differs.
pub(super) fn compare(script: &str, theirs: &Transcript, ours: &Transcript) {
    let listed = listed(script);
    let steps: BTreeSet<&String> = theirs.0.keys().chain(ours.0.keys()).collect();
    let different: BTreeSet<&String> =
        steps.into_iter().filter(|step| theirs.0.get(*step) != ours.0.get(*step)).collect();
    let mut wrong = String::new();
    for step in different.iter().filter(|step| !listed.contains(**step)) {
        writeln!(wrong, "{step}\n  stand-in: {:?}\n  ours:     {:?}", theirs.0.get(*step), ours.0.get(*step)).unwrap();
    }
    for step in listed.iter().filter(|step| !different.contains(step)) {
        writeln!(wrong, "{step} is listed in e2b-parity.md and no longer differs").unwrap();
    }
    assert!(wrong.is_empty(), "{script}: {wrong}");
}
