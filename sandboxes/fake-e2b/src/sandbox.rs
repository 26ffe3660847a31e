//! One sandbox: what it was made of, its files, its contexts, its processes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchtower_contract::scripted::Scripted;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::context::{Context, Reason, Start};
use crate::disk::{Disk, Folder, HOME, Memory};
use crate::jail::{Host, Jail};
use crate::kernel::{Kernel, PythonKernel, ScriptedKernel, backend};
use crate::process::Processes;
use crate::settings::{Kernels, Template};
use crate::wall::Wall;

pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) template: String,
    /// What the data planes ask for.
    pub(crate) token: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) started: Instant,
    pub(crate) auto_pause: bool,
    pub(crate) disk: Disk,
    pub(crate) processes: Processes,
    ground: Ground,
    wall: Wall,
    modules: Option<std::collections::BTreeSet<String>>,
    /// Whether anything ran yet.
    ran: AtomicBool,
    /// Tells of each pause.
    pauses: watch::Sender<()>,
    /// Protects the contexts; held for a few instructions. The first is the default one.
    contexts: Mutex<Vec<Arc<Context>>>,
}

/// What sandboxes are made of.
pub(crate) enum Kind {
    Python(Arc<Host>),
    Scripted(Arc<dyn Fn(&str) -> String + Send + Sync>),
}

/// Where its programs run.
#[derive(Clone)]
enum Ground {
    Python(Arc<Jail>),
    Scripted { backend: Scripted, unscripted: Arc<dyn Fn(&str) -> String + Send + Sync>, memory: Arc<Memory> },
}

/// What a client asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) template: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) auto_pause: bool,
}

impl Kind {
    pub(crate) fn new(kernels: &Kernels) -> Self {
        match kernels {
            Kernels::Python { program } => Self::Python(Arc::new(Host::new(program.clone()))),
            Kernels::Scripted { unscripted } => Self::Scripted(unscripted.clone()),
        }
    }
}

impl Sandbox {
    pub(crate) fn new(
        wish: Wish,
        template: &Template,
        kind: &Kind,
        wall: Wall,
        chance: &Chance,
    ) -> std::io::Result<Self> {
        let id = format!("i{}", chance.word(20));
        let ground = match kind {
            Kind::Python(host) => {
                let folder = Arc::new(Folder::new(&id, &wish.template, &template.tag)?);
                let mut env = wish.env.clone();
                env.insert("E2B_TEMPLATE_ID".to_owned(), wish.template.clone());
                Ground::Python(Arc::new(Jail::new(&id, host.clone(), folder, env)))
            }
            Kind::Scripted(unscripted) => Ground::Scripted {
                backend: backend(chance.number(), template),
                unscripted: unscripted.clone(),
                memory: Arc::new(Memory::new(&template.tag)),
            },
        };
        let disk: Disk = match &ground {
            Ground::Python(jail) => jail.folder.clone(),
            Ground::Scripted { memory, .. } => memory.clone(),
        };
        let processes = Processes::new(match &ground {
            Ground::Python(jail) => Some(jail.clone()),
            Ground::Scripted { .. } => None,
        });
        let sandbox = Self {
            token: format!("ea_{}", chance.word(24)),
            template: wish.template,
            metadata: wish.metadata,
            env: wish.env,
            started: Instant::now(),
            auto_pause: wish.auto_pause,
            disk,
            processes,
            ground,
            wall,
            modules: template.modules.clone(),
            ran: AtomicBool::new(false),
            pauses: watch::Sender::new(()),
            contexts: Mutex::new(Vec::new()),
            id,
        };
        let context = sandbox.context(chance.uuid(), HOME);
        sandbox.contexts().push(Arc::new(context));
        Ok(sandbox)
    }

    /// True once.
    pub(crate) fn runs_first(&self) -> bool {
        !self.ran.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn contexts(&self) -> MutexGuard<'_, Vec<Arc<Context>>> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn context(&self, id: String, cwd: &str) -> Context {
        let (ground, wall, cwd_of_kernel) = (self.ground.clone(), self.wall, cwd.to_owned());
        let (modules, mut env) = (self.modules.clone(), self.env.clone());
        env.insert("E2B_SANDBOX".to_owned(), "true".to_owned());
        env.insert("E2B_SANDBOX_ID".to_owned(), self.id.clone());
        let start: Start = Arc::new(move || -> Box<dyn Kernel> {
            match &ground {
                Ground::Python(jail) => Box::new(PythonKernel::new(jail.clone(), &cwd_of_kernel, modules.as_ref())),
                Ground::Scripted { backend, unscripted, memory } => Box::new(ScriptedKernel::new(
                    backend.clone(),
                    unscripted.clone(),
                    wall,
                    memory.clone(),
                    env.clone(),
                )),
            }
        });
        Context::new(id, "python", cwd, start)
    }

    /// Breaks connections off; programs that nobody listens to any more are interrupted, and contexts keep their state.
    pub(crate) fn pause(&self) {
        self.pauses.send_replace(());
        self.processes.break_off();
    }

    /// Sees the next pause.
    pub(crate) fn pauses(&self) -> watch::Receiver<()> {
        self.pauses.subscribe()
    }

    /// Ends whatever runs.
    pub(crate) async fn end(&self) {
        for context in self.contexts().iter() {
            context.leave(Reason::Gone);
        }
        self.processes.end();
        if let Ground::Python(jail) = &self.ground {
            jail.close().await;
        }
    }
}
