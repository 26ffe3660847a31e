//! The rows of an execution: newline-delimited JSON, one object each, as the code interpreter answers `POST /execute`.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::ascii;

/// A row is sent at least this often: a keepalive where there is nothing else.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// MIME types, and the interpreter's names of them. E2B's own two have no registered type.
const REPRESENTATIONS: [(&str, &str); 12] = [
    ("text/plain", "text"),
    ("text/html", "html"),
    ("text/markdown", "markdown"),
    ("image/svg+xml", "svg"),
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("application/pdf", "pdf"),
    ("text/latex", "latex"),
    ("application/json", "json"),
    ("application/javascript", "javascript"),
    ("application/vnd.e2b.data+json", "data"),
    ("application/vnd.e2b.chart+json", "chart"),
];

/// Whether the text of a value is still as Python writes it (`repr`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextForm {
    /// As Python writes it: one pair of quotes around it is removed, as E2B's interpreter does.
    Repr,
    /// As E2B's interpreter has sent it.
    Final,
}

/// Whether a value is that of the last expression, or was displayed by a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    Main,
    Displayed,
}

/// The first row: how many executions the context has had, with this one.
pub fn execution_count(count: u64) -> Value {
    json!({ "type": "number_of_executions", "execution_count": count })
}

pub fn stdout(text: &str, at: SystemTime) -> Value {
    output("stdout", text, at)
}

pub fn stderr(text: &str, at: SystemTime) -> Value {
    output("stderr", text, at)
}

fn output(stream: &str, text: &str, at: SystemTime) -> Value {
    let at = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::MAX);
    json!({ "type": stream, "text": text, "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string() })
}

/// A value in its representations, as pairs of MIME type and text.
pub fn result<'a>(
    representations: impl IntoIterator<Item = (&'a str, &'a str)>,
    kind: ResultKind,
    text_form: TextForm,
) -> Value {
    let mut row = Map::from_iter([("type".to_owned(), "result".into())]);
    let mut extra = Map::new();
    for (mime, text) in representations {
        let is_json = mime == "application/json" || mime.ends_with("+json");
        let parsed = is_json.then(|| serde_json::from_str(text).ok()).flatten();
        match REPRESENTATIONS.iter().find(|(known, _)| *known == mime) {
            Some((_, "text")) if text_form == TextForm::Repr => {
                row.insert("text".to_owned(), unquoted(text).into());
            }
            Some((_, name)) => {
                row.insert((*name).to_owned(), parsed.unwrap_or_else(|| text.into()));
            }
            None => {
                extra.insert(mime.to_owned(), parsed.or_else(|| structured(text)).unwrap_or_else(|| text.into()));
            }
        }
    }
    row.retain(|_, value| !value.is_null());
    row.insert("extra".to_owned(), extra.into());
    row.insert("is_main_result".to_owned(), (kind == ResultKind::Main).into());
    row.into()
}

/// Parses a list or an object of a type that is not marked as JSON.
fn structured(text: &str) -> Option<Value> {
    text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(text)
}

/// An exception of the program, or a failure of its kernel.
pub fn error(name: &str, value: &str, traceback: &str) -> Value {
    json!({ "type": "error", "name": name, "value": value, "traceback": traceback })
}

/// The error of an execution whose kernel was restarted meanwhile.
pub fn context_restarted() -> Value {
    error("ContextRestarting", "Context was restarted", "")
}

pub fn keepalive() -> Value {
    json!({ "type": "keepalive" })
}

/// The last row.
pub fn end() -> Value {
    json!({ "type": "end_of_execution" })
}

/// Returns rows as they are sent: each one line of ASCII.
pub fn encode(rows: &[Value]) -> Bytes {
    let line = |row| ascii::to_string(row).expect("a JSON value always serializes") + "\n";
    rows.iter().map(line).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_result_has_the_interpreters_names_and_its_json_parsed() {
        let rich = [
            ("text/plain", "[1]"),
            ("application/json", "[1]"),
            ("image/png", "aGk="),
            ("application/vnd.e2b.chart+json", r#"{"type": "bar"}"#),
            ("application/x-own", "o"),
            ("application/x-tree", r#"{"k": [1]}"#),
        ];
        let expected = json!({
            "type": "result", "text": "[1]", "json": [1], "png": "aGk=", "chart": { "type": "bar" },
            "extra": { "application/x-own": "o", "application/x-tree": { "k": [1] } }, "is_main_result": true,
        });
        assert_eq!(result(rich, ResultKind::Main, TextForm::Repr), expected);
        let quoted = [("text/plain", "'it''s'")];
        assert_eq!(result(quoted, ResultKind::Displayed, TextForm::Repr)["text"], "it''s");
        assert_eq!(result(quoted, ResultKind::Displayed, TextForm::Final)["text"], "'it''s'");
    }

    #[test]
    fn a_text_loses_its_quotes_only_as_a_pair() {
        for (text, is) in [("'a'", "a"), ("\"it's\"", "it's"), ("'", "'"), ("''", ""), ("'a\"", "'a\""), ("", "")] {
            assert_eq!(unquoted(text), is);
        }
    }

    #[test]
    fn output_has_its_time_to_the_microsecond() {
        let at = UNIX_EPOCH + Duration::from_micros(1_795_169_968_368_520);
        assert_eq!(stdout("hä\n", at)["timestamp"], "2026-11-20T10:19:28.368520+00:00");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_row_is_one_line_with_any_text(texts in prop::collection::vec("(\n|\r|\\\\|\"|ä|\u{2028}|.){0,12}", 0..5)) {
            let rows: Vec<Value> = texts.iter().map(|text| error("E", text, text)).collect();
            let sent = encode(&rows);
            let lines = sent.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let read: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
            prop_assert_eq!(read, rows);
        }
    }

    #[test]
    fn representations_are_those_of_the_python_inside_and_e2bs_own() {
        let lists: Value = serde_json::from_str(include_str!("../../python/lists.json")).unwrap();
        let listed = lists["representations"].as_object().unwrap();
        let (own, shared): (Vec<_>, Vec<_>) =
            REPRESENTATIONS.into_iter().partition(|(mime, _)| mime.starts_with("application/vnd.e2b."));
        assert_eq!(own.len(), 2);
        assert_eq!(shared.len(), listed.len());
        for (mime, name) in shared {
            assert_eq!(listed[mime], name);
        }
    }
}
