//! Readers of a program: several, late, slow, and with an end of their own.

use serde_json::{Value, json};

use crate::harness::{Machine, eventually};

const CONNECT: &str = "/process.Process/Connect";

fn is_running(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

#[tokio::test]
async fn a_program_outlives_its_readers_and_a_late_one_gets_its_end() {
    let machine = Machine::new();
    let mut first = machine.start("read line; echo $line; exit 4", &json!({ "stdin": true, "tag": "t" })).await;
    let pid = first.pid().await;
    drop(first);
    let mut second = machine.stream(CONNECT, &[], &json!({ "process": { "pid": pid } })).await;
    let mut third = machine.stream(CONNECT, &[], &json!({ "process": { "tag": "t" } })).await;
    assert_eq!((second.pid().await, third.pid().await), (pid, pid));
    let input = json!({ "process": { "pid": pid }, "input": { "stdin": "aGkK" } });
    machine.call("/process.Process/SendInput", &input).await.unwrap();
    for ran in [second.rest().await, third.rest().await] {
        assert_eq!((ran.stdout.as_str(), &ran.end["exitCode"]), ("hi\n", &json!(4)));
    }
    let mut late = machine.stream(CONNECT, &[], &json!({ "process": { "tag": "t" } })).await;
    assert_eq!((late.pid().await, &late.rest().await.end["exitCode"]), (pid, &json!(4)));
    let mut missing = machine.stream(CONNECT, &[], &json!({ "process": { "pid": 999_999_999 } })).await;
    assert_eq!((missing.next().await, missing.error_code()), (None, "not_found".to_owned()));
}

#[tokio::test]
async fn output_of_what_was_started_in_the_background_belongs_to_the_program() {
    let machine = Machine::new();
    let ran = machine.start("(sleep 0.2; echo later) & echo now", &json!({})).await.rest().await;
    assert_eq!((ran.stdout.as_str(), &ran.end["exited"]), ("now\nlater\n", &json!(true)));
    // A signal ends the wait, not what was started.
    let mut events = machine.start("sleep 100 & echo $!", &json!({})).await;
    let pid = events.pid().await;
    let background: u64 = events.until("\n").await.trim().parse().unwrap();
    eventually("the program has ended", || !is_running(pid)).await;
    let kill = json!({ "process": { "pid": pid }, "signal": "SIGNAL_SIGKILL" });
    machine.call("/process.Process/SendSignal", &kill).await.unwrap();
    assert_eq!(events.rest().await.end["exited"], true);
    assert!(is_running(background));
    let killed = rustix::process::Pid::from_raw(i32::try_from(background).unwrap()).unwrap();
    rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn the_time_out_of_a_start_kills_the_program_and_that_of_an_attached_reader_only_the_stream() {
    let machine = Machine::new();
    let mut events = machine.start_with("sleep 100; true", &json!({}), &[("connect-timeout-ms", "600")]).await;
    let pid = events.pid().await;
    let mut reader =
        machine.stream(CONNECT, &[("connect-timeout-ms", "50")], &json!({ "process": { "pid": pid } })).await;
    reader.rest().await;
    assert_eq!(reader.error_code(), "deadline_exceeded");
    assert!(is_running(pid));
    assert_eq!((events.rest().await.end, events.error_code()), (Value::Null, "deadline_exceeded".to_owned()));
    assert!(!is_running(pid));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_gives_a_sign_of_life_at_the_interval_of_its_client() {
    let machine = Machine::new();
    let mut events = machine.start_with("sleep 100", &json!({}), &[("keepalive-ping-interval", "7")]).await;
    events.pid().await;
    let before = tokio::time::Instant::now();
    assert_eq!(events.next().await, Some(json!({ "event": { "keepalive": {} } })));
    assert_eq!(before.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_the_program_and_a_program_has_few_readers() {
    let machine = Machine::new();
    let mut events = machine.start("while :; do echo line; done", &json!({})).await;
    let pid = events.pid().await;
    let written = || {
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse::<u64>().unwrap()
    };
    let (mut last, mut same) = (0, 0);
    eventually("the program waits", || {
        let now = written();
        same = if now == last && now > 1000 { same + 1 } else { 0 };
        last = now;
        same == 20
    })
    .await;
    // As much as its pipe and the buffered events have, and no more.
    assert!(last < 2 << 20, "{last}");
    let mut readers = Vec::new();
    let refused = loop {
        let mut reader = machine.stream(CONNECT, &[], &json!({ "process": { "pid": pid } })).await;
        if reader.next().await.is_none() {
            break reader;
        }
        readers.push(reader);
    };
    assert_eq!((readers.len(), refused.error_code()), (63, "resource_exhausted".to_owned()));
}

#[tokio::test]
async fn all_programs_end_with_the_daemon_and_connections_break() {
    let machine = Machine::new();
    let mut events = machine.start("sleep 100; true", &json!({})).await;
    let pid = events.pid().await;
    machine.daemon.disconnect();
    assert_eq!((events.next().await, events.end), (None, None));
    assert!(is_running(pid));
    drop(machine);
    eventually("the program has ended", || !is_running(pid)).await;
}
