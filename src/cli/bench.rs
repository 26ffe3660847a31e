//! `switchtower bench`: measures a load against the stand-in for E2B, which enforces a plan's limits and has published
//! latencies, fairness between callers of a local tier, and whether a server's memory stays flat.

mod fairness;
#[cfg(all(feature = "e2b", feature = "fake"))]
mod load;
#[cfg(all(feature = "e2b", feature = "fake"))]
mod queries;
#[cfg(all(feature = "e2b", feature = "fake"))]
mod seed_load;
#[cfg(feature = "e2b")]
mod soak;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use switchtower_core::route::TierName;

#[cfg(not(all(feature = "e2b", feature = "fake")))]
use super::absent::Absent as SeedLoad;
#[cfg(not(feature = "e2b"))]
use super::absent::Absent as Soak;
use super::exit::CliError;
use super::terminal;
use crate::config::SettingsSource;
use fairness::{Callers, Times};
#[cfg(all(feature = "e2b", feature = "fake"))]
use seed_load::SeedLoad;
#[cfg(feature = "e2b")]
use soak::Soak;

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run two heavy queries for each of six users at once: the load under which a pool without limits, breaker and
    /// queue took 27 to 320 seconds a query and ran into E2B's rate limits.
    SeedLoad(SeedLoad),
    /// Measure small programs of some callers while other callers run endless ones in the same local tier.
    Fairness(Fairness),
    /// Run a mixed load on a server for a long time, and check that its memory stays flat.
    Soak(Soak),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 0 if the 95th percentile of the small programs beside endless ones is at most twice that without them, plus one
time slice of the tier's queue.")]
struct Fairness {
    /// The tier in which all programs run.
    #[arg(long, value_name = "TIER", default_value = "wasm")]
    tier: String,
    /// The number of callers with endless programs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=20))]
    greedy: u16,
    /// The number of callers with small programs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    modest: u16,
    /// The duration of each measurement.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = switchtower_contract::duration::parse)]
    time: Duration,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(super) fn bench(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        match &self.action {
            #[cfg(all(feature = "e2b", feature = "fake"))]
            Action::SeedLoad(load) => load.run(source),
            #[cfg(not(all(feature = "e2b", feature = "fake")))]
            Action::SeedLoad(load) => load.refuse("this measurement", "the Cargo features `e2b` and `fake`"),
            Action::Fairness(fairness) => fairness.run(source),
            #[cfg(feature = "e2b")]
            Action::Soak(soak) => soak.run(source),
            #[cfg(not(feature = "e2b"))]
            Action::Soak(soak) => soak.refuse("this measurement", "the Cargo feature `e2b`"),
        }
    }
}

impl Fairness {
    fn run(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        let config = crate::config::load(source)?;
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
                "{} with small programs, {} with endless programs, in {}; allowed: p95 of {:.1} ms\n\n\
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

/// Returns the value at this percentile of sorted durations; `share` is between 0 and 1.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}
