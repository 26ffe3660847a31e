//! The native backend: workers for programs, and workers for kernels.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Backend, Fault, Kernel, KernelOptions, Kernels, Language, Offer, Sandbox, Spec};
use switchtower_jail::JailProfile;
use switchtower_worker::jail::Layer;
use switchtower_worker::{
    KernelConfig, KernelPool, LaunchConfig, PoolConfig, StartError, Timeouts, WorkerLifetime, WorkerPool,
};
use tokio::sync::OnceCell;

use crate::canaries;
use crate::cgroups;
use crate::cleanup::Cleanup;
use crate::installation::Installation;
use crate::kernel_processes::KernelProcesses;
use crate::offer::{offer, runtime};
use crate::scratch_root::ScratchRoot;
use crate::worker_config::WorkerConfig;

/// Packages that most programs of this tier import.
const PRELOAD: [&str; 6] = ["numpy", "pandas", "scipy", "sympy", "matplotlib", "sklearn"];
/// How long a worker may take to be ready: it imports all packages before, which takes long on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// A worker ends its programs itself: a cell is interrupted before it is killed. A worker that does not is killed with all
/// its kernels, those of other callers too: a busy machine must not cause that.
const GRACE: Duration = Duration::from_secs(5);

/// Most threads of a program.
const THREADS: u64 = 64;
/// Processes of a worker beside prewarmed children and kernels: one that runs a program, and itself.
const SPARE: usize = 2;

/// How many processes there are, and what they prepare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Processes that run programs.
    pub workers: usize,
    /// Processes with kernels; 0: there are no kernels.
    pub kernel_workers: usize,
    /// Cells that run in the kernels of each of them at once.
    pub concurrent_cells: usize,
    /// Most kernels in each of them.
    pub kernels_per_worker: usize,
    /// Processes with kernels end after so long without one, and start again with the next. `None`: never.
    pub kernel_worker_idle: Option<Duration>,
    /// Children that each process forks ahead.
    pub prewarmed: usize,
    /// Packages that a process imports before its first program. Others are imported by the programs that use them.
    pub preload: Vec<String>,
    /// When a worker is replaced.
    pub lifetime: WorkerLifetime,
    /// The jail's profile; `None`: the full one where the system allows it.
    pub profile: Option<JailProfile>,
    /// Most bytes of a program's files.
    pub scratch_bytes: u64,
    /// Bytes of memory of a kernel whose first run is internal code, as when it restores the state of another.
    pub memory: u64,
    /// Most bytes of memory of one process and all its children, where a control group can be made. `None`: its share of the
    /// machine's memory, between 1 and 4 GiB.
    pub max_worker_memory: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        let lifetime = WorkerLifetime { max_runs: 5000, max_age: Duration::from_secs(3600) };
        Self {
            workers: 1,
            kernel_workers: 1,
            concurrent_cells: 16,
            kernels_per_worker: 32,
            kernel_worker_idle: Some(Duration::from_secs(600)),
            prewarmed: 2,
            preload: PRELOAD.map(str::to_owned).to_vec(),
            lifetime,
            profile: None,
            scratch_bytes: 128 << 20,
            memory: 512 << 20,
            max_worker_memory: None,
        }
    }
}

/// The scientific tier. Its processes start at the first use, or by [`ensure_started`](Self::ensure_started).
pub struct Native {
    installation: Installation,
    runtime: Arc<str>,
    config: Config,
    /// Or why there are none: what does not hold now will not hold in a moment.
    programs: OnceCell<Result<WorkerPool, Arc<StartError>>>,
    kernels: KernelProcesses,
    /// Removes what is left when this process is killed. None where it cannot be started.
    cleanup: OnceCell<Option<Cleanup>>,
    /// Its folder is removed last.
    scratch: OnceCell<ScratchRoot>,
}

impl Native {
    pub fn new(installation: Installation, config: Config) -> Self {
        let (programs, kernels) = (OnceCell::new(), KernelProcesses::default());
        let (cleanup, scratch) = (OnceCell::new(), OnceCell::new());
        let runtime = runtime(&installation);
        Self { installation, runtime, config, programs, kernels, cleanup, scratch }
    }

    /// Starts the processes for programs and waits until their self-tests have passed; those for kernels start after that,
    /// and only the first cells wait for them.
    ///
    /// # Errors
    /// One cannot be started, or its jail does not hold: then this tier is not available.
    pub async fn ensure_started(&self) -> Result<(), Arc<StartError>> {
        self.programs().await?;
        if self.config.kernel_workers > 0 {
            self.kernels
                .ensure_started(self.config.kernel_worker_idle, self.start_kernels())
                .await
                .map_err(Arc::new)?;
        }
        Ok(())
    }

    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Returns the layers of the workers' jail, as the workers reported them; none before they are started.
    pub fn layers(&self) -> &[Layer] {
        self.programs.get().and_then(|programs| programs.as_ref().ok()).map(WorkerPool::layers).unwrap_or_default()
    }

    /// Returns the profile of the workers' jail, from these layers.
    pub fn profile(&self) -> Option<JailProfile> {
        let tree = self.layers().iter().find(|layer| layer.name == "file tree")?;
        Some(if tree.status.is_ok() { JailProfile::Full } else { JailProfile::Reduced })
    }

    async fn programs(&self) -> Result<&WorkerPool, Arc<StartError>> {
        let start = async || {
            let pool = PoolConfig { launch: self.command(0, self.config.workers).await?, workers: self.config.workers };
            WorkerPool::start(self.offer(), self.runtime(), &pool).await
        };
        let started = self.programs.get_or_init(async || start().await.map_err(Arc::new)).await;
        started.as_ref().map_err(Arc::clone)
    }

    /// Starts the processes for kernels.
    async fn start_kernels(&self) -> Result<KernelPool, StartError> {
        let command = self.command(self.config.kernels_per_worker, self.config.kernel_workers).await?;
        let Config { kernel_workers: workers, concurrent_cells, memory, .. } = self.config;
        let kernel_config = KernelConfig {
            workers,
            concurrent_cells,
            memory,
            survives_interrupt: true,
            languages: &[Language::Python],
        };
        Ok(KernelPool::start(&command, kernel_config))
    }

    /// Returns how workers with so many kernels are started; `together` is the number that share the machine.
    async fn command(&self, kernels: usize, together: usize) -> Result<LaunchConfig, StartError> {
        let program = self.installation.worker();
        let scratch = self.scratch.get_or_try_init(async || ScratchRoot::new()).await;
        let scratch = scratch.map_err(|error| StartError::Failed(format!("no folder for private files: {error}")))?;
        // Before the first worker: this process may be killed at any time.
        let cleanup = async || Cleanup::start(&program, scratch.path()).inspect_err(warn_of_no_cleanup).ok();
        self.cleanup.get_or_init(cleanup).await;
        let settings = self.settings(scratch.path(), kernels, together);
        let arguments = serde_json::to_string(&settings).map_err(|error| StartError::Failed(error.to_string()))?;
        Ok(LaunchConfig {
            timeouts: Timeouts { ready: READY_TIMEOUT, grace: GRACE },
            canaries: canaries::all(),
            update: self.installation.update(),
            lifetime: Some(self.config.lifetime),
            ..LaunchConfig::new(program, vec![arguments.into()])
        })
    }

    fn settings(&self, scratch: &Path, kernels: usize, together: usize) -> WorkerConfig {
        WorkerConfig {
            home: self.installation.home().to_owned(),
            site: self.installation.site(),
            preload: self.config.preload.clone(),
            readable: self.installation.readable(),
            scratch: scratch.to_owned(),
            profile: self.config.profile,
            prewarmed: self.config.prewarmed,
            kernels,
            scratch_bytes: self.config.scratch_bytes,
            scratch_entries: 8192,
            threads: THREADS,
            memory_total: Some(self.config.max_worker_memory.unwrap_or_else(|| cgroups::share(together))),
            threads_total: Some(THREADS.saturating_mul((self.config.prewarmed + kernels + SPARE) as u64)),
        }
    }

    /// Ends every process and waits for it.
    pub async fn shutdown(&self) {
        self.kernels.shutdown().await;
        if let Some(Ok(programs)) = self.programs.get() {
            programs.shutdown().await;
        }
        cgroups::clear().await;
        if let Some(Some(cleanup)) = self.cleanup.get() {
            cleanup.dismiss().await;
        }
    }
}

fn warn_of_no_cleanup(error: &std::io::Error) {
    tracing::warn!(%error, "the cleanup process cannot be started; what this process leaves when it is killed stays until the next start");
}

#[async_trait]
impl Backend for Native {
    fn offer(&self) -> Offer {
        offer(&self.installation)
    }

    fn runtime(&self) -> Arc<str> {
        Arc::clone(&self.runtime)
    }

    fn packages(&self) -> Vec<(String, String)> {
        self.installation.packages().iter().map(|(name, version)| (name.clone(), version.clone())).collect()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        self.programs().await.map_err(|error| refused(&error))?.open(spec).await
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        (self.config.kernel_workers > 0).then_some(self as &dyn Kernels)
    }
}

#[async_trait]
impl Kernels for Native {
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        Fault::check_language(language, |given| given == Language::Python)?;
        let opened = self.kernels.open(options, self.config.kernel_worker_idle, self.start_kernels()).await;
        opened.map_err(|error| refused(&error))
    }
}

/// Returns the fault for a worker that cannot be started: nothing ran, and a retry would not help.
fn refused(error: &StartError) -> Fault {
    Fault::Refused { reason: error.to_string(), retry_after: None }
}
