//! The stored forms: golden files of every schema stay readable, and the newest are what is written today.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchtower_contract::{
    Effect, Event, Exit, File, Isolation, Language, MimeBundle, Need, Outcome, Output, Program, Randomness, Usage,
};
use switchtower_core::analyse::Class;
use switchtower_core::analyse::summary::{ProfileSummary, SignalSummary};
use switchtower_core::cache::{CacheStatus, Digest, StoredResult};
use switchtower_core::decide::Decision;
use switchtower_core::record::Record;
use switchtower_core::request::{CacheMode, Caller, Priority, Request, RequestLimits, SideEffects};
use switchtower_core::route::{Leg, Route};
use switchtower_core::schema::{self, SchemaError, Storable};
use switchtower_core::tier::Attempt;

/// Holds a value against the golden file of its present schema. `GOLDEN=write` writes the file where there is none yet.
fn check<T: Storable + PartialEq + std::fmt::Debug>(value: &T) {
    let path = format!("tests/golden/v{}/{}.json", T::SCHEMA, T::NAME);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    let written = schema::write(value).unwrap();
    if std::env::var_os("GOLDEN").is_some_and(|mode| mode == "write") && !path.exists() {
        std::fs::write(&path, serde_json::to_string_pretty(&written).unwrap() + "\n").unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(written, golden, "{} is written otherwise than its golden file: raise its schema", T::NAME);
    assert_eq!(schema::read::<T>(golden).unwrap(), *value, "{}", T::NAME);
}

fn attempt() -> Attempt {
    Attempt {
        tier: "wasm".into(),
        waited: Duration::from_micros(15),
        ran: Duration::from_millis(2),
        outcome: "unsupported".to_owned(),
        detail: Some("the module pandas".to_owned()),
        retry_after: Some(Duration::from_secs(1)),
        paused: None,
    }
}

fn decision() -> Decision {
    let budget = Some(Duration::from_secs(2));
    Decision {
        class: Class::DataScience,
        score: 0.5,
        route: Route(vec![Leg { tier: "wasm".into(), budget }, Leg { tier: "e2b".into(), budget: None }]),
        rule: "default.local".to_owned(),
        reason: "imports pandas".to_owned(),
        skipped: vec!["broken.rhai, line 1: a function".to_owned()],
    }
}

fn outcome() -> Outcome {
    Outcome {
        exit: Exit::Finished(3),
        observed: Some([Effect::Clock].into_iter().collect()),
        truncated: false,
        usage: Usage { wall: Duration::from_millis(7), ..Usage::default() },
        unmet_need: Some(Need::Module("pandas".to_owned())),
    }
}

#[test]
fn a_request_has_its_golden_form() {
    let mut program = Program::python("print(1)");
    program.stdin = Some("in".to_owned());
    program.env = Some([("A".to_owned(), "b".to_owned())].into());
    program.files = vec![File { path: "a.txt".to_owned(), content: b"hi".to_vec() }];
    program.randomness = Randomness::Seeded(7);
    let mut request = Request::new(program, &RequestLimits::default()).unwrap();
    request.caller = Caller { key: Some("team".into()), ..Caller::named("ada") };
    request.priority = Priority::High;
    request.tier = Some("wasm".into());
    request.isolation = Some(Isolation::Wasm);
    request.cache = CacheMode::Refresh;
    request.memory = Some(64 << 20);
    check(&request);
}

#[test]
fn a_decision_and_an_attempt_have_their_golden_forms() {
    check(&decision());
    check(&attempt());
}

#[test]
fn a_stored_result_has_its_golden_form() {
    let mut output = Output::default();
    output.push(Event::Stdout("1\n".to_owned()));
    let data: MimeBundle = [("text/plain".to_owned(), "2".to_owned())].into_iter().collect();
    output.push(Event::Result { data, main: true });
    let outcome = Outcome { unmet_need: None, ..outcome() };
    check(&StoredResult::new(&"wasm".into(), &outcome, &output).unwrap());
}

#[test]
fn a_record_has_its_golden_form() {
    let signal = SignalSummary { name: "imports".to_owned(), weight: 1.0, value: 0.5 };
    check(&Record {
        id: "689405500b670cc6e9efab12e1c1daeb".to_owned(),
        at: 1_795_169_968_368,
        user: "ada".into(),
        priority: Priority::Normal,
        language: Language::Python,
        source_bytes: 8,
        program: Some(Digest::of(&Program::python("print(1)"))),
        source: None,
        profile: Some(Arc::new(ProfileSummary {
            class: Class::DataScience,
            score: 0.5,
            signals: vec![signal],
            side_effects: SideEffects::Sandbox,
            memory_bytes: 1000,
            deterministic: false,
            reasons: vec!["reads the clock".to_owned()],
        })),
        rules_revision: Some(2),
        decision: Some(Arc::new(decision())),
        cache: Some(CacheStatus::Miss),
        tier: Some("e2b".into()),
        outcome: "finished".into(),
        exit_code: Some(0),
        pure: Some(false),
        detail: None,
        attempts: vec![attempt()],
        took: Duration::from_micros(123_456),
    });
}

#[test]
fn another_schema_and_unknown_fields_are_refused_in_words() {
    let newer = schema::read::<Attempt>(json!({ "schema": 9, "anything": 1 })).unwrap_err();
    assert_eq!(newer.to_string(), "attempt has schema 9; this version reads schema 1 to 1: update Switchtower");
    for without in [json!({}), json!({ "schema": 0 }), json!({ "schema": "1" }), json!([])] {
        assert!(matches!(schema::read::<Attempt>(without), Err(SchemaError::NoSchema { name: "attempt" })));
    }
    let mut unknown = schema::write(&attempt()).unwrap();
    unknown["colour"] = json!("red");
    let unknown = schema::read::<Attempt>(unknown).unwrap_err().to_string();
    assert!(unknown.starts_with("attempt does not fit schema 1: unknown field `colour`"), "{unknown}");
}
