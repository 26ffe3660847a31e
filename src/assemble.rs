//! From settings to a house: the only file that names a concrete backend.

mod clouds;
mod native;
mod process;

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::Backend;
use switchtower_core::cache::ResultCache;
use switchtower_core::clock::Wall;
use switchtower_core::decide::{Reloaded, SharedRules};
use switchtower_core::memory::MemoryAccount;
use switchtower_core::quota::Quota;
use switchtower_core::record::Recorder;
use switchtower_core::route::TierName;
use switchtower_core::router::{Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::session::Sessions;
use switchtower_core::tier::queue::{self, Queues};
use switchtower_core::tier::{self, Absent, Tier, Tiers};
use switchtower_e2b::Key;
use switchtower_wasm::workers;
use switchtower_wasm::{Compiled, InProcess, SetupStage, WasmWorkers};

use crate::config::{self, Config};
use clouds::Clouds;
pub use clouds::{Reached, cloud, reach};
use native::Scientific;
pub use native::{Science, Witnesses, science};

/// The house cannot be built from these settings on this machine; says what is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unbuilt(String);

impl Unbuilt {
    fn new(error: impl ToString) -> Self {
        Self(error.to_string())
    }
}

/// A house that is ready.
pub struct Assembled {
    pub router: Arc<Router>,
    pub sessions: Sessions,
    workers: Option<Arc<WasmWorkers>>,
    scientific: Scientific,
    clouds: Clouds,
}

impl Assembled {
    /// Looks after what is not only there while somebody asks: ends the cloud sandboxes that earlier processes left, warms
    /// new ones, runs a sample of stored results again. For as long as it is polled.
    pub fn upkeep(&self) -> impl Future<Output = ()> + use<> {
        let clouds = self.clouds.upkeep(Arc::clone(&self.router));
        let (sessions, router) = (self.sessions.clone(), Arc::clone(&self.router));
        async move {
            tokio::join!(clouds, sessions.maintain(), router.recheck_hits());
        }
    }

    /// Ends the worker processes and the cloud sandboxes and waits for them, once nobody asks any more.
    pub async fn close(self) {
        if !self.close_within(clouds::CLOSING).await {
            tracing::warn!("a cloud did not confirm that all sandboxes have ended; the next start ends what is left");
        }
    }

    /// As [`Assembled::close`], waiting for cloud sandboxes to end for this long at most. False: one may be left in its
    /// account.
    pub async fn close_within(self, most: Duration) -> bool {
        self.sessions.close().await;
        self.router.tiers().close().await;
        let all_ended = self.clouds.close(most).await;
        self.scientific.close().await;
        if let Some(workers) = self.workers {
            workers.shutdown().await;
        }
        all_ended
    }
}

/// The whole line over an engine inside this process: for one program. Call it inside a runtime. `tell` gets a line
/// about whatever takes long.
///
/// # Errors
/// The rules or the guest cannot be used.
pub fn in_process(config: &Config, tell: &dyn Fn(&str)) -> Result<Assembled, Unbuilt> {
    let guest = guest(config, tell)?;
    let engine: Arc<dyn Backend> = Arc::new(InProcess::new(&guest, 1, 0).map_err(Unbuilt::new)?);
    let wall = Wall::real();
    let clouds = Clouds::of_command(config, wall);
    let mut made = clouds.tiers(config, false);
    made.push((config.wasm.tier.clone(), engine, config.tiers.wasm.clone()));
    let scientific = Scientific::of_command(config);
    made.extend(scientific.made(config));
    let router = router(config, wall, made, &clouds, &scientific, Vec::new())?;
    Ok(assembled(config, router, None, scientific, clouds))
}

/// The whole line over an engine inside this process and pools in a cloud that takes any key: for measuring against a
/// stand-in. `config` says where that is. Call it inside a runtime.
///
/// # Errors
/// The rules or the guest cannot be used.
pub fn against_stand_in(config: &Config, tell: &dyn Fn(&str)) -> Result<Assembled, Unbuilt> {
    let (threads, queue) = fitted(cores(), &config.tiers.wasm.queue);
    let engine: Arc<dyn Backend> = Arc::new(InProcess::new(&guest(config, tell)?, threads, 1).map_err(Unbuilt::new)?);
    let wall = Wall::real();
    let clouds = Clouds::with(config, wall, |_| Key::new("stand-in").map_err(|why| why.to_string()));
    let mut made = clouds.tiers(config, true);
    made.push((config.wasm.tier.clone(), engine, tier::Config { queue, ..config.tiers.wasm.clone() }));
    let scientific = Scientific::default();
    let router = router(config, wall, made, &clouds, &scientific, Vec::new())?;
    Ok(assembled(config, router, None, scientific, clouds))
}

/// Processes that keep kernels, where the settings leave it to the machine. Any number of cells runs in each, so more would
/// only keep the faults of one from the kernels of others.
const MOST_KERNEL_WORKERS: usize = 8;

/// The whole line for a server, its programs in jailed worker processes. A tier that cannot be made is absent, and the
/// house says why.
///
/// # Errors
/// The rules cannot be used.
pub async fn with_workers(config: &Config, tell: fn(&str)) -> Result<Assembled, Unbuilt> {
    let (count, queue) = fitted(config.wasm.workers, &config.tiers.wasm.queue);
    let cells = config.sessions.cells_at_once();
    let size = workers::Config {
        workers: count,
        kernel_workers: wasm_kernel_workers(config),
        concurrent_cells: cells,
        kernels_per_worker: config.wasm.kernels_per_worker,
        prewarmed: config.wasm.prewarmed,
    };
    let wall = Wall::real();
    let clouds = Clouds::of_server(config, wall);
    let mut made = clouds.tiers(config, true);
    let (workers, scientific) = tokio::join!(start_workers(config, size, tell), Scientific::of_server(config));
    made.extend(scientific.made(config));
    match workers {
        Ok(workers) => {
            let workers = Arc::new(workers);
            let tier = tier::Config { queue, ..config.tiers.wasm.clone() };
            made.push((config.wasm.tier.clone(), Arc::clone(&workers) as Arc<dyn Backend>, tier));
            let router = router(config, wall, made, &clouds, &scientific, Vec::new())?;
            Ok(assembled(config, router, Some(workers), scientific, clouds))
        }
        Err(Unbuilt(reason)) => {
            let absent = vec![Absent { tier: config.wasm.tier.clone(), reason, remedy: None, machine: false }];
            let router = router(config, wall, made, &clouds, &scientific, absent)?;
            Ok(assembled(config, router, None, scientific, clouds))
        }
    }
}

/// Returns the numbers that are in force where the settings leave them to this machine or ask for more than it gives, by
/// setting. The worker processes include those for extra slots.
pub fn derived(config: &Config) -> Vec<(&'static str, usize)> {
    let (wasm, wasm_queue) = fitted(config.wasm.workers, &config.tiers.wasm.queue);
    let (native, native_queue) = native::fitted(config);
    let cells = config.sessions.cells();
    vec![
        ("wasm.workers", wasm),
        ("wasm.kernel_workers", wasm_kernel_workers(config)),
        ("tiers.wasm.queue.slots", wasm_queue.slots),
        ("native.workers", native),
        ("native.kernel_workers", native::kernel_workers(config)),
        ("tiers.native.queue.slots", native_queue.slots),
        ("sessions.queue.slots", cells.slots),
        ("sessions.queue.per_user", cells.per_user),
    ]
}

fn wasm_kernel_workers(config: &Config) -> usize {
    if config.wasm.kernel_workers == 0 { (2 * cores()).min(MOST_KERNEL_WORKERS) } else { config.wasm.kernel_workers }
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// How many worker processes a tier has that is to have so many (0: one per core, and no more than there are slots), and
/// its queue: whoever is granted a slot finds a process free. More slots would not wait in the fair queue but before the
/// processes, in no order.
fn fitted(workers: usize, queue: &queue::Config) -> (usize, queue::Config) {
    let workers = if workers == 0 { cores().min(queue.slots) } else { workers };
    let slots = queue.slots.min(workers);
    (workers.max(slots + queue.extra_slots), queue::Config { slots, ..queue.clone() })
}

fn assembled(
    config: &Config,
    router: Arc<Router>,
    workers: Option<Arc<WasmWorkers>>,
    scientific: Scientific,
    clouds: Clouds,
) -> Assembled {
    let memory = MemoryAccount::new(&config.memory);
    let sessions = Sessions::with_memory(Arc::clone(&router), &config.sessions, &config.limits, memory);
    Assembled { router, sessions, workers, scientific, clouds }
}

/// The layers of a worker's jail, by name: they stand, or why not.
///
/// # Errors
/// A worker does not come up.
pub async fn jail(config: &Config, tell: fn(&str)) -> Result<Vec<(String, Result<(), String>)>, Unbuilt> {
    let size =
        workers::Config { workers: 1, kernel_workers: 0, concurrent_cells: 0, kernels_per_worker: 0, prewarmed: 0 };
    let workers = start_workers(config, size, tell).await?;
    let layers = workers.layers().iter().map(|layer| (layer.name.clone(), layer.status.clone())).collect();
    workers.shutdown().await;
    Ok(layers)
}

/// The command, and the arguments before those that [`workers::main`] takes, that lead to [`worker`].
const WORKER: [&str; 1] = ["worker"];

async fn start_workers(config: &Config, size: workers::Config, tell: fn(&str)) -> Result<WasmWorkers, Unbuilt> {
    let settings = config.clone();
    let guest = tokio::task::spawn_blocking(move || guest(&settings, &tell)).await.map_err(Unbuilt::new)??;
    let program = std::env::current_exe().map_err(Unbuilt::new)?;
    WasmWorkers::start(&guest, program, &WORKER, size).await.map_err(Unbuilt::new)
}

/// The life of a worker process. Call it before anything else is opened or started.
///
/// # Errors
/// The worker could not start, or its parent said something that is no order.
pub fn worker(guest: &Path, reserve: usize, kernels: usize) -> Result<(), Unbuilt> {
    workers::main(guest, reserve, kernels).map_err(Unbuilt::new)
}

/// The guest, compiled. The first use on a machine takes its time.
fn guest(config: &Config, tell: &dyn Fn(&str)) -> Result<Compiled, Unbuilt> {
    let progress = |stage| {
        tell(match stage {
            SetupStage::Unpacking => "first use on this machine: unpacking the guest",
            SetupStage::Compiling => "compiling the guest for this processor, some tens of seconds",
            SetupStage::ListingModules => "listing the modules of the guest",
        });
    };
    Compiled::locate(config.wasm.cache.as_deref(), &progress).map_err(Unbuilt::new)
}

type Made = (TierName, Arc<dyn Backend>, tier::Config);

fn router(
    config: &Config,
    wall: Wall,
    backends: Vec<Made>,
    clouds: &Clouds,
    scientific: &Scientific,
    mut absent: Vec<Absent>,
) -> Result<Arc<Router>, Unbuilt> {
    absent.extend(clouds.absent.iter().chain(&scientific.absent).cloned());
    let seed = Seed::from_system().map_err(|error| Unbuilt(format!("no randomness: {error}")))?;
    let of_tiers = seed.fork("tiers");
    let tiers = backends.into_iter().map(|(name, backend, config)| Tier::new(name, backend, config, &of_tiers));
    let queues = config.queue.is_set().then(|| Queues::new(&config.queue));
    let within = |tier: Tier| if let Some(queues) = &queues { tier.within(queues) } else { tier };
    let tiers = Tiers::new(tiers.map(|tier| within(clouds.figures(tier)))).with_absent(absent);
    Ok(Arc::new(Router::new(Parts {
        quota: Quota::new(&config.quota),
        rules: rules(&config.rules)?,
        cache: ResultCache::new(&config.cache),
        tiers,
        recorder: Recorder::new(&config.record, wall),
        wall,
        seed,
    })))
}

/// The rules that are set.
///
/// # Errors
/// They cannot be used; the message says where.
pub fn rules(config: &config::Rules) -> Result<SharedRules, Unbuilt> {
    config
        .folder
        .as_deref()
        .map_or_else(|| Ok(SharedRules::builtin()), |dir| SharedRules::load(dir).map_err(Unbuilt::new))
}

/// Takes up changed rules, for as long as it is polled. Bad ones are told to the log, and the old ones stand.
pub async fn reload(router: Arc<Router>, every: Duration) {
    let mut tick = tokio::time::interval(every);
    loop {
        tick.tick().await;
        let router = Arc::clone(&router);
        // It reads files.
        match tokio::task::spawn_blocking(move || router.rules().check()).await {
            Ok(Some(Reloaded::Replaced { version })) => tracing::info!(version, "new rules are in force"),
            Ok(Some(Reloaded::Kept(error))) => {
                tracing::error!(%error, "the changed rules are wrong: the old ones stand");
            }
            Ok(None) | Err(_) => {}
        }
    }
}

/// Whether a key for E2B is there. Nothing else of it is looked at.
pub fn e2b_key() -> bool {
    std::env::var_os("E2B_API_KEY").is_some_and(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_that_may_be_granted_has_a_worker_process() {
        let processes = |workers, slots, extra_slots| {
            let queue = queue::Config { slots, extra_slots, ..queue::Config::default() };
            let (processes, fitted) = fitted(workers, &queue);
            assert!(processes >= fitted.slots + extra_slots);
            (processes, fitted.slots)
        };
        assert_eq!(processes(1, 6, 4), (5, 1));
        assert_eq!(processes(4, 1, 1), (4, 1));
        assert_eq!(processes(8, 6, 1), (8, 6));
        assert_eq!(processes(8, 6, 0), (8, 6));
        // By the cores that there are, and no more than can be used.
        assert_eq!(processes(0, 1, 2), (3, 1));
        assert_eq!(processes(0, usize::MAX, 0), (cores(), cores()));
    }
}
