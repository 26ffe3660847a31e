//! One sandbox: its settings, files, contexts and processes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value};
use switchtower_contract::scripted::Scripted;
use switchtower_envd::{Daemon, DaemonOptions, User, Users};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::WallClock;
use crate::context::{Context, DiscardReason, KernelFactory};
use crate::disk::{HOME, HostFolder, MemoryDisk, absolute};
use crate::kernel::{ContextKernel, Language, PythonKernel, ScriptedKernel, backend};
use crate::namespace::{Interpreter, Namespace};
use crate::random::SeededRandom;
use crate::settings::{KernelMode, Template};

/// What code without a script prints.
type Unscripted = Arc<dyn Fn(&str) -> String + Send + Sync>;

pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) template: String,
    /// What envd and the interpreter require as `X-Access-Token`.
    pub(crate) token: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) started: Instant,
    pub(crate) auto_pause: bool,
    /// What it was asked to reach and to be reached by. Nothing enforces it. Held for a few instructions.
    network: Mutex<NetworkRules>,
    /// What calls to its other ports require, if `allowPublicTraffic` is false.
    pub(crate) traffic_token: Option<String>,
    pub(crate) envd: Envd,
    environment: Environment,
    clock: WallClock,
    modules: Option<BTreeSet<String>>,
    has_run: AtomicBool,
    /// Sent at each pause.
    pauses: watch::Sender<()>,
    /// Held for a few instructions. The first is the default one.
    contexts: Mutex<Vec<Arc<Context>>>,
}

/// The kind of kernels that all sandboxes of a stand-in have.
pub(crate) enum KernelKind {
    Python(Arc<Interpreter>),
    Scripted(Unscripted),
}

/// What answers the calls for files and processes.
pub(crate) enum Envd {
    Daemon(Box<Daemon>),
    /// Files in memory, and no processes.
    Scripted(Arc<MemoryDisk>),
}

/// Where a sandbox's programs run.
#[derive(Clone)]
enum Environment {
    Python(Arc<Namespace>),
    Scripted { backend: Scripted, unscripted: Unscripted, disk: Arc<MemoryDisk> },
}

/// The settings of a sandbox to be created.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewSandbox {
    pub(crate) template: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) auto_pause: bool,
    pub(crate) network: NetworkRules,
}

/// What a sandbox is asked to reach and to be reached by.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct NetworkRules {
    #[serde(rename = "allow_internet_access")]
    pub(crate) internet: Option<bool>,
    #[serde(default)]
    pub(crate) network: Map<String, Value>,
}

impl KernelKind {
    pub(crate) fn new(kernels: &KernelMode) -> Self {
        match kernels {
            KernelMode::Python { program } => Self::Python(Arc::new(Interpreter::new(program.clone()))),
            KernelMode::Scripted { unscripted } => Self::Scripted(unscripted.clone()),
        }
    }
}

impl Environment {
    fn has_folder(&self, path: &str) -> bool {
        match self {
            Self::Python(namespace) => namespace.folder.host_path(path).is_dir(),
            Self::Scripted { disk, .. } => disk.stat(path).is_ok_and(|entry| entry.is_folder),
        }
    }
}

/// Returns the daemon of a sandbox with processes. All its users are the one of this process.
fn daemon(namespace: &Arc<Namespace>, env: BTreeMap<String, String>) -> Daemon {
    let user = User {
        name: "user".to_owned(),
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        home: HOME.to_owned(),
        groups: Vec::new(),
    };
    Daemon::new(DaemonOptions {
        launcher: namespace.clone(),
        root: namespace.folder.clone(),
        default_user: user.name.clone(),
        users: Users::Single(user),
        env,
    })
}

impl Sandbox {
    /// Creates the files of a sandbox; its first process or kernel starts with its first command or execution.
    pub(crate) fn new(
        new: NewSandbox,
        template: &Template,
        kernels: &KernelKind,
        clock: WallClock,
        random: &SeededRandom,
    ) -> std::io::Result<Self> {
        let id = format!("i{}", random.alphanumeric(20));
        let environment = match kernels {
            KernelKind::Python(interpreter) => {
                let folder = Arc::new(HostFolder::new(&id, &new.template, &template.tag)?);
                let mut env = new.env.clone();
                env.insert("E2B_TEMPLATE_ID".to_owned(), new.template.clone());
                Environment::Python(Arc::new(Namespace::new(&id, interpreter.clone(), folder, env)))
            }
            KernelKind::Scripted(unscripted) => Environment::Scripted {
                backend: backend(random.next_u64(), template),
                unscripted: unscripted.clone(),
                disk: Arc::new(MemoryDisk::new(&template.tag)),
            },
        };
        let envd = match &environment {
            Environment::Python(namespace) => Envd::Daemon(Box::new(daemon(namespace, new.env.clone()))),
            Environment::Scripted { disk, .. } => Envd::Scripted(disk.clone()),
        };
        let sandbox = Self {
            token: format!("ea_{}", random.alphanumeric(24)),
            template: new.template,
            metadata: new.metadata,
            env: new.env,
            started: Instant::now(),
            auto_pause: new.auto_pause,
            traffic_token: (new.network.network.get("allowPublicTraffic") == Some(&Value::Bool(false)))
                .then(|| format!("ta_{}", random.alphanumeric(24))),
            network: Mutex::new(new.network),
            envd,
            environment,
            clock,
            modules: template.modules.clone(),
            has_run: AtomicBool::new(false),
            pauses: watch::Sender::new(()),
            contexts: Mutex::new(Vec::new()),
            id,
        };
        let context = sandbox.new_context(random.uuid(), Language::Python, HOME, true);
        sandbox.contexts().push(Arc::new(context));
        Ok(sandbox)
    }

    pub(crate) fn network(&self) -> NetworkRules {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what it reaches; how its ports are reached stays as it is.
    pub(crate) fn set_network(&self, internet: Option<bool>, mut rules: Map<String, Value>) {
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        for name in ["allowPublicTraffic", "maskRequestHost"] {
            rules.extend(network.network.remove(name).map(|value| (name.to_owned(), value)));
        }
        *network = NetworkRules { internet, network: rules };
    }

    /// Returns `true` for the first execution, once.
    pub(crate) fn take_first_run(&self) -> bool {
        !self.has_run.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn contexts(&self) -> MutexGuard<'_, Vec<Arc<Context>>> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a context that is not yet among the sandbox's own.
    pub(crate) fn new_context(&self, id: String, language: Language, cwd: &str, is_default: bool) -> Context {
        let (environment, clock) = (self.environment.clone(), self.clock);
        let folder = absolute(cwd, HOME);
        let (modules, mut env) = (self.modules.clone(), self.env.clone());
        env.insert("E2B_SANDBOX".to_owned(), "true".to_owned());
        env.insert("E2B_SANDBOX_ID".to_owned(), self.id.clone());
        let is_first = AtomicBool::new(true);
        let new_kernel: KernelFactory = Arc::new(move || -> Box<dyn ContextKernel> {
            // E2B's server changes the folder once, when it makes the context. A folder that does not exist is no error.
            let is_first = is_first.swap(false, Ordering::Relaxed);
            let has_folder = is_first && environment.has_folder(&folder);
            let folder = if has_folder { &folder } else { HOME };
            match &environment {
                Environment::Python(namespace) => {
                    Box::new(PythonKernel::new(namespace.clone(), folder, modules.as_ref(), language))
                }
                Environment::Scripted { backend, unscripted, disk } => {
                    Box::new(ScriptedKernel::new(backend.clone(), unscripted.clone(), clock, disk.clone(), env.clone()))
                }
            }
        });
        Context::new(id, language, cwd, is_default, new_kernel)
    }

    /// Breaks connections. Executions whose client is gone are interrupted by that, and contexts keep their state.
    pub(crate) fn pause(&self) {
        self.pauses.send_replace(());
        if let Envd::Daemon(daemon) = &self.envd {
            daemon.disconnect();
        }
    }

    /// Returns a receiver that changes with the next pause.
    pub(crate) fn pauses(&self) -> watch::Receiver<()> {
        self.pauses.subscribe()
    }

    /// Ends all programs, as the loss of the memory does. The files stay, and there is one new context.
    pub(crate) async fn reboot(&self, context: String) {
        let new = Arc::new(self.new_context(context, Language::Python, HOME, true));
        let old = std::mem::replace(&mut *self.contexts(), vec![new]);
        for context in old {
            context.discard_kernel(DiscardReason::SandboxEnded);
        }
        self.end_processes();
        if let Environment::Python(namespace) = &self.environment {
            namespace.end_programs().await;
        }
    }

    fn end_processes(&self) {
        if let Envd::Daemon(daemon) = &self.envd {
            daemon.end();
        }
    }

    /// Ends all that runs in the sandbox.
    pub(crate) async fn end(&self) {
        for context in self.contexts().iter() {
            context.discard_kernel(DiscardReason::SandboxEnded);
        }
        self.end_processes();
        if let Environment::Python(namespace) = &self.environment {
            namespace.close().await;
        }
    }
}
