//! The rows of the response to a cell.

use std::time::SystemTime;

use serde_json::Value;
use switchtower_contract::{Event, Exit};
use switchtower_core::error::Error;
use switchtower_core::session::{CellAnswer, CellEvent};
use switchtower_e2b_wire::rows::{
    ResultKind, TextForm, context_restarted, end, error, execution_count, result, stderr, stdout,
};

/// Returns the row of an event.
pub(super) fn of_event(event: CellEvent, now: SystemTime) -> Value {
    let (event, remote) = match event {
        CellEvent::Started { number } => return execution_count(number.into()),
        CellEvent::Output { event, remote } => (event, remote),
    };
    match event {
        Event::Stdout(text) => stdout(&text, now),
        Event::Stderr(text) => stderr(&text, now),
        Event::Result { data, main } => {
            let representations = data.iter().map(|(mime, text)| (mime.as_str(), text.as_str()));
            let kind = if main { ResultKind::Main } else { ResultKind::Displayed };
            // E2B's own interpreter has removed the quotes already.
            result(representations, kind, if remote { TextForm::Final } else { TextForm::Repr })
        }
        Event::Error(failure) => error(&failure.name, &failure.value, &failure.traceback),
        // The protocol cannot take back output, so a note marks where it starts again.
        Event::Restart => stderr("[switchtower] the cell runs again on another tier; its output starts over\n", now),
    }
}

/// Whether an error was among the events of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellError {
    Sent,
    None,
}

/// Returns the rows after the events of a cell that has ended.
pub(super) fn of_end(answer: &CellAnswer, cell_error: CellError, now: SystemTime) -> Vec<Value> {
    let mut rows = Vec::new();
    if answer.outcome.truncated {
        rows.push(stderr("[switchtower] the output was truncated at its limit\n", now));
    }
    if let (Exit::Raised | Exit::Killed, Some(note)) = (answer.outcome.exit, &answer.note) {
        rows.push(stderr(&format!("[switchtower] {note}\n"), now));
    }
    let lost = if answer.restarted { "; the context was restarted without its variables" } else { "" };
    let note = answer.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
    let exception = |name: &str, value: String| error(name, &value, &format!("{name}: {value}"));
    match answer.outcome.exit {
        Exit::TimedOut => {
            let seconds = answer.outcome.usage.wall.as_secs_f64();
            let value = format!("the cell exceeded its time limit after {seconds:.1} s{lost}{note}");
            rows.push(exception("TimeoutError", value));
        }
        Exit::OutOfMemory if cell_error == CellError::None => {
            rows.push(exception("MemoryError", format!("the cell exceeded its memory limit{lost}{note}")));
        }
        Exit::Killed => rows.push(context_restarted()),
        Exit::Finished(_) | Exit::Raised if answer.restarted && cell_error == CellError::None => {
            rows.push(context_restarted());
        }
        Exit::Finished(_) | Exit::Raised | Exit::OutOfMemory => {}
    }
    rows.push(end());
    rows
}

/// Returns the rows of a cell that was refused: the error as an exception of the cell, which its author reads.
pub(super) fn refusal(refused: &Error) -> Vec<Value> {
    let message = refused.public_message();
    vec![error(refused.class().e2b.exception, &message, &message), end()]
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use switchtower_contract::{Failure, MimeBundle, Outcome, Usage};

    use switchtower_e2b_wire::rows::encode;

    use super::*;
    use switchtower_core::analyse::Class;
    use switchtower_core::decide::Decision;
    use switchtower_core::route::Route;

    fn bundle(pairs: &[(&str, &str)]) -> MimeBundle {
        pairs.iter().map(|(mime, text)| ((*mime).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn events_of_a_cell_are_written_as_e2b_writes_them() {
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
        let rows: Vec<Value> = all.into_iter().map(|event| of_event(event, now)).collect();
        insta::assert_snapshot!(String::from_utf8_lossy(&encode(&rows)), @r#"
        {"execution_count":3,"type":"number_of_executions"}
        {"text":"h\u00e4\n","timestamp":"2026-11-20T10:19:28.368520+00:00","type":"stdout"}
        {"chart":{"type":"bar"},"extra":{"application/x-own":"o","application/x-tree":{"k":[1]}},"is_main_result":true,"json":[1],"png":"aGk=","text":"[1]","type":"result"}
        {"extra":{},"is_main_result":false,"text":"it''s","type":"result"}
        {"extra":{},"is_main_result":false,"text":"'it''s'","type":"result"}
        {"name":"E","traceback":"t","type":"error","value":"v"}
        "#);
    }

    #[test]
    fn every_end_of_a_cell_is_written_once() {
        let decision = Decision {
            class: Class::Unknown,
            score: 0.0,
            route: Route::only("wasm"),
            rule: String::new(),
            reason: String::new(),
            skipped: Vec::new(),
        };
        let answer = |exit, restarted, truncated| CellAnswer {
            id: String::new(),
            decision: std::sync::Arc::new(decision.clone()),
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
        let names = |answer: CellAnswer, has_error: bool| {
            let cell_error = if has_error { CellError::Sent } else { CellError::None };
            let rows = of_end(&answer, cell_error, UNIX_EPOCH);
            let name = |row: &Value| row["name"].as_str().or(row["type"].as_str()).unwrap_or_default().to_owned();
            rows.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        let end = "end_of_execution";
        assert_eq!(names(answer(Exit::Finished(0), false, false), false), end);
        assert_eq!(names(answer(Exit::Raised, false, true), true), format!("stderr {end}"));
        assert_eq!(names(answer(Exit::Raised, true, false), true), end);
        assert_eq!(names(answer(Exit::Finished(0), true, false), false), format!("ContextRestarting {end}"));
        assert_eq!(names(answer(Exit::Killed, true, false), true), format!("ContextRestarting {end}"));
        let given_up = CellAnswer { note: Some("why".to_owned()), ..answer(Exit::Killed, true, false) };
        assert_eq!(names(given_up, false), format!("stderr ContextRestarting {end}"));
        assert_eq!(names(answer(Exit::TimedOut, true, false), false), format!("TimeoutError {end}"));
        assert_eq!(names(answer(Exit::OutOfMemory, true, false), false), format!("MemoryError {end}"));
        assert_eq!(names(answer(Exit::OutOfMemory, true, false), true), end);
        let rows = of_end(&answer(Exit::TimedOut, true, false), CellError::None, UNIX_EPOCH);
        insta::assert_snapshot!(rows[0]["value"].as_str().unwrap(), @"the cell exceeded its time limit after 30.0 s; the context was restarted without its variables");
    }
}
