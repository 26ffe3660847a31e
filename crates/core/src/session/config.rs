//! The settings of sessions.

use std::num::NonZero;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::byte_size;

use crate::tier::queue;

/// How many sessions there may be, how long they live, and what their kernels may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Sessions at once; 0: none can be created.
    pub max_sessions: usize,
    /// Sessions of one caller at once; 0: none can be created.
    pub max_per_caller: usize,
    /// Contexts of one session at once.
    pub max_contexts: usize,
    /// How long a session lives where its creation sets no time; each use through the native API starts that time again.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Longest time that a session may be given.
    #[serde(with = "humantime_serde")]
    pub max_lifetime: Duration,
    /// Bytes of files that one session may hold on this server.
    #[serde(with = "byte_size")]
    pub files: u64,
    /// Longest time that a cell may run. A client may set a shorter limit, not a longer one.
    #[serde(with = "humantime_serde")]
    pub cell_timeout: Duration,
    /// Bytes of stdout and stderr that are kept of one cell; 0: none.
    #[serde(with = "byte_size")]
    pub output: u64,
    /// Bytes that all local kernels together may hold. Above it, replayable kernels that have been idle for longest are
    /// evicted: only their cells are kept, and are run again when the kernel is needed. 0: every idle one is.
    #[serde(with = "byte_size")]
    pub memory: u64,
    /// A replayable kernel that has been idle for this long is evicted too.
    #[serde(with = "humantime_serde")]
    pub evict_after: Duration,
    /// A kernel whose cells take longer than this to run again is evicted last.
    #[serde(with = "humantime_serde")]
    pub expensive_rebuild: Duration,
    /// A session's machine that has been idle for this long is put to sleep; it wakes with the next use. A machine on which
    /// a command was started stays awake.
    #[serde(with = "humantime_serde")]
    pub machine_idle: Duration,
    /// Kernels at once that can be neither rebuilt nor evicted (those of tiers outside WebAssembly): each is held until its
    /// context ends or moves to a machine. 0: there are none.
    pub max_native_kernels: usize,
    /// Such kernels of one caller at once; 0: a quarter of all, at least 1.
    pub max_native_kernels_per_caller: usize,
    /// Such a kernel that has been idle for this long is given up when one more is needed than there may be. The next cell
    /// of its context reports that.
    #[serde(with = "humantime_serde")]
    pub native_kernel_idle: Duration,
    /// How cells wait for local kernels; replayable and other kernels have a queue each. Here `slots` = 0 means four per
    /// core, 16 to 64, and `per_user` = 0 one per core, at least 4; `per_user` is always fewer than all slots, where there are
    /// two or more. With the extra slots there are at most 200.
    pub queue: queue::Config,
}

impl Config {
    /// Returns the queue's settings with the numbers that depend on this machine filled in.
    pub fn cells(&self) -> queue::Config {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        queue_on(&self.queue, cores)
    }

    /// Returns how many cells run at once, at most, in each of the two kinds of kernels, extra slots included.
    pub fn cells_at_once(&self) -> usize {
        let cells = self.cells();
        cells.slots.saturating_add(cells.extra_slots)
    }

    /// Returns the first setting that cannot be used and why, in words that begin with its name; `None` when all can.
    pub fn problem(&self) -> Option<String> {
        if self.max_contexts == 0 {
            return Some("max_contexts must be at least 1: with 0 no session could run a cell".to_owned());
        }
        let times = [
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
            ("cell_timeout", self.cell_timeout),
        ];
        if let Some(name) = times.into_iter().find_map(|(name, time)| time.is_zero().then_some(name)) {
            return Some(format!("{name} must be longer than 0s"));
        }
        let most = self.cells_at_once();
        let many = || format!("queue.slots and extra_slots are {most} together: they must be at most {MAX_CELLS}");
        let queue = self.cells().problem().map(|wrong| format!("queue.{wrong}"));
        queue.or_else(|| (most > MAX_CELLS).then(many))
    }

    /// Returns how many kernels one caller may have that cannot be rebuilt.
    pub(super) fn native_kernels_per_caller(&self) -> usize {
        let quarter = self.max_native_kernels / 4;
        let most = if self.max_native_kernels_per_caller == 0 { quarter } else { self.max_native_kernels_per_caller };
        most.max(1)
    }
}

/// One caller never has every slot: however long its cells run, those of others find one.
fn queue_on(queue: &queue::Config, cores: usize) -> queue::Config {
    let or = |count, otherwise| if count == 0 { otherwise } else { count };
    let slots = or(queue.slots, (4 * cores).clamp(16, 64));
    let per_user = or(queue.per_user, cores.max(4)).min((slots - 1).max(1));
    queue::Config { slots, per_user, ..queue.clone() }
}

/// Most cells that run at once in each of the two kinds of kernels: each has a connection to its worker process, which can
/// be given this many descriptors.
const MAX_CELLS: usize = 200;

impl Default for Config {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            max_sessions: 4000,
            max_per_caller: 2000,
            max_contexts: 16,
            idle_timeout: seconds(15 * 60),
            max_lifetime: seconds(24 * 3600),
            files: 64 << 20,
            // As long as a cloud sandbox may run one.
            cell_timeout: seconds(45 * 60),
            output: 16 << 20,
            memory: 4 << 30,
            evict_after: seconds(10 * 60),
            expensive_rebuild: seconds(2),
            machine_idle: seconds(10 * 60),
            max_native_kernels: 32,
            max_native_kernels_per_caller: 0,
            native_kernel_idle: seconds(5 * 60),
            queue: queue::Config { slots: 0, per_user: 0, extra_slots: 8, ..queue::Config::default() },
        }
    }
}
