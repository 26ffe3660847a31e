//! The backend: starts machines, and tests at its start what they can do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use switchtower_container::Layer;
use switchtower_contract::{Backend, Fault, Isolation, Kernels, Language, Location, Modules, Offer, Sandbox, Spec};

use crate::assets;
use crate::config::Config;
use crate::host::{Host, StartError};
use crate::instance::Instance;
use crate::program::CompiledPrograms;
use crate::sandbox::MachineSandbox;
use crate::self_test;

/// The longest run.
const MAX_WALL: Duration = Duration::from_secs(3600);

/// What all machines share.
pub(crate) struct Shared {
    host: Arc<Host>,
    pub(crate) compiled: Arc<CompiledPrograms>,
    found: Found,
    layers: Vec<Layer>,
    runtime: Arc<str>,
}

/// What a machine has, as its self-test found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Found {
    pub(crate) languages: Vec<Language>,
    /// The versions of interpreters and compilers.
    pub(crate) versions: Vec<(String, String)>,
    /// The modules that Python can import.
    pub(crate) modules: BTreeSet<String>,
}

/// The local machines of this process.
pub struct Machines(Arc<Shared>);

impl Machines {
    /// Starts a first machine, tests its isolation, finds out what it has, and ends it.
    ///
    /// # Errors
    /// Machines cannot be started here, or do not isolate: then the tier is not available.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let host = tokio::task::spawn_blocking(|| Host::prepare(config)).await.map_err(StartError::new)??;
        let host = Arc::new(host);
        let first = Instance::start(&host).await?;
        let layers = first.layers.clone();
        let tested = self_test::run(&first.client).await;
        first.end().await;
        let found = tested?;
        let runtime = runtime_id(&host, &found);
        Ok(Self(Arc::new(Shared { host, compiled: Arc::default(), found, layers, runtime })))
    }

    /// Returns the layers of isolation, each in force or with the reason why not.
    pub fn layers(&self) -> &[Layer] {
        &self.0.layers
    }

    /// Returns the name of the runtime.
    pub fn runtime_name(&self) -> &str {
        &self.0.host.runtime.name
    }

    /// Returns the isolation level.
    pub fn isolation(&self) -> Isolation {
        self.0.host.runtime.isolation
    }

    /// Returns the interpreters and compilers with their versions.
    pub fn versions(&self) -> &[(String, String)] {
        &self.0.found.versions
    }
}

impl Shared {
    pub(crate) fn languages(&self) -> Vec<Language> {
        self.found.languages.clone()
    }

    pub(crate) async fn start(&self) -> Result<Instance, Fault> {
        let unavailable = |error: StartError| Fault::Unavailable { reason: error.to_string() };
        Instance::start(&self.host).await.map_err(unavailable)
    }
}

#[async_trait]
impl Backend for Machines {
    fn offer(&self) -> Offer {
        let modules = Modules::Named(Arc::new(self.0.found.modules.clone()));
        Offer {
            languages: self.0.languages(),
            modules,
            isolation: self.isolation(),
            location: Location::Local,
            machine: true,
            internet: false,
            observes: false,
            replayable: false,
            effectful: false,
            price_per_second: None,
            max_memory: self.0.host.config.memory,
            max_wall: MAX_WALL,
        }
    }

    fn runtime(&self) -> Arc<str> {
        Arc::clone(&self.0.runtime)
    }

    fn packages(&self) -> Vec<(String, String)> {
        self.0.host.config.python.as_ref().map(|python| python.packages.clone()).unwrap_or_default()
    }

    async fn open(&self, _spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        let instance = self.0.start().await?;
        Ok(Box::new(MachineSandbox::new(Arc::clone(&self.0), instance)))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        // Kernels run in machines.
        None
    }
}

/// Returns an id of everything that can change a result: the assets, the interpreters and packages, the processor.
fn runtime_id(host: &Host, found: &Found) -> Arc<str> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(assets::hash().as_bytes());
    let packages = host.config.python.iter().flat_map(|python| &python.packages);
    for (name, version) in found.versions.iter().chain(packages) {
        hasher.update(format!("{name}={version}\n").as_bytes());
    }
    for module in &found.modules {
        hasher.update(module.as_bytes());
        hasher.update(b"\n");
    }
    hasher.update(processor().as_bytes());
    format!("machine-{}", &hasher.finalize().to_hex()[..32]).into()
}

/// Returns the features of the processor: native code may compute otherwise with others.
fn processor() -> String {
    let table = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    [line("model name"), line("flags"), line("Features")].join("\n")
}
