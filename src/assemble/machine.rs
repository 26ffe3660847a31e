//! Builds the tier of local machines from the settings. A server starts a first machine at once, a command when a program needs
//! one.

use std::path::PathBuf;
use std::sync::Arc;

use switchtower_contract::Backend;
use switchtower_core::route::TierName;
use switchtower_core::router::Router;
use switchtower_core::tier::AbsentTier;
use switchtower_core::tier::late::LateBackend;
use switchtower_machine::{ImportLimits, Machines, Python, Roots, RuntimeChoice, UnavailableMachines};
use tokio::task::JoinHandle;

use super::{MachineReport, NamedBackend, TierBackend, TierStart};
use crate::config::{BUILT_IN, Config, STRONGEST};

/// The tier's backend, or the reason why it is absent; neither if it is disabled.
#[derive(Default)]
pub(super) struct MachineTier {
    backend: Option<Arc<Machines>>,
    /// The start of a server's first machine.
    start: Option<Start>,
    pub(super) absent: Option<AbsentTier>,
}

/// The start of a server's first machine.
struct Start {
    tier: TierName,
    late: Arc<LateBackend>,
    task: JoinHandle<()>,
}

impl MachineTier {
    /// Returns the tier for one command: no machine starts before a program needs it. `has_cloud`: whether a cloud can be used, to which
    /// programs that need the internet go.
    pub(super) fn for_command(config: &Config, has_cloud: bool) -> Self {
        if !config.machine.enabled {
            return Self::default();
        }
        match Machines::new(settings(config, has_cloud)) {
            Ok(machines) => Self { backend: Some(Arc::new(machines)), ..Self::default() },
            Err(error) => Self { absent: Some(absent(config, &error)), ..Self::default() },
        }
    }

    /// Returns the tier for a command that runs many programs, after a first machine has shown what machines have.
    pub(super) async fn started(config: &Config, has_cloud: bool) -> Self {
        let tier = Self::for_command(config, has_cloud);
        let Some(backend) = &tier.backend else { return tier };
        match backend.ensure_started().await {
            Ok(()) => tier,
            Err(error) => Self { absent: Some(absent(config, &error)), ..Self::default() },
        }
    }

    /// Returns the tier for a server. Its first machine starts from now on; the tier is open once that has passed its
    /// self-test.
    pub(super) fn for_server(config: &Config, has_cloud: bool, report: fn(&str)) -> Self {
        let mut tier = Self::for_command(config, has_cloud);
        let Some(backend) = tier.backend.clone() else { return tier };
        let late = LateBackend::new("its first machine starts and tests its isolation", false);
        late.set_offer(backend.offer(), backend.packages());
        let name = config.machine.tier.clone();
        let tier_start = TierStart { late: Arc::clone(&late), tier: name.clone(), report };
        let config = config.clone();
        let start = async move {
            let started = backend.ensure_started().await.map_err(|error| absent(&config, &error));
            tier_start.end(started.map(|()| backend as Arc<dyn Backend>));
        };
        tier.start = Some(Start { tier: name, late, task: tokio::spawn(start) });
        tier
    }

    pub(super) fn backends(&self, config: &Config) -> Option<NamedBackend> {
        let backend = Arc::clone(self.backend.as_ref()?);
        let (backend, mut tier) = match &self.start {
            Some(Start { late, .. }) => (TierBackend::Late(Arc::clone(late)), config.tiers.machine.clone()),
            // A command runs one program: machines that are started ahead would only delay its end.
            None => (
                TierBackend::Started(backend),
                switchtower_core::tier::Config { pool: None, ..config.tiers.machine.clone() },
            ),
        };
        if let Some(pool) = &mut tier.pool {
            pool.max = pool.max.min(config.machine.max_machines);
            pool.target = pool.target.min(pool.max);
            pool.min = pool.min.min(pool.target);
        }
        Some((config.machine.tier.clone(), backend, tier))
    }

    /// Fills the pool of warm machines once all tiers have started: machines that start would delay that.
    pub(super) fn start_pool(&self, router: Arc<Router>) -> impl Future<Output = ()> + use<> {
        let tier = self.start.as_ref().map(|start| start.tier.clone());
        async move {
            let Some(tier) = tier else { return };
            router.tiers().wait_until_started().await;
            // It is absent if its start has failed.
            if let Some(tier) = router.tiers().get(&tier) {
                tier.start();
            }
        }
    }

    pub(super) async fn close(self) {
        if let Some(Start { task, .. }) = self.start {
            task.abort();
            let _ = task.await;
        }
    }
}

fn absent(config: &Config, error: &UnavailableMachines) -> AbsentTier {
    let remedy = error.remedy.clone().unwrap_or_else(|| "see `switchtower doctor`".to_owned());
    let tier = config.machine.tier.clone();
    AbsentTier { tier, reason: error.to_string(), remedy: Some(remedy), machine: true }
}

fn settings(config: &Config, has_cloud: bool) -> switchtower_machine::Config {
    let machine = &config.machine;
    let defaults = switchtower_machine::Config::default();
    switchtower_machine::Config {
        runtime: match machine.runtime.as_str() {
            BUILT_IN => RuntimeChoice::BuiltIn,
            STRONGEST => RuntimeChoice::Strongest,
            program => RuntimeChoice::Program(PathBuf::from(program)),
        },
        root: machine.root.clone(),
        roots: machine_roots(config),
        root_limits: ImportLimits { bytes: machine.max_root_bytes, files: machine.max_root_files },
        scratch: machine.scratch_folder.clone().unwrap_or(defaults.scratch),
        memory: machine.memory,
        processors: (machine.processors > 0.0).then_some(machine.processors),
        processes: machine.processes,
        disk: machine.disk,
        inodes: machine.files,
        max_machines: machine.max_machines,
        egress: machine.egress.allow.clone(),
        offers_internet: !machine.egress.allow.is_empty() && !has_cloud,
        python: python(config),
    }
}

/// Returns the imported root file systems of machines; `None`: there is no folder for them, because neither a setting nor the
/// environment names one.
pub fn machine_roots(config: &Config) -> Option<Roots> {
    config.machine.roots_folder.clone().or_else(Roots::default_folder).map(Roots::new)
}

/// Returns the Python of the scientific tier, where it is installed: machines have the same packages.
#[cfg(feature = "native")]
fn python(config: &Config) -> Option<Python> {
    let installation = switchtower_native::Installation::locate(config.native.folder.as_deref()).ok()?;
    let packages = installation.packages().iter().map(|(name, version)| (name.clone(), version.clone())).collect();
    Some(Python {
        version: installation.python().to_owned(),
        home: installation.home().to_owned(),
        site: installation.site(),
        packages,
        modules: installation.modules().clone(),
    })
}

#[cfg(not(feature = "native"))]
fn python(_config: &Config) -> Option<Python> {
    None
}

/// Starts a machine, runs its self-test and ends it.
pub async fn check_machines(config: &Config) -> MachineReport {
    let MachineTier { backend, absent: missing, .. } = MachineTier::for_command(config, false);
    let Some(backend) = backend else { return missing.map_or(MachineReport::Disabled, MachineReport::Absent) };
    if let Err(error) = backend.ensure_started().await {
        return MachineReport::Absent(absent(config, &error));
    }
    MachineReport::Working {
        runtime: backend.runtime_name(),
        isolation: backend.offer().isolation.name(),
        versions: backend.versions().to_vec(),
        egress: config.machine.egress.allow.iter().map(ToString::to_string).collect(),
        layers: backend.layers().iter().map(|layer| (layer.name.clone(), layer.status.clone())).collect(),
    }
}
