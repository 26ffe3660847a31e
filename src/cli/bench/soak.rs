//! `switchtower bench soak`: a mixed load on a server for a long time, during which its memory, descriptors, threads and
//! processes must not grow.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;
use http::{Method, Request};
use serde::Serialize;
use serde_json::{Value, json};
use switchtower_e2b::{HttpTransport, Transport as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use super::super::exit::{CliError, FAILED};
use super::super::terminal;
use crate::config::{Config, SettingsSource};

#[derive(Debug, Args)]
#[command(after_help = "\
Starts `switchtower serve` with small tables, so that they are full early, and calls it over HTTP: new programs and
repeated ones, errors, time-outs, much output, batches, sessions with files. Exits with 0 if no call failed and neither
memory nor descriptors, threads or processes of the server and its workers grew from the second fifth of the time to the
last one.")]
pub(super) struct Soak {
    /// How long the load lasts.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = load_time)]
    time: Duration,
    /// Callers at once, each with one call after the other.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    callers: u16,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Reads the length of the load: with less, there is nothing to compare.
fn load_time(text: &str) -> Result<Duration, String> {
    let time = switchtower_contract::duration::parse(text)?;
    if time < MIN_TIME { Err(format!("must be at least {}s", MIN_TIME.as_secs())) } else { Ok(time) }
}

/// The shortest load: some samples in each fifth of it.
const MIN_TIME: Duration = Duration::from_secs(10);

/// Growth of resident memory that is allowed: this share, or this many bytes. An allocator keeps some of what was freed.
const MEMORY_SHARE: f64 = 0.05;
const MEMORY_BYTES: f64 = (16 << 20) as f64;
/// Growth of descriptors and threads that is allowed: connections and calls in progress at the moment of a sample.
const COUNT: f64 = 24.0;

/// What the server and its workers hold at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
struct Sample {
    resident_bytes: u64,
    descriptors: u64,
    threads: u64,
    processes: u64,
}

/// The medians of a part of the samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
struct Level {
    resident_bytes: f64,
    descriptors: f64,
    threads: f64,
    processes: f64,
}

#[derive(Debug, Serialize)]
struct SoakReport {
    seconds: f64,
    calls: u64,
    /// Calls that failed, by what came instead of an answer.
    failed: BTreeMap<String, u64>,
    early: Level,
    late: Level,
    /// What grew; empty if nothing did.
    grew: Vec<&'static str>,
}

impl Soak {
    pub(super) fn run(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let config = crate::config::load(source)?;
        let report = super::super::runtime(0)?.block_on(self.measure(source, &config))?;
        if self.json {
            terminal::out(&format!("{:#}\n", json!(report)));
        } else {
            terminal::out(&text(&report));
        }
        let is_flat = report.grew.is_empty() && report.failed.is_empty();
        Ok(if is_flat { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    async fn measure(&self, source: &SettingsSource, config: &Config) -> Result<SoakReport, CliError> {
        let server = Server::start(source, config)?;
        let client = Arc::new(Client::new(&server.origin, config)?);
        client.wait_until_ready().await?;
        let (calls, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let until = started + self.time;
        let mut callers = JoinSet::new();
        for caller in 0..u64::from(self.callers) {
            let (client, calls) = (Arc::clone(&client), Arc::clone(&calls));
            callers.spawn(async move {
                let mut failed = BTreeMap::<String, u64>::new();
                for round in 0.. {
                    if Instant::now() >= until {
                        break;
                    }
                    for result in client.round(caller, round).await {
                        calls.fetch_add(1, Ordering::Relaxed);
                        if let Err(why) = result {
                            *failed.entry(why).or_default() += 1;
                        }
                    }
                }
                failed
            });
        }
        let mut samples = Vec::new();
        let mut tick = interval((self.time / 200).clamp(Duration::from_millis(200), Duration::from_secs(10)));
        while Instant::now() < until {
            tick.tick().await;
            samples.push(sample(server.child.id()));
        }
        let mut failed = BTreeMap::<String, u64>::new();
        while let Some(of_caller) = callers.join_next().await {
            let of_caller = of_caller.map_err(|error| CliError::failed(error.to_string()))?;
            of_caller.into_iter().for_each(|(why, count)| *failed.entry(why).or_default() += count);
        }
        let (early, late) = (level(&samples, 1), level(&samples, 4));
        let calls = calls.load(Ordering::Relaxed);
        Ok(SoakReport {
            seconds: started.elapsed().as_secs_f64(),
            calls,
            failed,
            early,
            late,
            grew: grown(&early, &late),
        })
    }
}

fn text(report: &SoakReport) -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut text = format!(
        "{} calls in {:.0} s on {cores} cores; medians of the second fifth of the time and of the last:\n\n",
        report.calls, report.seconds
    );
    let (early, late) = (&report.early, &report.late);
    for (name, before, after) in [
        ("resident MiB", early.resident_bytes / 1048576.0, late.resident_bytes / 1048576.0),
        ("descriptors", early.descriptors, late.descriptors),
        ("threads", early.threads, late.threads),
        ("processes", early.processes, late.processes),
    ] {
        text.push_str(&format!("{name:<12} {before:>8.0} {after:>8.0}\n"));
    }
    for (why, count) in &report.failed {
        text.push_str(&format!("\n{count} calls failed: {why}"));
    }
    text.push_str(&match report.grew.is_empty() {
        true => "\nnothing grew\n".to_owned(),
        false => format!("\ngrew: {}\n", report.grew.join(", ")),
    });
    text
}

/// Returns the medians of one fifth of the samples, from 0.
fn level(samples: &[Sample], fifth: usize) -> Level {
    let part = &samples[samples.len() * fifth / 5..samples.len() * (fifth + 1) / 5];
    let median = |of: fn(&Sample) -> u64| {
        let mut values: Vec<u64> = part.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).map_or(0.0, |value| *value as f64)
    };
    Level {
        resident_bytes: median(|sample| sample.resident_bytes),
        descriptors: median(|sample| sample.descriptors),
        threads: median(|sample| sample.threads),
        processes: median(|sample| sample.processes),
    }
}

fn grown(early: &Level, late: &Level) -> Vec<&'static str> {
    let memory = (early.resident_bytes * MEMORY_SHARE).max(MEMORY_BYTES);
    [
        ("memory", late.resident_bytes > early.resident_bytes + memory),
        ("descriptors", late.descriptors > early.descriptors + COUNT),
        ("threads", late.threads > early.threads + COUNT),
        ("processes", late.processes > early.processes),
    ]
    .into_iter()
    .filter_map(|(name, grew)| grew.then_some(name))
    .collect()
}

/// Returns what a server and its worker processes hold, without the programs in a jail, which come and go.
fn sample(server: u32) -> Sample {
    // The system lists children by the thread that started them.
    let threads = std::fs::read_dir(format!("/proc/{server}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let workers: Vec<u32> = lists
        .flat_map(|list| list.split_whitespace().filter_map(|number| number.parse().ok()).collect::<Vec<_>>())
        .collect();
    let mut total = Sample::default();
    for process in std::iter::once(server).chain(workers) {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        total.resident_bytes += number("VmRSS:") * 1024;
        total.threads += number("Threads:");
        total.descriptors += std::fs::read_dir(folder.join("fd")).map_or(0, |entries| entries.count() as u64);
        total.processes += 1;
    }
    total
}

/// A server of this program on a port of its own, ended when this is dropped.
struct Server {
    child: Child,
    origin: String,
}

impl Server {
    /// Starts a server with these settings, and without the keys of clouds: the load must buy nothing.
    fn start(source: &SettingsSource, config: &Config) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| CliError::failed(format!("cannot start a server: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["serve", "--port", "0"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(file) = &source.file {
            command.arg("--config").arg(file);
        }
        if let Some(profile) = source.profile {
            command.args(["--profile", profile.name()]);
        }
        config.clouds.key_variables().for_each(|(_, variable)| {
            command.env_remove(variable);
        });
        for (setting, value) in
            [("CACHE_MAX_ENTRIES", "100"), ("CACHE_MAX_DIGESTS", "1000"), ("RECORD_MAX_RECORDS", "500")]
        {
            command.env(format!("SWITCHTOWER_{setting}"), value);
        }
        let mut child = command.env("SWITCHTOWER_LOG_FILTER", "warn").spawn().map_err(failed)?;
        let lines = child.stderr.take().map(|errors| BufReader::new(errors).lines()).into_iter().flatten();
        let mut lines = lines.map_while(Result::ok);
        let origin = lines.by_ref().find_map(|line| {
            let (_, rest) = line.split_once("http://")?;
            Some(format!("http://{}", rest.split_once(" is open")?.0))
        });
        // Read until its end, so that the server never waits for this process.
        std::thread::spawn(move || lines.for_each(drop));
        match origin {
            Some(origin) => Ok(Self { child, origin }),
            None => Err(CliError::failed("the server ended before it listened; `switchtower serve` says why")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::process::Pid::from_raw(self.child.id().cast_signed())
            .map(|server| rustix::process::kill_process(server, rustix::process::Signal::TERM));
        let _ = self.child.wait();
    }
}

/// Calls the server.
struct Client {
    origin: String,
    /// Any of the callers' keys; empty if requests need none.
    key: String,
    web: HttpTransport,
}

/// The longest time to wait until all tiers have started.
const START_TIMEOUT: Duration = Duration::from_secs(300);

impl Client {
    fn new(origin: &str, config: &Config) -> Result<Self, CliError> {
        let web = HttpTransport::new().map_err(|error| CliError::failed(error.to_string()))?;
        let key = config.http.keys.values().next().cloned().unwrap_or_default();
        Ok(Self { origin: origin.to_owned(), key, web })
    }

    async fn wait_until_ready(&self) -> Result<(), CliError> {
        let started = Instant::now();
        while self.call(Method::GET, "/ready", Value::Null).await.is_err() {
            if started.elapsed() > START_TIMEOUT {
                return Err(CliError::failed("the server was not ready within five minutes"));
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Makes the calls of one round of a caller, each of another kind. Returns the result of each.
    async fn round(&self, caller: u64, round: u64) -> Vec<Result<Value, String>> {
        let program = |code: &str| json!({ "code": code, "user": format!("caller {caller}") });
        match round % 8 {
            0 => {
                let repeated = program("print(sum(range(1000)))");
                vec![self.call(Method::POST, "/v1/execute", repeated).await]
            }
            1 => {
                let raises = program("raise ValueError('as expected')");
                vec![self.call(Method::POST, "/v1/execute", raises).await]
            }
            2 => {
                let prints = program("for n in range(2000):\n    print(n, 'x' * 40)");
                vec![self.call(Method::POST, "/v1/execute", prints).await]
            }
            3 if round % 64 == 3 => {
                let mut endless = program("while True:\n    pass");
                endless["timeout_ms"] = json!(200);
                // Where all slots are taken, its time is over before it starts.
                let ended = self.call(Method::POST, "/v1/execute", endless).await;
                vec![ended.or_else(|why| if why.starts_with("504 ") { Ok(Value::Null) } else { Err(why) })]
            }
            4 => {
                let items: Vec<Value> = (0..4).map(|item| program(&format!("print({round} * {item})"))).collect();
                vec![self.call(Method::POST, "/v1/batch", json!({ "requests": items })).await]
            }
            5 => self.session(round).await,
            _ => {
                let new = program(&format!("values = [n * {round} for n in range(100)]\nprint({caller}, sum(values))"));
                vec![self.call(Method::POST, "/v1/execute", new).await]
            }
        }
    }

    /// Opens a session, runs cells in it, and ends it.
    async fn session(&self, round: u64) -> Vec<Result<Value, String>> {
        let created = self.call(Method::POST, "/v1/sessions", json!({})).await;
        let Ok(session) = &created else { return vec![created] };
        let path = format!("/v1/sessions/{}", session["id"].as_str().unwrap_or_default());
        let mut results = vec![created];
        for code in [
            format!("data = list(range({round} % 5000))"),
            "open('numbers.txt', 'w').write(repr(data))".to_owned(),
            "print(len(open('numbers.txt').read()), sum(data))".to_owned(),
        ] {
            results.push(self.call(Method::POST, &format!("{path}/execute"), json!({ "code": code })).await);
        }
        results.push(self.call(Method::DELETE, &path, Value::Null).await);
        results
    }

    /// Returns the answer of a call.
    ///
    /// # Errors
    /// It is not a success; says what came.
    async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        let request = request.header("authorization", format!("Bearer {}", self.key));
        let request =
            request.header("content-type", "application/json").body(body).map_err(|error| error.to_string())?;
        let response = self.web.send(request).await.map_err(|error| error.to_string())?;
        let (status, mut pieces, mut text) = (response.status(), response.into_body(), Vec::new());
        while let Some(piece) = pieces.next().await {
            text.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        }
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        match status.is_success() {
            true => Ok(answer),
            false => Err(format!("{} {}", status.as_u16(), answer["detail"].as_str().unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_from_the_second_fifth_to_the_last_is_noticed_and_noise_is_not() {
        let sample =
            |mib: u64, descriptors| Sample { resident_bytes: mib << 20, descriptors, threads: 9, processes: 3 };
        let of = |samples: &[Sample]| grown(&level(samples, 1), &level(samples, 4));
        // The start does not count, nor does a peak.
        let flat: Vec<Sample> = (0..100).map(|at| sample([50, 200, 210][at.min(2)], 30 + at as u64 % 9)).collect();
        assert_eq!(of(&flat), [""; 0]);
        let leak: Vec<Sample> = (0..100).map(|at| sample(200 + at, 30 + at)).collect();
        assert_eq!(of(&leak), ["memory", "descriptors"]);
        let late = Level { processes: 4.0, ..Level::default() };
        assert_eq!(grown(&Level { processes: 3.0, ..Level::default() }, &late), ["processes"]);
    }
}
