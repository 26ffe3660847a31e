//! Runs the load once: a stand-in, a router that uses it, twelve queries at once.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use switchtower_contract::Program;
use switchtower_core::request::{CacheMode, Caller, Request};
use switchtower_core::route::TierName;
use switchtower_core::tier::{Attempt, Tier};
use switchtower_e2b::limits;
use switchtower_fake_e2b::{Counts, Fake, KernelMode, Latency, Plan, Rates, Settings};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::super::exit::CliError;
use super::super::terminal;
use super::percentile;
use super::queries::QUERIES;
use crate::assemble::{self, Assembly};
use crate::config::Config;

/// The settings of the stand-in, and whether the limiter is given its rate.
pub(super) struct Load {
    pub(super) plan: Plan,
    pub(super) latency: Latency,
    pub(super) executions_per_minute: u32,
    /// Whether the client's limiter is given this rate; if not, it adapts to refusals.
    pub(super) known: bool,
    pub(super) python: PathBuf,
}

/// The result of one run of the load.
#[derive(Serialize)]
pub(super) struct LoadReport {
    pub(super) queries: Vec<Query>,
    pub(super) answered: usize,
    /// Queries that failed because of a rate limit.
    pub(super) surfaced: usize,
    #[serde(serialize_with = "seconds")]
    pub(super) median: Duration,
    #[serde(serialize_with = "seconds")]
    pub(super) p95: Duration,
    pub(super) counts: Counts,
    pub(super) warm_hit_ratio: f64,
    pub(super) sandbox_seconds: f64,
    pub(super) cost_usd: f64,
}

/// The result of one query.
#[derive(Serialize)]
pub(super) struct Query {
    user: &'static str,
    pub(super) tier: Option<String>,
    #[serde(serialize_with = "seconds")]
    took: Duration,
    attempts: Vec<Attempt>,
    error: Option<String>,
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl Query {
    pub(super) fn seconds(&self) -> String {
        match &self.error {
            None => format!("{:.1}", self.took.as_secs_f64()),
            Some(error) => error.clone(),
        }
    }
}

/// The longest time to wait for a warm pool before the load begins.
const WARM_TIMEOUT: Duration = Duration::from_secs(60);

impl Load {
    /// Runs the load. All programs run in `tier`; with `None` the rules decide.
    pub(super) async fn measure(&self, config: &Config, tier: Option<&str>) -> Result<LoadReport, CliError> {
        let failed = |error: std::io::Error| CliError::failed(error.to_string());
        let rates = Rates { executions_per_minute: Some(self.executions_per_minute), burst: 5, ..Rates::default() };
        let fake = Fake::new(Settings {
            plan: self.plan,
            latency: self.latency,
            rates,
            kernels: KernelMode::Python { program: self.python.clone() },
            ..Settings::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let origin = format!("http://{}", listener.local_addr().map_err(failed)?);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = tokio::spawn(switchtower_fake_e2b::serve(listener, fake.clone(), async { drop(stopped.await) }));

        let assembly = assemble::against_stand_in(&self.settings(config, &origin), &terminal::note)?;
        let report = self.run(&assembly, config, tier).await;
        assembly.close().await;
        drop(stop);
        let counts = fake.counts();
        fake.close().await;
        served.abort();
        Ok(LoadReport { counts, ..report? })
    }

    /// The settings of a server that uses the stand-in.
    fn settings(&self, config: &Config, origin: &str) -> Config {
        let mut config = config.clone();
        config.clouds.0.retain(|name, _| name.as_str() == "e2b");
        for cloud in config.clouds.0.values_mut() {
            let account = &mut cloud.account;
            (account.api_url, account.sandbox_url) = (Some(origin.to_owned()), Some(origin.to_owned()));
            (account.template, account.build_tag, account.modules) = (None, None, Vec::new());
            // The hourly budget is for real sandboxes only.
            (account.budget_file, account.limits.max_creations_per_hour) = (None, None);
            account.limits.plan = match self.plan {
                Plan::Hobby => limits::Plan::Hobby,
                Plan::Pro => limits::Plan::Pro,
                Plan::Enterprise | Plan::Unlimited => limits::Plan::Enterprise,
            };
            if self.known {
                account.limits.executions_per_minute = self.executions_per_minute;
            }
        }
        config
    }

    async fn run(&self, assembly: &Assembly, config: &Config, tier: Option<&str>) -> Result<LoadReport, CliError> {
        let router = &assembly.router;
        let maintenance = tokio::spawn(assembly.maintain());
        let cloud = router.tiers().get(&TierName::from("e2b"));
        let pool = cloud.and_then(Tier::pool);
        let warm = || pool.is_none_or(|pool| pool.status().warm >= pool.status().wanted);
        let started = Instant::now();
        while !warm() && started.elapsed() < WARM_TIMEOUT {
            sleep(Duration::from_millis(50)).await;
        }
        let mut running = Vec::new();
        for (at, (name, code)) in QUERIES.iter().enumerate() {
            let user = super::seed_load::THEN[at / 2].0;
            let mut request = Request::new(Program::python(*code), &config.limits)?;
            request.caller = Caller::named(user);
            request.tier = tier.map(TierName::from);
            request.cache = CacheMode::Bypass;
            let router = router.clone();
            running.push(tokio::spawn(async move {
                let started = Instant::now();
                let answer = router.execute(request, None).await;
                let took = started.elapsed();
                match answer {
                    Ok(answer) => {
                        let succeeded = answer.outcome.exit == switchtower_contract::Exit::Finished(0);
                        let error = (!succeeded).then(|| format!("{name} {}", answer.outcome.exit.name()));
                        let (tier, attempts) = (Some(answer.tier.to_string()), answer.attempts);
                        Query { user, tier, took, attempts, error }
                    }
                    Err(error) => {
                        Query { user, tier: None, took, attempts: Vec::new(), error: Some(error.to_string()) }
                    }
                }
            }));
        }
        let mut queries = Vec::new();
        for query in running {
            queries.push(query.await.map_err(|error| CliError::failed(error.to_string()))?);
        }
        maintenance.abort();
        let mut took: Vec<Duration> = queries.iter().map(|query| query.took).collect();
        took.sort_unstable();
        let is_limit = |query: &&Query| query.error.as_ref().is_some_and(|error| error.contains("rate limit"));
        let account = cloud.and_then(Tier::account);
        Ok(LoadReport {
            answered: queries.iter().filter(|query| query.error.is_none()).count(),
            surfaced: queries.iter().filter(is_limit).count(),
            median: percentile(&took, 0.5),
            p95: percentile(&took, 0.95),
            counts: Counts::default(),
            warm_hit_ratio: pool.map_or(0.0, |pool| pool.status().warm_hit_ratio),
            sandbox_seconds: account.as_ref().map_or(0.0, |account| account.sandbox_seconds),
            cost_usd: account.as_ref().map_or(0.0, |account| account.cost_usd),
            queries,
        })
    }
}
