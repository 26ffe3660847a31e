//! Maintenance of sessions: idle replayable kernels are evicted (their cells are kept, and run again when the kernel is
//! needed), idle machines are put to sleep, and the lifetime of machines in use is extended.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Fault, Maintenance};
use tokio::time::{Instant, interval};

use super::config::Config;
use super::context::Context;
use super::lifetime::SessionState;
use super::registry::Sessions;
use super::session::Session;

/// Time between two checks of kernels.
const EVICTION_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two extensions of a machine's lifetime, and how long it lives from each.
const MACHINE_INTERVAL: Duration = Duration::from_secs(60);
const MACHINE_LIFETIME: Duration = Duration::from_secs(180);

impl Sessions {
    /// Maintains all sessions for as long as it is polled.
    pub async fn maintain(&self) {
        let mut tick = interval(EVICTION_INTERVAL);
        let mut maintained = Instant::now();
        loop {
            tick.tick().await;
            let sessions = self.list_all();
            evict(&sessions, self.config());
            if maintained.elapsed() >= MACHINE_INTERVAL {
                maintained = Instant::now();
                for session in &sessions {
                    maintain_machine(session, self.config().machine_idle).await;
                }
            }
        }
    }

    /// Returns the bytes that local kernels hold.
    pub fn kernel_memory(&self) -> u64 {
        self.list_all().iter().flat_map(|session| session.contexts().all()).map(|context| context.kernel_memory()).sum()
    }
}

/// An idle kernel that can be evicted.
struct Evictable {
    expensive: bool,
    idle: Duration,
    context: Arc<Context>,
}

/// Evicts kernels that have been idle for `evict_after`, and while all kernels hold more than `max_kernel_memory`, those that have been
/// idle longest; kernels that are expensive to rebuild last.
fn evict(sessions: &[Arc<Session>], config: &Config) {
    let (mut held, mut kernels) = (0, Vec::new());
    for session in sessions {
        for context in session.contexts().all().into_iter().filter(|context| context.kernel_memory() > 0) {
            held += context.kernel_memory();
            // Locked while a cell runs in it.
            let Ok(state) = context.try_lock() else { continue };
            if !state.has_local_kernel() {
                // The kernel was dropped when its cell was interrupted.
                held -= context.kernel_memory();
                state.record_kernel_lost();
                continue;
            }
            // A kernel that cannot be rebuilt is not evicted.
            let Some(cost) = state.history().rebuild_cost() else { continue };
            drop(state);
            kernels.push(Evictable {
                expensive: cost > config.expensive_rebuild,
                idle: session.lifetime().idle(),
                context,
            });
        }
    }
    kernels.sort_by_key(|kernel| (kernel.expensive, std::cmp::Reverse(kernel.idle)));
    for Evictable { expensive, idle, context } in kernels {
        if (idle >= config.evict_after && !expensive) || held > config.max_kernel_memory {
            let Ok(mut state) = context.try_lock() else { continue };
            held -= context.kernel_memory();
            state.evict();
        }
    }
}

/// Extends the lifetime of a session's machine if it is in use, and puts it to sleep otherwise.
async fn maintain_machine(session: &Session, idle: Duration) {
    let Some(leased) = session.machine_slot().get() else { return };
    if session.lifetime().state() != SessionState::Running {
        return;
    }
    let in_use = session.lifetime().idle() < idle || session.machine_slot().has_processes() || runs_cell(session);
    let maintained: Result<(), Fault> = if in_use {
        leased.ensure_lifetime(MACHINE_LIFETIME).await
    } else if session.lifetime().idle() < idle + MACHINE_INTERVAL * 2 {
        leased.maintain(Maintenance::Asleep).await
    } else {
        // It sleeps already.
        Ok(())
    };
    if let Err(fault) = maintained {
        tracing::warn!(session = session.id(), %fault, "a session's machine could not be maintained");
    }
}

fn runs_cell(session: &Session) -> bool {
    session.contexts().all().iter().any(|context| context.try_lock().is_err())
}
