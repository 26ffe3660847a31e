//! The settings of the local tiers and their backends.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchtower_contract::{byte_size, duration};
use switchtower_core::route::TierName;
use switchtower_core::tier;

/// The local tiers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tiers {
    /// The tier of the WebAssembly backend.
    pub wasm: tier::Config,
    /// The tier of the scientific backend.
    pub native: tier::Config,
    /// The tier of local machines.
    pub machine: tier::Config,
}

impl Default for Tiers {
    fn default() -> Self {
        let queue = |extra_slots| tier::queue::Config { extra_slots, ..tier::queue::Config::default() };
        let wasm = tier::Config { queue: queue(4), ..tier::Config::default() };
        // The packages themselves take memory, in each process too, and a command starts the tier when the first
        // program needs it.
        let native = tier::Config {
            default_memory: 512 << 20,
            open_timeout: Duration::from_secs(90),
            queue: queue(1),
            ..wasm.clone()
        };
        // A machine is started ahead, so that the first command of a session does not wait for it. A program ends its machine:
        // it may have left anything anywhere.
        let pool = tier::pool::Config {
            min: 1,
            max: 100,
            max_runs: 1,
            sleep_after: Duration::ZERO,
            reuse: tier::pool::Reuse::Never,
            ..tier::pool::Config::default()
        };
        let machine = tier::Config { default_memory: 512 << 20, pool: Some(pool), queue: queue(0), ..wasm.clone() };
        Self { wasm, native, machine }
    }
}

/// The WebAssembly backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wasm {
    /// The name of its tier in rules, requests and answers.
    pub tier: TierName,
    /// Worker processes of a server that run programs, beside one for each extra slot (`tiers.wasm.queue.extra_slots`),
    /// at most 1024; 0: one per core, and no more than there are slots.
    pub workers: usize,
    /// Worker processes that keep the kernels of sessions, at most 1024; 0: two per core, at most 8. Each runs as many
    /// cells at once as `sessions.queue` allows.
    pub kernel_workers: usize,
    /// Kernels that one of these processes keeps, at least 1, at most 10,000.
    pub kernels_per_worker: usize,
    /// Instances that each worker process makes ahead, at most 1000; 0: none.
    pub prewarmed: usize,
    /// The folder for the compiled guest. Not set: the user's cache folder.
    pub cache_folder: Option<PathBuf>,
}

impl Wasm {
    pub(super) fn problem(&self) -> Option<String> {
        if self.kernels_per_worker == 0 {
            return Some("kernels_per_worker must be at least 1: with 0 no session could run a cell".to_owned());
        }
        excess(self.workers, self.kernel_workers, self.kernels_per_worker, self.prewarmed)
    }
}

/// Upper limit of each number of worker processes.
const MAX_WORKERS: usize = 1024;
/// Upper limit of the kernels of one worker process, each with 4 GiB of address space in WebAssembly: a process has
/// 128 TiB.
const MAX_KERNELS_PER_WORKER: usize = 10_000;
/// Upper limit of the instances or children that one worker process makes ahead.
const MAX_PREWARMED: usize = 1000;

/// Returns a message about the first of these settings of a local backend that is too large, beginning with its name.
fn excess(workers: usize, kernel_workers: usize, kernels_per_worker: usize, prewarmed: usize) -> Option<String> {
    let counts = [
        ("workers", workers, MAX_WORKERS),
        ("kernel_workers", kernel_workers, MAX_WORKERS),
        ("kernels_per_worker", kernels_per_worker, MAX_KERNELS_PER_WORKER),
        ("prewarmed", prewarmed, MAX_PREWARMED),
    ];
    let (name, count, max) = counts.into_iter().find(|(_, count, max)| count > max)?;
    Some(format!("{name} is {count}: it must be at most {max}"))
}

impl Default for Wasm {
    fn default() -> Self {
        Self {
            tier: "wasm".into(),
            workers: 0,
            kernel_workers: 0,
            kernels_per_worker: 1024,
            prewarmed: 4,
            cache_folder: None,
        }
    }
}

/// The scientific backend: native Python in a jail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Native {
    /// Whether the backend is used where it is installed.
    pub enabled: bool,
    /// The name of its tier in rules, requests and answers.
    pub tier: TierName,
    /// The folder of its installation. Not set: the one in the user's data folder.
    pub folder: Option<PathBuf>,
    /// Which jail its programs run in: `auto`, the full one where the system allows namespaces, else the reduced one;
    /// `full`, with namespaces, and no such tier where they are forbidden; `reduced`, without namespaces.
    pub jail_profile: JailProfileSetting,
    /// Worker processes of a server that run programs, beside one for each extra slot
    /// (`tiers.native.queue.extra_slots`), at most 1024; 0: one per core, and no more than there are slots.
    pub workers: usize,
    /// Worker processes that keep the kernels of sessions, at most 1024; 0: one per core. Each runs as many cells at
    /// once as `sessions.queue` allows.
    pub kernel_workers: usize,
    /// Kernels that one of these processes keeps, at least 1, at most 10,000.
    pub kernels_per_worker: usize,
    /// These processes end after this time without a kernel, which frees their memory; the next cell that needs one
    /// waits until they have started again, about 2.5 s. 0: they never end.
    #[serde(with = "duration")]
    pub kernel_worker_idle: Duration,
    /// Jailed children that each worker process keeps ready, at most 1000; 0: none.
    pub prewarmed: usize,
    /// Packages that a worker process imports before its first program. Other packages are imported by the programs
    /// that use them.
    pub preload: Vec<String>,
    /// Programs after which a worker process is replaced by a fresh one, at least 1.
    pub max_runs_per_worker: u64,
    /// Time after which a worker process is replaced by a fresh one.
    #[serde(with = "duration")]
    pub max_worker_age: Duration,
    /// Bytes that a program may hold in files; 0: only empty files.
    #[serde(with = "byte_size")]
    pub scratch_bytes: u64,
    /// Bytes of memory of one worker process with all its programs and kernels, where it may create a control group; 0:
    /// its share of the machine's memory, between 1GiB and 4GiB.
    #[serde(with = "byte_size")]
    pub max_worker_memory: u64,
}

impl Native {
    pub(super) fn problem(&self) -> Option<String> {
        let is_name = |name: &String| {
            name.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
        };
        if let Some(name) = self.preload.iter().find(|name| !is_name(name)) {
            return Some(format!("preload has {name:?}, which is not the name of a package"));
        }
        if self.kernels_per_worker == 0 {
            return Some(
                "kernels_per_worker must be at least 1: with 0 no session could have a native kernel".to_owned(),
            );
        }
        if self.max_runs_per_worker == 0 {
            return Some("max_runs_per_worker must be at least 1: with 0 no program would ever run".to_owned());
        }
        if self.max_worker_age.is_zero() {
            return Some("max_worker_age must be longer than 0s".to_owned());
        }
        excess(self.workers, self.kernel_workers, self.kernels_per_worker, self.prewarmed)
    }
}

/// The packages that most scientific programs import.
const PRELOAD: [&str; 6] = ["numpy", "pandas", "scipy", "sympy", "matplotlib", "sklearn"];

impl Default for Native {
    fn default() -> Self {
        Self {
            enabled: true,
            tier: "native".into(),
            folder: None,
            jail_profile: JailProfileSetting::Auto,
            workers: 0,
            kernel_workers: 0,
            kernels_per_worker: 32,
            kernel_worker_idle: Duration::from_secs(600),
            prewarmed: 2,
            preload: PRELOAD.map(str::to_owned).to_vec(),
            max_runs_per_worker: 5000,
            max_worker_age: Duration::from_secs(3600),
            scratch_bytes: 128 << 20,
            max_worker_memory: 0,
        }
    }
}

/// The jail of the scientific tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JailProfileSetting {
    /// The full ones where the system allows them, else the reduced ones.
    Auto,
    /// With namespaces; where they are forbidden there is no such tier.
    Full,
    /// Without namespaces.
    Reduced,
}
