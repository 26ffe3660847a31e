//! Builds the router and everything under it from the settings: the only module that names a concrete backend.

#[cfg(feature = "e2b")]
mod clouds;
#[cfg(not(feature = "e2b"))]
#[path = "assemble/clouds_absent.rs"]
mod clouds;
#[cfg(feature = "machine")]
mod machine;
#[cfg(not(feature = "machine"))]
#[path = "assemble/machine_absent.rs"]
mod machine;
#[cfg(feature = "native")]
mod native;
#[cfg(not(feature = "native"))]
#[path = "assemble/native_absent.rs"]
mod native;
#[cfg(not(all(feature = "wasm", feature = "native", feature = "machine", feature = "e2b")))]
mod not_built;
#[cfg(feature = "e2b")]
mod process;
#[cfg(feature = "wasm")]
mod wasm;
#[cfg(not(feature = "wasm"))]
#[path = "assemble/wasm_absent.rs"]
mod wasm;

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::Backend;
use switchtower_core::cache::ResultCache;
use switchtower_core::clock::WallClock;
use switchtower_core::decide::{Reloaded, SharedRules};
use switchtower_core::memory::MemoryAccount;
use switchtower_core::quota::Quota;
use switchtower_core::record::Recorder;
use switchtower_core::route::TierName;
use switchtower_core::router::{Parts, Router};
use switchtower_core::seed::Seed;
use switchtower_core::session::{self, Sessions};
use switchtower_core::tier::late::LateBackend;
use switchtower_core::tier::queue::{self, Queues};
use switchtower_core::tier::{self, AbsentTier, Tier, Tiers};

use crate::config::{self, Config};
use clouds::Clouds;
pub use clouds::check_accounts;
#[cfg(feature = "e2b")]
pub use clouds::cloud_account;
use machine::MachineTier;
pub use machine::check_machines;
#[cfg(feature = "machine")]
pub use machine::machine_roots;
use native::NativeTier;
pub use native::{IndependentWorkers, check_native};
use wasm::WasmTier;
pub use wasm::{check_workers, run_worker};

/// These settings cannot be built on this machine; the message says what is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BuildError {
    message: String,
    /// Whether a setting is wrong. Otherwise the same settings may work later, or on another machine.
    pub is_setting: bool,
}

impl BuildError {
    fn new(error: impl ToString) -> Self {
        Self { message: error.to_string(), is_setting: false }
    }

    fn of_setting(error: impl ToString) -> Self {
        Self { message: error.to_string(), is_setting: true }
    }
}

/// The state of the native tier, as `doctor` reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeReport {
    /// It is disabled in the settings.
    Disabled,
    Absent(AbsentTier),
    /// It runs programs: which Python, whether its jail is the full one, and the jail's layers by name, each in force
    /// or with the reason why not.
    Working {
        python: String,
        packages: usize,
        full: bool,
        layers: Vec<(String, Result<(), String>)>,
    },
}

/// The state of local machines, as `doctor` reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineReport {
    /// They are disabled in the settings.
    Disabled,
    Absent(AbsentTier),
    /// A machine started: what starts it, how far that isolates, the interpreters and compilers with their versions, and the
    /// layers of isolation by name, each in force or with the reason why not.
    Working {
        runtime: String,
        isolation: &'static str,
        versions: Vec<(String, String)>,
        /// What they reach on the internet; empty: nothing.
        egress: Vec<String>,
        layers: Vec<(String, Result<(), String>)>,
    },
}

/// The state of the WebAssembly workers, as `doctor` reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WasmReport {
    Absent(AbsentTier),
    /// A worker did not start.
    Failed(BuildError),
    /// A worker started: its jail's layers by name, each in force or with the reason why not.
    Working {
        layers: Vec<(String, Result<(), String>)>,
    },
}

/// The result of checking an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCheck {
    /// The API answers and accepts the key; `limits`: what the account may do.
    Reachable { api: String, template: String, build_tag: Option<String>, limits: String },
    /// There is no account, with the reason and how to enable it.
    Absent(AbsentTier),
    /// The API does not answer, answers with an error, or does not have the template.
    Failing { tier: TierName, code: &'static str, error: String, remedy: String },
}

/// The router, the sessions and the tiers of one process, ready to run programs.
pub struct Assembly {
    pub router: Arc<Router>,
    pub sessions: Sessions,
    wasm: WasmTier,
    native: NativeTier,
    machine: MachineTier,
    clouds: Clouds,
}

impl Assembly {
    /// Runs the background work for as long as it is polled: ends the cloud sandboxes that earlier processes left,
    /// warms new ones and local machines, maintains sessions, runs a sample of stored results again.
    pub fn maintain(&self) -> impl Future<Output = ()> + use<> {
        let clouds = self.clouds.maintain(Arc::clone(&self.router));
        let machines = self.machine.start_pool(Arc::clone(&self.router));
        let (sessions, router) = (self.sessions.clone(), Arc::clone(&self.router));
        async move {
            tokio::join!(clouds, machines, sessions.maintain(), router.recheck_hits());
        }
    }

    /// Ends the worker processes and the cloud sandboxes and waits for them, and until pending records are written to
    /// their sink. Call it when no request is running.
    pub async fn close(self) {
        if !self.close_within(clouds::CLOSING).await {
            tracing::warn!("a cloud did not confirm that all sandboxes have ended; the next start ends what is left");
        }
    }

    /// As [`Assembly::close`], but waits at most this long for cloud sandboxes to end. Returns false where one may be
    /// left in its account.
    pub async fn close_within(self, most: Duration) -> bool {
        self.sessions.close().await;
        self.router.tiers().close().await;
        let recorder = self.router.recorder();
        let (all_ended, ()) = tokio::join!(self.clouds.close(most), recorder.close_sink(most.min(FLUSH_TIMEOUT)));
        self.native.close().await;
        self.machine.close().await;
        self.wasm.close().await;
        all_ended
    }
}

/// The longest time that a shutdown waits for the records' sink.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Builds everything with a WebAssembly engine inside this process, for one program. Call it inside a runtime. `report`
/// gets a line about each slow step.
///
/// # Errors
/// The rules or the guest cannot be used.
pub fn in_process(config: &Config, report: &dyn Fn(&str)) -> Result<Assembly, BuildError> {
    let base = CommandBase::new(config)?;
    let machine = MachineTier::for_command(config, base.plan.has_cloud());
    base.assembly(config, machine, report)
}

/// As [`in_process`], for many programs: a first local machine has been started, so that its tier offers exactly what
/// machines have, and not what they probably have.
///
/// # Errors
/// The rules or the guest cannot be used.
pub async fn in_process_with_machines(config: &Config, report: &dyn Fn(&str)) -> Result<Assembly, BuildError> {
    let base = CommandBase::new(config)?;
    let machine = MachineTier::started(config, base.plan.has_cloud()).await;
    base.assembly(config, machine, report)
}

/// What is built for a command before its local tiers.
struct CommandBase {
    clouds: Clouds,
    plan: Plan,
}

impl CommandBase {
    fn new(config: &Config) -> Result<Self, BuildError> {
        let wall = WallClock::real();
        let clouds = Clouds::for_command(config, wall);
        let plan = Plan::new(config, wall, clouds.tiers(config, false))?;
        Ok(Self { clouds, plan })
    }

    fn assembly(self, config: &Config, machine: MachineTier, report: &dyn Fn(&str)) -> Result<Assembly, BuildError> {
        let wasm = WasmTier::for_command(config, report)?;
        let local = LocalTiers { wasm, native: NativeTier::for_command(config), machine };
        Ok(assembly(config, self.plan, local, self.clouds))
    }
}

/// Builds everything with a WebAssembly engine inside this process and with pools in a cloud that takes any key, for
/// measuring against a stand-in, whose address is in `config`. Call it inside a runtime.
///
/// # Errors
/// The rules or the guest cannot be used.
#[cfg(feature = "e2b")]
pub fn against_stand_in(config: &Config, report: &dyn Fn(&str)) -> Result<Assembly, BuildError> {
    let wall = WallClock::real();
    let clouds = Clouds::against_stand_in(config, wall);
    let plan = Plan::new(config, wall, clouds.tiers(config, true))?;
    let wasm = WasmTier::for_measurement(config, report)?;
    let local = LocalTiers { wasm, native: NativeTier::default(), machine: MachineTier::default() };
    Ok(assembly(config, plan, local, clouds))
}

/// Most processes that keep kernels where the settings leave the number to the machine. Any number of cells runs in
/// each, so more of them would only limit what one fault takes with it.
const MAX_KERNEL_WORKERS: usize = 8;

/// Builds everything for a server, with programs in jailed worker processes. A tier that cannot be created is absent,
/// and the router has the reason.
///
/// # Errors
/// The rules cannot be used.
pub async fn with_workers(config: &Config, report: fn(&str)) -> Result<Assembly, BuildError> {
    let assembly = starting(config, report)?;
    assembly.router.tiers().wait_until_started().await;
    Ok(assembly)
}

/// Builds everything for a server, as [`with_workers`] does, and returns while the worker processes start: what is routed
/// to their tiers waits for that. Call it inside a runtime.
///
/// # Errors
/// The rules cannot be used.
pub fn starting(config: &Config, report: fn(&str)) -> Result<Assembly, BuildError> {
    let wall = WallClock::real();
    let clouds = Clouds::for_server(config, wall);
    let plan = Plan::new(config, wall, clouds.tiers(config, true))?;
    let local = LocalTiers {
        wasm: WasmTier::for_server(config, report),
        native: NativeTier::for_server(config, report),
        machine: MachineTier::for_server(config, plan.has_cloud(), report),
    };
    Ok(assembly(config, plan, local, clouds))
}

/// Returns the numbers that are in force where the settings leave them to this machine or ask for more than it gives,
/// by setting. The worker processes include those for extra slots.
pub fn derived(config: &Config) -> Vec<(&'static str, usize)> {
    let (wasm, wasm_queue) = fit_queue(config.wasm.workers, &config.tiers.wasm.queue);
    let (native, native_queue) = fit_native_queue(config);
    let cells = config.sessions.cells();
    vec![
        ("wasm.workers", wasm),
        ("wasm.kernel_workers", wasm_kernel_workers(config)),
        ("tiers.wasm.queue.slots", wasm_queue.slots),
        ("native.workers", native),
        ("native.kernel_workers", native_kernel_workers(config)),
        ("tiers.native.queue.slots", native_queue.slots),
        ("sessions.queue.slots", cells.slots),
        ("sessions.queue.per_user", cells.per_user),
    ]
}

/// Returns the number of processes of the native tier that run programs, and its queue with as many slots.
fn fit_native_queue(config: &Config) -> (usize, queue::Config) {
    fit_queue(config.native.workers, &config.tiers.native.queue)
}

/// Returns the number of processes of the native tier that keep kernels.
fn native_kernel_workers(config: &Config) -> usize {
    if config.native.kernel_workers == 0 { cores() } else { config.native.kernel_workers }
}

fn wasm_kernel_workers(config: &Config) -> usize {
    if config.wasm.kernel_workers == 0 { (2 * cores()).min(MAX_KERNEL_WORKERS) } else { config.wasm.kernel_workers }
}

/// Returns the number of cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Returns how many worker processes a tier has, extra slots included, and its queue with as many slots as it has
/// processes. `workers` is the setting; 0: one per core, and no more than there are slots. With more slots than
/// processes, requests would wait for a process in no order instead of in the fair queue.
fn fit_queue(workers: usize, queue: &queue::Config) -> (usize, queue::Config) {
    let workers = if workers == 0 { cores().min(queue.slots) } else { workers };
    let slots = queue.slots.min(workers);
    (workers.max(slots + queue.extra_slots), queue::Config { slots, ..queue.clone() })
}

/// What may fail, made before any tier starts: a start that is broken off would report that instead of the cause.
struct Plan {
    clouds: Vec<NamedBackend>,
    rules: SharedRules,
    recorder: Recorder,
    wall: WallClock,
    seed: Seed,
}

impl Plan {
    fn new(config: &Config, wall: WallClock, clouds: Vec<NamedBackend>) -> Result<Self, BuildError> {
        if config.rules.force_remote && clouds.is_empty() {
            return Err(BuildError::of_setting(
                "rules.force_remote is set, but there is no remote tier: set E2B_API_KEY, or leave the setting out",
            ));
        }
        let seed = Seed::from_system().map_err(|error| BuildError::new(format!("no randomness: {error}")))?;
        let recorder = Recorder::new(&config.record, wall).map_err(BuildError::new)?;
        Ok(Self { clouds, rules: load_rules(&config.rules)?, recorder, wall, seed })
    }

    /// Returns whether a cloud can be used, which reaches all of the internet.
    fn has_cloud(&self) -> bool {
        !self.clouds.is_empty()
    }
}

/// The tiers of this host.
struct LocalTiers {
    wasm: WasmTier,
    native: NativeTier,
    machine: MachineTier,
}

fn assembly(config: &Config, plan: Plan, local: LocalTiers, clouds: Clouds) -> Assembly {
    let router = router(config, plan, &local, &clouds);
    let LocalTiers { wasm, native, machine } = local;
    let memory = MemoryAccount::new(&config.memory);
    let known = config.sessions.templates.iter().cloned().chain(config.clouds.templates()).collect();
    let session_config = session::Config { templates: known, ..config.sessions.clone() };
    let sessions = Sessions::with_memory(Arc::clone(&router), &session_config, &config.limits, memory);
    Assembly { router, sessions, wasm, native, machine, clouds }
}

type NamedBackend = (TierName, TierBackend, tier::Config);

/// The backend of a tier.
#[derive(Clone)]
#[cfg_attr(
    not(any(feature = "wasm", feature = "native", feature = "machine", feature = "e2b")),
    expect(dead_code, reason = "a build without tiers makes none")
)]
enum TierBackend {
    /// It can run programs.
    Started(Arc<dyn Backend>),
    /// It starts while the server answers.
    Late(Arc<LateBackend>),
}

/// The start of a tier. Dropped before its end, for example by a panic, it has failed: nobody waits for it any longer.
#[cfg(any(feature = "wasm", feature = "native", feature = "machine"))]
struct TierStart {
    late: Arc<LateBackend>,
    tier: TierName,
    report: fn(&str),
}

#[cfg(any(feature = "wasm", feature = "native", feature = "machine"))]
impl TierStart {
    /// Ends the start, and reports it.
    fn end(&self, started: Result<Arc<dyn Backend>, AbsentTier>) {
        let (message, counts) = match started {
            Ok(backend) => (format!("the tier {} is open", self.tier), self.late.open(backend)),
            Err(absent) => (absent.to_string(), self.late.fail(absent)),
        };
        if counts {
            (self.report)(&message);
        }
    }
}

#[cfg(any(feature = "wasm", feature = "native", feature = "machine"))]
impl Drop for TierStart {
    fn drop(&mut self) {
        let (tier, reason) = (self.tier.clone(), "its start was broken off".to_owned());
        self.end(Err(AbsentTier { tier, reason, remedy: None, machine: false }));
    }
}

fn router(config: &Config, plan: Plan, local: &LocalTiers, clouds: &Clouds) -> Arc<Router> {
    let Plan { clouds: backends, rules, recorder, wall, seed } = plan;
    let LocalTiers { wasm, native, machine } = local;
    let absent =
        wasm.absent.iter().chain(&machine.absent).chain(&clouds.absent).chain(&native.absent).cloned().collect();
    let of_tiers = seed.fork("tiers");
    let backends =
        backends.into_iter().chain(wasm.backends()).chain(native.backends(config)).chain(machine.backends(config));
    let tiers = backends.map(|(name, backend, config)| match backend {
        TierBackend::Started(backend) => Tier::new(name, backend, config, &of_tiers),
        TierBackend::Late(backend) => Tier::late(name, backend, config, &of_tiers),
    });
    let queues = config.queue.is_set().then(|| Queues::new(&config.queue));
    let share_limits = |tier: Tier| if let Some(queues) = &queues { tier.with_shared_limits(queues) } else { tier };
    let tiers = Tiers::new(tiers.map(|tier| share_limits(clouds.with_account_status(tier)))).with_absent(absent);
    Arc::new(Router::new(Parts {
        quota: Quota::new(&config.quota),
        rules,
        cache: ResultCache::new(&config.cache),
        tiers,
        recorder,
        wall,
        seed,
    }))
}

/// Loads the routing rules that the settings name.
///
/// # Errors
/// They cannot be used; the message says where.
pub fn load_rules(config: &config::Rules) -> Result<SharedRules, BuildError> {
    match config.folder.as_deref() {
        Some(folder) => SharedRules::load(folder).map_err(BuildError::of_setting),
        None if config.force_remote => Ok(SharedRules::force_remote()),
        None => Ok(SharedRules::builtin()),
    }
}

/// Loads changed rules for as long as it is polled. Rules that cannot be used are logged, and the old ones stay in
/// force.
pub async fn reload_rules(router: Arc<Router>, every: Duration) {
    let mut tick = tokio::time::interval(every);
    loop {
        tick.tick().await;
        let router = Arc::clone(&router);
        // It reads files.
        match tokio::task::spawn_blocking(move || router.rules().check()).await {
            Ok(Some(Reloaded::Replaced { version })) => tracing::info!(version, "new rules are in force"),
            Ok(Some(Reloaded::Kept(error))) => {
                tracing::error!(%error, "the changed rules cannot be used: the old ones stay in force");
            }
            Ok(None) | Err(_) => {}
        }
    }
}

/// Returns whether `E2B_API_KEY` is set. Its value is not read here.
pub fn has_e2b_key() -> bool {
    std::env::var_os("E2B_API_KEY").is_some_and(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_that_may_be_granted_has_a_worker_process() {
        let processes = |workers, slots, extra_slots| {
            let queue = queue::Config { slots, extra_slots, ..queue::Config::default() };
            let (processes, fitted) = fit_queue(workers, &queue);
            assert!(processes >= fitted.slots + extra_slots);
            (processes, fitted.slots)
        };
        assert_eq!(processes(1, 6, 4), (5, 1));
        assert_eq!(processes(4, 1, 1), (4, 1));
        assert_eq!(processes(8, 6, 1), (8, 6));
        assert_eq!(processes(8, 6, 0), (8, 6));
        // One per core, and no more than the queue can use.
        assert_eq!(processes(0, 1, 2), (3, 1));
        assert_eq!(processes(0, usize::MAX, 0), (cores(), cores()));
    }
}
