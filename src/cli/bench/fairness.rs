//! Measures small programs of some callers while others run endless ones, in a local tier with its worker processes.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use switchtower_contract::Program;
use switchtower_core::request::{CacheMode, Caller, Priority, Request};
use switchtower_core::route::TierName;
use switchtower_core::router::Router;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::super::exit::CliError;
use super::super::terminal;
use super::percentile;
use crate::assemble;
use crate::config::Config;

/// The callers of a measurement and what they run.
pub(super) struct Callers {
    pub(super) tier: TierName,
    /// The number of callers with endless programs.
    pub(super) greedy: usize,
    /// The number of callers that run small programs, one after the other.
    pub(super) modest: usize,
    /// The duration of each measurement: of small programs alone, and beside endless ones.
    pub(super) time: Duration,
}

/// The times of small programs, and whether they are within the allowed limit.
#[derive(Debug, Serialize)]
pub(super) struct FairnessReport {
    pub(super) alone: Times,
    pub(super) beside: Times,
    /// The limit of the 95th percentile beside endless programs: twice the one without them, plus one time slice.
    pub(super) allowed_ms: f64,
    pub(super) is_kept: bool,
}

/// The times of small programs from request to answer.
#[derive(Debug, Serialize)]
pub(super) struct Times {
    pub(super) answered: usize,
    pub(super) median_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) longest_ms: f64,
    /// Jain's index of the number of answers of each caller: 1 if all callers had the same number.
    pub(super) jain: f64,
}

/// Concurrent requests of each greedy caller.
const GREEDY_REQUESTS: usize = 50;
/// The longest time to wait until endless programs have every slot.
const FILL_TIMEOUT: Duration = Duration::from_secs(30);

impl Callers {
    pub(super) async fn measure(&self, config: &Config) -> Result<FairnessReport, CliError> {
        let assembly = assemble::with_workers(config, terminal::note).await?;
        let report = self.run(&assembly.router, config).await;
        assembly.close().await;
        report
    }

    async fn run(&self, router: &Arc<Router>, config: &Config) -> Result<FairnessReport, CliError> {
        let Some(tier) = router.tiers().get(&self.tier) else {
            return Err(CliError::usage(format!("there is no tier {}", self.tier)));
        };
        let (slice, slots) = (tier.config().queue.time_slice, tier.status().slots);
        let alone = self.measure_small(router, config).await?;
        let mut endless = JoinSet::new();
        for number in 0..self.greedy * GREEDY_REQUESTS {
            // Each program is different, so that none waits for another's result.
            let code = format!("# {number}\nn = 0\nwhile True: n += 1");
            let mut request = self.request(config, &code, format!("greedy {}", number % self.greedy))?;
            request.timeout = config.limits.max_timeout;
            request.priority = [Priority::High, Priority::Normal, Priority::Low][number % 3];
            let router = Arc::clone(router);
            endless.spawn(async move { router.execute(request, None).await.map(drop) });
        }
        let began = Instant::now();
        while self.greedy > 0 && tier.status().running < slots && began.elapsed() < FILL_TIMEOUT {
            sleep(Duration::from_millis(10)).await;
        }
        let beside = self.measure_small(router, config).await;
        endless.shutdown().await;
        let (beside, slice) = (beside?, slice.as_secs_f64() * 1e3);
        let allowed_ms = 2.0 * alone.p95_ms + slice;
        Ok(FairnessReport { is_kept: beside.p95_ms <= allowed_ms, alone, beside, allowed_ms })
    }

    fn request(&self, config: &Config, code: &str, user: String) -> Result<Request, CliError> {
        let mut request = Request::new(Program::python(code), &config.limits)?;
        request.caller = Caller::named(user);
        request.tier = Some(self.tier.clone());
        request.cache = CacheMode::Bypass;
        Ok(request)
    }

    /// Runs small programs of every modest caller for the duration of one measurement.
    async fn measure_small(&self, router: &Arc<Router>, config: &Config) -> Result<Times, CliError> {
        let mut callers = JoinSet::new();
        let until = Instant::now() + self.time;
        for number in 0..self.modest {
            let request = self.request(config, "print(1 + 1)", format!("modest {number}"))?;
            let router = Arc::clone(router);
            callers.spawn(async move {
                let mut took = Vec::new();
                while took.is_empty() || Instant::now() < until {
                    let started = Instant::now();
                    router.execute(request.clone(), None).await?;
                    took.push(started.elapsed());
                    sleep(Duration::from_millis(5)).await;
                }
                Ok::<_, switchtower_core::error::Error>(took)
            });
        }
        let (mut all, mut counts) = (Vec::new(), Vec::new());
        while let Some(took) = callers.join_next().await {
            let took = took.map_err(|error| CliError::failed(error.to_string()))??;
            counts.push(took.len() as f64);
            all.extend(took);
        }
        all.sort_unstable();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Ok(Times {
            answered: all.len(),
            median_ms: ms(percentile(&all, 0.5)),
            p95_ms: ms(percentile(&all, 0.95)),
            longest_ms: ms(percentile(&all, 1.0)),
            jain: jain(&counts),
        })
    }
}

/// Returns Jain's index of shares: 1 if all are the same, 1/n if one of n has everything.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    if squares == 0.0 { 1.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jains_index_is_1_for_equal_shares_and_1_of_n_when_one_has_everything() {
        assert_eq!((jain(&[3.0, 3.0, 3.0]), jain(&[5.0, 0.0, 0.0, 0.0]), jain(&[])), (1.0, 0.25, 1.0));
    }
}
