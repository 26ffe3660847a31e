//! One cloud sandbox as a tier uses it: it runs programs and is reset between them, or it has kernels that keep state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::python::HOME;
use switchtower_contract::{
    Events, Fault, InterpreterId, Language, Limits, Machine, Maintenance, Need, Outcome, Program, Sandbox, SandboxLabel,
};
use tokio::time::{Instant, timeout_at};

use crate::envd::{self, Entry};
use crate::error::{CallError, Cause};
use crate::interpreter::{self, CloudContext};
use crate::machine::CloudMachine;
use crate::prelude::Prelude;
use crate::run::{self, Run, RunKind};
use crate::sandbox_client::SandboxClient;
use crate::sandbox_guard::{CloudSandboxGuard, MARGIN, SharedSandbox};

/// Folders that programs may write to. A reset removes what a program left there.
const SCRATCH_FOLDERS: [&str; 4] = [HOME, "/tmp", "/var/tmp", "/dev/shm"];

pub(crate) struct CloudSandbox {
    shared: SharedSandbox,
    id: String,
    /// The build tag that was read in it; `None` if it is not checked.
    build_tag: Option<String>,
    /// The default context. The first kernel takes it over.
    context: CloudContext,
    /// The entries of the scratch folders before the first program.
    initial_entries: BTreeMap<String, Entry>,
    prelude: Prelude,
    /// A run was interrupted, so the context may hang until it is restarted.
    needs_restart: bool,
    /// A new one after each restart of the context.
    interpreter: InterpreterId,
    /// Kernels were opened: no program runs here any more, and a reset fails. Shared with the machine, which opens
    /// them.
    has_kernels: Arc<AtomicBool>,
}

impl CloudSandbox {
    /// Prepares the default context of a new sandbox, and records the entries of its scratch folders. `further` is code
    /// that prepares every kernel after Switchtower's own.
    pub(crate) async fn prepare(
        guard: CloudSandboxGuard,
        build_tag: Option<String>,
        further: Arc<str>,
    ) -> Result<Self, CallError> {
        let context = interpreter::first_context(&guard.client).await?;
        let id = guard.client.id().to_owned();
        let prelude = Prelude::new(&id, guard.account.config.default_memory, further);
        let account = guard.account.clone();
        let shared = SharedSandbox::new(guard);
        account.attach(&id, shared.downgrade());
        let interpreter = InterpreterId::next();
        let (initial_entries, needs_restart, has_kernels) = (BTreeMap::new(), false, Arc::default());
        let mut sandbox =
            Self { shared, id, build_tag, context, initial_entries, prelude, needs_restart, interpreter, has_kernels };
        sandbox.run_internal(&sandbox.prelude.code()).await?;
        sandbox.initial_entries = list_scratch(&sandbox.shared.client().await).await?;
        Ok(sandbox)
    }

    /// Runs code of Switchtower's own. Returns what it prints.
    pub(crate) async fn run_internal(&self, code: &str) -> Result<String, CallError> {
        run::run_internal(&self.shared.client().await, &self.context, code).await
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) async fn client(&self) -> SandboxClient {
        self.shared.client().await
    }

    /// Returns the client once the sandbox can run a program with these limits.
    async fn ready(&mut self, limits: &Limits) -> Result<SandboxClient, CallError> {
        let client = self.shared.running(limits.wall + MARGIN).await?;
        if self.needs_restart {
            self.restart_context().await?;
        }
        Ok(client)
    }

    async fn restart_context(&mut self) -> Result<(), CallError> {
        interpreter::restart_context(&self.shared.client().await, &self.context).await?;
        self.interpreter = InterpreterId::next();
        self.run_internal(&self.prelude.code()).await?;
        self.needs_restart = false;
        Ok(())
    }

    /// Removes what a program left in the scratch folders. Fails where it changed or removed an initial entry.
    async fn clean_scratch(&self) -> Result<(), CallError> {
        let client = self.shared.client().await;
        let now = list_scratch(&client).await?;
        for (path, entry) in &now {
            match self.initial_entries.get(path) {
                None => match envd::remove(&client, path).await {
                    // Its folder was removed first.
                    Err(error) if error.cause == Cause::Gone && error.status == Some(404) => {}
                    done => done?,
                },
                Some(initial) if initial.fingerprint() != entry.fingerprint() => {
                    return Err(CallError::unexpected(&format!("a program changed {path}")));
                }
                Some(_) => {}
            }
        }
        match self.initial_entries.keys().find(|path| !now.contains_key(*path)) {
            Some(path) => Err(CallError::unexpected(&format!("a program removed {path}"))),
            None => Ok(()),
        }
    }
}

/// Lists the scratch folders.
async fn list_scratch(client: &SandboxClient) -> Result<BTreeMap<String, Entry>, CallError> {
    let lists = SCRATCH_FOLDERS.map(|folder| envd::list(client, folder));
    let listed = futures_util::future::try_join_all(lists).await?;
    Ok(listed.into_iter().flatten().collect())
}

/// Writes a program's files and inputs.
async fn write_inputs(
    client: &SandboxClient,
    program: &Program,
    prelude: &Prelude,
    limits: &Limits,
) -> Result<(), CallError> {
    let mut files: Vec<(String, &[u8])> = Vec::with_capacity(program.files.len() + 1);
    for file in &program.files {
        let path = if file.path.starts_with('/') { file.path.clone() } else { format!("{HOME}/{}", file.path) };
        files.push((path, &file.content));
    }
    let is_python = program.language == Language::Python;
    let inputs = is_python.then(|| prelude.run_inputs(program.stdin.as_deref(), limits.memory)).flatten();
    if let Some((path, inputs)) = &inputs {
        files.push((path.clone(), inputs.as_bytes()));
    }
    if files.is_empty() {
        return Ok(());
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, content)| (path.as_str(), *content)).collect();
    envd::write(client, &files).await
}

#[async_trait]
impl Sandbox for CloudSandbox {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        // The program's time includes everything before it starts: its caller waits no longer.
        let deadline = Instant::now() + limits.wall;
        if program.language != Language::Python && program.stdin.as_deref().is_some_and(|stdin| !stdin.is_empty()) {
            let need = format!("standard input for programs in {}", program.language);
            return Err(Fault::Unsupported(Need::Language(need)));
        }
        let ready = async {
            let client = self.ready(limits).await?;
            write_inputs(&client, program, &self.prelude, limits).await?;
            let reservation = interpreter::reserve_execution(&client).await?;
            Ok((client, reservation))
        };
        let ready = timeout_at(deadline, ready).await.map_err(|_| run::too_late())?;
        let (client, reservation) = ready.map_err(|error: CallError| error.fault())?;
        // Until the run has ended: when it is cancelled, this remains set.
        self.needs_restart = true;
        let price = self.shared.lock().await.account.price_per_second();
        if program.language != Language::Python {
            // A context of its own: the default one is for Python.
            let created = interpreter::new_context(&client, program.language, None).await;
            let context = created.map_err(|error: CallError| error.fault())?;
            let run = Run { client: &client, context: &context, price, kind: RunKind::Program, deadline };
            let ended = run.run(reservation, program, limits, events).await?;
            // A reset restarts the default context alone.
            let _ = interpreter::remove_context(&client, &context).await;
            self.needs_restart = false;
            return Ok(ended.outcome);
        }
        let run = Run { client: &client, context: &self.context, price, kind: RunKind::Program, deadline };
        let ended = run.run(reservation, program, limits, events).await?;
        self.needs_restart = !ended.is_context_idle;
        Ok(ended.outcome)
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        if self.has_kernels.load(Ordering::Relaxed) {
            return Err(Fault::Unavailable { reason: "a sandbox with kernels cannot be reset".to_owned() });
        }
        let reset = async {
            self.restart_context().await?;
            self.clean_scratch().await?;
            self.shared.lock().await.renew(Duration::ZERO).await
        };
        reset.await.map_err(|error| error.fault())
    }

    async fn maintain(&mut self, how: Maintenance) -> Result<(), Fault> {
        let kept = async {
            let mut guard = self.shared.lock().await;
            let listed = guard.account.control.get(&self.id).await?;
            if listed.state == "paused" {
                // Another process may have paused it. The next run resumes it.
                guard.set_paused();
                return Ok(());
            }
            match how {
                Maintenance::Asleep => guard.pause().await,
                Maintenance::Awake if guard.needs_renewal() => guard.renew(Duration::ZERO).await,
                Maintenance::Awake => Ok(()),
            }
        };
        kept.await.map_err(|error: CallError| error.fault())
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        Some(self.interpreter)
    }

    fn label(&self) -> SandboxLabel {
        SandboxLabel { id: Some(self.id.clone()), build_tag: self.build_tag.clone() }
    }

    fn machine(&self) -> Option<Arc<dyn Machine>> {
        Some(Arc::new(CloudMachine {
            sandbox: self.shared.downgrade(),
            default_context: self.context.clone(),
            has_kernels: self.has_kernels.clone(),
            prelude: self.prelude.clone(),
        }))
    }
}
