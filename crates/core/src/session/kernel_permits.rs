//! Permits for kernels that cannot be rebuilt: how many there may be in all, and of one caller.
//!
//! Such a kernel holds its memory for as long as its context lasts. Where one more is needed than there may be, the kernel
//! that has been idle for longest is given up, provided it has been idle for long enough.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use switchtower_contract::rounded;
use tokio::time::Instant;

use crate::error::Error;
use crate::route::TierName;

/// Shortest time after which a refused caller is told to retry.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Kernels at once.
    pub(super) total: usize,
    /// Kernels of one caller at once.
    pub(super) per_caller: usize,
    /// A kernel that has been idle for this long may be given up.
    pub(super) idle: Duration,
}

/// What holds a kernel and can give it up. Implemented by contexts, and by the tests' scripted holder.
pub(super) trait KernelHolder: Send + Sync {
    /// Returns when a cell last began or ended.
    fn used_at(&self) -> Instant;

    /// Ends the kernel; the next cell reports `why`. Returns false where there is none, or a cell runs in it.
    fn give_up_kernel(&self, why: &str) -> bool;
}

/// Who asks for a permit.
pub(super) struct Applicant<'a> {
    pub(super) caller: &'a Arc<str>,
    /// Its session, whose other contexts keep their kernels.
    pub(super) session: &'a Arc<str>,
    pub(super) holder: Weak<dyn KernelHolder>,
}

/// The permits that are out.
pub(super) struct KernelPermits {
    limits: Limits,
    /// Held for a look, and never while a kernel is given up: that takes its context's lock.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    held: BTreeMap<u64, Entry>,
}

struct Entry {
    caller: Arc<str>,
    session: Arc<str>,
    holder: Weak<dyn KernelHolder>,
}

/// The right to one kernel, given back when it is dropped with the kernel.
pub(super) struct KernelPermit {
    permits: Arc<KernelPermits>,
    id: u64,
}

impl Drop for KernelPermit {
    fn drop(&mut self) {
        self.permits.table().held.remove(&self.id);
    }
}

/// Which limit stands in the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Full {
    Caller,
    Server,
}

impl Table {
    fn full(&self, caller: &Arc<str>, limits: &Limits) -> Option<Full> {
        let of_caller = self.held.values().filter(|entry| entry.caller == *caller).count();
        if of_caller >= limits.per_caller {
            return Some(Full::Caller);
        }
        (self.held.len() >= limits.total).then_some(Full::Server)
    }
}

impl KernelPermits {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a permit for one more kernel of `tier`. Where a limit is reached, the kernel that has been idle for longest
    /// is given up: one of the caller's other sessions where it has its share, else anyone's.
    ///
    /// # Errors
    /// `LimitReached` for the caller's limit, `Overloaded` for the server's: none has been idle for long enough.
    pub(super) fn acquire(self: &Arc<Self>, tier: &TierName, applicant: &Applicant<'_>) -> Result<KernelPermit, Error> {
        let (full, candidates) = match self.try_acquire(applicant) {
            Ok(permit) => return Ok(permit),
            Err(full) => (full, self.candidates(full, applicant)),
        };
        let now = Instant::now();
        let idle = |holder: &Arc<dyn KernelHolder>| now.duration_since(holder.used_at());
        for holder in candidates.iter().take_while(|holder| idle(holder) >= self.limits.idle) {
            if !holder.give_up_kernel(&self.reason_to_give_up(full)) {
                continue;
            }
            tracing::info!(tier = tier.as_str(), "an idle kernel is given up for another session");
            if let Ok(permit) = self.try_acquire(applicant) {
                return Ok(permit);
            }
        }
        let soonest = candidates.iter().map(|holder| self.limits.idle.saturating_sub(idle(holder))).min();
        Err(self.refusal(tier, full, soonest))
    }

    fn try_acquire(self: &Arc<Self>, applicant: &Applicant<'_>) -> Result<KernelPermit, Full> {
        let mut table = self.table();
        if let Some(full) = table.full(applicant.caller, &self.limits) {
            return Err(full);
        }
        table.next += 1;
        let id = table.next;
        let (caller, session) = (Arc::clone(applicant.caller), Arc::clone(applicant.session));
        table.held.insert(id, Entry { caller, session, holder: Weak::clone(&applicant.holder) });
        Ok(KernelPermit { permits: Arc::clone(self), id })
    }

    /// Returns whose kernels may be given up, the longest idle first.
    fn candidates(&self, full: Full, applicant: &Applicant<'_>) -> Vec<Arc<dyn KernelHolder>> {
        let table = self.table();
        let may = |entry: &&Entry| {
            entry.session != *applicant.session && (full == Full::Server || entry.caller == *applicant.caller)
        };
        let mut holders: Vec<_> = table.held.values().filter(may).filter_map(|entry| entry.holder.upgrade()).collect();
        drop(table);
        holders.sort_by_cached_key(|holder| holder.used_at());
        holders
    }

    fn reason_to_give_up(&self, full: Full) -> String {
        let whose = if full == Full::Caller { "another session of the same caller" } else { "another session" };
        format!("it was idle for more than {}, and {whose} needed its place", rounded(self.limits.idle))
    }

    fn refusal(&self, tier: &TierName, full: Full, soonest: Option<Duration>) -> Error {
        let Limits { total, per_caller, idle } = self.limits;
        let kernels = |count: usize| if count == 1 { "1 kernel".to_owned() } else { format!("{count} kernels") };
        let wait = format!("wait until one of another session is idle for {}", rounded(idle));
        let retry_after = soonest.map(|left| left.max(MIN_RETRY_AFTER));
        match full {
            Full::Caller => Error::LimitReached {
                reason: format!(
                    "{tier} keeps {} for the sessions of one caller: end a session, restart or close a context that has \
                     one, or {wait}",
                    kernels(per_caller)
                ),
                retry_after,
            },
            Full::Server => Error::Overloaded {
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
            permits.acquire(&"native".into(), &Applicant { caller: &caller, session: &session, holder: weak })?;
        *holder.permit.lock().unwrap() = Some(permit);
        Ok(holder)
    }

    fn has_kernel(holder: &Holder) -> bool {
        holder.permit.lock().unwrap().is_some()
    }

    fn permits(total: usize, per_caller: usize) -> Arc<KernelPermits> {
        KernelPermits::new(Limits { total, per_caller, idle: Duration::from_secs(300) })
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
    async fn a_callers_own_idle_kernel_is_given_up_for_its_next_session_and_no_one_elses() {
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
    async fn where_all_are_taken_the_longest_idle_is_given_up_and_none_in_which_a_cell_runs() {
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
    async fn a_refusal_names_the_limit_and_the_cheapest_way_out() {
        let permits = permits(1, 1);
        let _held = acquire(&permits, "ada", "a1").unwrap();
        let refused = |caller| acquire(&permits, caller, "other").err().unwrap().to_string();
        insta::assert_snapshot!(refused("ada"), @"limit reached: native keeps 1 kernel for the sessions of one caller: end a session, restart or close a context that has one, or wait until one of another session is idle for 5m");
        insta::assert_snapshot!(refused("bob"), @"overloaded: native keeps 1 kernel for all sessions together: end a session, or wait until one of another session is idle for 5m");
    }
}
