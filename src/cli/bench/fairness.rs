//! Small programs of some callers beside programs without end of others, in a local tier with its worker processes.

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

/// Who asks for what.
pub(super) struct Callers {
    pub(super) tier: TierName,
    /// Callers with programs without end.
    pub(super) greedy: usize,
    /// Callers with small programs, one after the other.
    pub(super) modest: usize,
    /// How long small programs are measured, alone and beside the others.
    pub(super) time: Duration,
}

/// What the callers with small programs saw.
#[derive(Debug, Serialize)]
pub(super) struct FairnessReport {
    pub(super) alone: Times,
    pub(super) beside: Times,
    /// The 95th percentile beside the others is no more than this: twice that alone, and a slice.
    pub(super) allowed_ms: f64,
    pub(super) is_kept: bool,
}

/// How long small programs took.
#[derive(Debug, Serialize)]
pub(super) struct Times {
    pub(super) answered: usize,
    pub(super) median_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) longest_ms: f64,
    /// Jain's index of how many each caller had answered: 1 where all had the same.
    pub(super) jain: f64,
}

/// Requests of a greedy caller at a time.
const CROWD: usize = 50;
/// Longest that programs may take to hold every slot.
const FILLING: Duration = Duration::from_secs(30);

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
        let alone = self.small(router, config).await?;
        let mut endless = JoinSet::new();
        for number in 0..self.greedy * CROWD {
            // Each a program of its own, so that none waits for another's result.
            let code = format!("# {number}\nn = 0\nwhile True: n += 1");
            let mut request = self.request(config, &code, format!("greedy {}", number % self.greedy))?;
            request.timeout = config.limits.timeout;
            request.priority = [Priority::High, Priority::Normal, Priority::Low][number % 3];
            let router = Arc::clone(router);
            endless.spawn(async move { router.execute(request, None).await.map(drop) });
        }
        let began = Instant::now();
        while self.greedy > 0 && tier.status().running < slots && began.elapsed() < FILLING {
            sleep(Duration::from_millis(10)).await;
        }
        let beside = self.small(router, config).await;
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

    /// Small programs of every modest caller, for as long as is measured.
    async fn small(&self, router: &Arc<Router>, config: &Config) -> Result<Times, CliError> {
        let mut callers = JoinSet::new();
        let until = Instant::now() + self.time;
        for number in 0..self.modest {
            let request = self.request(config, "print(1 + 1)", format!("modest {number}"))?;
            let router = Arc::clone(router);
            callers.spawn(async move {
                let mut took = Vec::new();
                while took.is_empty() || Instant::now() < until {
                    let came = Instant::now();
                    router.execute(request.clone(), None).await?;
                    took.push(came.elapsed());
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

/// Jain's index of shares: 1 where all are the same, one n-th where one of n has everything.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    if squares == 0.0 { 1.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jains_index_is_one_for_equal_shares_and_an_nth_where_one_has_all() {
        assert_eq!((jain(&[3.0, 3.0, 3.0]), jain(&[5.0, 0.0, 0.0, 0.0]), jain(&[])), (1.0, 0.25, 1.0));
    }
}
