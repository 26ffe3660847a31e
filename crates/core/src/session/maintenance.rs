//! Maintenance of idle sessions: replayable kernels are evicted (their cells are kept, and are run again when the kernel is
//! needed), machines are put to sleep, and machines in use are kept alive.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Fault, Maintenance};
use tokio::time::{Instant, interval};

use super::config::Config;
use super::context::Context;
use super::lifetime::SessionState;
use super::registry::Sessions;
use super::session::Session;

/// How often kernels are looked at.
const EVICTION_INTERVAL: Duration = Duration::from_secs(1);
/// How often a machine's own lifetime is extended, and for how long from then.
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
        self.list_all().iter().flat_map(|session| session.all_contexts()).map(|context| context.kernel_memory()).sum()
    }
}

/// An idle kernel that can be evicted.
struct Evictable {
    expensive: bool,
    idle: Duration,
    context: Arc<Context>,
}

/// Evicts kernels that have been idle for long, and then, while all hold more than they may, those that have been idle for
/// longest; kernels that are expensive to rebuild last.
fn evict(sessions: &[Arc<Session>], config: &Config) {
    let (mut held, mut kernels) = (0, Vec::new());
    for session in sessions {
        for context in session.all_contexts().into_iter().filter(|context| context.kernel_memory() > 0) {
            held += context.kernel_memory();
            // A cell runs in it.
            let Ok(state) = context.try_lock() else { continue };
            if !state.has_local_kernel() {
                // A cell in it was interrupted, and the kernel with it.
                held -= context.kernel_memory();
                state.record_kernel_lost();
                continue;
            }
            // A kernel that cannot be rebuilt is not evicted, however long it is idle.
            let Some(cost) = state.history().rebuild_cost() else { continue };
            drop(state);
            kernels.push(Evictable { expensive: cost > config.expensive_rebuild, idle: session.idle(), context });
        }
    }
    kernels.sort_by_key(|kernel| (kernel.expensive, std::cmp::Reverse(kernel.idle)));
    for Evictable { expensive, idle, context } in kernels {
        if (idle >= config.evict_after && !expensive) || held > config.memory {
            let Ok(mut state) = context.try_lock() else { continue };
            held -= context.kernel_memory();
            state.evict();
        }
    }
}

/// Keeps a session's machine alive while it is used, and puts it to sleep when it is not.
async fn maintain_machine(session: &Session, idle: Duration) {
    let Some(leased) = session.leased_machine() else { return };
    if session.state() != SessionState::Running {
        return;
    }
    let in_use = session.idle() < idle || session.machine_slot().has_processes() || runs_cell(session);
    let maintained: Result<(), Fault> = if in_use {
        leased.ensure_lifetime(MACHINE_LIFETIME).await
    } else if session.idle() < idle + MACHINE_INTERVAL * 2 {
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
    session.all_contexts().iter().any(|context| context.try_lock().is_err())
}
