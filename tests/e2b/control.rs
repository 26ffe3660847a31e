//! The control plane: the statuses and bodies by which clients distinguish the causes of an error.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use switchtower_core::session;
use switchtower_server::service::Config;
use tokio::time::sleep;

use super::harness::{Client, ENVD, INTERPRETER, Sandbox, with};
use crate::session::harness::{Plan, TestHarness, seconds};

/// Returns a description of a sandbox without its random fields.
fn without_random_fields(mut body: Value) -> String {
    for name in ["sandboxID", "envdAccessToken", "trafficAccessToken"] {
        if let Some(random) = body.get_mut(name) {
            assert!(random.as_str().unwrap().len() > 20);
            *random = "…".into();
        }
    }
    body.to_string()
}

#[tokio::test(start_paused = true)]
async fn both_paths_that_create_a_sandbox_answer_alike_with_their_own_default_timeout() {
    let client = Client::new();
    let body = json!({ "templateID": "t:prod", "metadata": { "a": "b" }, "envVars": { "K": "V" } });
    let mut ends = Vec::new();
    for path in ["/v2/sandboxes", "/sandboxes"] {
        let created = client.call(&format!("POST {path}"), body.clone()).await;
        assert_eq!(created.status, 201);
        insta::allow_duplicates! {
            insta::assert_snapshot!(without_random_fields(created.json.clone()), @r#"{"alias":"t:prod","clientID":"switchtower","domain":"set-http-domain.invalid","envdAccessToken":"…","envdVersion":"0.6.4","sandboxID":"…","templateID":"t:prod","trafficAccessToken":"…"}"#);
        }
        let id = created.json["sandboxID"].as_str().unwrap();
        assert!(id.starts_with('i') && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{id}");
        let detail = client.call(&format!("GET /sandboxes/{id}"), Value::Null).await;
        ends.push(format!("{}", detail.json["endAt"]));
        if path == "/sandboxes" {
            insta::assert_snapshot!(without_random_fields(detail.json), @r#"{"alias":"t:prod","allowInternetAccess":null,"clientID":"switchtower","cpuCount":2,"diskSizeMB":10240,"domain":"set-http-domain.invalid","endAt":"2025-07-31T02:15:06.023Z","envdAccessToken":"…","envdVersion":"0.6.4","lifecycle":{"autoResume":false,"onTimeout":"kill"},"memoryMB":2048,"metadata":{"a":"b"},"network":{"allowPublicTraffic":false},"sandboxID":"…","startedAt":"2025-07-31T02:14:51.023Z","state":"running","templateID":"t:prod"}"#);
        }
    }
    assert_eq!(ends, [r#""2025-07-31T02:19:51.023Z""#, r#""2025-07-31T02:15:06.023Z""#]);
}

#[tokio::test(start_paused = true)]
async fn an_impossible_request_is_refused_with_a_status_that_clients_know() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    let mut text = String::new();
    let mut record = async |call: &str, body: Value| {
        let answer = client.call(&call.replace("ID", &sandbox.id), body).await;
        text.push_str(&format!(
            "{call}: {} [{}]\n",
            answer.status_and_body().replace(&sandbox.id, "ID"),
            answer.header("should-retry")
        ));
    };
    let template = |rest: (&str, Value)| json!({ "templateID": "t", rest.0: rest.1 });
    record("POST /v2/sandboxes", json!({})).await;
    record("POST /v2/sandboxes", template(("timeout", json!(86_401)))).await;
    record("POST /v2/sandboxes", template(("timeout", json!(0)))).await;
    record("POST /v2/sandboxes", template(("mcp", json!({ "x": {} })))).await;
    record("POST /v2/sandboxes", template(("volumeMounts", json!([{ "name": "v" }])))).await;
    record("POST /v2/sandboxes", template(("network", json!({ "rules": { "x": [] } })))).await;
    record("POST /sandboxes/ID/timeout", json!({ "timeout": 1e9 })).await;
    record("POST /sandboxes/ID/timeout", json!({ "timeout": 60, "memory": false })).await;
    record("POST /sandboxes/ID/pause", json!({ "memory": false })).await;
    record("POST /v2/sandboxes/ID/connect", json!({ "timeout": 60, "memory": false })).await;
    record("POST /sandboxes/ID/snapshots", json!({})).await;
    record("POST /sandboxes/ID/fork", json!({ "count": 2 })).await;
    record("POST /sandboxes/inone/snapshots", json!({})).await;
    record("POST /sandboxes/inone/fork", json!({})).await;
    record("GET /v2/sandboxes/inone/logs", Value::Null).await;
    record("GET /templates", Value::Null).await;
    record("POST /v3/templates", json!({ "name": "t" })).await;
    record("POST /templates/tags", json!({ "target": "t:a", "tags": ["b"] })).await;
    record("GET /volumes", Value::Null).await;
    record("GET /sandboxes/ID/metrics?start=2&end=1", Value::Null).await;
    record("GET /sandboxes/ID/metrics?start=-1", Value::Null).await;
    record("GET /sandboxes/metrics", Value::Null).await;
    record("GET /snapshots?limit=0", Value::Null).await;
    record("PUT /sandboxes/ID", Value::Null).await;
    record("GET /v2/sandboxes?state=dead", Value::Null).await;
    record("GET /sandboxes/inone", Value::Null).await;
    record("GET /sandboxes/%ff", Value::Null).await;
    insta::assert_snapshot!(text, @r#"
    POST /v2/sandboxes: 400 {"code":400,"message":"Error when parsing request: missing field `templateID` at line 1 column 2"} [false]
    POST /v2/sandboxes: 400 {"code":400,"message":"Timeout cannot be greater than 24 hours"} [false]
    POST /v2/sandboxes: 400 {"code":400,"message":"Timeout must be a number of seconds, 1 or more"} [false]
    POST /v2/sandboxes: 400 {"code":400,"message":"Failed to start MCP gateway: mcp is not supported by Switchtower: leave it out"} [false]
    POST /v2/sandboxes: 400 {"code":400,"message":"volumeMounts is not supported by Switchtower: leave it out"} [false]
    POST /v2/sandboxes: 400 {"code":400,"message":"network.rules is not supported by Switchtower: leave it out"} [false]
    POST /sandboxes/ID/timeout: 400 {"code":400,"message":"Timeout cannot be greater than 24 hours"} [false]
    POST /sandboxes/ID/timeout: 400 {"code":400,"message":"memory is not supported by Switchtower: leave it out"} [false]
    POST /sandboxes/ID/pause: 400 {"code":400,"message":"memory: false is not supported by Switchtower, which always keeps the memory of a paused sandbox: leave it out"} [false]
    POST /v2/sandboxes/ID/connect: 400 {"code":400,"message":"memory: false is not supported by Switchtower, which always keeps the memory of a paused sandbox: leave it out"} [false]
    POST /sandboxes/ID/snapshots: 400 {"code":400,"message":"snapshots are not supported by Switchtower: copy its files into a new sandbox instead"} [false]
    POST /sandboxes/ID/fork: 400 {"code":400,"message":"forking a sandbox is not supported by Switchtower: copy its files into a new sandbox instead"} [false]
    POST /sandboxes/inone/snapshots: 404 {"code":404,"message":"Sandbox \"inone\" doesn't exist or you don't have access to it"} [false]
    POST /sandboxes/inone/fork: 404 {"code":404,"message":"Sandbox \"inone\" doesn't exist or you don't have access to it"} [false]
    GET /v2/sandboxes/inone/logs: 404 {"code":404,"message":"Sandbox \"inone\" doesn't exist or you don't have access to it"} [false]
    GET /templates: 400 {"code":400,"message":"building, tagging and listing templates is not supported by Switchtower, whose machines have the template of their tier: use E2B's own API for it (unset E2B_API_URL), then name the template in the setting clouds.e2b.account.template"} [false]
    POST /v3/templates: 400 {"code":400,"message":"building, tagging and listing templates is not supported by Switchtower, whose machines have the template of their tier: use E2B's own API for it (unset E2B_API_URL), then name the template in the setting clouds.e2b.account.template"} [false]
    POST /templates/tags: 400 {"code":400,"message":"building, tagging and listing templates is not supported by Switchtower, whose machines have the template of their tier: use E2B's own API for it (unset E2B_API_URL), then name the template in the setting clouds.e2b.account.template"} [false]
    GET /volumes: 400 {"code":400,"message":"/volumes is not supported by Switchtower"} [false]
    GET /sandboxes/ID/metrics?start=2&end=1: 400 {"code":400,"message":"start, 2, must not be after end, 1"} [false]
    GET /sandboxes/ID/metrics?start=-1: 400 {"code":400,"message":"start must be a whole number of seconds since 1970, not \"-1\""} [false]
    GET /sandboxes/metrics: 400 {"code":400,"message":"sandbox_ids must be 1 to 100 ids of sandboxes, separated by commas"} [false]
    GET /snapshots?limit=0: 400 {"code":400,"message":"limit must be a number from 1 to 100, not \"0\""} [false]
    PUT /sandboxes/ID: 405 {"code":405,"message":"/sandboxes/ID has no PUT"} [false]
    GET /v2/sandboxes?state=dead: 400 {"code":400,"message":"state must be running or paused, not \"dead\""} [false]
    GET /sandboxes/inone: 404 {"code":404,"message":"Sandbox \"inone\" doesn't exist or you don't have access to it"} [false]
    GET /sandboxes/%ff: 400 {"code":400,"message":"The id of the sandbox must be UTF-8 after percent-decoding"} [false]
    "#);
    for call in [
        "DELETE /sandboxes/inone",
        "POST /sandboxes/inone/timeout",
        "POST /sandboxes/inone/refreshes",
        "POST /sandboxes/inone/pause",
        "POST /sandboxes/inone/resume",
        "POST /v2/sandboxes/inone/connect",
        "GET /sandboxes/inone/metrics",
        "POST /sandboxes/inone/fork",
    ] {
        assert_eq!(client.call(call, Value::Null).await.status, 404, "{call}");
        let answer = client.call(&call.replace("inone", "a%C3"), Value::Null).await;
        assert_eq!((answer.status, &answer.json["code"]), (400, &json!(400)), "{call}: {}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_is_paused_resumed_extended_and_killed() {
    let client = Client::new();
    let sandbox = client.create(json!({ "timeout": 100 })).await;
    let call = async |call: &str, body: Value| client.call(&call.replace("ID", &sandbox.id), body).await;
    let ends = async || {
        let detail = call("GET /sandboxes/ID", Value::Null).await;
        format!("{} {}", detail.json["state"].as_str().unwrap(), &detail.json["endAt"].as_str().unwrap()[11..19])
    };
    assert_eq!(ends().await, "running 02:16:31");
    assert_eq!(call("POST /sandboxes/ID/timeout", json!({ "timeout": 50 })).await.status_and_body(), "204 ");
    assert_eq!(ends().await, "running 02:15:41");
    for (duration, end) in [(10, "02:15:41"), (60, "02:15:51")] {
        assert_eq!(call("POST /sandboxes/ID/refreshes", json!({ "duration": duration })).await.status, 204);
        assert_eq!(ends().await, format!("running {end}"));
    }
    assert_eq!(call("POST /v2/sandboxes/ID/connect", json!({ "timeout": 70 })).await.status, 200);
    assert_eq!(ends().await, "running 02:16:01");
    let awake = call("POST /sandboxes/ID/resume", json!({})).await;
    assert_eq!((awake.status, awake.json["code"].as_u64()), (409, Some(409)), "{}", awake.text);

    client.execute(&sandbox, "x = 1").await;
    assert_eq!(call("POST /sandboxes/ID/pause", json!({})).await.status_and_body(), "204 ");
    assert_eq!(call("POST /sandboxes/ID/pause", json!({})).await.status, 409);
    assert_eq!(ends().await, "paused 02:16:01");
    sleep(seconds(3600)).await;
    let resumed = call("POST /sandboxes/ID/connect", json!({ "timeout": 20 })).await;
    assert_eq!((resumed.status, resumed.json["envdAccessToken"].as_str()), (201, Some(sandbox.token.as_str())));
    assert_eq!(client.execute(&sandbox, "x").await, "number 2 | result 1 | end");
    assert_eq!(call("POST /sandboxes/ID/pause", json!({})).await.status, 204);
    assert_eq!(call("POST /sandboxes/ID/resume", json!({ "timeout": 20 })).await.status, 201);

    assert_eq!(call("DELETE /sandboxes/ID", Value::Null).await.status_and_body(), "204 ");
    assert_eq!(call("DELETE /sandboxes/ID", Value::Null).await.status, 404);
    assert_eq!(call("GET /sandboxes/ID", Value::Null).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn metrics_are_those_of_the_interval_that_was_asked_for() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    sleep(seconds(100)).await;
    let samples = async |query: &str| {
        let answer = client.call(&format!("GET /sandboxes/{}/metrics{query}", sandbox.id), Value::Null).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        answer.json.as_array().unwrap().clone()
    };
    let all = samples("").await;
    let at = all[0]["timestampUnix"].as_u64().unwrap();
    assert_eq!((all.len(), all[0]["cpuCount"].as_u64(), at % 5), (1, Some(2), 0));
    for (query, count) in [
        (format!("?start={at}&end={at}"), 1),
        (format!("?start={}", at - 100), 1),
        (format!("?end={}", at + 1), 1),
        (format!("?start={}", at + 1), 0),
        (format!("?end={}", at - 1), 0),
        (format!("?start={}&end={}", at - 3600, at - 1800), 0),
    ] {
        assert_eq!(samples(&query).await.len(), count, "{query}");
    }
    // Of several sandboxes, those of the caller.
    let ids = format!("GET /sandboxes/metrics?sandbox_ids={},inone", sandbox.id);
    let several = client.call(&ids, Value::Null).await;
    let listed: Vec<&String> = several.json["sandboxes"].as_object().unwrap().keys().collect();
    assert_eq!((several.status, listed), (200, vec![&sandbox.id]));
}

#[tokio::test(start_paused = true)]
async fn a_template_is_found_by_its_name_and_an_unknown_one_is_not() {
    let client = Client::new();
    let get = async |path: &str| client.call(&format!("GET {path}"), Value::Null).await.status_and_body();
    for name in ["base", "code-interpreter-v1", "base:prod", "mastra-0a1b"] {
        let bare = name.split(':').next().unwrap();
        let found = format!(r#"200 {{"public":true,"templateID":"{bare}"}}"#);
        assert_eq!(get(&format!("/templates/aliases/{name}")).await, found);
        assert_eq!(get(&format!("/templates/{name}/tags")).await, "200 []");
    }
    for path in ["/templates/aliases/nothing", "/templates/nothing/tags", "/templates/nothing"] {
        let refused = get(path).await;
        assert!(refused.starts_with(r#"404 {"code":404,"message":"template 'nothing' not found"#), "{path}: {refused}");
    }
    // The SDKs delete a snapshot as a template: there is none.
    assert_eq!(client.call("DELETE /templates/snap:default", Value::Null).await.status, 404);
    assert_eq!(get("/snapshots?sandboxID=i1&name=snap&limit=5").await, "200 []");
}

#[tokio::test(start_paused = true)]
async fn the_list_is_filtered_and_paged() {
    let client = Client::new();
    let mut all: Vec<Sandbox> = Vec::new();
    for (metadata, template) in [(json!({ "who": "a b" }), "one"), (json!({}), "two"), (json!({ "who": "a b" }), "one")]
    {
        all.push(client.create(json!({ "metadata": metadata, "templateID": template })).await);
        sleep(seconds(1)).await;
    }
    client.call(&format!("POST /sandboxes/{}/pause", all[2].id), json!({})).await;
    let list = async |path: &str| {
        let answer = client.call(&format!("GET {path}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let index = |body: &Value| all.iter().position(|sandbox| body["sandboxID"] == sandbox.id.as_str()).unwrap();
        let indices: Vec<usize> = answer.json.as_array().unwrap().iter().map(index).collect();
        (indices, answer.header("x-next-token").to_owned())
    };
    for (path, indices) in [
        ("/sandboxes", vec![1, 0]),
        ("/v2/sandboxes", vec![2, 1, 0]),
        ("/v2/sandboxes?order=asc", vec![0, 1, 2]),
        ("/v2/sandboxes?state=paused", vec![2]),
        ("/v2/sandboxes?state=running,paused&metadata=who%3Da%252520b", vec![2, 0]),
        ("/v2/sandboxes?state=running&metadata=who%3Da%20b", vec![0]),
        ("/v2/sandboxes?template=two", vec![1]),
        ("/v2/sandboxes?startedAfter=2025-07-31T02:14:52.023Z", vec![2, 1]),
        ("/v2/sandboxes?startedAfter=2025-07-31T04:14:53.023%2B02:00&template=one", vec![2]),
        ("/v2/sandboxes?startedAfter=2025-07-31T02:14:53.024Z", vec![]),
        ("/v2/sandboxes?metadata=who%3Da%20b%26who%3Dc", vec![]),
        ("/v2/sandboxes?metadata=who%3Dnobody", vec![]),
    ] {
        assert_eq!(list(path).await, (indices, String::new()), "{path}");
    }
    let (first, token) = list("/v2/sandboxes?limit=2").await;
    // The end of a sandbox between two pages does not shift the others.
    client.call(&format!("DELETE /sandboxes/{}", all[1].id), Value::Null).await;
    let (second, last) = list(&format!("/v2/sandboxes?limit=2&nextToken={token}")).await;
    assert_eq!((first, second, last.as_str()), (vec![2, 1], vec![0], ""));
}

#[tokio::test(start_paused = true)]
async fn each_key_is_a_caller_and_where_keys_are_configured_only_those_are_valid() {
    let mut client = Client::new();
    let sandbox = client.create(json!({})).await;
    let path = format!("/sandboxes/{}", sandbox.id);
    let user = client.harness.sessions.list_all()[0].caller().user.to_string();
    assert!(user.starts_with("key-") && !user.contains("e2b_one"), "{user}");
    client.key = "e2b_two";
    assert_eq!(client.call("GET /v2/sandboxes", Value::Null).await.status_and_body(), "200 []");
    for call in ["GET PATH", "DELETE PATH", "POST PATH/timeout", "POST PATH/pause", "POST PATH/connect"] {
        assert_eq!(client.call(&call.replace("PATH", &path), json!({})).await.status, 404, "{call}");
    }
    client.key = "";
    let refused = client.call("GET /v2/sandboxes", Value::Null).await;
    let expected = r#"401 {"code":401,"message":"Invalid API key: send a key of this server as X-API-Key"}"#;
    assert_eq!(refused.status_and_body(), expected);
    assert_eq!(
        client.send(Request::get("/v2/sandboxes").body(Body::empty()).unwrap()).await.status_and_body(),
        expected
    );

    let keys = [("ada".to_owned(), "key-of-ada-0123456789".to_owned())].into();
    let mut client = Client::over(TestHarness::new(), &Config { keys, ..Config::default() });
    assert_eq!(client.call("GET /v2/sandboxes", Value::Null).await.status_and_body(), expected);
    client.key = "key-of-ada-0123456789";
    client.create(json!({})).await;
    assert_eq!(&*client.harness.sessions.list_all()[0].caller().user, "ada");
}

#[tokio::test(start_paused = true)]
async fn a_callers_own_limit_is_a_429_and_a_full_server_a_503() {
    let sessions = session::Config { max_per_caller: 1, max_sessions: 2, ..session::Config::default() };
    let mut client = Client::with_plan(Plan { sessions, ..Plan::default() });
    let body = json!({ "templateID": "t" });
    client.create(json!({})).await;
    let mut text = String::new();
    for key in ["e2b_one", "e2b_two", "e2b_three"] {
        client.key = key;
        let answer = client.call("POST /v2/sandboxes", body.clone()).await;
        if answer.status != 201 {
            let (retry, after) = (answer.header("should-retry"), answer.header("retry-after"));
            text.push_str(&format!("{} [{retry}{after}]\n", answer.status_and_body()));
        }
    }
    insta::assert_snapshot!(text, @r#"
    429 {"code":429,"message":"you have reached the maximum number of concurrent sandboxes (1)"} [false]
    503 {"code":503,"message":"overloaded: this server may have 2 sessions at once: wait until one ends"} [5]
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_for_e2b_goes_to_the_native_api() {
    let client = Client::new();
    let get = |path: &str| Request::get(path).header("host", "localhost:3001").body(Body::empty()).unwrap();
    assert_eq!(client.send(get("/health")).await.json["status"], "healthy");
    assert!(client.send(get("/metrics")).await.text.starts_with("# HELP"));
    let nothing = client.send(get("/nothing?path=/tmp/a")).await;
    assert_eq!((nothing.status, nothing.header("content-type")), (404, "application/problem+json"));
}

#[tokio::test(start_paused = true)]
async fn in_debug_mode_its_sandbox_needs_no_creation_and_no_key() {
    const ID: &str = "debug_sandbox_id";
    let keys = [("ada".to_owned(), "e2b_ada_0123456789".to_owned())].into();
    for (call, status) in [
        ("POST /sandboxes/ID/connect", 200),
        ("POST /v2/sandboxes/ID/connect", 200),
        ("GET /sandboxes/ID", 200),
        ("POST /sandboxes/ID/timeout", 204),
    ] {
        let client = Client::over(TestHarness::new(), &Config { keys: Clone::clone(&keys), ..Config::default() });
        let (method, path) = call.split_once(' ').unwrap();
        let request = |id: &str| {
            let body = if method == "POST" { Body::from("{}") } else { Body::empty() };
            Request::builder().method(method).uri(path.replace("ID", id)).body(body).unwrap()
        };
        let connected = client.send_to_debug_port(3000, request(ID)).await;
        assert_eq!(connected.status, status, "{call}: {}", connected.text);
        if status == 200 {
            assert_eq!(connected.json["sandboxID"], ID, "{call}");
        }
        // Only this sandbox, and only by the debug ports.
        assert_eq!(client.send_to_debug_port(3000, request("iother")).await.status, 401, "{call}");
        assert_eq!(client.send(request(ID)).await.status, 401, "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_names_a_domain_that_is_not_the_clouds() {
    let domains = async |client: &Client, host: &str| {
        let send = async |call: &str, body: Value| {
            let (method, path) = call.split_once(' ').unwrap();
            let request = Request::builder().method(method).uri(path).header("x-api-key", client.key);
            let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
            client.send(request.header("host", host).body(body).unwrap()).await
        };
        let created = send("POST /v2/sandboxes", json!({ "templateID": "t" })).await;
        let id = created.json["sandboxID"].as_str().unwrap().to_owned();
        let mut answers = vec![created.json["domain"].clone()];
        for (call, body) in [
            ("POST /v2/sandboxes/ID/connect", json!({})),
            ("POST /sandboxes/ID/connect", json!({})),
            ("GET /sandboxes/ID", Value::Null),
        ] {
            answers.push(send(&call.replace("ID", &id), body).await.json["domain"].clone());
        }
        assert!(answers.iter().all(|domain| *domain == answers[0]), "{answers:?}");
        answers[0].as_str().unwrap().to_owned()
    };
    let client = Client::new();
    assert_eq!(domains(&client, "127.0.0.1:3001").await, "localhost:3001");
    assert_eq!(domains(&client, "api.boxes.example").await, "boxes.example");
    assert_eq!(domains(&client, "api.e2b.app").await, "set-http-domain.invalid");
    assert_eq!(domains(&client, "192.0.2.1:3001").await, "set-http-domain.invalid");
    let config = Config { domain: Some("boxes.example:8443".to_owned()), ..Config::default() };
    let client = Client::over(TestHarness::new(), &config);
    assert_eq!(domains(&client, "127.0.0.1:3001").await, "boxes.example:8443");
}

#[tokio::test(start_paused = true)]
async fn a_call_of_the_control_plane_may_name_its_sandbox_in_headers_too() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    for (call, status) in [
        ("POST /sandboxes/ID/connect", 200),
        ("POST /v2/sandboxes/ID/connect", 200),
        ("GET /sandboxes/ID", 200),
        ("DELETE /sandboxes/ID", 204),
    ] {
        // As e2b 2.20 does.
        let request = with(sandbox.to(ENVD, &call.replace("ID", &sandbox.id), Body::empty()), "x-api-key", client.key);
        let answer = client.send(request).await;
        assert_eq!(answer.status, status, "{call}: {}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_parameter_of_a_path_that_has_none_is_refused_by_its_name_and_nothing_is_done() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    let create = json!({ "templateID": "t" });
    for (call, body) in [
        ("POST /sandboxes?timeout=1", create.clone()),
        ("POST /v2/sandboxes?timeout=1", create),
        ("GET /sandboxes/ID?timeout=", Value::Null),
        ("DELETE /sandboxes/ID?timeout=1", Value::Null),
        ("POST /sandboxes/ID/timeout?timeout=1", json!({})),
        ("POST /sandboxes/ID/refreshes?timeout=1", json!({})),
        ("POST /sandboxes/ID/pause?timeout=1", json!({})),
        ("POST /sandboxes/ID/resume?timeout=1", json!({})),
        ("POST /sandboxes/ID/connect?timeout=1", json!({})),
        ("POST /v2/sandboxes/ID/connect?timeout=1", json!({})),
        ("PUT /sandboxes/ID/network?timeout=1", json!({})),
        ("GET /templates/aliases/base?timeout=1", Value::Null),
        ("GET /templates/base/tags?timeout=1", Value::Null),
        ("GET /sandboxes?timeout=1", Value::Null),
        ("GET /v2/sandboxes?timeout=1", Value::Null),
        ("GET /sandboxes/ID/metrics?timeout=1", Value::Null),
        ("GET /sandboxes/metrics?timeout=1", Value::Null),
        ("GET /snapshots?timeout=1", Value::Null),
    ] {
        let refused = client.call(&call.replace("ID", &sandbox.id), body).await;
        assert_eq!((refused.status, refused.header("should-retry")), (400, "false"), "{call}: {}", refused.text);
        assert!(refused.text.contains("timeout"), "{call}: {}", refused.text);
    }
    let listed = client.call("GET /v2/sandboxes?", Value::Null).await.json;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["state"]), (1, &json!("running")));
    // A path that refuses everything says so, with a query too.
    let logs = client.call(&format!("GET /sandboxes/{}/logs?start=1", sandbox.id), Value::Null).await;
    assert!(logs.status == 400 && logs.text.contains("logs of a sandbox"), "{}", logs.text);
}

#[tokio::test(start_paused = true)]
async fn an_encoded_body_of_json_is_refused_before_it_is_read() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    // A body that never ends is answered only if it is not read.
    let endless = || Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let control = |call: &str| {
        let (method, path) = call.split_once(' ').unwrap();
        let path = path.replace("ID", &sandbox.id);
        Request::builder().method(method).uri(path).header("x-api-key", client.key).body(endless()).unwrap()
    };
    for request in [
        control("POST /sandboxes"),
        control("POST /v2/sandboxes"),
        control("POST /sandboxes/ID/timeout"),
        control("POST /sandboxes/ID/refreshes"),
        control("POST /sandboxes/ID/pause"),
        control("POST /sandboxes/ID/connect"),
        control("PUT /sandboxes/ID/network"),
        sandbox.to(INTERPRETER, "POST /execute", endless()),
        sandbox.to(INTERPRETER, "POST /contexts", endless()),
        sandbox.to(ENVD, "POST /filesystem.Filesystem/Stat", endless()),
    ] {
        let uri = request.uri().clone();
        for coding in ["gzip", "br", "gzip, identity"] {
            let mut again = Request::builder().method(request.method()).uri(&uri).body(endless()).unwrap();
            *again.headers_mut() = request.headers().clone();
            let refused = client.send(with(again, "content-encoding", coding)).await;
            assert_eq!(refused.status, 415, "{uri}: {}", refused.text);
            assert!(refused.text.contains("Content-Encoding"), "{uri}: {}", refused.text);
        }
    }
    let plain = with(sandbox.cell(&json!({ "code": "1" })), "content-encoding", "identity");
    assert_eq!(client.send(plain).await.status, 200);
}
