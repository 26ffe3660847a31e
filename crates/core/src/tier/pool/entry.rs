//! One sandbox of a pool, and what is known of it.

use std::time::Duration;

use serde::Serialize;
use switchtower_contract::{Fault, Maintenance, Sandbox};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Config;

pub(super) struct PoolEntry {
    sandbox: Box<dyn Sandbox>,
    /// After the sandbox, so that it is gone before its place is free.
    place: OwnedSemaphorePermit,
    pub(super) runs: u32,
    /// How long it has been awake, up to when it last woke up or fell asleep.
    aged: Duration,
    /// None while it sleeps.
    awake_since: Option<Instant>,
    idle_since: Instant,
    pub(super) looked_at: Instant,
}

/// What there is to see of one sandbox that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Seen {
    pub runs: u32,
    /// Time awake, in milliseconds.
    pub age_ms: u64,
    /// Since its last run, in milliseconds.
    pub idle_ms: u64,
    pub asleep: bool,
}

impl PoolEntry {
    pub(super) fn new(sandbox: Box<dyn Sandbox>, place: OwnedSemaphorePermit) -> Self {
        let now = Instant::now();
        Self { sandbox, place, runs: 0, aged: Duration::ZERO, awake_since: Some(now), idle_since: now, looked_at: now }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        self.aged + self.awake_since.map_or(Duration::ZERO, |since| now - since)
    }

    /// A run of this length ends before it is too old. One that is longer than a whole life gets half of one.
    pub(super) fn lasts(&self, now: Instant, wall: Duration, config: &Config) -> bool {
        self.age(now) + wall.min(config.max_age / 2) <= config.max_age
    }

    /// Gives the sandbox up and its place on.
    pub(super) fn into_place(self) -> OwnedSemaphorePermit {
        drop(self.sandbox);
        self.place
    }

    /// Gives its place up, and not the sandbox.
    pub(super) fn into_sandbox(self) -> Box<dyn Sandbox> {
        self.sandbox
    }

    pub(super) fn idle(&self, now: Instant) -> Duration {
        now - self.idle_since
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.awake_since.is_none()
    }

    /// It is lent: a run wakes it.
    pub(super) fn lent(&mut self) -> &mut dyn Sandbox {
        self.runs += 1;
        self.awake_since.get_or_insert_with(Instant::now);
        self.sandbox.as_mut()
    }

    pub(super) fn sandbox(&mut self) -> &mut dyn Sandbox {
        self.sandbox.as_mut()
    }

    /// Nothing of its last run is left.
    pub(super) async fn reset(&mut self) -> Result<(), Fault> {
        self.sandbox.reset().await?;
        let now = Instant::now();
        (self.idle_since, self.looked_at) = (now, now);
        Ok(())
    }

    pub(super) async fn maintain(&mut self, how: Maintenance) -> Result<(), Fault> {
        self.sandbox.maintain(how).await?;
        let now = Instant::now();
        self.looked_at = now;
        if how == Maintenance::Asleep
            && let Some(since) = self.awake_since.take()
        {
            self.aged += now - since;
        }
        Ok(())
    }

    pub(super) fn seen(&self, now: Instant) -> Seen {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (age_ms, idle_ms) = (millis(self.age(now)), millis(self.idle(now)));
        Seen { runs: self.runs, age_ms, idle_ms, asleep: self.is_asleep() }
    }
}
