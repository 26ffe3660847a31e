//! Compares the transcripts of one script: against Switchtower with the stand-in for E2B as its cloud, and against the stand-in
//! alone. What cells answer is compared with the recording of E2B's own interpreter, in `recording`; what E2B's control plane and envd
//! answer cannot be recorded, so there the stand-in is the reference. `tests/e2b-parity.md` lists every difference with its reason.

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

    /// Returns what E2B's own interpreter answered; nothing for a script that was not recorded.
    fn recorded(script: &str) -> Self {
        let name = Path::new(script).with_extension("json");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drop_in/recording").join(name);
        let Ok(text) = std::fs::read_to_string(path) else { return Self(BTreeMap::new()) };
        let recording: Value = serde_json::from_str(&text).unwrap();
        Self(serde_json::from_value(recording["steps"].clone()).unwrap())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns the steps that are listed as different for a script, under the heading of one server.
fn listed(script: &str, server: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2b-parity.md")).unwrap();
    let section = |text: &str, head: &str, next: &str| {
        let (_, section) = text.split_once(head).unwrap_or_else(|| panic!("e2b-parity.md has no heading {head}"));
        section.split(next).next().unwrap_or_default().to_owned()
    };
    let section =
        section(&section(&text, &format!("\n## {script}\n"), "\n## "), &format!("\n### {server}\n"), "\n### ");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(step, _)| step.to_owned()).collect()
}

/// The expected results by step.
type Reference<'a> = BTreeMap<&'a String, Option<&'a Value>>;

/// Writes what is wrong with the list of one server: differences without a row, and rows without a difference.
fn check(script: &str, server: &str, reference: &Reference, got: &Transcript, wrong: &mut String) {
    let listed = listed(script, server);
    let different = reference.iter().filter(|(step, expected)| **expected != got.0.get(**step));
    let different: BTreeSet<&String> = different.map(|(step, _)| *step).collect();
    for step in different.iter().filter(|step| !listed.contains(**step)) {
        let (expected, got) = (reference.get(*step).copied().flatten(), got.0.get(*step));
        writeln!(wrong, "{server}: {step}\n  E2B: {expected:?}\n  got: {got:?}").unwrap();
    }
    for step in listed.iter().filter(|step| !different.contains(step)) {
        writeln!(wrong, "{server}: {step} is listed in e2b-parity.md and no longer differs").unwrap();
    }
}

/// Asserts that every difference is listed and that every listed step differs.
pub(super) fn compare(script: &str, stand_in: &Transcript, ours: &Transcript) {
    let recorded = Transcript::recorded(script);
    let recorded: Reference = recorded.0.iter().map(|(step, result)| (step, Some(result))).collect();
    let mut wrong = String::new();
    check(script, "The stand-in", &recorded, stand_in, &mut wrong);
    // A step that only one of them has is a difference, too.
    let mut reference: Reference = ours.0.keys().map(|step| (step, None)).collect();
    reference.extend(stand_in.0.iter().map(|(step, result)| (step, Some(result))));
    reference.extend(recorded);
    check(script, "Switchtower", &reference, ours, &mut wrong);
    assert!(wrong.is_empty(), "{script}: {wrong}");
}
