//! The native tier on the whole request path, with real processes: the programs that are routed to it, those that escalate to it
//! and from it, and the report of its absence.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::harness::{Alias, harness, scratch_of, wait_until};
use crate::fairness::assert_fair;
use crate::server::{Server, StandIn, switchtower};

async fn start(stand_in: Option<&StandIn>, folder: &Path) -> Server {
    start_workers(stand_in, folder, "1").await
}

async fn start_workers(stand_in: Option<&StandIn>, folder: &Path, workers: &str) -> Server {
    let folder = folder.to_str().unwrap();
    let variables = [
        ("SWITCHTOWER_NATIVE_ENABLED", "true"),
        ("SWITCHTOWER_NATIVE_FOLDER", folder),
        ("SWITCHTOWER_NATIVE_WORKERS", workers),
        ("SWITCHTOWER_NATIVE_KERNEL_WORKERS", "1"),
    ];
    Server::start_with(stand_in, &variables).await
}

async fn execute(server: &Server, body: Value) -> Value {
    let (status, answer) = server.call("POST", "/v1/execute", None, body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn answer(server: &Server, code: &str) -> Value {
    execute(server, json!({ "code": code })).await
}

/// Returns the attempts as `tier outcome`, in order.
fn attempts(answer: &Value) -> Vec<String> {
    let attempts = answer["attempts"].as_array().unwrap().iter();
    attempts.map(|it| format!("{} {}", it["tier"].as_str().unwrap(), it["outcome"].as_str().unwrap())).collect()
}

/// Every test has processes of its own, all started by one path.
async fn server_with_alias(name: &str, stand_in: Option<&StandIn>) -> Option<(Alias, Server)> {
    let alias = harness()?.alias(name);
    let server = start(stand_in, alias.folder()).await;
    Some((alias, server))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_start_on_the_cheapest_tier_and_move_on_when_they_need_more() {
    let stand_in = StandIn::start().await;
    let Some((alias, server)) = server_with_alias("line", Some(&stand_in)).await else { return };

    let pandas = answer(&server, "import pandas as pd\nprint(pd.DataFrame({'a': [1, 2]}).a.sum())").await;
    assert_eq!((pandas["tier"].as_str(), pandas["stdout"].as_str()), (Some("native"), Some("3\n")), "{pandas}");
    assert_eq!(pandas["decision"]["reason"], "tier wasm does not provide module pandas: runs in native");

    let plain = answer(&server, "print(1 + 1)").await;
    assert_eq!(plain["tier"], "wasm", "{plain}");

    // By its text it would run for years.
    let heavy =
        "for a in range(10**9):\n    for b in range(10**9):\n        if b > 2: break\n    if a > 2: break\nprint(a, b)";
    let heavy = answer(&server, heavy).await;
    assert_eq!((heavy["tier"].as_str(), heavy["exit"].as_str()), (Some("native"), Some("finished")), "{heavy}");
    assert!(heavy["decision"]["reason"].as_str().unwrap().starts_with("heavy computation"), "{heavy}");

    let floor = execute(&server, json!({ "code": "import numpy\nprint('there')", "isolation": "wasm" })).await;
    assert_ne!(floor["tier"], "native", "an isolation floor holds: {floor}");

    let found = answer(&server, "print(__import__('num' + 'py').arange(4).sum())").await;
    assert_eq!(found["stdout"], "6\n", "{found}");
    assert_eq!(attempts(&found), ["wasm unsupported", "native finished"]);

    let database = "import sqlite3\nc = sqlite3.connect('d.db')\nc.execute('create table t(a)')\nprint(c.execute('select count(*) from t').fetchone())";
    let database = answer(&server, database).await;
    assert_eq!(
        (attempts(&database), database["stdout"].as_str()),
        (vec!["wasm unsupported".to_owned(), "native finished".to_owned()], Some("(0,)\n"))
    );
    let looped =
        "import asyncio\nasync def five():\n    await asyncio.sleep(0)\n    return 5\nprint(asyncio.run(five()))";
    let looped = execute(&server, json!({ "code": looped, "tier": "e2b" })).await;
    assert_eq!(looped["stdout"], "5\n", "a program is a script there too: {looped}");

    // It asks pip for what is there, as agents do first.
    let install = "import subprocess, sys\ndef install(name):\n    \
                   subprocess.check_call([sys.executable, '-m', 'pip', 'install', '-q', name])\n\
                   install('numpy')\nprint(__import__('numpy').arange(4).sum())";
    let install = answer(&server, install).await;
    assert_eq!((install["tier"].as_str(), install["stdout"].as_str()), (Some("native"), Some("6\n")), "{install}");
    // The guest finds out during the run.
    let hidden = "command = ['pip', 'show', 'numpy']\n__import__('subprocess').run(command, check=True)";
    let hidden = execute(&server, json!({ "code": format!("exec({hidden:?})") })).await;
    assert_eq!(attempts(&hidden), ["wasm unsupported", "native finished"], "{hidden}");
    let missing = answer(&server, "import os\nos.system('pip install no-such-package-here')").await;
    assert_eq!(attempts(&missing), ["native unsupported", "e2b finished"], "{missing}");

    let network = "import threading\nu = __import__('url' + 'lib.request').request\ndef asks():\n    \
                   try: u.urlopen('http://127.0.0.1:9/')\n    \
                   except OSError: print('asked')\nt = threading.Thread(target=asks); t.start(); t.join()";
    let network = answer(&server, network).await;
    assert_eq!(attempts(&network), ["native unsupported", "e2b finished"], "{network}");

    server.signal("-TERM");
    server.wait_for_log();
    wait_until("nothing is left", || alias.processes().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_programs_of_other_callers_do_not_delay_a_small_one() {
    let Some(harness) = harness() else { return };
    let slots = ("SWITCHTOWER_TIERS_NATIVE_QUEUE_SLOTS", "1");
    let extra_slots = ("SWITCHTOWER_TIERS_NATIVE_QUEUE_EXTRA_SLOTS", "2");
    for (set, callers) in [(None, 1), (Some(slots), 1), (Some(extra_slots), 2)] {
        let alias = harness.alias("fair");
        let folder = alias.folder().to_str().unwrap();
        let mut variables = vec![
            ("SWITCHTOWER_NATIVE_ENABLED", "true"),
            ("SWITCHTOWER_NATIVE_FOLDER", folder),
            ("SWITCHTOWER_NATIVE_KERNEL_WORKERS", "1"),
        ];
        variables.extend(set);
        let server = Server::start_with_default_workers(&variables).await;
        assert_fair(&server, "native", callers).await;
        server.signal("-TERM");
        server.wait_for_log();
        wait_until("nothing is left", || alias.processes().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_cached_if_two_workers_agree() {
    let Some(harness) = harness() else { return };
    let alias = harness.alias("kept");
    let server = start_workers(None, alias.folder(), "2").await;
    let seeded = "import numpy as np\nprint(np.random.default_rng(7).random())";
    let unseeded = "import numpy as np\nprint(np.random.default_rng().random())";
    for (code, again) in [(seeded, "hit"), (unseeded, "miss")] {
        let (first, second) = (answer(&server, code).await, answer(&server, code).await);
        let third = answer(&server, code).await;
        for ran in [&first, &second] {
            assert_eq!((ran["tier"].as_str(), ran["cache"].as_str()), (Some("native"), Some("miss")), "{ran}");
        }
        let stored = |proven: &'static str| if again == "hit" { proven } else { "no" };
        assert_eq!((&first["stored"], &second["stored"]), (&json!(stored("candidate")), &json!(stored("kept"))));
        assert_eq!((&first["pure"], &second["pure"]), (&json!(false), &json!(again == "hit")));
        assert_eq!(third["cache"], again, "{third}");
        assert_eq!(first["stdout"] == third["stdout"], again == "hit");
    }
    server.signal("-TERM");
    server.wait_for_log();
    wait_until("nothing is left", || alias.processes().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_no_process_and_the_next_one_removes_its_folder() {
    let Some((alias, server)) = server_with_alias("swept", None).await else { return };
    assert_eq!(answer(&server, "import numpy\nprint(1)").await["tier"], "native");
    let scratch = scratch_of(alias.processes()[0]);
    assert!(scratch.exists());
    server.signal("-KILL");
    server.wait_for_log();
    wait_until("no process is left", || alias.processes().is_empty()).await;

    let next = start(None, alias.folder()).await;
    assert!(!scratch.exists(), "{}", scratch.display());
    assert_eq!(answer(&next, "import numpy\nprint(1)").await["tier"], "native");
    let scratch = scratch_of(alias.processes()[0]);
    next.signal("-TERM");
    next.wait_for_log();
    wait_until("nothing is left", || alias.processes().is_empty() && !scratch.exists()).await;
}

/// Runs a cell.
async fn cell(server: &Server, session: &str, code: &str) -> Value {
    let path = format!("/v1/sessions/{session}/execute");
    let (status, answer) = server.call("POST", &path, None, json!({ "code": code })).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_to_the_tier_when_a_cell_needs_it_and_keeps_its_names() {
    let Some((alias, server)) = server_with_alias("session", None).await else { return };
    let (status, session) = server.call("POST", "/v1/sessions", None, json!({})).await;
    assert_eq!(status, 201, "{session}");
    let session = session["id"].as_str().unwrap();

    let pure = "import random\nx = [1, 2]\ny = x\ndrawn = random.random()\nopen('kept.csv', 'w').write('a\\n3\\n')";
    let first = cell(&server, session, pure).await;
    assert_eq!((first["tier"].as_str(), first["exit"].as_str()), (Some("wasm"), Some("finished")), "{first}");
    let drawn = cell(&server, session, "drawn").await;

    let pandas = "import pandas as pd\nx.append(int(pd.read_csv('kept.csv').a.sum()))\ny";
    let second = cell(&server, session, pandas).await;
    assert_eq!(second["tier"], "native", "{second}");
    assert_eq!(second["results"][0]["data"]["text/plain"], "[1, 2, 3]", "{second}");

    let third = cell(&server, session, "drawn").await;
    assert_eq!(third["tier"], "native", "{third}");
    assert_eq!(third["results"], drawn["results"], "the random value is transferred");
    let fourth = cell(&server, session, "df = pd.DataFrame({'a': x})\ndf").await;
    assert!(fourth["results"][0]["data"]["text/html"].as_str().is_some_and(|html| html.contains("<table")), "{fourth}");
    assert_eq!(cell(&server, session, "int(df.a.sum())").await["results"][0]["data"]["text/plain"], "6");

    server.signal("-TERM");
    server.wait_for_log();
    wait_until("nothing is left", || alias.processes().is_empty()).await;
}

fn command(arguments: &[&str], folder: &Path) -> Output {
    let mut command = switchtower(None);
    command.env("SWITCHTOWER_NATIVE_ENABLED", "true").env("SWITCHTOWER_NATIVE_FOLDER", folder);
    command.args(arguments).output().unwrap()
}

#[test]
fn the_run_command_uses_the_tier_without_a_server() {
    let Some(harness) = harness() else { return };
    let alias = harness.alias("command");
    let ran = command(&["run", "-c", "import numpy as np\nprint(np.arange(4).sum())"], alias.folder());
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!((ran.status.code(), &*out), (Some(0), "6\n"), "{err}");
    assert!(
        err.contains("switchtower: ran in native, ") && err.contains("tier wasm does not provide module numpy"),
        "{err}"
    );
    assert_eq!(alias.processes(), [] as [u32; 0]);
    // A program that does not need the tier does not start it.
    let ran = command(&["run", "-c", "print(1)"], alias.folder());
    assert!(String::from_utf8_lossy(&ran.stderr).contains("ran in wasm"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unusable_tier_is_absent_with_its_reason_and_how_to_fix_it() {
    let empty = tempfile::tempdir().unwrap();
    let mut cases = vec![(None, empty.path().join("nothing"), "it is not installed in")];
    if let Some(harness) = harness() {
        let alias = harness.alias("broken");
        let worker = alias.folder().join("switchtower-native");
        std::fs::remove_file(&worker).unwrap();
        std::os::unix::fs::symlink("/bin/false", &worker).unwrap();
        let folder = alias.folder().to_owned();
        cases.push((Some(alias), folder, "the worker ended before it was ready"));

        let alias = harness.alias("manifest-of-another-protocol");
        let path = alias.folder().join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        (manifest["protocol"], manifest["version"]) = (json!(1000), json!("9.9.9"));
        std::fs::write(&path, manifest.to_string()).unwrap();
        let folder = alias.folder().to_owned();
        cases.push((Some(alias), folder, "the worker (version 9.9.9) uses protocol 1000"));

        // The ready report that workers sent before there were protocol versions.
        let alias = harness.alias("worker-before-protocols");
        let worker = alias.folder().join("switchtower-native");
        std::fs::remove_file(&worker).unwrap();
        std::fs::write(&worker, "#!/bin/sh\nprintf '\\002\\000\\000\\000\\000\\000' >&0\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(&worker, Permissions::from_mode(0o755)).unwrap();
        let folder = alias.folder().to_owned();
        cases.push((Some(alias), folder, "the worker is older than protocol versions"));
    }
    for (_alias, folder, reason) in cases {
        let server = start(None, &folder).await;
        let (_, health) = server.call("GET", "/health", None, Value::Null).await;
        let text = health.to_string();
        assert!(text.contains(reason), "{text}");
        let numpy = answer(&server, "import numpy").await;
        assert_eq!(
            (numpy["tier"].as_str(), numpy["error"]["name"].as_str()),
            (Some("wasm"), Some("ModuleNotFoundError"))
        );
        server.signal("-TERM");
        server.wait_for_log();

        let report = command(&["doctor"], &folder);
        let report = String::from_utf8_lossy(&report.stdout).into_owned();
        assert!(report.contains(reason) && report.contains("install.py"), "{report}");
    }
}
