//! `switchtower bench`: measurements against the stand-in for E2B, which keeps to a plan's limits and to published
//! latencies, and of callers beside each other in a local tier.

mod fairness;
mod load;
mod queries;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use switchtower_core::route::TierName;
use switchtower_fake_e2b::{Latency, Plan};

use super::exit::CliError;
use super::terminal;
use fairness::{Callers, Times};
use load::{Load, LoadReport};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Six users with two heavy queries each, at once: the load under which a pool without limits, breaker and queue took
    /// 27 to 320 seconds a query and met E2B's rate limits.
    SeedLoad(SeedLoad),
    /// Small programs of some callers beside programs without end of others, in a local tier.
    Fairness(Fairness),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Ends with 0 where 95 of 100 small programs take no longer than twice that of them alone, and a slice.")]
struct Fairness {
    /// The tier in which all of them run.
    #[arg(long, value_name = "TIER", default_value = "wasm")]
    tier: String,
    /// Callers with programs without end.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=20))]
    greedy: u16,
    /// Callers with small programs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    modest: u16,
    /// How long each part is measured.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints a table: how long each query took then and takes now, all of it in cloud sandboxes, and as the rules send it.")]
struct SeedLoad {
    /// Whose limits the stand-in enforces.
    #[arg(long, value_name = "PLAN", default_value = "hobby")]
    plan: Plan,
    /// How long its calls take.
    #[arg(long, value_name = "PROFILE", default_value = "e2b-2026")]
    latency: Latency,
    /// It refuses executions beyond this many a minute.
    #[arg(long, value_name = "N", default_value_t = 120)]
    executions_per_minute: u32,
    /// Do not tell our limiter of that rate: it finds out by being refused.
    #[arg(long)]
    blind: bool,
    /// The Python that the stand-in runs programs with.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: std::path::PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Seconds of the first query of each user, in the system that this one replaces: before anything was done, and with a
/// pool and serialised creation. From its own load test; `None`: it never ended.
const THEN: [(&str, Option<u32>, u32); 6] = [
    ("Alice", None, 57),
    ("Bob", None, 201),
    ("Carol", Some(282), 27),
    ("David", Some(315), 67),
    ("Eve", Some(92), 86),
    ("Frank", None, 320),
];

impl Bench {
    pub(super) fn bench(&self, file: Option<&Path>) -> Result<ExitCode, CliError> {
        match &self.action {
            Action::SeedLoad(load) => load.run(file),
            Action::Fairness(fairness) => fairness.run(file),
        }
    }
}

impl Fairness {
    fn run(&self, file: Option<&Path>) -> Result<ExitCode, CliError> {
        let config = crate::config::load(file, serde_json::json!({}))?;
        let (greedy, modest) = (usize::from(self.greedy), usize::from(self.modest));
        let callers = Callers { tier: TierName::from(self.tier.as_str()), greedy, modest, time: self.time };
        let report = super::runtime(0)?.block_on(callers.measure(&config))?;
        if self.json {
            terminal::out(&format!("{:#}\n", serde_json::json!(report)));
        } else {
            let line = |name: &str, times: &Times| {
                format!(
                    "{name:<8} {:>9} {:>10.1} {:>8.1} {:>11.1} {:>7.3}\n",
                    times.answered, times.median_ms, times.p95_ms, times.longest_ms, times.jain
                )
            };
            terminal::out(&format!(
                "{} with small programs, {} with programs without end, in {}; allowed: p95 of {:.1} ms\n\n\
                 {:<8} {:>9} {:>10} {:>8} {:>11} {:>7}\n{}{}",
                self.modest,
                self.greedy,
                self.tier,
                report.allowed_ms,
                "",
                "answered",
                "median ms",
                "p95 ms",
                "longest ms",
                "Jain",
                line("alone", &report.alone),
                line("beside", &report.beside),
            ));
        }
        Ok(if report.is_kept { ExitCode::SUCCESS } else { ExitCode::from(super::exit::FAILED) })
    }
}

impl SeedLoad {
    fn run(&self, file: Option<&Path>) -> Result<ExitCode, CliError> {
        let config = crate::config::load(file, serde_json::json!({}))?;
        let load = Load {
            plan: self.plan,
            latency: self.latency,
            executions_per_minute: self.executions_per_minute,
            known: !self.blind,
            python: self.python.clone(),
        };
        let (remote, routed) = super::runtime(0)?.block_on(async {
            let remote = load.story(&config, Some("e2b")).await?;
            Ok::<_, CliError>((remote, load.story(&config, None).await?))
        })?;
        if self.json {
            let report = serde_json::json!({ "remote": remote, "routed": routed });
            terminal::out(&format!("{report:#}\n"));
        } else {
            terminal::out(&self.table(&remote, &routed));
        }
        let all = remote.answered == remote.queries.len() && routed.answered == routed.queries.len();
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(super::exit::FAILED) })
    }

    fn table(&self, remote: &LoadReport, routed: &LoadReport) -> String {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut text = format!(
            "6 users, 2 heavy queries each, 12 at once; stand-in: plan {}, latency {}, {} executions a minute{}; {cores} cores\n\n",
            self.plan,
            self.latency,
            self.executions_per_minute,
            if self.blind { ", not known to us" } else { "" },
        );
        text.push_str("                  seconds until answered\n");
        text.push_str("user    query    then   improved    now, all remote    now, as routed\n");
        for (at, (one, two)) in remote.queries.iter().zip(&routed.queries).enumerate() {
            let (user, before, improved) = THEN[at / 2];
            let then = |value: String| if at % 2 == 0 { value } else { "-".to_owned() };
            let before = then(before.map_or_else(|| "never".to_owned(), |seconds| seconds.to_string()));
            let (now, local) = (one.seconds(), two.seconds());
            text.push_str(&format!(
                "{user:<7} {:>5} {before:>7} {:>10} {now:>18} {local:>12} {}\n",
                at % 2 + 1,
                then(improved.to_string()),
                two.tier.as_deref().unwrap_or("-"),
            ));
        }
        for (name, story) in [("all remote", remote), ("as routed", routed)] {
            text.push_str(&format!(
                "\n{name}: {} of {} answered, {} rate-limit errors surfaced; median {:.1} s, p95 {:.1} s; \
                 {} sandboxes created, {} creations and {} executions refused by the stand-in, {} left behind; \
                 warm hits {:.0} %; {:.0} sandbox-seconds, ${:.4}\n",
                story.answered,
                story.queries.len(),
                story.surfaced,
                story.median.as_secs_f64(),
                story.p95.as_secs_f64(),
                story.counts.created,
                story.counts.create_refused,
                story.counts.execute_refused,
                story.counts.leaked(),
                story.warm_hit_ratio * 100.0,
                story.sandbox_seconds,
                story.cost_usd,
            ));
        }
        text
    }
}

/// The value that this share of the sorted ones does not pass.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}
