//! Permits for local kernels that cannot be rebuilt: they limit the number of such kernels in all and of one caller.
//!
//! Such a kernel holds its memory as long as its context exists. If a limit is reached, the kernel that has been idle longest is
//! given up for a new one, provided it has been idle at least [`KernelLimits::idle`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use switchtower_contract::rounded;
use tokio::time::Instant;

use crate::error::Error;
use crate::route::TierName;

/// Shortest time to retry after that an error reports.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The limits on kernels that cannot be rebuilt.
#[derive(Debug, Clone, Copy)]
pub(super) struct KernelLimits {
    /// Maximum number of kernels.
    pub(super) total: usize,
    /// Maximum number of kernels of one caller.
    pub(super) per_caller: usize,
    /// Idle time after which a kernel may be given up.
    pub(super) idle: Duration,
}

/// An owner of a kernel that can give it up. Implemented by contexts, and by the tests' scripted holder.
pub(super) trait KernelHolder: Send + Sync {
    /// Returns when a cell last started or ended.
    fn used_at(&self) -> Instant;

    /// Ends the kernel; the next cell reports `why`. Returns false if there is no kernel, or a cell runs in it.
    fn give_up_kernel(&self, why: &str) -> bool;
}

/// A request for a permit.
pub(super) struct PermitRequest<'a> {
    pub(super) caller: &'a Arc<str>,
    /// The session; its other contexts are not made to give up their kernels.
    pub(super) session: &'a Arc<str>,
    pub(super) holder: Weak<dyn KernelHolder>,
}

/// The permits in use.
pub(super) struct KernelPermits {
    limits: KernelLimits,
    /// Held for one look-up or change, and not while a kernel is given up, which locks its context.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    held: BTreeMap<u64, HeldPermit>,
}

struct HeldPermit {
    caller: Arc<str>,
    session: Arc<str>,
    holder: Weak<dyn KernelHolder>,
}

/// The right to one kernel. Dropping it, together with the kernel, returns it.
pub(super) struct KernelPermit {
    permits: Arc<KernelPermits>,
    id: u64,
}

impl Drop for KernelPermit {
    fn drop(&mut self) {
        self.permits.table().held.remove(&self.id);
    }
}

/// The limit that a request for a permit has reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReachedLimit {
    Caller,
    Server,
}

impl Table {
    fn reached_limit(&self, caller: &Arc<str>, limits: &KernelLimits) -> Option<ReachedLimit> {
        let of_caller = self.held.values().filter(|permit| permit.caller == *caller).count();
        if of_caller >= limits.per_caller {
            return Some(ReachedLimit::Caller);
        }
        (self.held.len() >= limits.total).then_some(ReachedLimit::Server)
    }
}

impl KernelPermits {
    pub(super) fn new(limits: KernelLimits) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a permit for another kernel of `tier`. If a limit is reached, the kernel that has been idle longest is given
    /// up: one of the caller's other sessions if it is the caller's limit, else one of any other session.
    ///
    /// # Errors
    /// No kernel has been idle long enough: `LimitReached` for the caller's limit, `Overloaded` for the server's.
    pub(super) fn acquire(
        self: &Arc<Self>,
        tier: &TierName,
        request: &PermitRequest<'_>,
    ) -> Result<KernelPermit, Error> {
        let (reached, candidates) = match self.try_acquire(request) {
            Ok(permit) => return Ok(permit),
            Err(reached) => (reached, self.candidates(reached, request)),
        };
        let now = Instant::now();
        let idle = |holder: &Arc<dyn KernelHolder>| now.duration_since(holder.used_at());
        for holder in candidates.iter().take_while(|holder| idle(holder) >= self.limits.idle) {
            if !holder.give_up_kernel(&self.reason_to_give_up(reached)) {
                continue;
            }
            tracing::info!(tier = tier.as_str(), "an idle kernel is given up for another session");
            if let Ok(permit) = self.try_acquire(request) {
                return Ok(permit);
            }
        }
        let soonest = candidates.iter().map(|holder| self.limits.idle.saturating_sub(idle(holder))).min();
        Err(self.error(tier, reached, soonest))
    }

    fn try_acquire(self: &Arc<Self>, request: &PermitRequest<'_>) -> Result<KernelPermit, ReachedLimit> {
        let mut table = self.table();
        if let Some(reached) = table.reached_limit(request.caller, &self.limits) {
            return Err(reached);
        }
        table.next += 1;
        let id = table.next;
        let (caller, session) = (Arc::clone(request.caller), Arc::clone(request.session));
        table.held.insert(id, HeldPermit { caller, session, holder: Weak::clone(&request.holder) });
        Ok(KernelPermit { permits: Arc::clone(self), id })
    }

    /// Returns the holders whose kernels may be given up, the one that has been idle longest first.
    fn candidates(&self, reached: ReachedLimit, request: &PermitRequest<'_>) -> Vec<Arc<dyn KernelHolder>> {
        let table = self.table();
        let may = |permit: &&HeldPermit| {
            permit.session != *request.session && (reached == ReachedLimit::Server || permit.caller == *request.caller)
        };
        let mut holders: Vec<_> =
            table.held.values().filter(may).filter_map(|permit| permit.holder.upgrade()).collect();
        drop(table);
        holders.sort_by_cached_key(|holder| holder.used_at());
        holders
    }

    fn reason_to_give_up(&self, reached: ReachedLimit) -> String {
        let session =
            if reached == ReachedLimit::Caller { "another session of the same caller" } else { "another session" };
        format!("it was idle for more than {}, and {session} needed a kernel", rounded(self.limits.idle))
    }

    fn error(&self, tier: &TierName, reached: ReachedLimit, soonest: Option<Duration>) -> Error {
        let KernelLimits { total, per_caller, idle } = self.limits;
        let kernels = |count: usize| if count == 1 { "1 kernel".to_owned() } else { format!("{count} kernels") };
        let wait = format!("wait until one of another session is idle for {}", rounded(idle));
        let retry_after = soonest.map(|left| left.max(MIN_RETRY_AFTER));
        match reached {
            ReachedLimit::Caller => Error::LimitReached {
                reason: format!(
                    "{tier} keeps {} for the sessions of one caller: end a session, restart or close a context that has \
                     one, or {wait}",
                    kernels(per_caller)
                ),
                retry_after,
            },
            ReachedLimit::Server => Error::Overloaded {
                reason: format!("{tier} keeps {} for all sessions together: end a session, or {wait}", kernels(total)),
                retry_after: retry_after.unwrap_or(idle),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::advance;

    use super::*;

    /// A holder whose kernel is its permit.
    struct Holder {
        used: Instant,
        busy: AtomicBool,
        permit: Mutex<Option<KernelPermit>>,
    }

    impl KernelHolder for Holder {
        fn used_at(&self) -> Instant {
            self.used
        }

        fn give_up_kernel(&self, _why: &str) -> bool {
            !self.busy.load(Ordering::Relaxed) && self.permit.lock().unwrap().take().is_some()
        }
    }

    fn acquire(permits: &Arc<KernelPermits>, caller: &str, session: &str) -> Result<Arc<Holder>, Error> {
        let holder = Arc::new(Holder { used: Instant::now(), busy: AtomicBool::new(false), permit: Mutex::default() });
        let weak: Weak<Holder> = Arc::downgrade(&holder);
        let (caller, session) = (Arc::from(caller), Arc::from(session));
        let permit =
            permits.acquire(&"native".into(), &PermitRequest { caller: &caller, session: &session, holder: weak })?;
        *holder.permit.lock().unwrap() = Some(permit);
        Ok(holder)
    }

    fn has_kernel(holder: &Holder) -> bool {
        holder.permit.lock().unwrap().is_some()
    }

    fn permits(total: usize, per_caller: usize) -> Arc<KernelPermits> {
        KernelPermits::new(KernelLimits { total, per_caller, idle: Duration::from_secs(300) })
    }

    fn retry_after(refused: Result<Arc<Holder>, Error>) -> Option<Duration> {
        match refused {
            Err(Error::Overloaded { retry_after, .. }) => Some(retry_after),
            Err(Error::LimitReached { retry_after, .. }) => retry_after,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("there was a permit"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_callers_limit_only_its_own_idle_kernel_is_given_up() {
        let permits = permits(8, 1);
        let other = acquire(&permits, "bob", "b1").unwrap();
        let first = acquire(&permits, "ada", "a1").unwrap();
        advance(Duration::from_secs(100)).await;
        assert_eq!(retry_after(acquire(&permits, "ada", "a2")), Some(Duration::from_secs(200)));
        advance(Duration::from_secs(200)).await;
        let second = acquire(&permits, "ada", "a2").unwrap();
        assert!(!has_kernel(&first) && has_kernel(&second) && has_kernel(&other));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_does_not_lose_a_kernel_to_another_context_of_its_own() {
        let permits = permits(8, 1);
        let first = acquire(&permits, "ada", "a1").unwrap();
        advance(Duration::from_secs(1000)).await;
        assert_eq!(retry_after(acquire(&permits, "ada", "a1")), None);
        assert!(has_kernel(&first));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_servers_limit_the_longest_idle_kernel_is_given_up_and_none_in_which_a_cell_runs() {
        let permits = permits(2, 2);
        let busy = acquire(&permits, "ada", "a1").unwrap();
        busy.busy.store(true, Ordering::Relaxed);
        advance(Duration::from_secs(10)).await;
        let idle = acquire(&permits, "ada", "a2").unwrap();
        advance(Duration::from_secs(295)).await;
        assert_eq!(retry_after(acquire(&permits, "bob", "b1")), Some(MIN_RETRY_AFTER));
        advance(Duration::from_secs(5)).await;
        acquire(&permits, "bob", "b1").unwrap();
        assert!(has_kernel(&busy) && !has_kernel(&idle));
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_names_the_limit_and_the_cheapest_fix() {
        let permits = permits(1, 1);
        let _held = acquire(&permits, "ada", "a1").unwrap();
        let refused = |caller| acquire(&permits, caller, "other").err().unwrap().to_string();
        insta::assert_snapshot!(refused("ada"), @"limit reached: native keeps 1 kernel for the sessions of one caller: end a session, restart or close a context that has one, or wait until one of another session is idle for 5m");
        insta::assert_snapshot!(refused("bob"), @"overloaded: native keeps 1 kernel for all sessions together: end a session, or wait until one of another session is idle for 5m");
    }
}
