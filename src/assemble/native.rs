//! The scientific tier from settings: started with the house of a server, and by a command when a program needs it.

use std::sync::Arc;

use switchtower_contract::Backend;
use switchtower_core::tier::{Absent, queue};
use switchtower_native::{Installation, Native};

use super::{Made, Unbuilt};
use crate::config::Config;

/// The tier, where it is there; else why not. Both where it is switched off: nothing.
#[derive(Default)]
pub(super) struct Scientific {
    pub(super) backend: Option<Arc<Native>>,
    pub(super) absent: Option<Absent>,
}

impl Scientific {
    /// For one command: nothing starts before a program needs it.
    pub(super) fn of_command(config: &Config) -> Self {
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

    /// For a server: its processes prove themselves first.
    pub(super) async fn of_server(config: &Config) -> Self {
        let located = Self::located(config, size(config));
        let Some(backend) = &located.backend else { return located };
        match backend.ensure_started().await {
            Ok(()) => located,
            Err(error) => {
                // Others may have come up, or left something.
                backend.shutdown().await;
                let remedy = Some(error.update().unwrap_or("`switchtower doctor` looks at it").to_owned());
                let absent =
                    Absent { tier: config.native.tier.clone(), reason: error.to_string(), remedy, machine: false };
                Self { backend: None, absent: Some(absent) }
            }
        }
    }

    fn located(config: &Config, size: switchtower_native::Config) -> Self {
        if !config.native.enabled {
            return Self::default();
        }
        match Installation::locate(config.native.folder.as_deref()) {
            Ok(installation) => Self { backend: Some(Arc::new(Native::new(installation, size))), absent: None },
            Err(missing) => {
                let tier = config.native.tier.clone();
                Self {
                    backend: None,
                    absent: Some(Absent { tier, reason: missing.reason, remedy: Some(missing.remedy), machine: false }),
                }
            }
        }
    }

    pub(super) fn made(&self, config: &Config) -> Option<Made> {
        let backend = Arc::clone(self.backend.as_ref()?) as Arc<dyn Backend>;
        let mut tier = config.tiers.native.clone();
        tier.queue = fitted(config).1;
        Some((config.native.tier.clone(), backend, tier))
    }

    pub(super) async fn close(self) {
        if let Some(backend) = self.backend {
            backend.shutdown().await;
        }
    }
}

/// Processes that run programs, and the slots that go with them.
pub(super) fn fitted(config: &Config) -> (usize, queue::Config) {
    super::fitted(config.native.workers, &config.tiers.native.queue)
}

/// Processes that keep kernels.
pub(super) fn kernel_workers(config: &Config) -> usize {
    if config.native.kernel_workers == 0 { super::cores() } else { config.native.kernel_workers }
}

fn size(config: &Config) -> switchtower_native::Config {
    let native = &config.native;
    switchtower_native::Config {
        workers: fitted(config).0,
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
        profile: native.profile.profile(),
        scratch_bytes: native.scratch_bytes,
        memory: config.tiers.native.default_memory,
        worker_memory: (native.worker_memory > 0).then_some(native.worker_memory),
    }
}

/// What looking at the scientific tier found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Science {
    /// It is switched off.
    Off,
    Absent(Absent),
    /// It runs programs: which Python, the profile of its jail, and its layers by name, each standing or why not.
    Well {
        python: String,
        packages: usize,
        full: bool,
        layers: Vec<(String, Result<(), String>)>,
    },
}

/// Starts one worker of the scientific tier, lets it prove itself and ends it.
pub async fn science(config: &Config) -> Science {
    let one = switchtower_native::Config {
        workers: 1,
        kernel_workers: 0,
        kernels_per_worker: 0,
        prewarmed: 1,
        ..size(config)
    };
    let Scientific { backend, absent } = Scientific::located(config, one);
    let Some(backend) = backend else { return absent.map_or(Science::Off, Science::Absent) };
    if let Err(error) = backend.ensure_started().await {
        backend.shutdown().await;
        let anew = "the message names what does not hold; `python3 sandboxes/native/install.py` installs it anew";
        let remedy = Some(error.update().unwrap_or(anew).to_owned());
        let tier = config.native.tier.clone();
        return Science::Absent(Absent { tier, reason: error.to_string(), remedy, machine: false });
    }
    let layers = backend.layers().iter().map(|layer| (layer.name.clone(), layer.status.clone())).collect();
    let (python, packages) = (backend.installation().python().to_owned(), backend.installation().packages().len());
    let full = backend.profile() == Some(switchtower_native::JailProfile::Full);
    backend.shutdown().await;
    Science::Well { python, packages, full, layers }
}

/// Two workers of the scientific tier that share nothing: each has started its own interpreter, so their hash seeds and
/// their addresses differ.
pub struct Witnesses([Arc<Native>; 2]);

impl Witnesses {
    /// Starts both.
    ///
    /// # Errors
    /// The tier is switched off or not installed, or a worker does not come up.
    pub async fn start(config: &Config) -> Result<Self, Unbuilt> {
        let one = || {
            let located = Scientific::located(
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
                Unbuilt::new(format!("the scientific tier is needed: {}", why.as_deref().unwrap_or("it is disabled")))
            })
        };
        let witnesses = Self([one()?, one()?]);
        for backend in &witnesses.0 {
            if let Err(error) = backend.ensure_started().await {
                witnesses.close().await;
                return Err(Unbuilt::new(error));
            }
        }
        Ok(witnesses)
    }

    /// Both, each as a backend of its own.
    pub fn backends(&self) -> [Arc<dyn Backend>; 2] {
        self.0.clone().map(|backend| backend as Arc<dyn Backend>)
    }

    /// Ends their processes.
    pub async fn close(self) {
        for backend in self.0 {
            backend.shutdown().await;
        }
    }
}
