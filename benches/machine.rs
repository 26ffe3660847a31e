//! The costs of local machines in each runtime that is installed: the time of `open` with a first command, of a next command and
//! of the end, and the memory of idle machines, 100 at once; beside `bash -c true` on the host.
//!
//! `cargo bench --bench machine`. Values are medians.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod measure;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::Request;
use switchtower_contract::{Backend, Language, Machine, Sandbox, Spec};
use switchtower_machine::{Config, Machines, RuntimeChoice};
use tokio::runtime::Runtime;

use measure::{machine, median};

const RUNS: usize = 50;
const ALIVE: usize = 100;

fn main() {
    println!("{}", machine());
    let host = (0..RUNS).map(|_| {
        let began = Instant::now();
        let status = Command::new("/bin/bash").args(["-c", "true"]).stdin(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()));
        began.elapsed()
    });
    println!("bash -c true on the host: {}", shown(host.collect()));
    let runtime = Runtime::new().expect("a runtime starts");
    for choice in
        [RuntimeChoice::BuiltIn, RuntimeChoice::Program("runc".into()), RuntimeChoice::Program("runsc".into())]
    {
        runtime.block_on(measure(choice));
    }
}

async fn measure(choice: RuntimeChoice) {
    let name = match &choice {
        RuntimeChoice::BuiltIn => "built-in".to_owned(),
        RuntimeChoice::Strongest => "the strongest one".to_owned(),
        RuntimeChoice::Program(program) => program.display().to_string(),
    };
    let scratch = tempfile::tempdir().expect("a folder is made");
    let config =
        Config { runtime: choice, scratch: scratch.path().to_owned(), max_machines: ALIVE, ..Config::default() };
    let started = async {
        let machines = Machines::new(config)?;
        machines.ensure_started().await.map(|()| machines)
    };
    let machines = match started.await {
        Ok(machines) => machines,
        Err(error) => return println!("{name}: skipped: {error}"),
    };
    let (mut firsts, mut nexts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let began = Instant::now();
        let sandbox = open(&machines).await;
        let machine = sandbox.machine().expect("a sandbox is a machine");
        run_true(&*machine).await;
        firsts.push(began.elapsed());
        let began = Instant::now();
        run_true(&*machine).await;
        nexts.push(began.elapsed());
        let began = Instant::now();
        drop(sandbox);
        ends.push(began.elapsed());
    }
    println!("{name}: open and a first true: {}", shown(firsts));
    println!("{name}: a next true: {}", shown(nexts));
    println!("{name}: the end, as its owner waits for it: {}", shown(ends));
    let mut alive = Vec::new();
    let began = Instant::now();
    for _ in 0..ALIVE {
        let sandbox = open(&machines).await;
        run_true(&*sandbox.machine().expect("a sandbox is a machine")).await;
        alive.push(sandbox);
    }
    println!("{name}: {ALIVE} machines alive after {:.1} s", began.elapsed().as_secs_f64());
    let mark = scratch.path().display().to_string();
    let outside = processes(|line| line.contains(&mark));
    let inside = processes(|line| line.starts_with("/run/switchtower/init serve"));
    let per_machine = |processes: &[String]| {
        processes.iter().map(|process| private(process)).sum::<u64>() as f64 / ALIVE as f64 / 1e3
    };
    println!(
        "{name}: private memory of one: {:.2} MB outside ({} processes), {:.2} MB inside; {}",
        per_machine(&outside) / 1000.0,
        outside.len(),
        per_machine(&inside) / 1000.0,
        groups(inside.first().map_or("", String::as_str)),
    );
}

async fn open(machines: &Machines) -> Box<dyn Sandbox> {
    machines.open(&Spec::new(Language::Bash)).await.expect("a machine opens")
}

/// Runs `true` in a machine, as a client of E2B does.
async fn run_true(machine: &dyn Machine) {
    let message = br#"{"process":{"cmd":"/bin/bash","args":["-c","true"]}}"#;
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).expect("it is short"));
    body.put_slice(message);
    let request = Request::post("/process.Process/Start").header("content-type", "application/connect+json");
    let answer = machine.call(49983, request.body(body.freeze()).expect("the request is valid")).await;
    let pieces: Vec<_> = answer.expect("the machine answers").into_body().collect().await;
    let text: Vec<Bytes> = pieces.into_iter().map(|piece| piece.expect("the answer is whole")).collect();
    assert!(String::from_utf8_lossy(&text.concat()).contains("exit status 0"));
}

/// Returns the processes of this host whose command line passes.
fn processes(is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let numbers = numbers.filter(|name| name.bytes().all(|it| it.is_ascii_digit()));
    let line = |number: &String| std::fs::read_to_string(format!("/proc/{number}/cmdline")).unwrap_or_default();
    let own = std::process::id().to_string();
    numbers.filter(|number| *number != own && is_wanted(&line(number).replace('\0', " "))).collect()
}

/// Returns the bytes of a process that no other one has.
fn private(process: &str) -> u64 {
    let table = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let lines = table.lines().filter(|line| line.starts_with("Private_"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>() << 10
}

/// Returns what the control group of a process uses, with the kernel's objects.
fn groups(process: &str) -> String {
    let table = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
    let group = |controller: &str| {
        table.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(controller).map(str::to_owned))
    };
    let used = |path: String| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let first = group("memory:").and_then(|path| used(format!("/sys/fs/cgroup/memory{path}/memory.usage_in_bytes")));
    let second = group(":").and_then(|path| used(format!("/sys/fs/cgroup{path}/memory.current")));
    first.or(second).map_or_else(String::new, |bytes| format!("{:.2} MB in its group", bytes as f64 / 1e6))
}

fn shown(mut times: Vec<Duration>) -> String {
    format!("{:.2} ms", median(&mut times).as_secs_f64() * 1e3)
}
