//! The JSON that the host and the kernels exchange in a state transfer.
//!
//! `state_transfer/schema.py` has the same types, and `sandboxes/python/schema.json` lists their fields.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchtower_contract::{Change, Content, Exit};

use super::super::history::PastCell;

/// The options of `export_state`. The kernel adds the file names of cells.
#[derive(Debug, Serialize)]
pub(super) struct ExportOptions<'a> {
    /// The initial working folder of the context.
    pub(super) home: &'a str,
    /// The initial environment variables of the session.
    pub(super) env: &'a BTreeMap<String, String>,
}

/// The argument of `predict`.
#[derive(Debug, Serialize)]
pub(super) struct PredictionRequest<'a> {
    pub(super) cells: Vec<ReplayCell<'a>>,
    pub(super) groups: Vec<Value>,
}

/// The argument of `restore`.
#[derive(Debug, Serialize)]
pub(super) struct RestoreRequest<'a> {
    pub(super) cells: Vec<ReplayCell<'a>>,
    /// The result of `export_state`; opaque to the host.
    pub(super) state: &'a Value,
    /// Longest time that all cells together may take, in seconds.
    pub(super) time_limit_s: u64,
    /// The initial working folder of the context.
    pub(super) home: &'a str,
    /// Whether other contexts use the session's files there already.
    pub(super) files_in_use: bool,
}

/// A cell of the history, to be run again.
#[derive(Debug, Serialize)]
pub(super) struct ReplayCell<'a> {
    pub(super) number: u32,
    pub(super) code: &'a str,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) changes: Vec<ReplayChange<'a>>,
    /// Whether it was observed to use no clock, randomness, environment or identity.
    pub(super) pure: bool,
    /// Whether it ended with an exception.
    pub(super) raised: bool,
    /// Whether it was cut short, or lacked something that is available there: it is not run again.
    pub(super) incomplete: bool,
}

/// A file or folder that a cell was given.
#[derive(Debug, Serialize)]
pub(super) struct ReplayChange<'a> {
    path: &'a str,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    folder: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
}

impl<'a> ReplayCell<'a> {
    /// Returns a cell for a machine, whose own pip does what was answered here.
    pub(super) fn for_machine(past: &'a PastCell) -> Self {
        Self { code: past.sent.as_deref().unwrap_or(&past.cell.source), ..Self::from(past) }
    }

    /// Returns a cell without the files that it was given.
    pub(super) fn without_changes(past: &'a PastCell) -> Self {
        Self { changes: Vec::new(), ..Self::from(past) }
    }
}

impl<'a> From<&'a PastCell> for ReplayCell<'a> {
    fn from(past: &'a PastCell) -> Self {
        Self {
            number: past.cell.number,
            code: &past.cell.source,
            env: &past.cell.env,
            changes: past.cell.changes.iter().map(ReplayChange::from).collect(),
            pure: past.pure && !past.incomplete,
            raised: past.exit == Exit::Raised,
            incomplete: past.incomplete,
        }
    }
}

impl<'a> From<&'a Change> for ReplayChange<'a> {
    fn from(change: &'a Change) -> Self {
        let content = match &change.content {
            Content::File(content) => Some(STANDARD.encode(content)),
            Content::Folder | Content::Removed => None,
        };
        let (folder, removed) = (change.content == Content::Folder, change.content == Content::Removed);
        Self { path: &change.path, content, folder, removed }
    }
}

/// The output of `restore`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "deny_unknown_fields needs every field that the kernel sends")]
pub(super) struct RestoreVerdict {
    pub(super) ok: bool,
    /// Number of cells that ran.
    #[serde(default)]
    pub(super) replayed: Option<u32>,
    /// Names that were overwritten.
    #[serde(default)]
    pub(super) transferred: Vec<String>,
    /// The cell that could not be restored.
    pub(super) cell: Option<u32>,
    /// The name that could not be restored.
    pub(super) name: Option<String>,
    pub(super) reason: Option<String>,
    /// Duration in milliseconds.
    pub(super) ms: f64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, json};
    use switchtower_contract::{Cell, CellOutcome, Outcome, Usage};

    use super::super::super::history::History;
    use super::*;

    fn schema(name: &str) -> Value {
        let all: Value = serde_json::from_str(include_str!("../../../../../sandboxes/python/schema.json")).unwrap();
        all["state_transfer"][name].clone()
    }

    fn names(list: &Value) -> BTreeSet<String> {
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// Checks the fields that the host writes against the schema; `samples` together have all fields.
    fn assert_written(name: &str, samples: &[Value]) {
        let (required, optional) = (names(&schema(name)["required"]), names(&schema(name)["optional"]));
        let mut seen = BTreeSet::new();
        for sample in samples {
            let fields: BTreeSet<_> = sample.as_object().unwrap().keys().cloned().collect();
            assert!(required.is_subset(&fields), "{name}: {fields:?}");
            seen.extend(fields);
        }
        assert!(seen.is_subset(&(&required | &optional)), "{name}: {seen:?}");
    }

    #[test]
    fn the_types_that_the_host_writes_have_the_fields_of_the_schema() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let contents = [Content::File(b"x".to_vec().into()), Content::Folder, Content::Removed];
        let changes = contents.map(|content| Change { path: "/home/user/x".to_owned(), content });
        let cell = ReplayCell {
            number: 1,
            code: "1",
            env: &env,
            changes: changes.iter().map(ReplayChange::from).collect(),
            pure: true,
            raised: false,
            incomplete: false,
        };
        let changes: Vec<_> = cell.changes.iter().map(|change| json!(change)).collect();
        assert_written("Change", &changes);
        let all: BTreeSet<_> = changes.iter().flat_map(|one| one.as_object().unwrap().keys().cloned()).collect();
        assert_eq!(all, &names(&schema("Change")["required"]) | &names(&schema("Change")["optional"]));
        assert_written("Cell", &[json!(cell)]);
        let state = json!({});
        let request = RestoreRequest {
            cells: vec![cell],
            state: &state,
            time_limit_s: 1,
            home: "/home/user",
            files_in_use: false,
        };
        assert_written("RestoreRequest", &[json!(request)]);
        assert_written("ExportOptions", &[json!(ExportOptions { home: "/home/user", env: &env })]);
    }

    #[test]
    fn a_machine_gets_what_the_client_sent_and_other_kernels_the_answers_of_pip() {
        let outcome = Outcome {
            exit: Exit::Finished(0),
            observed: None,
            truncated: false,
            usage: Usage::default(),
            unmet_need: None,
        };
        let ran = CellOutcome { outcome, changes: Vec::new(), tape: None, alive: true };
        let cell = |source: &str| Cell { source: source.to_owned(), number: 1, ..Cell::default() };
        let mut history = History::default();
        history.record(cell("print('satisfied')"), Some("!pip install numpy".to_owned()), &ran);
        history.begin(&cell("print('broken off')"), Some("!pip install sympy"));
        history.record_interrupted();
        history.record(cell("1"), None, &ran);
        let cells = history.all_cells().unwrap();
        let codes = |of: fn(&PastCell) -> ReplayCell<'_>| cells.iter().map(|past| of(past).code).collect::<Vec<_>>();
        assert_eq!(codes(|past| ReplayCell::for_machine(past)), ["!pip install numpy", "!pip install sympy", "1"]);
        assert_eq!(codes(|past| ReplayCell::from(past)), ["print('satisfied')", "print('broken off')", "1"]);
    }

    #[test]
    fn a_verdict_has_exactly_the_fields_of_the_schema() {
        let schema = schema("RestoreVerdict");
        let value = |name: &str| match name {
            "ok" => json!(true),
            "transferred" => json!(["x"]),
            "name" | "reason" => json!("x"),
            _ => json!(1),
        };
        let fields = names(&schema["required"]).into_iter().chain(names(&schema["optional"]));
        let whole: Map<_, _> = fields.map(|name| (name.clone(), value(&name))).collect();
        let read = |fields: &Map<String, Value>| serde_json::from_value::<RestoreVerdict>(json!(fields));
        read(&whole).unwrap();
        for name in names(&schema["required"]) {
            let mut less = whole.clone();
            less.remove(&name);
            assert!(read(&less).unwrap_err().to_string().contains("missing field"), "{name}");
        }
        let mut more = whole;
        more.insert("why".to_owned(), json!("x"));
        assert!(read(&more).unwrap_err().to_string().contains("unknown field"));
    }
}
