//! Programs: their output, their ends and their input.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::Machine;

fn by_pid(pid: u64) -> Value {
    json!({ "pid": pid })
}

#[tokio::test]
async fn a_program_has_its_streams_its_variables_and_its_end() {
    let machine = Machine::new();
    let more = json!({ "process": { "cmd": "/bin/sh", "args": ["-c", "echo $MACHINE $OWN; pwd; echo no >&2; exit 3"],
        "envs": { "OWN": "o" }, "cwd": "~" }, "stdin": false });
    let mut events = machine.start("", &more).await;
    assert!(events.pid().await > 0);
    let ran = events.rest().await;
    assert!(ran.stdout.starts_with("m o\n") && ran.stdout.trim_end().ends_with("/home/user"), "{ran:?}");
    let end = json!({ "exited": true, "status": "exit status 3", "exitCode": 3, "error": "exit status 3" });
    assert_eq!((ran.stderr.as_str(), ran.end), ("no\n", end));
    assert_eq!(
        machine.start("kill -SEGV $$", &json!({})).await.rest().await.end["status"],
        "signal: segmentation fault"
    );
    assert_eq!(
        machine.start(":", &json!({})).await.rest().await.end,
        json!({ "exited": true, "status": "exit status 0" })
    );
}

#[tokio::test]
async fn a_program_that_cannot_start_says_why() {
    let machine = Machine::new();
    let start = async |process: Value| machine.start("", &json!({ "process": process })).await;
    let ran = start(json!({ "cmd": "no-such-program" })).await.rest().await;
    assert_eq!(ran.end["exitCode"], 127);
    assert!(ran.stderr.contains("no-such-program") && ran.stderr.contains("not found"), "{ran:?}");
    for (process, named) in [
        (json!({ "cmd": "true", "cwd": "/nowhere" }), "cwd '/nowhere' does not exist"),
        (json!({ "cmd": "" }), "command"),
        (json!({ "cmd": "a\0b" }), "NUL"),
        (json!({ "cmd": "true", "envs": { "A=B": "c" } }), "A=B"),
    ] {
        let mut refused = start(process).await;
        assert_eq!(refused.next().await, None);
        assert_eq!(refused.error_code(), "invalid_argument");
        assert!(refused.end.unwrap()["message"].as_str().unwrap().contains(named));
    }
    let ada = [("authorization", format!("Basic {}", STANDARD.encode("ada:")))];
    let ada = ada.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut refused = machine.start_with("true", &json!({}), &ada).await;
    assert_eq!((refused.next().await, refused.error_code()), (None, "unauthenticated".to_owned()));
}

#[tokio::test]
async fn input_arrives_in_order_until_it_is_closed() {
    let machine = Machine::new();
    let mut events = machine.start("cat; echo closed", &json!({ "stdin": true, "tag": "cat" })).await;
    let pid = events.pid().await;
    let input = |text: &str| json!({ "stdin": STANDARD.encode(text) });
    let send = async |input: Value| {
        machine.call("/process.Process/SendInput", &json!({ "process": by_pid(pid), "input": input })).await
    };
    send(input("one ")).await.unwrap();
    assert_eq!(events.until("one ").await, "one ");
    let frames = [
        json!({ "start": { "process": { "tag": "cat" } } }),
        json!({ "data": { "input": input("two ") } }),
        json!({ "keepalive": {} }),
        json!({ "data": { "input": input("three") } }),
    ];
    let body: Vec<u8> = frames.iter().flat_map(switchtower_e2b_wire::connect::frame).collect();
    let streamed =
        machine.post("/process.Process/StreamInput", &[("content-type", "application/connect+json")], body).await;
    assert!(streamed.body.starts_with(b"\0\0\0\0\x02{}"), "{}", streamed.text());
    assert_eq!(events.until("three").await, "two three");
    assert_eq!(send(json!({ "pty": "" })).await.unwrap_err().0, "internal");
    machine.call("/process.Process/CloseStdin", &json!({ "process": by_pid(pid) })).await.unwrap();
    assert_eq!(events.rest().await.stdout, "closed\n");
    assert_eq!(
        send(input("x")).await.unwrap_err(),
        ("not_found".to_owned(), format!("process with pid {pid} not found"))
    );
    let mut deaf = machine.start("read line || echo none; sleep 100", &json!({})).await;
    let pid = deaf.pid().await;
    assert_eq!(deaf.until("none").await, "none\n");
    let message = json!({ "process": by_pid(pid), "input": input("x") });
    let (code, message) = machine.call("/process.Process/SendInput", &message).await.unwrap_err();
    assert_eq!((code.as_str(), message.as_str()), ("internal", "error writing to stdin: stdin not enabled or closed"));
}

#[tokio::test]
async fn a_listed_program_is_shown_as_it_was_started_and_ends_by_a_signal() {
    let machine = Machine::new();
    let process = json!({ "cmd": "/bin/sh", "args": ["-c", "sleep 100; true"], "envs": { "A": "b" }, "cwd": "/" });
    let mut events = machine.start("", &json!({ "process": process, "tag": "t" })).await;
    let pid = events.pid().await;
    let list = machine.call("/process.Process/List", &json!({})).await.unwrap();
    assert_eq!(list, json!({ "processes": [{ "config": process, "pid": pid, "tag": "t" }] }));
    let signal = async |signal: &str| {
        machine.call("/process.Process/SendSignal", &json!({ "process": { "tag": "t" }, "signal": signal })).await
    };
    assert_eq!(signal("SIGNAL_UNSPECIFIED").await.unwrap_err().0, "unimplemented");
    signal("SIGNAL_SIGTERM").await.unwrap();
    let end = json!({ "status": "signal: terminated", "exitCode": -1, "error": "signal: terminated" });
    assert_eq!(events.rest().await.end, end);
    assert_eq!(signal("SIGNAL_SIGKILL").await.unwrap_err().0, "not_found");
    assert_eq!(machine.call("/process.Process/List", &json!({})).await.unwrap(), json!({ "processes": [] }));
}

#[tokio::test]
async fn a_terminal_has_a_size_and_one_stream() {
    let machine = Machine::new();
    let script = "stty size; echo $TERM >&2; read line; stty size; tty | cut -c1-8";
    let more = json!({ "pty": { "size": { "cols": 100, "rows": 30 } } });
    let mut events = machine.start(script, &more).await;
    let pid = events.pid().await;
    assert_eq!(events.until("xterm-256color\r\n").await, "30 100\r\nxterm-256color\r\n");
    let update = json!({ "process": by_pid(pid), "pty": { "size": { "cols": 90, "rows": 20 } } });
    machine.call("/process.Process/Update", &update).await.unwrap();
    let input = json!({ "process": by_pid(pid), "input": { "pty": STANDARD.encode("go\n") } });
    machine.call("/process.Process/SendInput", &input).await.unwrap();
    let ran = events.rest().await;
    assert_eq!((ran.terminal.as_str(), ran.stdout.as_str()), ("go\r\n20 90\r\n/dev/pts\r\n", ""));
    let mut plain = machine.start("sleep 100", &json!({})).await;
    let update = json!({ "process": by_pid(plain.pid().await), "pty": { "size": { "cols": 90, "rows": 20 } } });
    let (code, message) = machine.call("/process.Process/Update", &update).await.unwrap_err();
    assert_eq!((code.as_str(), message.as_str()), ("internal", "error resizing tty: tty not assigned to process"));
}

#[tokio::test]
async fn what_init_sets_is_used_where_a_call_says_nothing() {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.path("/project")).unwrap();
    let sent = json!({ "envVars": { "A": "1" }, "defaultWorkdir": "/project", "accessToken": "x" });
    assert_eq!(machine.post("/init", &[], sent.to_string()).await.status, 204);
    assert_eq!(machine.get("/envs", &[]).await.json(), json!({ "A": "1", "MACHINE": "m" }));
    let ran = machine.start("echo $A; pwd", &json!({})).await.rest().await;
    assert!(ran.stdout.starts_with("1\n") && ran.stdout.trim_end().ends_with("/project"), "{ran:?}");
    assert_eq!(machine.post("/init", &[], json!({ "envVars": {} }).to_string()).await.status, 204);
    assert_eq!(machine.get("/envs", &[]).await.json(), json!({ "MACHINE": "m" }));
    assert_eq!(machine.post("/init", &[], "{").await.status, 400);
    assert_eq!(machine.get("/health", &[]).await.status, 204);
    assert!(machine.get("/metrics", &[]).await.json()["mem_total"].as_u64().unwrap() > 0);
    assert_eq!(
        (machine.get("/x", &[]).await.status, machine.get("/init", &[]).await.status),
        (404.try_into().unwrap(), 405.try_into().unwrap())
    );
}
