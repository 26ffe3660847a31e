//! `POST /v1/execute`, `/v1/batch`, `/v1/explain` and `/api/code/execute`, answered at once.

use std::time::Duration;

use serde_json::{Value, json};
use switchtower_core::decide::Rules;

use crate::api::harness::TestHarness;
use crate::api::openapi::{assert_matches, document};

#[tokio::test(start_paused = true)]
async fn an_answer_has_every_field_of_the_run() {
    let harness = TestHarness::new();
    let body = json!({ "code": "x = 1\n#: print hello\n#: eprint careful\n#: sleep 20ms\n#: show 42", "user": "ada" });
    let answer = harness.post("/v1/execute", &body).await;
    assert_eq!(answer.status, 200);
    insta::assert_snapshot!(answer.pretty(), @r#"
{
  "attempts": [
    {
      "outcome": "finished",
      "ran_ms": 20.0,
      "tier": "wasm",
      "waited_ms": 0.0
    }
  ],
  "cache": "miss",
  "decision": {
    "class": "simple_math",
    "reason": "imports nothing; no effects: runs in wasm",
    "route": [
      {
        "budget_ms": null,
        "tier": "wasm"
      }
    ],
    "rule": "default.local",
    "score": 0.01
  },
  "error": null,
  "exit": "finished",
  "exit_code": 0,
  "id": "689405500b670cc6e9efab12e1c1daeb",
  "note": null,
  "pure": true,
  "results": [
    {
      "data": {
        "text/plain": "42"
      },
      "main": true
    }
  ],
  "stderr": "careful\n",
  "stdout": "hello\n",
  "stored": "kept",
  "tier": "wasm",
  "truncated": false,
  "usage": {
    "cpu_ms": 0.0,
    "memory_mb": 0.0,
    "wall_ms": 20.0
  }
}
"#);
}

#[tokio::test(start_paused = true)]
async fn the_status_is_200_however_a_program_ends() {
    let harness = TestHarness::new();
    let mut exits = Vec::new();
    for script in ["exit 3", "raise ValueError no such thing", "spin", "alloc 400", "kill"] {
        let body = json!({ "code": format!("#: {script}"), "timeout_ms": 500, "cache": "bypass" });
        let answer = harness.post("/v1/execute", &body).await;
        assert_eq!(answer.status, 200, "{script}");
        let error = answer.json["error"]["name"].as_str().unwrap_or("-").to_owned();
        exits.push(format!("{} {} {error}", answer.json["exit"].as_str().unwrap(), answer.json["exit_code"]));
    }
    assert_eq!(
        exits,
        ["finished 3 -", "raised 1 ValueError", "timed_out 124 -", "out_of_memory 137 -", "killed 137 -"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_program_gets_its_input_files_and_environment() {
    let harness = TestHarness::new();
    let answer = harness
        .post(
            "/v1/execute",
            &json!({
                "code": "#: read; cat a.txt; cat b.bin; env NAME",
                "language": "python",
                "stdin": "line\n",
                "files": [{ "path": "a.txt", "content": "text" }, { "path": "b.bin", "base64": "Ynl0ZXM=" }],
                "env": { "NAME": "value" },
                "priority": "high",
                "tier": "auto",
                "isolation": "wasm",
                "cache": "bypass",
                "memory_mb": 64,
            }),
        )
        .await;
    assert_eq!(answer.json["stdout"], "line\ntextbytesvalue\n");
    assert_eq!(answer.json["cache"], "bypass");
}

#[tokio::test(start_paused = true)]
async fn pure_and_seeded_programs_are_answered_from_the_cache() {
    let harness = TestHarness::new();
    for (body, second) in [
        (json!({ "code": "#: print 1" }), "hit"),
        (json!({ "code": "#: random" }), "miss"),
        (json!({ "code": "#: random", "deterministic": true, "seed": 7 }), "hit"),
        (json!({ "code": "#: print 2", "cache": "bypass" }), "bypass"),
    ] {
        let first = harness.post("/v1/execute", &body).await;
        let again = harness.post("/v1/execute", &body).await;
        assert_eq!(again.json["cache"], second, "{body}");
        if second == "hit" {
            assert_eq!((&again.json["stdout"], &again.json["attempts"]), (&first.json["stdout"], &json!([])));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_ends_its_program() {
    let harness = TestHarness::new();
    let body = json!({ "code": "#: sleep 20s" });
    let answer = tokio::time::timeout(Duration::from_secs(1), harness.post("/v1/execute", &body)).await;
    assert!(answer.is_err());
    let counts = harness.backend.counts();
    assert_eq!((counts.runs, counts.running, counts.live), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_legacy_path_answers_in_its_own_format_with_a_measured_time() {
    let harness = TestHarness::new();
    let code = "name = input(\"Enter your name: \")\nprint(f\"Hello, {name}!\")\n#: sleep 2ms\n#: print Enter your name: Hello, Alice!";
    let answer =
        harness.post("/api/code/execute", &json!({ "code": code, "language": "python", "input": "Alice" })).await;
    assert_eq!(answer.status, 200);
    let expected = json!({
        "success": true,
        "data": { "output": "Enter your name: Hello, Alice!", "error": false, "executionTime": "2.00 ms" },
    });
    assert_eq!(answer.json, expected);

    let raised = harness.post("/api/code/execute", &json!({ "code": "#: print a\n#: raise ValueError b" })).await;
    assert_eq!((&raised.json["success"], &raised.json["data"]["error"]), (&Value::from(true), &Value::from(true)));
    let output = raised.json["data"]["output"].as_str().unwrap();
    assert!(output.starts_with("a\n") && output.contains("ValueError: b"), "{output}");
}

#[tokio::test(start_paused = true)]
async fn the_legacy_path_returns_the_code_where_no_tier_can_execute_it() {
    let harness = TestHarness::new();
    let answer = harness.post("/api/code/execute", &json!({ "code": "#: fault unavailable" })).await;
    assert_eq!((answer.status, &answer.json["success"]), (200, &json!(false)), "{}", answer.text);
    assert_eq!((&answer.json["class"], &answer.json["code"]), (&json!("not_executed"), &json!("#: fault unavailable")));
    assert!(!answer.json["reason"].as_str().unwrap().is_empty());
    let java = harness.post("/api/code/execute", &json!({ "code": "x", "language": "java" })).await;
    assert_eq!((java.status, &java.json["class"]), (200, &json!("not_executed")), "{}", java.text);
    assert!(java.json["reason"].as_str().unwrap().contains("none runs java"), "{}", java.text);
    let refused = harness.post("/api/code/execute", &json!({ "code": 3 })).await;
    assert_eq!(refused.status, 422, "what the caller has to change is refused: {}", refused.text);
}

#[tokio::test(start_paused = true)]
async fn an_explanation_runs_nothing() {
    let harness = TestHarness::new();
    let body = json!({ "code": "import math\nfor i in range(10):\n    print(math.sqrt(i))" });
    let answer = harness.post("/v1/explain", &body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(harness.backend.counts().runs, 0);
    let signals = answer.json["profile"]["signals"].as_array().unwrap();
    let sum: f64 = signals.iter().map(|s| s["weight"].as_f64().unwrap() * s["value"].as_f64().unwrap()).sum();
    assert!((sum - answer.json["profile"]["score"].as_f64().unwrap()).abs() < 1e-9);
    assert_eq!(answer.json["decision"]["route"], json!([{ "tier": "wasm", "budget_ms": null }]));
}

#[tokio::test(start_paused = true)]
async fn a_decision_shows_the_rule_files_that_were_passed_over() {
    let harness = TestHarness::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.rhai"), "fn decide(facts) {\n  facts.misspelled\n}").unwrap();
    let without = harness.post("/v1/explain", &json!({ "code": "1" })).await;
    assert_eq!(without.json["decision"].get("skipped"), None);
    harness.router.rules().replace(Rules::load(folder.path()).unwrap());
    for path in ["/v1/explain", "/v1/execute"] {
        let answer = harness.post(path, &json!({ "code": "#: print 1" })).await;
        assert_matches(&document(), "post", path, &answer);
        let decision = &answer.json["decision"];
        assert_eq!(decision["rule"], "default.local", "{path}");
        let skipped = decision["skipped"].as_array().unwrap();
        assert!(skipped.len() == 1 && skipped[0].as_str().unwrap().starts_with("broken.rhai, line 2: "), "{skipped:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_runs_concurrently_and_is_answered_in_order() {
    let harness = TestHarness::new();
    let requests = json!([
        { "code": "#: print a; sleep 3s", "user": "one" },
        { "code": "#: print b; sleep 1s", "user": "two" },
        { "code": "1", "tier": "moon" },
        { "code": "#: raise ValueError c; sleep 1s", "user": "three" },
    ]);
    let started = tokio::time::Instant::now();
    let answer = harness.post("/v1/batch", &json!({ "requests": requests })).await;
    assert!(started.elapsed() < Duration::from_secs(4));
    let answers = answer.json["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 4);
    assert_eq!((answers[0]["stdout"].as_str(), answers[1]["stdout"].as_str()), (Some("a\n"), Some("b\n")));
    assert_eq!(answers[2]["field"], "tier");
    assert_eq!(answers[3]["error"]["name"], "ValueError");
    let many = harness.post("/v1/batch", &json!({ "requests": vec![json!({ "code": "1" }); 101] })).await;
    assert_eq!((many.status, many.json["field"].as_str()), (422, Some("requests")));
}
