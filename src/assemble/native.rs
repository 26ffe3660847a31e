//! Builds the native tier from the settings. A server starts it at once, a command when a program needs it.

use std::sync::Arc;

use switchtower_contract::Backend;
use switchtower_core::tier::AbsentTier;
use switchtower_core::tier::late::LateBackend;
use switchtower_native::{Installation, JailProfile, Native};
use tokio::task::JoinHandle;

use super::{
    BuildError, NamedBackend, NativeReport, TierBackend, TierStart, fit_native_queue as fit_queue,
    native_kernel_workers as kernel_workers,
};
use crate::config::{Config, JailProfileSetting};

/// The tier's backend, or the reason why it is absent; neither if it is disabled.
#[derive(Default)]
pub(super) struct NativeTier {
    pub(super) backend: Option<Arc<Native>>,
    /// The start of a server's processes.
    start: Option<(Arc<LateBackend>, JoinHandle<()>)>,
    pub(super) absent: Option<AbsentTier>,
}

impl NativeTier {
    /// Returns the tier for one command: no process starts before a program needs it.
    pub(super) fn for_command(config: &Config) -> Self {
        Self::located(
            config,
            switchtower_native::Config {
                workers: 1,
                kernel_workers: 0,
                kernels_per_worker: 0,
                prewarmed: 1,
                ..size(config)
            },
        )
    }

    /// Returns the tier for a server. Its processes start from now on; it is open once they have passed their self-test.
    pub(super) fn for_server(config: &Config, report: fn(&str)) -> Self {
        let mut located = Self::located(config, size(config));
        let Some(backend) = located.backend.clone() else { return located };
        let late =
            LateBackend::new("its workers import their packages and test their jail", backend.kernels().is_some());
        late.set_offer(backend.offer(), backend.packages());
        let tier = config.native.tier.clone();
        let tier_start = TierStart { late: Arc::clone(&late), tier: tier.clone(), report };
        let start = async move {
            let started = match backend.ensure_started().await {
                Ok(()) => Ok(backend as Arc<dyn Backend>),
                Err(error) => {
                    // Other workers may have started, or left files.
                    backend.shutdown().await;
                    let remedy = Some(error.update().unwrap_or("see `switchtower doctor`").to_owned());
                    Err(AbsentTier { tier: tier.clone(), reason: error.to_string(), remedy, machine: false })
                }
            };
            tier_start.end(started);
        };
        located.start = Some((late, tokio::spawn(start)));
        located
    }

    fn located(config: &Config, size: switchtower_native::Config) -> Self {
        if !config.native.enabled {
            return Self::default();
        }
        match Installation::locate(config.native.folder.as_deref()) {
            Ok(installation) => {
                let backend = Some(Arc::new(Native::new(installation, size)));
                Self { backend, ..Self::default() }
            }
            Err(missing) => {
                let tier = config.native.tier.clone();
                let remedy = Some(missing.remedy);
                let absent = AbsentTier { tier, reason: missing.reason, remedy, machine: false };
                Self { absent: Some(absent), ..Self::default() }
            }
        }
    }

    pub(super) fn backends(&self, config: &Config) -> Option<NamedBackend> {
        let backend = Arc::clone(self.backend.as_ref()?);
        let backend = match &self.start {
            Some((late, _)) => TierBackend::Late(Arc::clone(late)),
            None => TierBackend::Started(backend),
        };
        let mut tier = config.tiers.native.clone();
        tier.queue = fit_queue(config).1;
        Some((config.native.tier.clone(), backend, tier))
    }

    pub(super) async fn close(self) {
        if let Some((_, start)) = self.start {
            start.abort();
            let _ = start.await;
        }
        if let Some(backend) = self.backend {
            backend.shutdown().await;
        }
    }
}

fn size(config: &Config) -> switchtower_native::Config {
    let native = &config.native;
    switchtower_native::Config {
        workers: fit_queue(config).0,
        kernel_workers: kernel_workers(config),
        concurrent_cells: config.sessions.cells_at_once(),
        kernels_per_worker: native.kernels_per_worker,
        kernel_worker_idle: (!native.kernel_worker_idle.is_zero()).then_some(native.kernel_worker_idle),
        prewarmed: native.prewarmed,
        preload: native.preload.clone(),
        lifetime: switchtower_native::WorkerLifetime {
            max_runs: native.max_runs_per_worker,
            max_age: native.max_worker_age,
        },
        profile: jail_profile(native.jail_profile),
        scratch_bytes: native.scratch_bytes,
        memory: config.tiers.native.default_memory,
        max_worker_memory: (native.max_worker_memory > 0).then_some(native.max_worker_memory),
    }
}

/// Returns the jail that the setting asks for; `None` leaves it to the backend.
fn jail_profile(setting: JailProfileSetting) -> Option<JailProfile> {
    match setting {
        JailProfileSetting::Auto => None,
        JailProfileSetting::Full => Some(JailProfile::Full),
        JailProfileSetting::Reduced => Some(JailProfile::Reduced),
    }
}

/// Starts one worker of the native tier, runs its self-test and ends it.
pub async fn check_native(config: &Config) -> NativeReport {
    let one = switchtower_native::Config {
        workers: 1,
        kernel_workers: 0,
        kernels_per_worker: 0,
        prewarmed: 1,
        ..size(config)
    };
    let NativeTier { backend, absent, .. } = NativeTier::located(config, one);
    let Some(backend) = backend else { return absent.map_or(NativeReport::Disabled, NativeReport::Absent) };
    if let Err(error) = backend.ensure_started().await {
        backend.shutdown().await;
        let reinstall = "see the message; `python3 sandboxes/native/install.py` reinstalls it";
        let remedy = Some(error.update().unwrap_or(reinstall).to_owned());
        let tier = config.native.tier.clone();
        return NativeReport::Absent(AbsentTier { tier, reason: error.to_string(), remedy, machine: false });
    }
    let layers = backend.layers().iter().map(|layer| (layer.name.clone(), layer.status.clone())).collect();
    let (python, packages) = (backend.installation().python().to_owned(), backend.installation().packages().len());
    let full = backend.profile() == Some(JailProfile::Full);
    backend.shutdown().await;
    NativeReport::Working { python, packages, full, layers }
}

/// Two workers of the native tier that share no state: each has its own interpreter, so their hash seeds and memory
/// addresses differ.
pub struct IndependentWorkers([Arc<Native>; 2]);

impl IndependentWorkers {
    /// Starts both workers.
    ///
    /// # Errors
    /// The tier is disabled or not installed, or a worker does not start.
    pub async fn start(config: &Config) -> Result<Self, BuildError> {
        let one = || {
            let located = NativeTier::located(
                config,
                switchtower_native::Config {
                    workers: 1,
                    kernel_workers: 0,
                    kernels_per_worker: 0,
                    prewarmed: 2,
                    ..size(config)
                },
            );
            located.backend.ok_or_else(|| {
                let why = located.absent.map(|absent| match absent.remedy {
                    Some(remedy) => format!("{}; {remedy}", absent.reason),
                    None => absent.reason,
                });
                BuildError::new(format!("the native tier is needed: {}", why.as_deref().unwrap_or("it is disabled")))
            })
        };
        let workers = Self([one()?, one()?]);
        for backend in &workers.0 {
            if let Err(error) = backend.ensure_started().await {
                workers.close().await;
                return Err(BuildError::new(error));
            }
        }
        Ok(workers)
    }

    /// Returns both workers, each as a backend of its own.
    pub fn backends(&self) -> [Arc<dyn Backend>; 2] {
        self.0.clone().map(|backend| backend as Arc<dyn Backend>)
    }

    /// Ends the processes of both workers.
    pub async fn close(self) {
        for backend in self.0 {
            backend.shutdown().await;
        }
    }
}
