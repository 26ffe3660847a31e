//! A circuit breaker that keeps requests away from an unavailable backend: closed allows every request, open none,
//! half-open one probe at a time to find out whether the backend has recovered.
//!
//! A request counts as a failure if the backend was unavailable ([`Fault::Unavailable`]) for all of its retries. A
//! request that succeeded on a retry does not count, so a backend that fails every fifth call stays in use. A refusal
//! (rate limit, wrong key) shows that the backend responds, and a lost run may have been caused by the program, so
//! neither counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{Fault, duration};
use tokio::time::Instant;

use crate::route::TierName;

/// When the breaker of a tier opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Consecutive failed requests that open the breaker, at least 1; a request counts once, however often it was
    /// retried.
    pub failure_threshold: u32,
    /// How long the breaker stays open before one request is allowed as a probe.
    #[serde(with = "duration")]
    pub open_for: Duration,
}

impl Config {
    /// Returns the first invalid setting: a message that starts with its name. `None` if all are valid.
    pub fn problem(&self) -> Option<String> {
        if self.failure_threshold == 0 {
            return Some("failure_threshold must be at least 1: with 0 the breaker would never close".to_owned());
        }
        self.open_for.is_zero().then(|| "open_for must be longer than 0s".to_owned())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { failure_threshold: 5, open_for: Duration::from_secs(60) }
    }
}

/// The breaker of one tier.
pub struct Breaker {
    tier: TierName,
    config: Config,
    /// Held for a few instructions, never over an await.
    inner: Arc<Mutex<Inner>>,
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

impl BreakerState {
    /// Returns the name that logs and dashboards use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
        }
    }
}

/// A snapshot of a breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    pub state: BreakerState,
    /// Consecutive failures.
    pub failures: u32,
    /// How often the breaker has opened since the server started.
    pub opened: u64,
    /// Time until a probe is allowed, serialized in milliseconds; `None` unless the breaker is open.
    #[serde(rename = "retry_after_ms", serialize_with = "millis", skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

fn millis<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.unwrap_or_default().as_millis().try_into().unwrap_or(u64::MAX))
}

/// The breaker allows no attempt now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Circuit breaker is OPEN")]
pub struct Open {
    pub retry_after: Duration,
}

/// Permission for one attempt, to be ended by [`record_outcome`](Self::record_outcome). A permit that is dropped
/// without an outcome counts neither as success nor as failure; if it was the probe, the next request may probe.
#[must_use = "a permit records the outcome of its attempt"]
pub struct Permit {
    tier: TierName,
    config: Config,
    inner: Arc<Mutex<Inner>>,
    /// The generation that this permit is the probe of; `None` if it is not a probe.
    probe: Option<u64>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    failures: u32,
    opened: u64,
    /// Counts half-open phases and resets. The outcome of a probe from an earlier generation is ignored.
    generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    OpenSince(Instant),
    /// `probing`: a probe is in progress.
    HalfOpen {
        probing: bool,
    },
}

/// How an attempt may proceed.
enum Admission {
    Normal,
    /// As the probe of a breaker that was open.
    Probe,
}

impl Breaker {
    pub fn new(tier: TierName, config: Config) -> Self {
        let config = Config { failure_threshold: config.failure_threshold.max(1), ..config };
        let inner = Inner { phase: Phase::Closed, failures: 0, opened: 0, generation: 0 };
        Self { tier, config, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Checks whether a permit is available now, without taking it.
    ///
    /// # Errors
    /// The breaker is open, or a probe is in progress.
    pub fn check(&self) -> Result<(), Open> {
        self.lock().admission(&self.config).map(drop)
    }

    /// Returns a permit for one attempt. The first one after `open_for` is the probe.
    ///
    /// # Errors
    /// The breaker is open, or a probe is in progress.
    pub fn permit(&self) -> Result<Permit, Open> {
        let mut inner = self.lock();
        let probe = match inner.admission(&self.config)? {
            Admission::Normal => None,
            Admission::Probe => {
                if !matches!(inner.phase, Phase::HalfOpen { .. }) {
                    inner.generation += 1;
                    log_transition(&self.tier, "circuit_half_open", BreakerState::HalfOpen, inner.failures);
                }
                inner.phase = Phase::HalfOpen { probing: true };
                Some(inner.generation)
            }
        };
        drop(inner);
        let (tier, config) = (self.tier.clone(), self.config.clone());
        Ok(Permit { tier, config, inner: self.inner.clone(), probe })
    }

    /// Closes the breaker and clears the failure count. The outcome of a probe in progress is ignored.
    pub fn reset(&self) {
        let mut inner = self.lock();
        let previous = inner.phase;
        (inner.phase, inner.failures) = (Phase::Closed, 0);
        inner.generation += 1;
        if previous != Phase::Closed {
            log_transition(&self.tier, "circuit_reset", BreakerState::Closed, 0);
        }
    }

    pub fn status(&self) -> Status {
        let inner = self.lock();
        let retry_after = match inner.admission(&self.config) {
            Err(Open { retry_after }) if matches!(inner.phase, Phase::OpenSince(_)) => Some(retry_after),
            _ => None,
        };
        let state = match inner.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::OpenSince(_) if retry_after.is_none() => BreakerState::HalfOpen,
            Phase::OpenSince(_) => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        };
        Status { state, failures: inner.failures, opened: inner.opened, retry_after }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs a change of state as one structured event. Log searches and dashboards depend on the target and the field
/// names.
fn log_transition(tier: &TierName, event: &'static str, state: BreakerState, failures: u32) {
    let (tier, state) = (tier.as_str(), state.name());
    if state == BreakerState::Open.name() {
        tracing::error!(target: "e2b_metrics", event, tier, circuitBreakerState = state, failures, "[E2B_METRICS]");
    } else {
        tracing::info!(target: "e2b_metrics", event, tier, circuitBreakerState = state, failures, "[E2B_METRICS]");
    }
}

impl Inner {
    fn open(&mut self) {
        self.phase = Phase::OpenSince(Instant::now());
        self.opened += 1;
    }

    /// Returns how an attempt may proceed now.
    fn admission(&self, config: &Config) -> Result<Admission, Open> {
        match self.phase {
            Phase::Closed => Ok(Admission::Normal),
            Phase::OpenSince(since) => {
                let left = config.open_for.saturating_sub(since.elapsed());
                if left.is_zero() { Ok(Admission::Probe) } else { Err(Open { retry_after: left }) }
            }
            Phase::HalfOpen { probing: false } => Ok(Admission::Probe),
            // The duration of the probe is unknown; one second is short compared with `open_for`.
            Phase::HalfOpen { probing: true } => Err(Open { retry_after: Duration::from_secs(1) }),
        }
    }
}

impl Permit {
    /// Returns whether this attempt is the probe that decides whether an open breaker closes.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    /// Records the outcome of the attempt. `None`: the backend responded without a fault.
    pub fn record_outcome(mut self, fault: Option<&Fault>) {
        match fault {
            None | Some(Fault::Refused { .. } | Fault::Unsupported(_)) => self.record_success(),
            Some(Fault::Unavailable { .. }) => self.record_failure(),
            // Neither success nor failure, as if the permit had been dropped.
            Some(Fault::Lost { .. }) => {}
        }
    }

    fn record_success(&mut self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match self.probe.take() {
            Some(generation) if generation == inner.generation => {
                (inner.phase, inner.failures) = (Phase::Closed, 0);
                log_transition(&self.tier, "circuit_closed", BreakerState::Closed, 0);
            }
            Some(_) => {}
            // An attempt that began before the breaker opened does not close it.
            None if inner.phase == Phase::Closed => inner.failures = 0,
            None => {}
        }
    }

    fn record_failure(&mut self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match self.probe.take() {
            Some(generation) if generation == inner.generation => {
                inner.failures += 1;
                inner.open();
                log_transition(&self.tier, "circuit_probe_failed", BreakerState::Open, inner.failures);
            }
            None if inner.phase == Phase::Closed => {
                inner.failures += 1;
                if inner.failures >= self.config.failure_threshold {
                    inner.open();
                    log_transition(&self.tier, "circuit_opened", BreakerState::Open, inner.failures);
                }
            }
            Some(_) | None => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(generation) = self.probe else { return };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if generation == inner.generation && inner.phase == (Phase::HalfOpen { probing: true }) {
            inner.phase = Phase::HalfOpen { probing: false };
        }
    }
}

#[cfg(test)]
mod tests;
