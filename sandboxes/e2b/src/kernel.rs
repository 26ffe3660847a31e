//! A context of a cloud sandbox as a kernel that keeps state.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Cell, CellOutcome, Events, Exit, Fault, Kernel, KernelOptions, Language, Limits, Program};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::envd;
use crate::error::CallError;
use crate::interpreter::{self, CloudContext};
use crate::machine;
use crate::prelude::{self, Prelude};
use crate::run::{self, Run, RunKind};
use crate::sandbox_client::SandboxClient;
use crate::sandbox_guard::{MARGIN, SharedSandbox};

/// Pause after an interrupted cell: E2B's interpreter hangs where the next cell follows too soon.
const RECOVERY_TIME: Duration = Duration::from_secs(3);

pub(crate) struct CloudKernel {
    sandbox: SharedSandbox,
    context: CloudContext,
    language: Language,
    prelude: Prelude,
    options: KernelOptions,
    preparation: Preparation,
    /// The execution count of its last cell.
    count: u64,
    /// When a cell was interrupted. The variables are intact.
    interrupted: Option<Instant>,
}

/// Records a running cell as interrupted when it is dropped.
struct RunGuard<'a>(&'a mut Option<Instant>);

impl RunGuard<'_> {
    /// The cell has ended by itself.
    fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        *self.0 = Some(Instant::now());
    }
}

/// What a kernel needs before its next cell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preparation {
    Done,
    /// Its options.
    Options,
    /// The prelude and its options: its interpreter is new.
    PreludeAndOptions,
}

impl Preparation {
    /// Returns what a kernel needs whose interpreter is new. Only Python's has a prelude.
    pub(crate) fn of_new(language: Language) -> Self {
        if language == Language::Python { Self::PreludeAndOptions } else { Self::Done }
    }
}

impl CloudKernel {
    pub(crate) fn new(
        sandbox: SharedSandbox,
        context: CloudContext,
        language: Language,
        prelude: Prelude,
        options: KernelOptions,
        preparation: Preparation,
    ) -> Self {
        Self { sandbox, context, language, prelude, options, preparation, count: 0, interrupted: None }
    }

    /// Returns the code of the preparation.
    fn preparation_code(&self) -> String {
        let options = || prelude::options_code(&self.options);
        match self.preparation {
            Preparation::Done => String::new(),
            Preparation::Options => options(),
            Preparation::PreludeAndOptions => format!("{}\n{}", self.prelude.code(), options()),
        }
    }

    /// Returns the file of a cell's inputs, which the prelude reads.
    fn run_inputs(&self, cell: &Cell, limits: &Limits) -> Option<(String, String)> {
        let inputs = || self.prelude.run_inputs(cell.stdin.as_deref(), limits.memory);
        (self.language == Language::Python).then(inputs).flatten()
    }

    /// Returns the environment variables of a cell. The prelude sets those of the session; other languages get them with each
    /// cell.
    fn env(&self, cell: &Cell) -> BTreeMap<String, String> {
        let mut env = if self.language == Language::Python { BTreeMap::new() } else { self.options.env.clone() };
        env.extend(cell.env.clone());
        env
    }

    /// Returns the client once the sandbox runs, lives for at least `wall`, and takes another cell.
    async fn ready(&mut self, wall: Duration) -> Result<SandboxClient, CallError> {
        let client = self.sandbox.running(wall + MARGIN).await?;
        if let Some(at) = self.interrupted.take() {
            sleep_until(at + RECOVERY_TIME).await;
        }
        Ok(client)
    }

    /// Runs code of Switchtower's own after the preparation. Returns what it prints.
    async fn run_own_code(&mut self, code: &str, limit: Duration) -> Result<String, CallError> {
        let client = self.ready(limit).await?;
        let code = format!("{}{code}", self.preparation_code());
        let printed = run::run_internal_within(&client, &self.context, &code, limit).await?;
        self.preparation = Preparation::Done;
        Ok(printed)
    }
}

#[async_trait]
impl Kernel for CloudKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        // The cell's time includes everything before it starts.
        let deadline = Instant::now() + limits.wall;
        let ready = async {
            if self.preparation != Preparation::Done {
                self.run_own_code("", run::INTERNAL_RUN_TIMEOUT).await?;
            }
            let client = self.ready(limits.wall).await?;
            machine::apply(&client, &cell.changes).await?;
            if let Some((path, inputs)) = self.run_inputs(cell, limits) {
                envd::write(&client, &[(&path, inputs.as_bytes())]).await?;
            }
            let reservation = interpreter::reserve_execution(&client).await?;
            Ok((client, reservation))
        };
        let ready = timeout_at(deadline, ready).await.map_err(|_| run::too_late())?;
        let (client, reservation) = ready.map_err(|error: CallError| error.fault())?;
        let program = Program { env: Some(self.env(cell)), ..Program::new(self.language, cell.source.clone()) };
        let price = self.sandbox.lock().await.account.price_per_second();
        let guard = RunGuard(&mut self.interrupted);
        let run = Run { client: &client, context: &self.context, price, kind: RunKind::Cell, deadline };
        let ended = run.run(reservation, &program, limits, events).await?;
        if ended.outcome.exit != Exit::TimedOut {
            guard.disarm();
        }
        // E2B has replaced the interpreter: it died in this cell, or the count shows that it left before.
        if ended.outcome.exit == Exit::Killed || (ended.count > 0 && ended.count <= self.count) {
            self.preparation = Preparation::of_new(self.language);
        }
        self.count = if ended.outcome.exit == Exit::Killed { 0 } else { ended.count };
        Ok(CellOutcome { outcome: ended.outcome, changes: Vec::new(), tape: None, alive: true })
    }

    async fn run_internal(&mut self, code: &str, most: Duration) -> Result<String, Fault> {
        self.run_own_code(code, most).await.map_err(|error| error.fault())
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        let restarted = async {
            let client = self.sandbox.running(MARGIN).await?;
            interpreter::restart_context(&client, &self.context).await
        };
        restarted.await.map_err(|error| error.fault())?;
        (self.preparation, self.interrupted) = (Preparation::of_new(self.language), None);
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), Fault> {
        let closed = async {
            let client = self.sandbox.running(MARGIN).await?;
            interpreter::remove_context(&client, &self.context).await
        };
        closed.await.map_err(|error| error.fault())
    }

    fn survives_interrupt(&self) -> bool {
        true
    }
}
