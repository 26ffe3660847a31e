//! `switchtower bench seed-load`: measures a heavy load against the stand-in and prints it beside earlier figures.

use std::process::ExitCode;

use clap::Args;
use switchtower_fake_e2b::{Latency, Plan};

use super::super::exit::{CliError, FAILED};
use super::super::terminal;
use super::load::{Load, LoadReport};
use crate::config::{SettingsProfile, SettingsSource};

#[derive(Debug, Args)]
#[command(after_help = "\
Prints a table of the seconds that each query took in the earlier system and takes now: with all queries in cloud sandboxes,
and routed by the rules. The settings are those of the profile `seed`, unless --profile names another one.")]
pub(super) struct SeedLoad {
    /// The plan whose limits the stand-in enforces.
    #[arg(long, value_name = "PLAN", default_value = "hobby")]
    plan: Plan,
    /// The latencies of the stand-in's calls.
    #[arg(long, value_name = "PROFILE", default_value = "e2b-2026")]
    latency: Latency,
    /// Executions a minute above which the stand-in refuses.
    #[arg(long, value_name = "N", default_value_t = 120)]
    executions_per_minute: u32,
    /// Leave this rate out of the client's limiter, which then adapts to refusals.
    #[arg(long)]
    rate_unknown: bool,
    /// The Python that the stand-in runs programs with.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: std::path::PathBuf,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Seconds of the first query of each user in the system that this one replaces, from its own load test: first without
/// changes (`None`: the query did not end), then with a pool and serialised creation.
pub(super) const THEN: [(&str, Option<u32>, u32); 6] = [
    ("Alice", None, 57),
    ("Bob", None, 201),
    ("Carol", Some(282), 27),
    ("David", Some(315), 67),
    ("Eve", Some(92), 86),
    ("Frank", None, 320),
];

impl SeedLoad {
    pub(super) fn run(&self, source: &SettingsSource) -> Result<ExitCode, CliError> {
        // The pool and the limits of the system whose load this is.
        let profile = Some(source.profile.unwrap_or(SettingsProfile::Seed));
        let config = crate::config::load(&SettingsSource { profile, ..source.clone() })?;
        let load = Load {
            plan: self.plan,
            latency: self.latency,
            executions_per_minute: self.executions_per_minute,
            known: !self.rate_unknown,
            python: self.python.clone(),
        };
        let (remote, routed) = super::super::runtime(0)?.block_on(async {
            let remote = load.measure(&config, Some("e2b")).await?;
            Ok::<_, CliError>((remote, load.measure(&config, None).await?))
        })?;
        if self.json {
            terminal::out(&format!("{:#}\n", serde_json::json!({ "remote": remote, "routed": routed })));
        } else {
            terminal::out(&self.table(&remote, &routed));
        }
        let all = remote.answered == remote.queries.len() && routed.answered == routed.queries.len();
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn table(&self, remote: &LoadReport, routed: &LoadReport) -> String {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut text = format!(
            "6 users, 2 heavy queries each, 12 at once; stand-in: plan {}, latency {}, {} executions a minute{}; {cores} cores\n\n",
            self.plan,
            self.latency,
            self.executions_per_minute,
            if self.rate_unknown { ", unknown to the client" } else { "" },
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
        for (name, report) in [("all remote", remote), ("as routed", routed)] {
            text.push_str(&format!(
                "\n{name}: {} of {} answered, {} rate-limit errors surfaced; median {:.1} s, p95 {:.1} s; \
                 {} sandboxes created, {} creations and {} executions refused by the stand-in, {} left behind; \
                 warm hits {:.0} %; {:.0} sandbox-seconds, ${:.4}\n",
                report.answered,
                report.queries.len(),
                report.surfaced,
                report.median.as_secs_f64(),
                report.p95.as_secs_f64(),
                report.counts.created,
                report.counts.create_refused,
                report.counts.execute_refused,
                report.counts.leaked(),
                report.warm_hit_ratio * 100.0,
                report.sandbox_seconds,
                report.cost_usd,
            ));
        }
        text
    }
}
