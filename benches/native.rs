//! The time to run a program in the scientific tier: with a prewarmed child, with one forked on demand, compared with a
//! long-lived interpreter, and with two workers; and the memory of idle children.
//!
//! `cargo bench --bench native`, if the tier is installed (`SWITCHTOWER_NATIVE_FOLDER` names a folder other than the default).
//! Compared values are medians measured in the same run, because machines are noisy.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod measure;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use switchtower_contract::{Backend, Events, Exit, Language, Limits, Program, Sandbox, Spec};
use switchtower_native::JailProfile;
use switchtower_native::{Config, Installation, Native};
use tokio::runtime::Runtime;

use measure::{machine, median};

const SUM: &str = "print(1+1)";
/// The first cell of a data analyst, imports included.
const GROUPBY: &str = "import numpy as np, pandas as pd
df = pd.DataFrame({'k': np.arange(100000) % 97, 'v': np.arange(100000) * 0.5})
print(df.groupby('k').v.agg(['mean', 'sum', 'std']).head(2))
";
/// About 30 ms on the machine on which it was written.
const COMPUTES: &str = "print(sum(i * i % 7 for i in range(400_000)))";
const PYTHON: Spec = Spec::new(Language::Python);
const RUNS: usize = 300;

fn main() {
    println!("{}", machine());
    let folder = std::env::var_os("SWITCHTOWER_NATIVE_FOLDER").map(PathBuf::from);
    let installation = match Installation::locate(folder.as_deref()) {
        Ok(installation) => installation,
        Err(missing) => return println!("skipped: {missing}; {}", missing.remedy),
    };
    let runtime = Runtime::new().expect("a runtime can be made");
    for profile in [JailProfile::Full, JailProfile::Reduced] {
        println!("\nprofile {profile:?}");
        runtime.block_on(measure(&installation, profile));
    }
}

async fn measure(installation: &Installation, profile: JailProfile) {
    let size = |workers, prewarmed| Config {
        workers,
        kernel_workers: 0,
        prewarmed,
        profile: Some(profile),
        ..Config::default()
    };
    let started = Instant::now();
    let Some(native) = start(installation, size(1, 4)).await else { return };
    println!("worker ready with all packages, self-test included: {:?} (target 2 s)", started.elapsed());
    let pause = Duration::from_millis(25);
    let mut ready = times(&native, SUM, pause).await;
    println!("{SUM}, prewarmed child: p50 {:?} (target 2.5 ms)", median(&mut ready));
    let mut grouped = times(&native, GROUPBY, pause).await;
    let mut alone = interpreter(installation);
    let (tier, interpreter) = (median(&mut grouped), median(&mut alone));
    println!(
        "groupby of 100k rows: p50 {tier:?}, in a long-lived interpreter {interpreter:?}, ratio {:.2} (target 2)",
        tier.as_secs_f64() / interpreter.as_secs_f64()
    );
    idle().await;
    let (one, computing) = (throughput(&native, 1, SUM).await, throughput(&native, 1, COMPUTES).await);
    native.shutdown().await;

    let few = ["numpy", "pandas"].map(str::to_owned).to_vec();
    for (what, preload) in [("numpy and pandas", few), ("all packages", size(1, 0).preload)] {
        let started = Instant::now();
        let Some(native) = start(installation, Config { preload, ..size(1, 0) }).await else { return };
        println!("with {what} loaded: ready after {:?}, self-test included", started.elapsed());
        let mut forked = times(&native, SUM, Duration::ZERO).await;
        println!("{SUM}, forked on demand with {what} loaded: p50 {:?} (target 6 ms)", median(&mut forked));
        native.shutdown().await;
    }

    let Some(native) = start(installation, size(2, 4)).await else { return };
    for (what, source, one) in [("1+1", SUM, one), ("30 ms of computing", COMPUTES, computing)] {
        let two = throughput(&native, 2, source).await;
        println!("programs a second ({what}): one worker {one:.0}, two {two:.0}, ratio {:.2} (target 1.7)", two / one);
    }
    native.shutdown().await;
}

async fn start(installation: &Installation, size: Config) -> Option<Arc<Native>> {
    let native = Native::new(installation.clone(), size);
    match native.ensure_started().await {
        Ok(()) => Some(Arc::new(native)),
        Err(error) => {
            println!("not available: {error}");
            None
        }
    }
}

async fn run(sandbox: &mut dyn Sandbox, program: &Program) {
    let (events, mut output) = Events::channel();
    let listening = tokio::spawn(async move { while output.recv().await.is_some() {} });
    let limits = Limits { memory: 512 << 20, ..Limits::default() };
    let outcome = sandbox.run(program, &limits, &events).await.expect("the program runs");
    assert_eq!(outcome.exit, Exit::Finished(0));
    drop(events);
    listening.await.expect("listening does not panic");
}

/// Returns the times of `RUNS` programs. `pause` between two programs is the time to fork the next child.
async fn times(native: &Arc<Native>, source: &str, pause: Duration) -> Vec<Duration> {
    let program = Program::python(source);
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        tokio::time::sleep(pause).await;
        let started = Instant::now();
        let mut sandbox = native.open(&PYTHON).await.expect("a worker is free");
        run(sandbox.as_mut(), &program).await;
        times.push(started.elapsed());
    }
    times
}

async fn throughput(native: &Arc<Native>, callers: usize, source: &'static str) -> f64 {
    let started = Instant::now();
    let calling: Vec<_> = (0..callers)
        .map(|_| {
            let native = Arc::clone(native);
            tokio::spawn(async move {
                let program = Program::python(source);
                for _ in 0..RUNS {
                    let mut sandbox = native.open(&PYTHON).await.expect("a worker is free");
                    run(sandbox.as_mut(), &program).await;
                }
            })
        })
        .collect();
    for caller in calling {
        caller.await.expect("callers do not panic");
    }
    (callers * RUNS) as f64 / started.elapsed().as_secs_f64()
}

/// Measures the same Python with the same packages without Switchtower: one process runs the program again and again.
fn interpreter(installation: &Installation) -> Vec<Duration> {
    const LOOP: &str = "import sys, time, io\nsource = compile(sys.argv[1], '<program>', 'exec')\n\
        for line in sys.stdin:\n    began = time.perf_counter()\n    held, sys.stdout = sys.stdout, io.StringIO()\n    \
        exec(source, {'__name__': '__main__'})\n    sys.stdout = held\n    print(time.perf_counter() - began, flush=True)\n";
    let mut child = Command::new(installation.interpreter())
        .args(["-c", LOOP, GROUPBY])
        .env("PYTHONPATH", installation.folder().join("site"))
        .env("OPENBLAS_NUM_THREADS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the installation's Python starts");
    let (mut requests, mut answers) =
        (child.stdin.take().expect("piped"), BufReader::new(child.stdout.take().expect("piped")));
    let mut times = Vec::new();
    for _ in 0..50 {
        writeln!(requests).expect("it reads");
        let mut line = String::new();
        answers.read_line(&mut line).expect("it answers");
        times.push(Duration::from_secs_f64(line.trim().parse().expect("a time")));
    }
    drop(requests);
    child.wait().expect("it ends");
    times
}

/// Prints the private memory of idle children, the cost of one more of them.
async fn idle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
    let own = std::process::id().to_string();
    let parents: Vec<(String, String)> = processes();
    let workers: Vec<&String> =
        parents.iter().filter(|(_, parent)| *parent == own).map(|(process, _)| process).collect();
    let mut children: Vec<u64> = parents
        .iter()
        .filter(|(_, parent)| workers.contains(&parent))
        .filter_map(|(process, _)| private(process))
        .collect();
    if children.is_empty() {
        return println!("idle children: none found");
    }
    println!(
        "idle child: {:.1} MB private, median of {} (target 4 MB); its worker {} MB private",
        median(&mut children) as f64 / 1024.0,
        children.len(),
        workers.iter().filter_map(|worker| private(worker)).max().unwrap_or(0) / 1024
    );
}

/// Returns every process with its parent.
fn processes() -> Vec<(String, String)> {
    let entries = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let numbers = numbers.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    numbers
        .filter_map(|process| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.to_owned();
            Some((process, parent))
        })
        .collect()
}

/// Returns the private memory of a process in kilobytes.
fn private(process: &str) -> Option<u64> {
    let map = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let lines = map.lines().filter(|line| line.starts_with("Private_"));
    Some(lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
}
