//! How many kernels there may be that cannot be rebuilt from their history: so many in all, and so many of one caller. Each
//! holds its memory while its context lasts, so one that nobody has used for long is given up when another caller needs
//! one and there is no other way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::context::Context;
use crate::error::Error;
use crate::route::TierName;

/// A caller who is refused one is told to come back after this long at least.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Kernels that cannot be rebuilt, counted.
pub(super) struct NativeKernels {
    limits: Limits,
    /// Protects the table; held for a look, and never while a kernel is given up.
    table: Mutex<Table>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Kernels at once.
    pub(super) total: usize,
    /// Kernels of one caller at once.
    pub(super) per_caller: usize,
    /// A kernel that nobody has used for so long may be given up.
    pub(super) idle: Duration,
}

#[derive(Default)]
struct Table {
    next: u64,
    kept: BTreeMap<u64, Entry>,
}

struct Entry {
    owner: Arc<str>,
    context: Weak<Context>,
}

/// The right to one kernel. Dropping it, which happens with the kernel, gives it back.
pub(super) struct KernelPermit {
    of: Arc<NativeKernels>,
    id: u64,
}

impl Drop for KernelPermit {
    fn drop(&mut self) {
        self.of.table().kept.remove(&self.id);
    }
}

impl NativeKernels {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit for one more kernel of this tier, for a context of this caller. Where all are taken, the kernel of another
    /// caller that has been idle for longest is given up.
    ///
    /// # Errors
    /// `LimitReached`: the caller has as many as it may have. `Overloaded`: no other caller's has been idle for long
    /// enough.
    pub(super) fn acquire(
        self: &Arc<Self>,
        tier: &TierName,
        owner: &Arc<str>,
        context: &Weak<Context>,
    ) -> Result<KernelPermit, Error> {
        let Limits { total, per_caller, idle } = self.limits;
        let candidates = {
            let mut table = self.table();
            if table.kept.values().filter(|entry| entry.owner == *owner).count() >= per_caller {
                return Err(Error::LimitReached {
                    reason: format!(
                        "{tier} keeps {per_caller} kernels of one caller's sessions at once: end a session, or restart or \
                         close a context that has one"
                    ),
                    retry_after: Some(RETRY_AFTER),
                });
            }
            if table.kept.len() < total {
                return Ok(self.insert(&mut table, owner, context));
            }
            let others = table.kept.values().filter(|entry| entry.owner != *owner);
            let mut others: Vec<Arc<Context>> = others.filter_map(|entry| entry.context.upgrade()).collect();
            others.sort_by_cached_key(|context| context.used_at());
            others
        };
        let now = Instant::now();
        let is_idle = |context: &&Arc<Context>| now.duration_since(context.used_at()) >= idle;
        let why = format!(
            "it was idle for more than {}, and another caller needed its place",
            humantime::format_duration(idle)
        );
        for candidate in candidates.iter().take_while(is_idle) {
            if !candidate.give_up_kernel(&why) {
                continue;
            }
            tracing::info!(
                tier = tier.as_str(),
                context = candidate.info.id,
                "an idle kernel is given up for another caller"
            );
            let mut table = self.table();
            if table.kept.len() < total {
                return Ok(self.insert(&mut table, owner, context));
            }
        }
        let oldest = candidates.first().map(|context| idle.saturating_sub(now.duration_since(context.used_at())));
        Err(Error::Overloaded {
            reason: format!(
                "{tier} keeps {total} kernels of sessions at once, and none of other callers has been idle for {}: end a \
                 session, or wait until one ends or has been idle for so long",
                humantime::format_duration(idle)
            ),
            retry_after: oldest.unwrap_or(RETRY_AFTER).max(RETRY_AFTER),
        })
    }

    fn insert(self: &Arc<Self>, table: &mut Table, owner: &Arc<str>, context: &Weak<Context>) -> KernelPermit {
        table.next += 1;
        let entry = Entry { owner: Arc::clone(owner), context: Weak::clone(context) };
        table.kept.insert(table.next, entry);
        KernelPermit { of: Arc::clone(self), id: table.next }
    }
}
