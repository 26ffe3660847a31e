//! The lines that a cell is answered with: one JSON object each.

use std::time::SystemTime;

use serde_json::{Map, Value, json};
use switchtower_contract::{Event, Exit, MimeBundle};
use switchtower_core::error::Error;
use switchtower_core::session::{CellAnswer, CellEvent};

/// MIME types, and the interpreter's names of them. E2B's own two have no registered type.
const FORMS: [(&str, &str); 12] = [
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

/// What a cell said.
pub(super) fn said(said: CellEvent, now: SystemTime) -> Value {
    let (event, remote) = match said {
        CellEvent::Started { number } => return json!({ "type": "number_of_executions", "execution_count": number }),
        CellEvent::Output { event, remote } => (event, remote),
    };
    match event {
        Event::Stdout(text) => output("stdout", &text, now),
        Event::Stderr(text) => output("stderr", &text, now),
        Event::Result { data, main } => result(&data, main, remote),
        Event::Error(failure) => error(&failure.name, &failure.value, &failure.traceback),
        // Clients have no word for it: what they have shown, they have shown.
        Event::Restart => {
            output("stderr", "[switchtower] the cell runs again elsewhere; its output begins anew\n", now)
        }
    }
}

fn output(kind: &str, text: &str, now: SystemTime) -> Value {
    let now = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::MAX);
    json!({ "type": kind, "text": text, "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string() })
}

/// `remote`: a value that E2B's own interpreter has made its text of.
fn result(data: &MimeBundle, main: bool, remote: bool) -> Value {
    let mut line = Map::from_iter([("type".to_owned(), "result".into())]);
    let mut extra = Map::new();
    for (mime, text) in data {
        let is_json = mime == "application/json" || mime.ends_with("+json");
        let parsed = is_json.then(|| serde_json::from_str(text).ok()).flatten();
        match FORMS.iter().find(|(known, _)| known == mime) {
            Some((_, "text")) if !remote => drop(line.insert("text".to_owned(), unquoted(text).into())),
            Some((_, form)) => drop(line.insert((*form).to_owned(), parsed.unwrap_or_else(|| text.as_str().into()))),
            None => drop(
                extra.insert(mime.clone(), parsed.or_else(|| structured(text)).unwrap_or_else(|| text.as_str().into())),
            ),
        }
    }
    line.retain(|_, value| !value.is_null());
    line.insert("extra".to_owned(), extra.into());
    line.insert("is_main_result".to_owned(), main.into());
    line.into()
}

/// A list or an object, for types whose names do not say that they are JSON.
fn structured(text: &str) -> Option<Value> {
    text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

/// A text is shown as what it says, not as Python writes it.
fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(text)
}

pub(super) fn error(name: &str, value: &str, traceback: &str) -> Value {
    json!({ "type": "error", "name": name, "value": value, "traceback": traceback })
}

pub(super) fn keepalive() -> Value {
    json!({ "type": "keepalive" })
}

pub(super) fn end() -> Value {
    json!({ "type": "end_of_execution" })
}

/// What follows the events of a cell that came to an end. `failed`: an error was among them.
pub(super) fn ending(done: &CellAnswer, failed: bool, now: SystemTime) -> Vec<Value> {
    let mut lines = Vec::new();
    if done.outcome.truncated {
        lines.push(output("stderr", "[switchtower] the output was cut: it is longer than may be kept\n", now));
    }
    if let (Exit::Raised | Exit::Killed, Some(note)) = (done.outcome.exit, &done.note) {
        lines.push(output("stderr", &format!("[switchtower] {note}\n"), now));
    }
    let lost = if done.restarted { "; the context starts anew, without its variables" } else { "" };
    let note = done.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
    let ours = |name: &str, value: String| error(name, &value, &format!("{name}: {value}"));
    match done.outcome.exit {
        Exit::TimedOut => {
            let seconds = done.outcome.usage.wall.as_secs_f64();
            let value = format!("the cell was stopped after {seconds:.1} s, its time was up{lost}{note}");
            lines.push(ours("TimeoutError", value));
        }
        Exit::OutOfMemory if !failed => {
            lines.push(ours("MemoryError", format!("the cell needed more memory than it may have{lost}{note}")));
        }
        // As E2B's server says it.
        Exit::Killed => lines.push(error("ContextRestarting", "Context was restarted", "")),
        Exit::Finished(_) | Exit::Raised if done.restarted && !failed => {
            lines.push(error("ContextRestarting", "Context was restarted", ""));
        }
        Exit::Finished(_) | Exit::Raised | Exit::OutOfMemory => {}
    }
    lines.push(end());
    lines
}

/// A cell that could not be run, told as its own failure, so that whoever wrote it can read why.
pub(super) fn failure(refusal: &Error) -> Vec<Value> {
    let message = refusal.public_message();
    vec![error(refusal.class().e2b.exception, &message, &message), end()]
}

/// The lines as they are sent.
pub(super) fn text(lines: &[Value]) -> bytes::Bytes {
    lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use switchtower_contract::{Failure, Outcome, Usage};

    use super::*;
    use switchtower_core::analyse::Class;
    use switchtower_core::decide::Decision;
    use switchtower_core::route::Route;

    fn bundle(pairs: &[(&str, &str)]) -> MimeBundle {
        pairs.iter().map(|(mime, text)| ((*mime).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn what_a_cell_says_has_the_form_of_e2b() {
        let now = UNIX_EPOCH + Duration::from_micros(1_795_169_968_368_520);
        let here = |event| CellEvent::Output { event, remote: false };
        let quoted = || Event::Result { data: bundle(&[("text/plain", "'it''s'")]), main: false };
        let rich = bundle(&[
            ("text/plain", "[1]"),
            ("application/json", "[1]"),
            ("image/png", "aGk="),
            ("application/vnd.e2b.chart+json", r#"{"type": "bar"}"#),
            ("application/x-own", "o"),
            ("application/x-tree", r#"{"k": [1]}"#),
        ]);
        let failure = Failure { name: "E".into(), value: "v".into(), traceback: "t".into(), line: None };
        let all = [
            CellEvent::Started { number: 3 },
            here(Event::Stdout("hä\n".into())),
            here(Event::Result { data: rich, main: true }),
            here(quoted()),
            CellEvent::Output { event: quoted(), remote: true },
            here(Event::Error(failure)),
        ];
        let lines: Vec<Value> = all.into_iter().map(|one| said(one, now)).collect();
        insta::assert_snapshot!(String::from_utf8_lossy(&text(&lines)), @r#"
        {"execution_count":3,"type":"number_of_executions"}
        {"text":"hä\n","timestamp":"2026-11-20T10:19:28.368520+00:00","type":"stdout"}
        {"chart":{"type":"bar"},"extra":{"application/x-own":"o","application/x-tree":{"k":[1]}},"is_main_result":true,"json":[1],"png":"aGk=","text":"[1]","type":"result"}
        {"extra":{},"is_main_result":false,"text":"it''s","type":"result"}
        {"extra":{},"is_main_result":false,"text":"'it''s'","type":"result"}
        {"name":"E","traceback":"t","type":"error","value":"v"}
        "#);
    }

    #[test]
    fn a_text_loses_its_quotes_only_as_a_pair() {
        for (text, is) in [("'a'", "a"), ("\"it's\"", "it's"), ("'", "'"), ("''", ""), ("'a\"", "'a\""), ("", "")] {
            assert_eq!(unquoted(text), is);
        }
    }

    #[test]
    fn every_end_is_told_once() {
        let decision = Decision {
            class: Class::Unknown,
            score: 0.0,
            route: Route::only("wasm"),
            rule: String::new(),
            reason: String::new(),
            skipped: Vec::new(),
        };
        let done = |exit, restarted, truncated| CellAnswer {
            id: String::new(),
            decision: decision.clone(),
            moved: None,
            number: 1,
            outcome: Outcome {
                exit,
                observed: None,
                truncated,
                usage: Usage { wall: Duration::from_millis(30_040), ..Usage::default() },
                unmet_need: None,
            },
            tier: "wasm".into(),
            note: None,
            restarted,
        };
        let names = |done: CellAnswer, failed| {
            let lines = ending(&done, failed, UNIX_EPOCH);
            let name = |line: &Value| line["name"].as_str().or(line["type"].as_str()).unwrap_or_default().to_owned();
            lines.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        let end = "end_of_execution";
        assert_eq!(names(done(Exit::Finished(0), false, false), false), end);
        assert_eq!(names(done(Exit::Raised, false, true), true), format!("stderr {end}"));
        assert_eq!(names(done(Exit::Raised, true, false), true), end);
        assert_eq!(names(done(Exit::Finished(0), true, false), false), format!("ContextRestarting {end}"));
        assert_eq!(names(done(Exit::Killed, true, false), true), format!("ContextRestarting {end}"));
        let given_up = CellAnswer { note: Some("why".to_owned()), ..done(Exit::Killed, true, false) };
        assert_eq!(names(given_up, false), format!("stderr ContextRestarting {end}"));
        assert_eq!(names(done(Exit::TimedOut, true, false), false), format!("TimeoutError {end}"));
        assert_eq!(names(done(Exit::OutOfMemory, true, false), false), format!("MemoryError {end}"));
        assert_eq!(names(done(Exit::OutOfMemory, true, false), true), end);
        let lines = ending(&done(Exit::TimedOut, true, false), false, UNIX_EPOCH);
        insta::assert_snapshot!(lines[0]["value"].as_str().unwrap(), @"the cell was stopped after 30.0 s, its time was up; the context starts anew, without its variables");
    }
}
