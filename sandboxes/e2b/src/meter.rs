//! What the sandboxes cost: every second that one runs is bought, whether a program runs in it or not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use switchtower_contract::Price;
use tokio::time::Instant;

/// All that an account's sandboxes have cost since the start.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<Sum>>);

#[derive(Default)]
struct Sum {
    /// Of the times that are over.
    past: Duration,
    /// The beginnings of those that go on.
    running: Vec<(u64, Instant)>,
    next: u64,
}

/// A sandbox's time that is being paid for; dropped when it ends or sleeps.
pub(crate) struct Running {
    meter: Meter,
    number: u64,
}

/// What was bought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bought {
    pub sandbox_seconds: f64,
    pub cost_usd: f64,
}

impl Meter {
    pub(crate) fn start(&self) -> Running {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sum.next += 1;
        let number = sum.next;
        sum.running.push((number, Instant::now()));
        Running { meter: self.clone(), number }
    }

    /// At this price of a second.
    pub(crate) fn bought(&self, second: Price) -> Bought {
        let sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let time = sum.past + sum.running.iter().map(|(_, since)| since.elapsed()).sum::<Duration>();
        Bought { sandbox_seconds: time.as_secs_f64(), cost_usd: second.of(time).dollars() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut sum = self.meter.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = sum.running.iter().position(|(number, _)| *number == self.number) {
            let (_, since) = sum.running.swap_remove(at);
            sum.past += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_second_of_every_sandbox_is_paid_for() {
        // Two processors and two gigabytes, as E2B prices them.
        let (meter, second) = (Meter::default(), Price(37_000));
        let one = meter.start();
        tokio::time::advance(Duration::from_secs(10)).await;
        let two = meter.start();
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(one);
        tokio::time::advance(Duration::from_secs(5)).await;
        let bought = meter.bought(second);
        assert_eq!(bought, Bought { sandbox_seconds: 25.0, cost_usd: 0.000_925 });
        drop(two);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(meter.bought(second), bought);
    }
}
