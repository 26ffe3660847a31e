//! How many connections are open, of each caller and of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchtower_core::error;
use switchtower_core::request::Caller;

use super::Config;
use crate::service::problem::Problem;

/// The connections that are open.
pub(super) struct OpenSockets {
    max: usize,
    max_per_caller: usize,
    /// Callers without a connection have no entry.
    counts: Arc<Mutex<HashMap<Caller, usize>>>,
}

/// One open connection. Dropping it lets another one open.
pub(super) struct SocketGuard {
    caller: Caller,
    counts: Arc<Mutex<HashMap<Caller, usize>>>,
}

impl OpenSockets {
    pub(super) fn new(config: &Config) -> Self {
        let Config { max_connections, max_connections_per_caller, .. } = *config;
        Self { max: max_connections, max_per_caller: max_connections_per_caller, counts: Arc::default() }
    }

    /// Counts one more connection.
    ///
    /// # Errors
    /// The caller, or all callers together, have as many as they may.
    pub(super) fn admit(&self, caller: &Caller) -> Result<SocketGuard, Problem> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.get(caller).is_some_and(|count| *count >= self.max_per_caller) {
            let max = self.max_per_caller;
            let detail = format!(
                "{max} WebSockets of this caller are open, which is the limit (executors.max_connections_per_caller): close one"
            );
            return Err(Problem::new(error::Kind::LimitReached, detail));
        }
        if counts.values().sum::<usize>() >= self.max {
            let detail = format!("{} WebSockets are open, which is the limit (executors.max_connections)", self.max);
            return Err(Problem::new(error::Kind::Overloaded, detail).retry_after(Duration::from_secs(1)));
        }
        *counts.entry(caller.clone()).or_default() += 1;
        Ok(SocketGuard { caller: caller.clone(), counts: Arc::clone(&self.counts) })
    }
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.caller);
            }
        }
    }
}
