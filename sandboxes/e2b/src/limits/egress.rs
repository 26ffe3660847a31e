//! Rates that E2B counts by the address that calls come from. All accounts behind one address share them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::CallClass;
use super::gcra::Gcra;
use super::rate_limiter::RateLimiter;
use super::window::Window;
use crate::address::Address;

/// The rates of one address towards one service. Clones share them.
#[derive(Clone)]
pub struct Egress {
    pub(crate) lifecycle: Arc<RateLimiter>,
    pub(crate) operation: Arc<RateLimiter>,
}

/// The rates of this process towards every service that it calls, by the service's address.
#[derive(Default)]
pub struct EgressRates {
    /// By the origin of the management API.
    lifecycle: BTreeMap<String, Arc<RateLimiter>>,
    /// By the origin or the domain of the sandboxes.
    operation: BTreeMap<String, Arc<RateLimiter>>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Egress {
    /// Returns the rates of a process with a single account.
    pub fn unshared() -> Self {
        Self { lifecycle: lifecycle(), operation: operation() }
    }
}

impl EgressRates {
    /// Returns the rates towards this service, which all its accounts share.
    pub fn towards(&mut self, address: &Address) -> Egress {
        let api = address.api().to_ascii_lowercase();
        let sandboxes = address.sandboxes().to_ascii_lowercase();
        Egress {
            lifecycle: self.lifecycle.entry(api).or_insert_with(lifecycle).clone(),
            operation: self.operation.entry(sandboxes).or_insert_with(operation).clone(),
        }
    }
}

/// Returns the rate of the management API: 20,000 calls in 30 seconds.
fn lifecycle() -> Arc<RateLimiter> {
    let (limit, window) = (20_000, 30 * SECOND);
    RateLimiter::fixed(
        CallClass::Lifecycle,
        Gcra::new(limit, window, 2_000, Instant::now()),
        Window::new(limit as usize, window),
    )
}

/// Returns the rate of calls into sandboxes: 40,000 in 60 seconds.
fn operation() -> Arc<RateLimiter> {
    let (limit, window) = (40_000, 60 * SECOND);
    RateLimiter::fixed(
        CallClass::Operation,
        Gcra::new(limit, window, 4_000, Instant::now()),
        Window::new(limit as usize, window),
    )
}
