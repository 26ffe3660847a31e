//! The backend: starts machines, and tests at its start what they can do.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{
    Backend, Fault, Isolation, Kernels, Language, Location, Modules, NetworkPolicy, Offer, Sandbox, Spec,
};
use switchtower_jail::Layer;
use switchtower_machine_image::{RootFileSystem, exists_inside};
use tokio::sync::{OnceCell, Semaphore};

use crate::config::Config;
use crate::egress::{EgressNetwork, SystemNetwork};
use crate::host::{Host, UnavailableMachines};
use crate::instance::Instance;
use crate::program::CompiledPrograms;
use crate::runtime::FoundRuntime;
use crate::sandbox::MachineSandbox;
use crate::{assets, self_test};

/// The longest run.
const MAX_WALL: Duration = Duration::from_secs(3600);
/// When to try again where the maximum of machines runs.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What all machines share.
pub(crate) struct Shared {
    config: Config,
    network: Arc<dyn EgressNetwork>,
    /// What is known without a machine.
    expected: Found,
    /// Those that may start machines, the best first. There is one, but where the strongest is wanted.
    runtimes: Vec<FoundRuntime>,
    pub(crate) compiled: Arc<CompiledPrograms>,
    /// One for each machine that runs.
    places: Arc<Semaphore>,
    /// Or why machines cannot be started: what does not hold now will not hold in a moment.
    started: OnceCell<Result<Started, UnavailableMachines>>,
}

/// What the first machine has shown.
struct Started {
    host: Arc<Host>,
    found: Found,
    layers: Vec<Layer>,
    runtime: Arc<str>,
}

/// What a machine has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) languages: Vec<Language>,
    /// The versions of interpreters and compilers.
    pub(crate) versions: Vec<(String, String)>,
    /// The modules that Python can import; `None`: not known yet.
    pub(crate) modules: Option<Arc<BTreeSet<String>>>,
    /// Node's own modules; `None`: not known yet.
    pub(crate) node_modules: Option<Arc<BTreeSet<String>>>,
    /// What programs of every system use and the machine's kernel lacks, if there is something.
    pub(crate) missing_call: Option<String>,
}

impl Found {
    /// Returns the modules of programs in a language. Those of a shell's commands are Python's: that is what they install and
    /// import.
    fn modules_of(&self, language: Language) -> Modules {
        let modules = match language {
            Language::Python | Language::Bash => &self.modules,
            Language::JavaScript | Language::TypeScript => &self.node_modules,
            Language::C | Language::Cpp | Language::R | Language::Java | Language::Added(_) => &None,
        };
        modules.as_ref().map_or(Modules::Any, |modules| Modules::Named(Arc::clone(modules)))
    }
}

/// The local machines of this process. The first one starts with the first use, or by [`ensure_started`](Self::ensure_started).
pub struct Machines(Arc<Shared>);

impl Machines {
    /// Returns the machines with these settings. Nothing is started.
    ///
    /// # Errors
    /// The settings name a runtime or a root that does not exist.
    pub fn new(config: Config) -> Result<Self, UnavailableMachines> {
        Self::with_network(config, Arc::new(SystemNetwork))
    }

    /// Returns the machines with these settings, which reach the internet by this network.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_network(config: Config, network: Arc<dyn EgressNetwork>) -> Result<Self, UnavailableMachines> {
        let runtimes = FoundRuntime::find(&config.runtime)?;
        let unpacked = config.root.as_deref().map(RootFileSystem::unpacked).transpose()?;
        let expected = match unpacked {
            Some(None) => anything(),
            Some(Some(root)) => expected(&config, Some(&root)),
            None => expected(&config, None),
        };
        let places = Arc::new(Semaphore::new(config.max_machines));
        let (compiled, started) = (Arc::default(), OnceCell::new());
        Ok(Self(Arc::new(Shared { config, network, expected, runtimes, compiled, places, started })))
    }

    /// Starts a first machine, tests its isolation, finds out what it has, and ends it.
    ///
    /// # Errors
    /// Machines cannot be started here, or do not isolate: then the tier is not available.
    pub async fn ensure_started(&self) -> Result<(), UnavailableMachines> {
        self.0.started().await.map(drop)
    }

    /// Returns the layers of isolation, each in force or with the reason why not; none before the first machine.
    pub fn layers(&self) -> &[Layer] {
        self.0.known().map(|started| started.layers.as_slice()).unwrap_or_default()
    }

    /// Returns the name of the runtime; before the first machine, of the one that is tried first.
    pub fn runtime_name(&self) -> String {
        let runtime = self.0.known().map(|started| &started.host.runtime).or(self.0.runtimes.first());
        runtime.map_or_else(String::new, FoundRuntime::name)
    }

    /// Returns the interpreters and compilers with their versions; none before the first machine.
    pub fn versions(&self) -> &[(String, String)] {
        self.0.known().map(|started| started.found.versions.as_slice()).unwrap_or_default()
    }
}

impl Shared {
    fn known(&self) -> Option<&Started> {
        self.started.get().and_then(|started| started.as_ref().ok())
    }

    fn found(&self) -> &Found {
        self.known().map_or(&self.expected, |started| &started.found)
    }

    /// Returns how far machines are isolated; before the first one, the least that they may be.
    fn isolation(&self) -> Isolation {
        let known = self.known().map(|started| started.host.runtime.isolation());
        let least = || self.runtimes.iter().map(FoundRuntime::isolation).min();
        known.or_else(least).unwrap_or(Isolation::Container)
    }

    pub(crate) fn languages(&self) -> Vec<Language> {
        self.found().languages.clone()
    }

    /// Returns the bytes of memory of each machine.
    pub(crate) fn memory(&self) -> u64 {
        self.config.memory
    }

    async fn started(&self) -> Result<&Started, UnavailableMachines> {
        let started = self.started.get_or_init(|| begin(&self.config, &self.runtimes, &self.network)).await;
        started.as_ref().map_err(Clone::clone)
    }

    /// Starts a machine that reaches what `network` leaves of the settings.
    pub(crate) async fn start(&self, network: &NetworkPolicy) -> Result<Instance, Fault> {
        let unavailable = |error: UnavailableMachines| Fault::Unavailable { reason: error.to_string() };
        let full = |_| {
            let reason = format!("{} local machines run, which is the maximum", self.config.max_machines);
            Fault::Refused { reason, retry_after: Some(RETRY_AFTER) }
        };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        let started =
            self.started().await.map_err(|error| Fault::Refused { reason: error.to_string(), retry_after: None })?;
        let policy = started.host.egress.as_ref().map(|egress| egress.policy(network)).transpose()?;
        let mut instance = Instance::start(&started.host).await.map_err(unavailable)?;
        instance.hold(place);
        instance.set_egress(policy);
        Ok(instance)
    }
}

/// Starts a first machine with the first runtime that can.
async fn begin(
    config: &Config,
    runtimes: &[FoundRuntime],
    network: &Arc<dyn EgressNetwork>,
) -> Result<Started, UnavailableMachines> {
    let mut failed = UnavailableMachines::new("there is no runtime");
    for runtime in runtimes {
        match begin_with(config.clone(), runtime.clone(), Arc::clone(network)).await {
            Ok(Started { found: Found { missing_call: Some(why), .. }, .. }) if runtimes.len() > 1 => {
                tracing::info!(runtime = runtime.name(), why, "a runtime is passed over");
                failed = UnavailableMachines::new(why);
            }
            Ok(started) => return Ok(started),
            Err(error) => {
                tracing::info!(runtime = runtime.name(), %error, "a runtime does not start machines");
                failed = error;
            }
        }
    }
    Err(failed)
}

async fn begin_with(
    config: Config,
    runtime: FoundRuntime,
    network: Arc<dyn EgressNetwork>,
) -> Result<Started, UnavailableMachines> {
    let prepared = tokio::task::spawn_blocking(|| Host::prepare(config, runtime, network));
    let host = prepared.await.map_err(UnavailableMachines::new)??;
    let host = Arc::new(host);
    let first = Instance::start(&host).await?;
    let mut layers = first.layers.clone();
    let tested = self_test::run(&first.client, host.root.is_some(), host.runtime.isolation()).await;
    first.end().await;
    let found = tested?;
    layers.extend(found.missing_call.clone().map(|why| Layer { name: "system calls".to_owned(), status: Err(why) }));
    let runtime = runtime_id(&host, &found);
    Ok(Started { host, found, layers, runtime })
}

/// Returns what machines may have whose image is not unpacked yet. What it does not have is refused by the first machine.
fn anything() -> Found {
    use Language::{Bash, C, Cpp, JavaScript, Python, TypeScript};
    Found { languages: vec![Python, JavaScript, TypeScript, Bash, C, Cpp], ..Found::default() }
}

/// Returns what machines will probably have: the languages whose programs are on this host or in their root.
fn expected(config: &Config, root: Option<&RootFileSystem>) -> Found {
    let path = root.and_then(|root| root.env.iter().find(|(name, _)| name == "PATH"));
    let folders = path.map_or("/usr/local/bin:/usr/bin:/bin", |(_, value)| value);
    let root = root.map_or(Path::new("/"), |root| &root.folder);
    let has = |programs: &[&str]| {
        let is_there =
            |program: &&str| folders.split(':').any(|folder| exists_inside(root, Path::new(folder).join(program)));
        programs.iter().any(is_there)
    };
    let own_python = config.root.is_none() && config.python.is_some();
    let mut languages = Vec::new();
    let mut add = |language, present: bool| languages.extend(present.then_some(language));
    add(Language::Python, own_python || has(&["python3"]));
    add(Language::JavaScript, has(&["node"]));
    add(Language::TypeScript, has(&["node"]));
    add(Language::Bash, has(&["bash"]));
    add(Language::C, has(&["gcc", "clang", "cc"]));
    add(Language::Cpp, has(&["g++", "clang++", "c++"]));
    let modules = config.python.as_ref().filter(|_| own_python).map(|python| Arc::new(python.modules.clone()));
    Found { languages, modules, ..Found::default() }
}

#[async_trait]
impl Backend for Machines {
    fn offer(&self) -> Offer {
        let found = self.0.found();
        Offer {
            languages: found.languages.iter().map(|language| (*language, found.modules_of(*language))).collect(),
            isolation: self.0.isolation(),
            location: Location::Local,
            machine: true,
            internet: self.0.config.offers_internet,
            observes: false,
            replayable: false,
            effectful: !self.0.config.egress.is_empty(),
            price_per_second: None,
            max_memory: self.0.config.memory,
            max_wall: MAX_WALL,
        }
    }

    fn runtime(&self) -> Arc<str> {
        self.0.known().map_or_else(|| "".into(), |started| Arc::clone(&started.runtime))
    }

    fn packages(&self) -> Vec<(String, String)> {
        let python = self.0.config.python.as_ref().filter(|_| self.0.config.root.is_none());
        python.map(|python| python.packages.clone()).unwrap_or_default()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        let instance = self.0.start(&spec.network).await?;
        Ok(Box::new(MachineSandbox::new(Arc::clone(&self.0), instance, spec.network.clone())))
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
    if let Some(root) = &host.root {
        hasher.update(root.folder.as_os_str().as_encoded_bytes());
        hasher.update(root.digest.as_deref().unwrap_or_default().as_bytes());
    }
    let packages = host.config.python.iter().flat_map(|python| &python.packages);
    for (name, version) in found.versions.iter().chain(packages) {
        hasher.update(format!("{name}={version}\n").as_bytes());
    }
    for module in found.modules.iter().flat_map(|modules| modules.iter()) {
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
