//! A language that is added to a server by the five steps of `docs/adding-a-language.md`, and by nothing else.
//!
//! This is a test binary of its own, because a language is added to the whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod calculator;

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use serde_json::{Value, json};
use switchtower_contract::Language;
use switchtower_contract::scripted::Scripted;
use switchtower_core::analyse;
use switchtower_core::cache::{self, ResultCache};
use switchtower_core::clock::WallClock;
use switchtower_core::decide::SharedRules;
use switchtower_core::quota::{self, Quota};
use switchtower_core::record::{self, Recorder};
use switchtower_core::router::{Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::tier::{self, Tier, Tiers};
use switchtower_server::api;
use switchtower_server::service::Config;
use tower::ServiceExt as _;

/// Returns a server with a tier for Python and one for the toy language.
fn server() -> axum::Router {
    let rpn = Language::register(&calculator::RPN).unwrap();
    assert_eq!(Language::register(&calculator::RPN), Ok(rpn), "once more changes nothing");
    analyse::register(rpn, calculator::analyse).unwrap();
    let (wall, seed) = (WallClock::starting_at(UNIX_EPOCH), Seed::fixed(1));
    // Step 4: a tier.
    let calculator = Tier::new(
        "calculator".into(),
        Arc::new(calculator::Calculator(rpn)),
        tier::Config::default(),
        &seed.fork("calculator"),
    );
    let python = Tier::new("wasm".into(), Arc::new(Scripted::default()), tier::Config::default(), &seed.fork("wasm"));
    let router = Router::new(Parts {
        quota: Quota::new(&quota::Config::default()),
        rules: SharedRules::builtin(),
        cache: ResultCache::new(&cache::Config::default()),
        tiers: Tiers::new([python, calculator]),
        recorder: Recorder::new(&record::Config::default(), wall).unwrap(),
        wall,
        seed,
    });
    api::app(Arc::new(router), &Config::default(), api::AppState::default())
}

async fn send(server: &axum::Router, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let answer = server.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

// Step 5: a test.
#[tokio::test(start_paused = true)]
async fn a_language_that_is_added_in_five_steps_is_routed_run_cached_and_described() {
    let server = server();
    let execute = async |code: &str, language: &str| {
        send(&server, Method::POST, "/v1/execute", &json!({ "code": code, "language": language })).await
    };

    let (status, answer) = execute("3 4 + 2 *", "rpn").await;
    assert_eq!((status, &answer["stdout"], &answer["tier"]), (200, &json!("14\n"), &json!("calculator")), "{answer}");
    let (_, again) = execute("3 4 + 2 *", "DC").await;
    assert_eq!((&again["stdout"], &again["cache"]), (&json!("14\n"), &json!("hit")), "{again}");
    let (status, failed) = execute("3 +", "rpn").await;
    assert_eq!((status, &failed["exit_code"]), (200, &json!(1)), "{failed}");

    // The same text is another program in another language, and runs in that language's tier.
    let (_, python) = execute("#: print 1", "python").await;
    assert_eq!((&python["stdout"], &python["tier"]), (&json!("1\n"), &json!("wasm")), "{python}");

    let asked = json!({ "code": "1 2 +", "language": "rpn" });
    let (_, explained) = send(&server, Method::POST, "/v1/explain", &asked).await;
    assert_eq!(explained["decision"]["route"][0]["tier"], "calculator", "{explained}");

    for language in ["cobol", "java"] {
        let (status, refused) = execute("1", language).await;
        let detail = refused["detail"].as_str().unwrap();
        match language {
            "cobol" => assert!(status == 422 && detail.contains("java, rpn, not \"cobol\""), "{refused}"),
            _ => assert!(status >= 400 && detail.contains("none runs java"), "{refused}"),
        }
    }

    let (_, document) = send(&server, Method::GET, "/v1/openapi.json", &json!({})).await;
    let schema = document.pointer("/components/schemas/Execute/properties/language/enum").unwrap();
    assert!(schema.as_array().unwrap().contains(&json!("rpn")), "{schema}");
}

#[test]
fn the_toy_language_takes_fewer_than_50_lines() {
    let source = include_str!("calculator.rs");
    let (_imports, code) = source.split_once("// Step 1").unwrap();
    let lines = code.lines().skip(1).filter(|line| !line.trim().is_empty() && !line.trim().starts_with("//")).count();
    assert!(lines < 50, "{lines} lines");
}
