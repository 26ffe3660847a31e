//! How fast executions may start: E2B says only when it was too much, so the rate is felt out from above.

use std::time::Duration;

use tokio::time::Instant;

/// Starts at the most, halves when E2B refuses, comes back in steps of a tenth.
#[derive(Debug, Clone)]
pub(crate) struct Adaptive {
    /// Executions a minute, as configured.
    most: f64,
    /// The time between two that the most allows.
    soonest: Duration,
    /// Executions a minute after the last halving.
    rate: f64,
    /// When the last halving was.
    halved: Option<Instant>,
    /// Since when E2B has had the chance to refuse and has not.
    quiet_since: Instant,
}

/// Executions a minute that remain however often E2B refuses: somebody has to find out when it stops.
const LEAST: f64 = 6.0;
/// Refusals in this time are one refusal: they answer what was under way together.
const TOGETHER: Duration = Duration::from_secs(1);
/// Each of these without a refusal gives a step back.
const STEP: Duration = Duration::from_secs(10);
/// Part of the most that a step gives back.
const SHARE: f64 = 0.1;

impl Adaptive {
    /// At most so many executions a minute, never less than `soonest` apart in the long run.
    pub(crate) fn new(most: u32, soonest: Duration, now: Instant) -> Self {
        let most = f64::from(most.max(1));
        Self { most, soonest, rate: most, halved: None, quiet_since: now }
    }

    /// E2B refused, and lets nothing start before `until`. The recovery begins then: a time in which nothing may start
    /// shows nothing.
    pub(crate) fn refused(&mut self, now: Instant, until: Instant) {
        self.rate = self.recovered(now);
        if self.halved.is_none_or(|at| now.saturating_duration_since(at) >= TOGETHER) {
            self.rate = self.floor(self.rate / 2.0);
            self.halved = Some(now);
        }
        self.quiet_since = self.quiet_since.max(until);
    }

    /// The time between two executions now, where `health` is the share of calls that do well.
    pub(crate) fn every(&self, health: f64, now: Instant) -> Duration {
        Duration::from_secs_f64(60.0 / self.per_minute(health, now)).max(self.soonest)
    }

    /// Executions a minute now, where `health` is the share of calls that do well.
    fn per_minute(&self, health: f64, now: Instant) -> f64 {
        self.floor(self.recovered(now) * health)
    }

    fn recovered(&self, now: Instant) -> f64 {
        let steps = now.saturating_duration_since(self.quiet_since).as_secs() / STEP.as_secs();
        (self.rate + steps as f64 * SHARE * self.most).min(self.most)
    }

    fn floor(&self, rate: f64) -> f64 {
        rate.max(LEAST.min(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_refusal_halves_once_a_second_and_never_to_nothing() {
        let mut now = Instant::now();
        let mut rate = Adaptive::new(600, SECOND / 10, now);
        for _ in 0..5 {
            rate.refused(now, now + SECOND);
        }
        assert_eq!(rate.per_minute(1.0, now), 300.0);
        for _ in 0..20 {
            now += SECOND;
            rate.refused(now, now + SECOND);
        }
        assert_eq!(rate.per_minute(1.0, now), LEAST);
        assert_eq!(Adaptive::new(2, SECOND * 30, now).per_minute(0.0, now), 2.0);
    }

    #[test]
    fn it_recovers_in_steps_once_the_hold_is_over() {
        let now = Instant::now();
        let mut rate = Adaptive::new(600, SECOND / 10, now);
        rate.refused(now, now + SECOND * 30);
        let rates = [30, 39, 40, 60, 80, 1000].map(|after| rate.per_minute(1.0, now + SECOND * after));
        assert_eq!(rates, [300.0, 300.0, 360.0, 480.0, 600.0, 600.0]);
        rate.refused(now + SECOND * 40, now + SECOND * 41);
        assert_eq!(rate.per_minute(1.0, now + SECOND * 41), 180.0);
    }

    #[test]
    fn poor_health_slows_it() {
        let now = Instant::now();
        let rate = Adaptive::new(600, SECOND / 10, now);
        assert_eq!([1.0, 0.5, 0.0].map(|health| rate.per_minute(health, now)), [600.0, 300.0, LEAST]);
    }
}
