//! Limits that E2B counts by the address that calls come from: all accounts behind one address share them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Kind;
use super::bucket::Bucket;
use super::gcra::Gcra;
use super::window::Window;
use crate::address::Address;

/// The rates of one address towards one service. Clones are the same rates.
#[derive(Clone)]
pub struct Egress {
    pub(crate) lifecycle: Arc<Bucket>,
    pub(crate) operation: Arc<Bucket>,
}

/// The rates of this process towards every service that it calls. All its calls leave by the same address.
#[derive(Default)]
pub struct EgressRates {
    /// By the origin of the management API.
    lifecycle: BTreeMap<String, Arc<Bucket>>,
    /// By where the sandboxes are.
    operation: BTreeMap<String, Arc<Bucket>>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Egress {
    /// Rates that nobody shares: those of a process with a single account.
    pub fn own() -> Self {
        Self { lifecycle: lifecycle(), operation: operation() }
    }
}

impl EgressRates {
    /// Returns the rates towards this service: the same ones for every account of it.
    pub fn towards(&mut self, address: &Address) -> Egress {
        let api = address.api().to_ascii_lowercase();
        let sandboxes = address.sandboxes().to_ascii_lowercase();
        Egress {
            lifecycle: self.lifecycle.entry(api).or_insert_with(lifecycle).clone(),
            operation: self.operation.entry(sandboxes).or_insert_with(operation).clone(),
        }
    }
}

/// 20,000 calls of the management API in 30 seconds.
fn lifecycle() -> Arc<Bucket> {
    let (most, window) = (20_000, 30 * SECOND);
    Bucket::fixed(Kind::Lifecycle, Gcra::new(most, window, 2_000, Instant::now()), Window::new(most as usize, window))
}

/// 40,000 calls into sandboxes in 60 seconds.
fn operation() -> Arc<Bucket> {
    let (most, window) = (40_000, 60 * SECOND);
    Bucket::fixed(Kind::Operation, Gcra::new(most, window, 4_000, Instant::now()), Window::new(most as usize, window))
}
