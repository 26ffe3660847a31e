//! The cost of sandboxes: every second that one runs is billed, whether or not a program runs in it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use switchtower_contract::Price;
use tokio::time::Instant;

/// The time that an account's sandboxes have run since the start.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<Sum>>);

#[derive(Default)]
struct Sum {
    /// The time of sandboxes that have ended.
    past: Duration,
    /// The start of each running sandbox, by number.
    running: Vec<(u64, Instant)>,
    next: u64,
}

/// Bills a running sandbox until it is dropped.
pub(crate) struct BillingTimer {
    meter: Meter,
    number: u64,
}

/// The cost of an account's sandboxes since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct AccountCost {
    pub sandbox_seconds: f64,
    pub cost_usd: f64,
}

impl Meter {
    pub(crate) fn start(&self) -> BillingTimer {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sum.next += 1;
        let number = sum.next;
        sum.running.push((number, Instant::now()));
        BillingTimer { meter: self.clone(), number }
    }

    /// Returns the cost so far, at this price of a second.
    pub(crate) fn total(&self, second: Price) -> AccountCost {
        let sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let time = sum.past + sum.running.iter().map(|(_, since)| since.elapsed()).sum::<Duration>();
        AccountCost { sandbox_seconds: time.as_secs_f64(), cost_usd: second.of(time).dollars() }
    }
}

impl Drop for BillingTimer {
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
    async fn every_second_of_every_running_sandbox_is_billed() {
        // E2B's price of two processors and two gigabytes.
        let (meter, second) = (Meter::default(), Price(37_000));
        let one = meter.start();
        tokio::time::advance(Duration::from_secs(10)).await;
        let two = meter.start();
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(one);
        tokio::time::advance(Duration::from_secs(5)).await;
        let cost = meter.total(second);
        assert_eq!(cost, AccountCost { sandbox_seconds: 25.0, cost_usd: 0.000_925 });
        drop(two);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(meter.total(second), cost);
    }
}
