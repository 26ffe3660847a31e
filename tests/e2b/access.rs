//! Access to a sandbox: every route of its ports and of the control plane, with all kinds of credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::{HeaderName, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use switchtower_server::service::{Config, PeerAddress};

use super::harness::{Answer, Client, ENVD, INTERPRETER, Sandbox, with, without};
use crate::session::harness::TestHarness;

const ADA: &str = "e2b_ada_0123456789abcdef";
const BOB: &str = "e2b_bob_0123456789abcdef";

/// Every route of a sandbox's ports: the port, the call, its body.
const ROUTES: [(u16, &str, &str); 29] = [
    (INTERPRETER, "POST /execute", r#"{"code":"x = 5"}"#),
    (INTERPRETER, "POST /execute/", r#"{"code":"x = 5"}"#),
    (INTERPRETER, "POST /execute", r#"{"code":"1","language":"js"}"#),
    (INTERPRETER, "GET /health", ""),
    (INTERPRETER, "GET /contexts", ""),
    (INTERPRETER, "POST /contexts", "{}"),
    (INTERPRETER, "POST /contexts", r#"{"language":"js"}"#),
    (INTERPRETER, "POST /contexts/CONTEXT/restart", ""),
    (INTERPRETER, "DELETE /contexts/CONTEXT", ""),
    (INTERPRETER, "GET /nothing", ""),
    (ENVD, "GET /health", ""),
    (ENVD, "POST /init", "{}"),
    (ENVD, "GET /envs", ""),
    (ENVD, "GET /metrics", ""),
    (ENVD, "GET /files?path=/tmp/kept", ""),
    (ENVD, "GET /files?path=/etc/hosts", ""),
    (ENVD, "POST /files?path=/tmp/new", "new"),
    (ENVD, "POST /filesystem.Filesystem/Stat", r#"{"path":"/tmp/kept"}"#),
    (ENVD, "POST /filesystem.Filesystem/Remove", r#"{"path":"/tmp/kept"}"#),
    (ENVD, "POST /filesystem.Filesystem/CreateWatcher", r#"{"path":"/tmp"}"#),
    (ENVD, "POST /process.Process/List", "{}"),
    (ENVD, "POST /process.Process/Start", r#"{"process":{"cmd":"true"}}"#),
    (ENVD, "POST /process.Process/SendSignal", r#"{"process":{"pid":1}}"#),
    (ENVD, "GET /nothing", ""),
    (3000, "GET /", ""),
    (8080, "POST /page?q=1", "posted"),
    (1, "GET /health", ""),
    (22, "CONNECT /", ""),
    (65535, "GET /", ""),
];

/// Every route of the control plane for one sandbox, and the list of a caller's sandboxes.
const CONTROL: [&str; 11] = [
    "GET /sandboxes/ID",
    "DELETE /sandboxes/ID",
    "POST /sandboxes/ID/timeout",
    "POST /sandboxes/ID/refreshes",
    "POST /sandboxes/ID/pause",
    "POST /sandboxes/ID/resume",
    "POST /sandboxes/ID/connect",
    "POST /v2/sandboxes/ID/connect",
    "GET /sandboxes/ID/metrics",
    "POST /sandboxes/ID/snapshots",
    "GET /v2/sandboxes",
];

fn client_with_keys() -> Client {
    client_with(Config::default())
}

/// Returns a client of a server with these settings and with keys.
fn client_with(config: Config) -> Client {
    let keys = [("ada", ADA), ("bob", BOB)].map(|(name, key)| (name.to_owned(), key.to_owned()));
    let config = Config { keys: keys.into(), ..config };
    let mut client = Client::over(TestHarness::new(), &config);
    client.key = ADA;
    client
}

/// Returns a call without credentials that names its sandbox by headers or by the host.
fn bare(sandbox: &Sandbox, by_host: bool, (port, call, body): (u16, &str, &str), context: &str) -> Request<Body> {
    let call = call.replace("CONTEXT", context);
    let request = without(sandbox.to(port, &call, body.to_owned()), "x-access-token");
    if !by_host {
        return request;
    }
    let host = format!("{port}-{}.e2b.localhost:3001", sandbox.id);
    without(without(with(request, "host", &host), "e2b-sandbox-id"), "e2b-sandbox-port")
}

/// Returns the status and the body of a refusal, without the sandbox's id.
fn refusal(answer: &Answer, sandbox: &Sandbox) -> (u16, String) {
    (answer.status, answer.text.replace(&sandbox.id, "ID"))
}

async fn context(client: &Client, sandbox: &Sandbox) -> String {
    let listed = client.send(sandbox.to(INTERPRETER, "GET /contexts", Body::empty())).await;
    listed.json[0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn no_route_of_a_sandbox_is_open_to_a_stranger_or_reveals_whether_it_exists() {
    for client in [client_with_keys(), Client::new()] {
        let (sandbox, other, ended) =
            (client.create(json!({})).await, client.create(json!({})).await, client.create(json!({})).await);
        client.execute(&sandbox, "x = 1").await;
        client.send(sandbox.to(ENVD, "POST /files?path=/tmp/kept", "kept")).await;
        let of_sandbox = context(&client, &sandbox).await;
        client.call(&format!("DELETE /sandboxes/{}", ended.id), Value::Null).await;
        let never = Sandbox { id: "i0123456789abcdefghij".to_owned(), token: String::new(), traffic: String::new() };
        let expires = client.call(&format!("GET /sandboxes/{}", sandbox.id), Value::Null).await.json["endAt"].clone();

        let credentials: [&[(&str, &str)]; 9] = [
            &[],
            &[("x-access-token", "")],
            &[("x-access-token", "wrong")],
            &[("x-access-token", &other.token)],
            &[("x-access-token", &ended.token)],
            &[("x-api-key", BOB)],
            &[("authorization", "Bearer e2b_nobody_0123456789")],
            &[("e2b-traffic-access-token", &other.traffic)],
            &[("e2b-traffic-access-token", &sandbox.token), ("x-api-key", ADA)],
        ];
        for route in ROUTES {
            for by_host in [false, true] {
                for headers in credentials {
                    let send = async |to: &Sandbox| {
                        let mut request = bare(to, by_host, route, &of_sandbox);
                        for (name, value) in headers {
                            request
                                .headers_mut()
                                .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
                        }
                        refusal(&client.send(request).await, to)
                    };
                    let refused = send(&sandbox).await;
                    assert!(matches!(refused.0, 401 | 502), "{route:?} {headers:?} {by_host}: {refused:?}");
                    assert_eq!(refused, send(&never).await, "{route:?} {headers:?} {by_host}");
                }
            }
        }
        // No state was changed, no machine leased and no timeout extended.
        assert_eq!(client.execute(&sandbox, "x").await, "number 2 | result 1 | end");
        assert_eq!(context(&client, &sandbox).await, of_sandbox);
        let read = |path: &str| client.send(sandbox.to(ENVD, &format!("GET /files?path={path}"), Body::empty()));
        assert_eq!(
            (read("/tmp/kept").await.status_and_body(), read("/tmp/new").await.status),
            ("200 kept".to_owned(), 404)
        );
        let detail = client.call(&format!("GET /sandboxes/{}", sandbox.id), Value::Null).await;
        assert_eq!(detail.json["endAt"], expires);
        assert_eq!(client.harness.machines.sandboxes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn every_route_of_a_sandbox_is_open_to_its_token_and_its_owners_key() {
    for (port, call, body) in ROUTES {
        let client = client_with_keys();
        let mut statuses = Vec::new();
        for credentials in [("x-access-token", ""), ("x-api-key", ADA), ("authorization", &format!("Bearer {ADA}"))] {
            let sandbox = client.create(json!({})).await;
            client.send(sandbox.to(ENVD, "POST /files?path=/tmp/kept", "kept")).await;
            let of_sandbox = context(&client, &sandbox).await;
            if !matches!(port, ENVD | INTERPRETER) {
                // Without a machine no port is open.
                client.promote(&sandbox).await;
            }
            let request = bare(&sandbox, false, (port, call, body), &of_sandbox);
            let value = if credentials.1.is_empty() { &sandbox.token } else { credentials.1 };
            let answer = client.send(with(request, credentials.0, value)).await;
            assert!(
                !matches!(answer.status, 401 | 403 | 502),
                "{port} {call} {}: {}",
                credentials.0,
                answer.status_and_body()
            );
            statuses.push(answer.status);
        }
        assert!(statuses.iter().all(|status| *status == statuses[0]), "{port} {call}: {statuses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_traffic_token_is_valid_for_contexts_and_ports_but_not_for_cells_and_files() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    let of_sandbox = context(&client, &sandbox).await;
    for (port, call, body) in ROUTES {
        let request = bare(&sandbox, false, (port, call, body), &of_sandbox);
        let answer = client.send(with(request, "e2b-traffic-access-token", &sandbox.traffic)).await;
        let opens = port != ENVD && !call.starts_with("POST /execute");
        assert_eq!(answer.status != 401, opens, "{port} {call}: {}", answer.status_and_body());
    }
    // A connection to the sandbox returns the same tokens.
    let connected = client.call(&format!("POST /v2/sandboxes/{}/connect", sandbox.id), json!({})).await;
    assert_eq!(connected.json["trafficAccessToken"], sandbox.traffic);
    assert_eq!(connected.json["envdAccessToken"], sandbox.token);
}

#[tokio::test(start_paused = true)]
async fn a_paused_sandbox_is_resumed_only_with_its_token() {
    let client = Client::new();
    let pausing = json!({ "timeout": 10, "autoPause": true, "autoResume": { "enabled": true } });
    let sandbox = client.create(pausing).await;
    client.call(&format!("POST /sandboxes/{}/pause", sandbox.id), json!({})).await;
    for route in ROUTES {
        client.send(bare(&sandbox, false, route, "x")).await;
    }
    let state =
        async || client.call(&format!("GET /sandboxes/{}", sandbox.id), Value::Null).await.json["state"].clone();
    assert_eq!(state().await, "paused");
    assert_eq!(client.send(sandbox.to(ENVD, "GET /health", Body::empty())).await.status, 204);
    assert_eq!(state().await, "running");
}

#[tokio::test(start_paused = true)]
async fn calls_to_public_ports_start_no_machine_and_extend_no_timeout() {
    let client = Client::new();
    let public = client.create(json!({ "network": { "allowPublicTraffic": true }, "timeout": 600 })).await;
    let call = (8080, "GET /page", "");
    assert_eq!(client.send(bare(&public, true, call, "")).await.status, 401);
    assert_eq!(client.harness.machines.sandboxes(), 0);
    // Without a machine nothing listens, and a call of the owner acquires none either.
    let closed = client.send(public.to(8080, "GET /page", Body::empty())).await;
    assert_eq!((closed.status, &closed.json["message"]), (502, &json!("The sandbox is running but port is not open")));
    assert_eq!(client.harness.machines.sandboxes(), 0);
    client.promote(&public).await;
    let open = client.send(bare(&public, true, call, "")).await;
    assert_eq!((open.status, &open.json["port"]), (200, &json!(8080)));
    // Credentials for the page itself are not checked.
    let own = with(bare(&public, true, call, ""), "authorization", "Bearer of-the-page");
    assert_eq!(client.send(own).await.status, 200);
    assert_eq!(client.send(bare(&public, false, (ENVD, "GET /health", ""), "")).await.status, 401);
    client.call(&format!("POST /sandboxes/{}/pause", public.id), json!({})).await;
    assert_eq!(client.send(bare(&public, true, call, "")).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_does_not_show_sandboxes_of_another_key() {
    for client in [client_with_keys(), Client::new()] {
        let sandbox = client.create(json!({})).await;
        for call in CONTROL {
            let (method, path) = call.split_once(' ').unwrap();
            let call_as = async |id: &str, key: Option<&str>| {
                let mut request = Request::builder().method(method).uri(path.replace("ID", id));
                if let Some(key) = key {
                    request = request.header("x-api-key", key);
                }
                let body = if method == "POST" { Body::from("{}") } else { Body::empty() };
                let answer = client.send(request.body(body).unwrap()).await;
                (answer.status, answer.text.replace(id, "ID"))
            };
            assert_eq!(call_as(&sandbox.id, None).await.0, 401, "{call}");
            let refused = call_as(&sandbox.id, Some(BOB)).await;
            assert_eq!(refused, call_as("i0123456789abcdefghij", Some(BOB)).await, "{call}");
            assert!(matches!(refused.0, 404) || refused.1 == "[]", "{call}: {refused:?}");
            // A sandbox's token is not an API key.
            assert!(matches!(call_as(&sandbox.id, Some(&sandbox.token)).await.0, 401 | 404 | 400 | 200), "{call}");
        }
        assert_eq!(client.call(&format!("GET /sandboxes/{}", sandbox.id), Value::Null).await.json["state"], "running");
    }
}

#[tokio::test(start_paused = true)]
async fn without_configured_keys_callers_are_distinguished_by_128_bits_of_their_keys() {
    let client = Client::new();
    client.create(json!({})).await;
    let all = client.harness.sessions.list_all();
    let user = all[0].caller().user.to_string();
    let digits = user.strip_prefix("key-").unwrap();
    assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{user}");
}

#[tokio::test(start_paused = true)]
async fn no_body_of_an_unauthorized_request_is_read() {
    let client = client_with_keys();
    let sandbox = client.create(json!({})).await;
    let polled = Arc::new(AtomicBool::new(false));
    let body = || {
        let polled = Arc::clone(&polled);
        Body::from_stream(futures_util::stream::poll_fn(move |_| {
            polled.store(true, Ordering::Relaxed);
            std::task::Poll::<Option<Result<Vec<u8>, std::io::Error>>>::Pending
        }))
    };
    let mut refused = 0;
    for (port, call, _) in ROUTES {
        let mut request = without(sandbox.to(port, &call.replace("CONTEXT", "x"), body()), "x-access-token");
        assert_eq!(client.send(request).await.status, 401, "{port} {call}");
        // No body is read for a caller who is not the owner either.
        request = without(sandbox.to(port, &call.replace("CONTEXT", "x"), body()), "x-access-token");
        assert_eq!(client.send(with(request, "x-api-key", BOB)).await.status, 502, "{port} {call}");
        refused += 1;
    }
    for call in [
        "POST /v1/execute",
        "POST /v1/batch",
        "POST /v1/explain",
        "POST /api/code/execute",
        "POST /v1/sessions",
        "POST /v1/sessions/x/execute",
        "POST /v1/sessions/x/contexts",
        "PUT /v1/sessions/x/files?path=a",
        "POST /sandboxes",
        "POST /v2/sandboxes",
        "POST /sandboxes/x/timeout",
        "POST /v2/sandboxes/x/connect",
        "POST /templates",
        "POST /v1/admin/tiers/wasm/breaker/reset",
        "POST /nothing",
        "POST /files?path=/tmp/a&signature=v1_x",
    ] {
        let (method, path) = call.split_once(' ').unwrap();
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let status = client.send(request.body(body()).unwrap()).await.status;
        assert!(matches!(status, 401 | 403 | 404), "{call}: {status}");
        refused += 1;
    }
    assert_eq!((refused, polled.load(Ordering::Relaxed)), (ROUTES.len() + 16, false));
}

/// Returns a request by a signed link with a wrong signature.
fn forged(number: usize) -> Request<Body> {
    let signature = STANDARD_NO_PAD.encode(Sha256::digest(number.to_string())).replace('+', "%2B");
    let mut request = Request::get(format!("/files?path=/tmp/a&signature=v1_{signature}")).body(Body::empty()).unwrap();
    request.extensions_mut().insert(PeerAddress("192.0.2.1".parse().unwrap()));
    request
}

#[tokio::test(start_paused = true)]
async fn only_an_address_that_guesses_signatures_is_rate_limited() {
    let client = Client::new();
    let sandbox = client.create(json!({})).await;
    client.send(sandbox.to(ENVD, "POST /files?path=/tmp/a", "kept")).await;
    let signed = STANDARD_NO_PAD.encode(Sha256::digest(format!("/tmp/a:read::{}", sandbox.token)));
    let link = format!("/files?path=/tmp/a&signature=v1_{}", signed.replace('+', "%2B"));
    let mut statuses = Vec::new();
    for number in 0..100 {
        statuses.push(client.send(forged(number)).await.status);
    }
    assert!(statuses[..40].iter().all(|status| *status == 401), "{statuses:?}");
    assert!(statuses[41..].iter().all(|status| *status == 429), "{statuses:?}");
    assert_eq!(client.send(forged(0)).await.header("retry-after"), "1");
    let open = || Request::get(&link).body(Body::empty()).unwrap();
    assert_eq!(client.send(open()).await.status_and_body(), "200 kept");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(client.send(forged(0)).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn cells_need_no_token_only_in_a_sandbox_whose_client_asked_for_that() {
    let client = Client::new();
    for (path, secure, is_open) in [
        // As SDK 1 does by default, which sends no token with cells.
        ("/sandboxes", json!(false), true),
        ("/sandboxes", Value::Null, true),
        ("/sandboxes", json!(true), false),
        ("/v2/sandboxes", Value::Null, false),
        ("/v2/sandboxes", json!(true), false),
    ] {
        let body = json!({ "templateID": "t", "secure": secure, "timeout": 60 });
        let created = client.call(&format!("POST {path}"), body).await.json;
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        let sandbox =
            Sandbox { id: text("sandboxID"), token: text("envdAccessToken"), traffic: text("trafficAccessToken") };
        let cell = (INTERPRETER, "POST /execute", r#"{"code":"1"}"#);
        let status = async |route| client.send(bare(&sandbox, true, route, "")).await.status;
        assert_eq!(status(cell).await, if is_open { 200 } else { 401 }, "{path} {secure}");
        // Files, commands and ports need a token.
        for route in [(ENVD, "GET /files?path=/tmp/a", ""), (ENVD, "GET /health", ""), (8080, "GET /", "")] {
            assert_eq!(status(route).await, 401, "{path} {secure} {route:?}");
        }
        client.call(&format!("POST /sandboxes/{}/pause", sandbox.id), json!({})).await;
        assert_eq!(status(cell).await, 401, "{path} {secure}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_operator_decides_whether_cells_may_need_no_token_and_with_keys_they_do_by_default() {
    let with_setting = |open_interpreters| Config { open_interpreters, ..Config::default() };
    for (client, is_allowed) in [
        (client_with(with_setting(None)), false),
        (client_with(with_setting(Some(false))), false),
        (client_with(with_setting(Some(true))), true),
        (Client::new(), true),
        (Client::over(TestHarness::new(), &with_setting(Some(false))), false),
    ] {
        let create = async |path: &str, secure: Value| {
            client.call(&format!("POST {path}"), json!({ "templateID": "t", "secure": secure })).await
        };
        let default = create("/sandboxes", Value::Null).await;
        let id = default.json["sandboxID"].as_str().unwrap().to_owned();
        let sandbox = Sandbox { id, token: String::new(), traffic: String::new() };
        let cell = bare(&sandbox, true, (INTERPRETER, "POST /execute", r#"{"code":"1"}"#), "");
        assert_eq!(client.send(cell).await.status, if is_allowed { 200 } else { 401 });
        for path in ["/sandboxes", "/v2/sandboxes"] {
            let open = create(path, json!(false)).await;
            assert_eq!(open.status, if is_allowed { 201 } else { 400 }, "{}", open.text);
            assert_eq!(open.text.contains("http.open_interpreters"), !is_allowed, "{}", open.text);
            assert_eq!(create(path, json!(true)).await.status, 201);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_credential_adds_to_what_is_open_without_it_and_a_wrong_token_is_refused() {
    const TOKEN: &str = "x-access-token";
    const TRAFFIC: &str = "e2b-traffic-access-token";
    const KEY: &str = "x-api-key";
    let client = client_with(Config { open_interpreters: Some(true), ..Config::default() });
    let open = |secure: bool| json!({ "secure": secure, "network": { "allowPublicTraffic": !secure } });
    let (opened, closed) = (client.create(open(false)).await, client.create(open(true)).await);
    // On a machine, a port answers.
    let by_default = client_with(Config { public_ports: true, ..Config::default() });
    for (network, status) in [(json!(null), 200), (json!({ "allowPublicTraffic": false }), 401)] {
        let sandbox = by_default.create(json!({ "network": network })).await;
        by_default.promote(&sandbox).await;
        let page = without(sandbox.to(8080, "GET /", Body::empty()), "x-access-token");
        assert_eq!(by_default.send(page).await.status, status, "{network}");
    }
    let (public, private) = (client.create(open(false)).await, client.create(open(true)).await);
    client.promote(&public).await;
    client.promote(&private).await;
    let cell = (INTERPRETER, "POST /execute", r#"{"code":"1"}"#);
    let (contexts, page, file) = ((INTERPRETER, "GET /contexts", ""), (8080, "GET /", ""), (ENVD, "GET /envs", ""));
    // What is shown: its header and value, where OWN is the sandbox's own token; then the statuses of a cell, the
    // contexts, a page and the variables, each in an open sandbox and in a closed one.
    type Shown = &'static [(&'static str, &'static str)];
    let table: [(Shown, [[u16; 2]; 4]); 13] = [
        (&[], [[200, 401], [200, 401], [200, 401], [401, 401]]),
        (&[(TRAFFIC, "OWN")], [[200, 401], [200, 200], [200, 200], [401, 401]]),
        (&[(TOKEN, "OWN")], [[200, 200], [200, 200], [200, 200], [200, 200]]),
        (&[(KEY, ADA)], [[200, 200], [200, 200], [200, 200], [200, 200]]),
        (&[(KEY, ADA), (TRAFFIC, "OWN")], [[200, 200], [200, 200], [200, 200], [200, 200]]),
        // A key of another caller gives nothing more.
        (&[(KEY, BOB)], [[200, 502], [200, 502], [200, 502], [502, 502]]),
        (&[(KEY, BOB), (TRAFFIC, "OWN")], [[200, 502], [200, 200], [200, 200], [502, 502]]),
        // A key or a bearer of an application.
        (&[(KEY, "of-the-page")], [[200, 401], [200, 401], [200, 401], [401, 401]]),
        (&[("authorization", "Bearer of-the-page")], [[200, 401], [200, 401], [200, 401], [401, 401]]),
        // At a program's port, this may be a token of the program's.
        (&[(TOKEN, "wrong")], [[401, 401], [401, 401], [200, 401], [401, 401]]),
        (&[(TRAFFIC, "wrong")], [[401, 401]; 4]),
        (&[(TOKEN, "OWN"), (TRAFFIC, "wrong")], [[401, 401]; 4]),
        (&[(KEY, ADA), (TOKEN, "wrong")], [[401, 401], [401, 401], [200, 200], [401, 401]]),
    ];
    for (shown, expected) in table {
        let mut statuses = Vec::new();
        for (route, sandboxes) in [
            (cell, [&opened, &closed]),
            (contexts, [&opened, &closed]),
            (page, [&public, &private]),
            (file, [&opened, &closed]),
        ] {
            let mut of_route = Vec::new();
            for sandbox in sandboxes {
                let mut request = bare(sandbox, true, route, "");
                for (name, value) in shown {
                    let own = if *name == TOKEN { &sandbox.token } else { &sandbox.traffic };
                    request = with(request, name, if *value == "OWN" { own } else { value });
                }
                of_route.push(client.send(request).await.status);
            }
            statuses.push([of_route[0], of_route[1]]);
        }
        assert_eq!(statuses, expected, "{shown:?}");
    }
    // Without configured keys each key is a caller, of no sandbox here.
    let client = Client::new();
    let public = client.create(open(false)).await;
    client.promote(&public).await;
    assert_eq!(client.send(with(bare(&public, true, page, ""), KEY, "of-the-page")).await.status, 200);
}
