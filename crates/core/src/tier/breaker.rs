//! Keeps requests from a backend that does not answer: closed lets all through, open none, half-open one at a time to
//! see whether it is well again.
//!
//! A failure is a request that found the backend not there ([`Fault::Unavailable`]), its retries included: what a retry
//! mended is none, so a backend that fails every fifth call stays in use. A refusal (a rate limit, a wrong key) shows that
//! somebody answers, and a lost run may be the program's own doing, so neither counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::Fault;
use tokio::time::Instant;

use crate::route::TierName;

/// When a tier that does not answer is left alone, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Failed requests in a row that open the breaker, at least 1; a request counts once, its retries included.
    pub failures: u32,
    /// How long the breaker stays open before one request is let through as a probe.
    #[serde(with = "humantime_serde")]
    pub open_for: Duration,
}

impl Config {
    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        if self.failures == 0 {
            return Some("failures must be at least 1: with 0 the breaker would never close".to_owned());
        }
        self.open_for.is_zero().then(|| "open_for must be longer than 0s".to_owned())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(60) }
    }
}

/// The breaker of one tier.
pub struct Breaker {
    tier: TierName,
    config: Config,
    /// Protects the state; held for a few instructions.
    inner: Arc<Mutex<Inner>>,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Closed,
    Open,
    HalfOpen,
}

impl State {
    /// As logs and dashboards spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
        }
    }
}

/// What there is to see of a breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    pub state: State,
    /// Failures in a row.
    pub failures: u32,
    /// Times that it opened since the start.
    pub opened: u64,
    /// Milliseconds until a probe may go; only while it is open.
    #[serde(rename = "retry_after_ms", serialize_with = "millis", skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

fn millis<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.unwrap_or_default().as_millis().try_into().unwrap_or(u64::MAX))
}

/// Nothing is let through now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open")]
pub struct Open {
    pub retry_after: Duration,
}

/// The right to try. Told how it went; dropped untold, it counts as nothing, and leaves a probe's room to the next.
#[must_use = "a permit is told how the attempt went"]
pub struct Permit {
    tier: TierName,
    config: Config,
    inner: Arc<Mutex<Inner>>,
    /// The half-open spell that this is the probe of.
    probe: Option<u64>,
}

#[derive(Debug)]
struct Inner {
    at: At,
    failures: u32,
    opened: u64,
    /// Counts half-open spells and resets: a permit of an earlier one says nothing about this one.
    spell: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Closed,
    /// Since this moment.
    Open(Instant),
    /// Whether the probe is out.
    HalfOpen {
        probing: bool,
    },
}

impl Breaker {
    pub fn new(tier: TierName, config: Config) -> Self {
        let config = Config { failures: config.failures.max(1), ..config };
        let inner = Inner { at: At::Closed, failures: 0, opened: 0, spell: 0 };
        Self { tier, config, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Whether a permit could be had now. Takes nothing.
    ///
    /// # Errors
    /// It is open, or its probe is out.
    pub fn check(&self) -> Result<(), Open> {
        self.lock().room(&self.config).map(drop)
    }

    /// # Errors
    /// It is open, or its probe is out.
    pub fn permit(&self) -> Result<Permit, Open> {
        let mut inner = self.lock();
        let probe = inner.room(&self.config)?.then(|| {
            if !matches!(inner.at, At::HalfOpen { .. }) {
                inner.spell += 1;
                announce(&self.tier, "circuit_half_open", State::HalfOpen, inner.failures);
            }
            inner.at = At::HalfOpen { probing: true };
            inner.spell
        });
        drop(inner);
        let (tier, config) = (self.tier.clone(), self.config.clone());
        Ok(Permit { tier, config, inner: self.inner.clone(), probe })
    }

    /// Closes it by hand.
    pub fn reset(&self) {
        let mut inner = self.lock();
        let was = inner.at;
        (inner.at, inner.failures) = (At::Closed, 0);
        inner.spell += 1;
        if was != At::Closed {
            announce(&self.tier, "circuit_reset", State::Closed, 0);
        }
    }

    pub fn status(&self) -> Status {
        let inner = self.lock();
        let retry_after = match inner.room(&self.config) {
            Err(Open { retry_after }) if matches!(inner.at, At::Open(_)) => Some(retry_after),
            _ => None,
        };
        let state = match inner.at {
            At::Closed => State::Closed,
            At::Open(_) if retry_after.is_none() => State::HalfOpen,
            At::Open(_) => State::Open,
            At::HalfOpen { .. } => State::HalfOpen,
        };
        Status { state, failures: inner.failures, opened: inner.opened, retry_after }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One structured line per change, under the names that log searches know.
fn announce(tier: &TierName, event: &'static str, state: State, failures: u32) {
    let (tier, state) = (tier.as_str(), state.name());
    if state == State::Open.name() {
        tracing::error!(target: "e2b_metrics", event, tier, circuitBreakerState = state, failures, "[E2B_METRICS]");
    } else {
        tracing::info!(target: "e2b_metrics", event, tier, circuitBreakerState = state, failures, "[E2B_METRICS]");
    }
}

impl Inner {
    fn opens(&mut self) {
        self.at = At::Open(Instant::now());
        self.opened += 1;
    }

    /// Whether there is room, and whether it is a probe's.
    fn room(&self, config: &Config) -> Result<bool, Open> {
        match self.at {
            At::Closed => Ok(false),
            At::Open(since) => {
                let left = config.open_for.saturating_sub(since.elapsed());
                if left.is_zero() { Ok(true) } else { Err(Open { retry_after: left }) }
            }
            At::HalfOpen { probing: false } => Ok(true),
            // How long a probe takes is not known; a second is short beside the time that it was open.
            At::HalfOpen { probing: true } => Err(Open { retry_after: Duration::from_secs(1) }),
        }
    }
}

impl Permit {
    /// Returns whether this is the one attempt that an open breaker lets through, to see whether the backend answers again.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    /// Records how the attempt ended: `None` is a backend that answered.
    pub fn record_outcome(mut self, fault: Option<&Fault>) {
        match fault {
            None | Some(Fault::Refused { .. } | Fault::Unsupported(_)) => self.well(),
            Some(Fault::Unavailable { .. }) => self.failed(),
            // As if it had been dropped.
            Some(Fault::Lost { .. }) => {}
        }
    }

    fn well(&mut self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match self.probe.take() {
            Some(spell) if spell == inner.spell => {
                (inner.at, inner.failures) = (At::Closed, 0);
                announce(&self.tier, "circuit_closed", State::Closed, 0);
            }
            Some(_) => {}
            // A straggler from before it opened does not close it.
            None if inner.at == At::Closed => inner.failures = 0,
            None => {}
        }
    }

    fn failed(&mut self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match self.probe.take() {
            Some(spell) if spell == inner.spell => {
                inner.failures += 1;
                inner.opens();
                announce(&self.tier, "circuit_probe_failed", State::Open, inner.failures);
            }
            None if inner.at == At::Closed => {
                inner.failures += 1;
                if inner.failures >= self.config.failures {
                    inner.opens();
                    announce(&self.tier, "circuit_opened", State::Open, inner.failures);
                }
            }
            Some(_) | None => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(spell) = self.probe else { return };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if spell == inner.spell && inner.at == (At::HalfOpen { probing: true }) {
            inner.at = At::HalfOpen { probing: false };
        }
    }
}

#[cfg(test)]
mod tests;
