//! The settings of sessions.

use std::num::NonZero;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{byte_size, duration};

use crate::tier::queue;

/// How many sessions there may be, how long they live, and the limits of their kernels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Maximum number of sessions, at least 1.
    pub max_sessions: usize,
    /// Maximum number of sessions of one caller, at least 1.
    pub max_per_caller: usize,
    /// Maximum number of contexts of one session, at least 1.
    pub max_contexts: usize,
    /// Names, without tags, of the templates that clients of E2B find when they look one up; `*` at the end of one matches
    /// anything.
    /// Those of the cloud tiers are found as well. A creation may name any template: a machine has that of its tier.
    pub templates: Vec<String>,
    /// Lifetime of a session whose creation sets none. Each use through the native API restarts it.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Longest lifetime that a client may set.
    #[serde(with = "duration")]
    pub max_lifetime: Duration,
    /// Maximum size of all files of one session on this server.
    #[serde(with = "byte_size")]
    pub max_files_size: u64,
    /// Longest time that a cell may take from its arrival to its answer. A client may set a shorter one.
    #[serde(with = "duration")]
    pub cell_timeout: Duration,
    /// Maximum stdout and stderr of one cell; the rest is dropped. 0: none is returned.
    #[serde(with = "byte_size")]
    pub max_output: u64,
    /// Maximum memory of all local kernels together. Above it, the replayable kernels that have been idle longest are evicted:
    /// only their cells are kept, and run again when the kernel is needed. 0: every idle replayable kernel is evicted.
    #[serde(with = "byte_size")]
    pub max_kernel_memory: u64,
    /// Idle time after which a replayable kernel is evicted.
    #[serde(with = "duration")]
    pub evict_after: Duration,
    /// Kernels whose cells take longer than this to run again are evicted last, and only if `max_kernel_memory` is
    /// exceeded.
    #[serde(with = "duration")]
    pub expensive_rebuild: Duration,
    /// Idle time after which a session's machine is put to sleep; it wakes with the next use. A machine on which a command was
    /// started stays awake.
    #[serde(with = "duration")]
    pub machine_idle: Duration,
    /// Maximum number of machines of this host that the sessions of one caller hold, at least 1.
    pub max_machines_per_caller: usize,
    /// Maximum number of local kernels that can be neither rebuilt nor evicted (those outside WebAssembly). Each is held until
    /// its context ends or moves to a machine. 0: none.
    pub max_native_kernels: usize,
    /// Maximum number of such kernels of one caller; 0: a quarter of `max_native_kernels`, at least 1.
    pub max_native_kernels_per_caller: usize,
    /// Idle time after which such a kernel may be ended if another session needs one and the maximum is reached. The next cell
    /// of its context reports that.
    #[serde(with = "duration")]
    pub native_kernel_idle: Duration,
    /// The queues of cells for local kernels, one for replayable kernels and one for the others.
    pub queue: CellQueue,
}

/// How many cells run at once in local kernels and how cells are queued, in each of the two queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CellQueue {
    /// Cells that run at once, not counting those in extra slots; at most 200 together with `extra_slots`. Not set: four per
    /// core, 16 to 64.
    pub slots: Option<usize>,
    /// Cells of one caller that run at once; always fewer than `slots`, if that is at least 2. Not set: one per core, at
    /// least 4.
    pub per_user: Option<usize>,
    /// Cells that may wait; 0: none. If the queue is full, a new cell replaces the newest one of the caller with the most
    /// waiting cells, if its own caller has fewer.
    pub length: usize,
    /// Cells of one caller that may wait, even if no other caller waits. Not set: as many as `length`.
    pub length_per_user: Option<usize>,
    /// Longest time that a cell waits for a slot before it is refused.
    #[serde(with = "duration")]
    pub wait_timeout: Duration,
    /// A waiting cell is promoted by one priority after each such interval; 0: never.
    #[serde(with = "duration")]
    pub ageing_interval: Duration,
    /// A cell that has run for longer than this does not delay callers that have no cell running, as long as extra slots are
    /// free.
    #[serde(with = "duration")]
    pub time_slice: Duration,
    /// Cells that run in addition to `slots`, each of a caller that had no other cell running when it started; 0: none.
    pub extra_slots: usize,
}

impl Default for CellQueue {
    fn default() -> Self {
        let queue = queue::Config::default();
        Self {
            slots: None,
            per_user: None,
            length: queue.length,
            length_per_user: queue.length_per_user,
            wait_timeout: queue.wait_timeout,
            ageing_interval: queue.ageing_interval,
            time_slice: queue.time_slice,
            extra_slots: 8,
        }
    }
}

impl CellQueue {
    /// Returns the queue's settings on a machine with this many cores. One caller never gets every slot, so that its long
    /// cells do not block those of others.
    fn on(&self, cores: usize) -> queue::Config {
        let slots = self.slots.unwrap_or((4 * cores).clamp(16, 64));
        let per_user = self.per_user.unwrap_or(cores.max(4)).min(slots.saturating_sub(1).max(1));
        queue::Config {
            slots,
            per_user,
            length: self.length,
            length_per_user: self.length_per_user,
            wait_timeout: self.wait_timeout,
            ageing_interval: self.ageing_interval,
            time_slice: self.time_slice,
            extra_slots: self.extra_slots,
        }
    }
}

impl Config {
    /// Returns the queue's settings, with the values that depend on the number of cores filled in.
    pub fn cells(&self) -> queue::Config {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        self.queue.on(cores)
    }

    /// Returns the maximum number of cells that run at once in each of the two kinds of kernels, extra slots included.
    pub fn cells_at_once(&self) -> usize {
        let cells = self.cells();
        cells.slots.saturating_add(cells.extra_slots)
    }

    /// Returns whether clients of E2B find a template of this name, which has no tag.
    pub fn has_template(&self, name: &str) -> bool {
        self.templates.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == known.split(':').next().unwrap_or_default(),
        })
    }

    /// Returns a message about the first invalid setting, beginning with its name; `None` if all are valid.
    pub fn problem(&self) -> Option<String> {
        let counts = [("max_sessions", self.max_sessions), ("max_per_caller", self.max_per_caller)];
        if let Some(name) = counts.into_iter().find_map(|(name, count)| (count == 0).then_some(name)) {
            return Some(format!("{name} must be at least 1: with 0 no session could be created"));
        }
        if self.max_machines_per_caller == 0 {
            return Some(
                "max_machines_per_caller must be at least 1: with 0 no session could have a machine of this host"
                    .to_owned(),
            );
        }
        if self.max_contexts == 0 {
            return Some("max_contexts must be at least 1: with 0 no session could run a cell".to_owned());
        }
        let can_match = |name: &String| {
            let whole = name.strip_suffix('*').unwrap_or(name);
            !name.is_empty() && !whole.contains(['*', ':'])
        };
        if let Some(name) = self.templates.iter().find(|name| !can_match(name)) {
            return Some(format!(
                "templates must be names without a tag, or beginnings of names with one * at the end, not {name:?}"
            ));
        }
        let times = [
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
            ("cell_timeout", self.cell_timeout),
        ];
        if let Some(name) = times.into_iter().find_map(|(name, time)| time.is_zero().then_some(name)) {
            return Some(format!("{name} must be longer than 0s"));
        }
        let cells = self.cells_at_once();
        let too_many = || format!("queue.slots and extra_slots are {cells} together: they must be at most {MAX_CELLS}");
        let queue = self.cells().problem().map(|problem| format!("queue.{problem}"));
        queue.or_else(|| (cells > MAX_CELLS).then(too_many))
    }

    /// Returns the maximum number of kernels of one caller that cannot be rebuilt.
    pub(super) fn native_kernels_per_caller(&self) -> usize {
        let quarter = self.max_native_kernels / 4;
        let max = if self.max_native_kernels_per_caller == 0 { quarter } else { self.max_native_kernels_per_caller };
        max.max(1)
    }
}

/// Maximum number of cells that run at once in each of the two kinds of kernels: each has a connection to its worker process,
/// which can be given this many descriptors.
const MAX_CELLS: usize = 200;

impl Default for Config {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            max_sessions: 4000,
            max_per_caller: 2000,
            max_contexts: 16,
            templates: ["base", "code-interpreter-v1", "mastra-*"].map(str::to_owned).to_vec(),
            idle_timeout: seconds(15 * 60),
            max_lifetime: seconds(24 * 3600),
            max_files_size: 64 << 20,
            // The limit of a cloud sandbox.
            cell_timeout: seconds(45 * 60),
            max_output: 16 << 20,
            max_kernel_memory: 4 << 30,
            evict_after: seconds(10 * 60),
            expensive_rebuild: seconds(2),
            machine_idle: seconds(10 * 60),
            max_machines_per_caller: 25,
            max_native_kernels: 32,
            max_native_kernels_per_caller: 0,
            native_kernel_idle: seconds(5 * 60),
            queue: CellQueue::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_template_that_can_never_match_is_refused() {
        let problem =
            |name: &str| Config { templates: vec!["base".to_owned(), name.to_owned()], ..Config::default() }.problem();
        for name in ["a*b", "**", "*a", "x:tag", "x:*", ""] {
            assert!(problem(name).unwrap().starts_with("templates must be names without a tag"), "{name}");
        }
        for name in ["*", "mastra-*", "team/x"] {
            assert_eq!(problem(name), None, "{name}");
        }
    }
}
