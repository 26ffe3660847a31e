//! The rate of executions. E2B publishes none and only refuses, so the rate starts high and adapts to refusals.

use std::time::Duration;

use tokio::time::Instant;

/// A rate that starts at its maximum, is halved when E2B refuses, and recovers in steps of a tenth of the maximum.
#[derive(Debug, Clone)]
pub(crate) struct AdaptiveRate {
    /// Executions a minute, as configured.
    max_per_minute: f64,
    /// Time between two executions at the maximum.
    min_interval: Duration,
    /// Executions a minute after the last halving.
    per_minute: f64,
    /// When it was halved last.
    halved: Option<Instant>,
    /// Since when E2B could have refused and has not.
    quiet_since: Instant,
}

/// Executions a minute that remain however often E2B refuses: without any, nothing would show that it accepts again.
const MIN_PER_MINUTE: f64 = 6.0;
/// Refusals within this time count as one: they are for calls that were in flight together.
const SAME_REFUSAL: Duration = Duration::from_secs(1);
/// Time without a refusal after which the rate recovers by a step.
const STEP_TIME: Duration = Duration::from_secs(10);
/// Share of the maximum that a step restores.
const STEP_SHARE: f64 = 0.1;

impl AdaptiveRate {
    /// Returns a rate of at most so many executions a minute, at least `min_interval` apart in the long run.
    pub(crate) fn new(max_per_minute: u32, min_interval: Duration, now: Instant) -> Self {
        let max_per_minute = f64::from(max_per_minute.max(1));
        Self { max_per_minute, min_interval, per_minute: max_per_minute, halved: None, quiet_since: now }
    }

    /// Records a refusal that lets no execution start before `until`. The recovery begins then.
    pub(crate) fn record_refusal(&mut self, now: Instant, until: Instant) {
        self.per_minute = self.recovered(now);
        if self.halved.is_none_or(|at| now.saturating_duration_since(at) >= SAME_REFUSAL) {
            self.per_minute = self.at_least_minimum(self.per_minute / 2.0);
            self.halved = Some(now);
        }
        self.quiet_since = self.quiet_since.max(until);
    }

    /// Returns the time between two executions now. `health` is the share of calls that succeed.
    pub(crate) fn interval(&self, health: f64, now: Instant) -> Duration {
        Duration::from_secs_f64(60.0 / self.per_minute_now(health, now)).max(self.min_interval)
    }

    /// Returns the executions a minute now.
    fn per_minute_now(&self, health: f64, now: Instant) -> f64 {
        self.at_least_minimum(self.recovered(now) * health)
    }

    fn recovered(&self, now: Instant) -> f64 {
        let steps = now.saturating_duration_since(self.quiet_since).as_secs() / STEP_TIME.as_secs();
        (self.per_minute + steps as f64 * STEP_SHARE * self.max_per_minute).min(self.max_per_minute)
    }

    fn at_least_minimum(&self, rate: f64) -> f64 {
        rate.max(MIN_PER_MINUTE.min(self.max_per_minute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_refusal_halves_once_a_second_and_never_to_nothing() {
        let mut now = Instant::now();
        let mut rate = AdaptiveRate::new(600, SECOND / 10, now);
        for _ in 0..5 {
            rate.record_refusal(now, now + SECOND);
        }
        assert_eq!(rate.per_minute_now(1.0, now), 300.0);
        for _ in 0..20 {
            now += SECOND;
            rate.record_refusal(now, now + SECOND);
        }
        assert_eq!(rate.per_minute_now(1.0, now), MIN_PER_MINUTE);
        assert_eq!(AdaptiveRate::new(2, SECOND * 30, now).per_minute_now(0.0, now), 2.0);
    }

    #[test]
    fn it_recovers_in_steps_once_the_hold_has_ended() {
        let now = Instant::now();
        let mut rate = AdaptiveRate::new(600, SECOND / 10, now);
        rate.record_refusal(now, now + SECOND * 30);
        let rates = [30, 39, 40, 60, 80, 1000].map(|after| rate.per_minute_now(1.0, now + SECOND * after));
        assert_eq!(rates, [300.0, 300.0, 360.0, 480.0, 600.0, 600.0]);
        rate.record_refusal(now + SECOND * 40, now + SECOND * 41);
        assert_eq!(rate.per_minute_now(1.0, now + SECOND * 41), 180.0);
    }

    #[test]
    fn poor_health_slows_it() {
        let now = Instant::now();
        let rate = AdaptiveRate::new(600, SECOND / 10, now);
        assert_eq!([1.0, 0.5, 0.0].map(|health| rate.per_minute_now(health, now)), [600.0, 300.0, MIN_PER_MINUTE]);
    }
}
