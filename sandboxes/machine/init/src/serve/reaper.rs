//! Reaps processes that lost their parent, which become children of this one.
//!
//! Programs that were started here are waited for by their owners, through the runtime. A wait for any child would take their end away, so
//! the next child that has ended is looked at without reaping it, and is reaped only if nobody waits for it. The kernel shows
//! the same child until it is reaped, so while it shows one that has an owner, this looks again soon.

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};
use tokio::signal::unix::{SignalKind, signal};

/// How soon the ends of children are looked at again, when one of them waits for its owner.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// The children that have owners.
#[derive(Default)]
pub(super) struct Children {
    /// Process numbers. Held for a few instructions.
    owned: Mutex<HashSet<u32>>,
}

impl Children {
    fn owned(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, pid: u32) {
        self.owned().insert(pid);
    }

    pub(super) fn remove(&self, pid: u32) {
        self.owned().remove(&pid);
    }

    /// Reaps what has ended and has no owner. Returns whether a child with an owner hides the rest.
    fn reap(&self) -> bool {
        while let Some(pid) = next_ended() {
            if self.owned().contains(&pid.as_raw_pid().cast_unsigned()) {
                return true;
            }
            // Nobody else waits for it.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        false
    }
}

/// Returns what reaps, for as long as it is polled.
pub(super) fn start(children: Arc<Children>) -> io::Result<impl Future<Output = ()>> {
    // The first process of a machine gets orphans anyway.
    set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut ended = signal(SignalKind::child())?;
    Ok(async move {
        loop {
            if children.reap() {
                // Both a child's end and the time-out lead to the next look.
                let _ = tokio::time::timeout(RETRY_INTERVAL, ended.recv()).await;
            } else if ended.recv().await.is_none() {
                return;
            }
        }
    })
}

/// Returns a child that has ended, and leaves it as it is.
#[allow(unsafe_code, reason = "the safe wrapper does not return the number of the child")]
fn next_ended() -> Option<Pid> {
    // SAFETY: all fields are numbers, of which each value is valid.
    let mut child: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes to `child`, which lives until the call returns.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut child, options) };
    // SAFETY: after a success, the field has the number of the child, or stays zero.
    (result == 0).then(|| Pid::from_raw(unsafe { child.si_pid() })).flatten()
}
