//! What nobody uses: kernels here are spilled (their cells are kept, and run again when they are needed), machines are put
//! to sleep, and those that are used are kept alive.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::Fault;
use tokio::time::{Instant, interval};

use super::config::Config;
use super::context::Context;
use super::lifetime::SessionState;
use super::session::Session;
use super::table::Sessions;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How often a machine's own time is prolonged, and by how much.
const PROLONG: Duration = Duration::from_secs(60);
const BY: Duration = Duration::from_secs(180);

impl Sessions {
    /// Looks after what nobody uses. For as long as it is polled.
    pub async fn maintain(&self) {
        let mut tick = interval(LOOK);
        let mut prolonged = Instant::now();
        loop {
            tick.tick().await;
            let sessions = self.list_all();
            spill(&sessions, self.config());
            if prolonged.elapsed() >= PROLONG {
                prolonged = Instant::now();
                for session in &sessions {
                    session.keep_machine(self.config().machine_idle).await;
                }
            }
        }
    }

    /// Bytes that kernels hold here.
    pub fn kernel_memory(&self) -> u64 {
        self.list_all().iter().flat_map(|session| session.all_contexts()).map(|context| context.held()).sum()
    }
}

/// Spills what was idle for long, and then, while all hold more than they may, what was idle for longest; what is cheap to
/// make again before what is dear.
fn spill(sessions: &[Arc<Session>], config: &Config) {
    let mut held = 0;
    let mut idle: Vec<(bool, Duration, Arc<Context>)> = Vec::new();
    for session in sessions {
        for context in session.all_contexts().into_iter().filter(|context| context.held() > 0) {
            held += context.held();
            // A cell runs in it.
            let Ok(seat) = context.seat.try_lock() else { continue };
            if seat.place.here().is_none_or(|local| local.kernel.is_none()) {
                // It was broken off.
                held -= context.held();
                context.holds(None);
                continue;
            }
            // What nothing makes again is not spilled, however long it is idle.
            let Some(cost) = seat.history.cost() else { continue };
            let dear = cost > config.expensive_rebuild;
            drop(seat);
            idle.push((dear, session.life.idle(), context));
        }
    }
    idle.sort_by_key(|(dear, idle, _)| (*dear, std::cmp::Reverse(*idle)));
    for (dear, unused, context) in idle {
        if (unused >= config.evict_after && !dear) || held > config.memory {
            let Ok(mut seat) = context.seat.try_lock() else { continue };
            held -= context.held();
            seat.place.spill();
            context.holds(None);
        }
    }
}

impl Session {
    /// A cell runs in it.
    fn is_busy(&self) -> bool {
        self.all_contexts().iter().any(|context| context.seat.try_lock().is_err())
    }

    /// Keeps its machine alive while it is used, and lets it sleep when it is not.
    async fn keep_machine(&self, sleep: Duration) {
        let Some(home) = self.machine_home() else { return };
        if self.state() != SessionState::Running {
            return;
        }
        let kept: Result<(), Fault> = if self.life.idle() < sleep || self.is_shared() || self.is_busy() {
            home.machine.ensure_lifetime(BY).await
        } else if self.life.idle() < sleep + PROLONG * 2 {
            home.maintain(switchtower_contract::Maintenance::Asleep).await
        } else {
            // It sleeps already.
            Ok(())
        };
        if let Err(fault) = kept {
            tracing::warn!(session = self.id(), %fault, "a session's machine cannot be kept");
        }
    }
}
