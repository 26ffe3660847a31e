//! Channels: frames to and from one program.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Connection, Init, eventually, is_alive, within};

const CONTROL: u8 = 0;
const STDOUT: u8 = 1;
const STDIN: u8 = 1;
const CLOSE_STDIN: u8 = 2;
const END: u8 = 3;
const SIGNAL: u8 = 3;

const UPGRADE: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "switchtower-channel")];

struct Channel(Connection);

impl Init {
    async fn channel(&self, script: &str) -> Channel {
        let request = json!({ "program": "/bin/sh", "args": ["-c", script], "env": { "OWN": "o" }, "control": true });
        let (status, stream) =
            self.upgrade("POST /switchtower/channel", &UPGRADE, request.to_string().as_bytes()).await;
        assert_eq!(status, 101);
        Channel(stream)
    }
}

impl Channel {
    async fn send(&mut self, kind: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        within(self.0.write_all(&[&[kind], &length[..], payload].concat())).await.unwrap();
    }

    /// Returns the next frame; `None` at the end of the connection.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let kind = self.0.read_u8().await.ok()?;
            let mut payload = vec![0; self.0.read_u32().await.unwrap() as usize];
            self.0.read_exact(&mut payload).await.unwrap();
            Some((kind, payload))
        };
        within(read).await
    }

    /// Reads until what came in frames of a kind ends like this, and returns it.
    async fn until(&mut self, kind: u8, end: &str) -> String {
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            let (frame_kind, payload) = self.next().await.unwrap_or_else(|| panic!("no {end:?} in {all:?}"));
            if frame_kind == kind {
                all.extend(payload);
            }
        }
        String::from_utf8(all).unwrap()
    }

    /// Reads the rest, and returns what was in frames of a kind, and the end.
    async fn rest(&mut self, kind: u8) -> (Vec<u8>, Value) {
        let mut all = Vec::new();
        while let Some((frame_kind, payload)) = self.next().await {
            if frame_kind == END {
                assert_eq!(self.next().await, None, "the end is the last frame");
                return (all, serde_json::from_slice(&payload).unwrap());
            }
            if frame_kind == kind {
                all.extend(payload);
            }
        }
        panic!("the connection ended without an end of the program");
    }
}

#[tokio::test]
async fn what_was_written_before_a_report_arrives_before_it() {
    let init = Init::start();
    let script =
        "i=0; while [ $i -lt 300 ]; do printf \"o$i \"; printf \"e$i \" >&2; echo \"c$i\" >&3; i=$((i+1)); done";
    let mut channel = init.channel(script).await;
    let (mut output, mut reports) = (String::new(), 0);
    while let Some((kind, payload)) = channel.next().await {
        let text = String::from_utf8(payload).unwrap();
        if kind != CONTROL {
            output.push_str(&text);
            continue;
        }
        for report in text.lines() {
            let number = report.trim_start_matches('c');
            assert!(output.contains(&format!("o{number} ")) && output.contains(&format!("e{number} ")), "{report}");
            reports += 1;
        }
    }
    assert_eq!(reports, 300);
}

#[tokio::test]
async fn a_program_that_goes_on_writing_does_not_delay_its_reports() {
    let init = Init::start();
    let mut channel = init.channel("(while :; do echo noise; done) & echo report >&3; wait").await;
    assert_eq!(channel.until(CONTROL, "report\n").await, "report\n");
}

#[tokio::test]
async fn the_control_connection_goes_both_ways_and_any_bytes_arrive_whole() {
    let init = Init::start();
    let mut channel = init.channel("read line <&3; echo \"got $line $OWN\" >&3; cat; exit 7").await;
    channel.send(CONTROL, b"a line\n").await;
    assert_eq!(channel.until(CONTROL, "\n").await, "got a line o\n");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for piece in bytes.chunks(700_000) {
        channel.send(STDIN, piece).await;
        let mut received = Vec::new();
        while received.len() < piece.len() {
            let (kind, payload) = channel.next().await.unwrap();
            assert_eq!(kind, STDOUT);
            received.extend(payload);
        }
        assert!(received == piece);
    }
    channel.send(CLOSE_STDIN, b"").await;
    assert_eq!(channel.rest(STDOUT).await, (Vec::new(), json!({ "code": 7 })));
}

#[tokio::test]
async fn a_program_may_close_its_control_connection() {
    let init = Init::start();
    let mut channel = init.channel("exec 3>&-; echo closed; read line; echo $line; exit 5").await;
    channel.until(STDOUT, "closed\n").await;
    channel.send(CONTROL, b"for nobody\n").await;
    channel.send(STDIN, b"still\n").await;
    assert_eq!(channel.rest(STDOUT).await, (b"still\n".to_vec(), json!({ "code": 5 })));
}

#[tokio::test]
async fn a_signal_reaches_the_group_and_overtakes_what_is_not_read() {
    let init = Init::start();
    // A shell that starts a command misses a signal now and then; one that waits does not.
    let waits = "trap 'echo caught; exit 1' INT; sleep 100 >/dev/null 2>&1 3>&- & echo ready; wait";
    let mut channel = init.channel(waits).await;
    channel.until(STDOUT, "ready\n").await;
    for _ in 0..3 {
        channel.send(STDIN, &[b'x'; 1 << 20]).await;
    }
    channel.send(SIGNAL, &[2]).await;
    assert_eq!(channel.rest(STDOUT).await, (b"caught\n".to_vec(), json!({ "code": 1 })));
    let mut channel = init.channel("echo ready; sleep 100; true").await;
    channel.until(STDOUT, "ready\n").await;
    channel.send(SIGNAL, &[9]).await;
    assert_eq!(channel.rest(STDOUT).await.1, json!({ "signal": 9 }));
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_the_program() {
    let init = Init::start();
    let mut channel = init.channel("echo $$ >&3; while :; do echo line; done").await;
    let pid: u32 = channel.until(CONTROL, "\n").await.trim().parse().unwrap();
    let written = || {
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse::<u64>().unwrap()
    };
    let (mut last, mut same) = (0, 0);
    eventually("the program waits", || {
        let now = written();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same == 20
    })
    .await;
    assert!(last < 4 << 20, "{last}");
}

#[tokio::test]
async fn the_connections_end_kills_the_group() {
    let init = Init::start();
    let mut channel = init.channel("sleep 100 & echo $$ $! >&3; wait").await;
    let pids = channel.until(CONTROL, "\n").await;
    let pids: Vec<u32> = pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    drop(channel);
    eventually("the group has ended", || !pids.iter().any(|pid| is_alive(*pid))).await;
    // What is no frame ends the connection, too.
    let mut channel = init.channel("echo $$ >&3; sleep 100").await;
    let pid: u32 = channel.until(CONTROL, "\n").await.trim().parse().unwrap();
    channel.0.write_all(&[STDIN, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
    eventually("the program has ended", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_program_that_ends_takes_its_group_with_it_after_its_output() {
    let init = Init::start();
    let mut channel = init.channel("(sleep 100; echo never) & echo $!; exit 0").await;
    let (output, end) = channel.rest(STDOUT).await;
    let background: u32 = String::from_utf8(output).unwrap().trim().parse().unwrap();
    assert_eq!(end, json!({ "code": 0 }));
    eventually("the background has ended", || !is_alive(background)).await;
}

#[tokio::test]
async fn a_channel_that_cannot_be_is_refused() {
    let init = Init::start();
    let path = "POST /switchtower/channel";
    assert_eq!(init.upgrade(path, &[], b"{}").await.0, 426);
    for (request, named) in [
        (json!({}), "program"),
        (json!({ "program": "true", "cwd": "/nowhere" }), "cwd '/nowhere' does not exist"),
        (json!({ "program": "true", "user": "ada" }), "ada"),
    ] {
        let answer = init.call(path, &[UPGRADE[1]], request.to_string().as_bytes()).await;
        assert!(answer.status == 400 && answer.text().contains(named), "{} {}", answer.status, answer.text());
    }
}
