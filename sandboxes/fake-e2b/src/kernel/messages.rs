//! Messages between the host and the driver of a Python kernel, one JSON object a line. `driver/wire.py` has the same
//! messages, and `sandboxes/python/schema.json` lists their fields.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What the host sends. The driver ends where a request has a field more or less, or of another type.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum DriverRequest<'a> {
    /// The first request.
    Setup {
        /// The top-level modules that cells may import besides the standard library. `None`: all that are installed.
        modules: Option<&'a BTreeSet<String>>,
        /// The sandbox's folder on the host where namespaces are not used.
        root: Option<&'a Path>,
        /// The language of all cells.
        language: &'a str,
    },
    /// Runs a cell.
    Run {
        code: &'a str,
        /// Variables for this cell alone.
        env: &'a BTreeMap<String, String>,
    },
    /// Interrupts the cell that runs. Ignored when none runs.
    Interrupt {},
}

/// What the driver sends. No variant is a unit: serde accepts further fields in those.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum DriverAnswer {
    /// The driver waits for its first cell.
    Ready {},
    /// The cell has ended.
    Done {},
    /// A row of the execution as JSON text. It is not parsed here: Python's JSON has numbers that serde's has not.
    Row { row: String },
}

impl DriverRequest<'_> {
    /// Returns the request as a line.
    pub(super) fn line(&self) -> std::io::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

impl DriverAnswer {
    pub(super) fn parse(line: &str) -> std::io::Result<Self> {
        Ok(serde_json::from_str(line)?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::{Map, Value, json};
    use switchtower_e2b_wire::rows::{self, ResultKind, TextForm};

    use super::*;

    fn listed(group: &str) -> Map<String, Value> {
        let all: Value = serde_json::from_str(include_str!("../../../python/schema.json")).unwrap();
        all["fake_e2b_driver"][group].as_object().unwrap().clone()
    }

    /// Asserts that messages have exactly the listed fields of their type, and that each listed type of a field occurs.
    fn assert_listed(messages: &[Value], listed: &Map<String, Value>) {
        let mut found = Map::new();
        for message in messages {
            let fields = found.entry(message["type"].as_str().unwrap()).or_insert_with(|| json!({}));
            for (name, value) in message.as_object().unwrap().iter().filter(|(name, _)| *name != "type") {
                let name_of_type = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "integer",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                let types = fields.as_object_mut().unwrap().entry(name).or_insert_with(|| json!([]));
                let types = types.as_array_mut().unwrap();
                if !types.contains(&name_of_type.into()) {
                    types.push(name_of_type.into());
                }
            }
        }
        assert_eq!(&found, listed);
    }

    #[test]
    fn requests_have_the_fields_of_the_schema() {
        let modules = BTreeSet::from(["numpy".to_owned()]);
        let requests = [
            DriverRequest::Setup { modules: Some(&modules), root: Some(Path::new("/tmp/root")), language: "python" },
            DriverRequest::Setup { modules: None, root: None, language: "python" },
            DriverRequest::Run { code: "1", env: &BTreeMap::new() },
            DriverRequest::Interrupt {},
        ];
        assert_listed(&requests.map(|request| serde_json::to_value(request).unwrap()), &listed("requests"));
    }

    #[test]
    fn an_answer_has_exactly_the_fields_of_the_schema() {
        for (kind, fields) in listed("answers") {
            let mut answer = json!({ "type": kind });
            for (name, types) in fields.as_object().unwrap() {
                assert_eq!(types, &json!(["string"]), "{kind}.{name}");
                assert!(DriverAnswer::parse(&answer.to_string()).is_err(), "{kind} without {name}");
                answer[name] = 1.into();
                assert!(DriverAnswer::parse(&answer.to_string()).is_err(), "{kind} with a number as {name}");
                answer[name] = "text".into();
            }
            DriverAnswer::parse(&answer.to_string()).unwrap();
            answer["further"] = 1.into();
            assert!(DriverAnswer::parse(&answer.to_string()).is_err(), "{kind} with a further field");
        }
    }

    #[test]
    fn rows_of_scripted_kernels_have_the_fields_of_the_drivers_rows() {
        let rows = [
            rows::execution_count(1),
            rows::stdout("text", UNIX_EPOCH),
            rows::stderr("text", UNIX_EPOCH),
            rows::error("name", "value", "traceback"),
            rows::result([], ResultKind::Main, TextForm::Final),
        ];
        assert_listed(&rows, &listed("rows"));
    }
}
