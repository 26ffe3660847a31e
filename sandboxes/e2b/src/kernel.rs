//! A context of a cloud sandbox as a kernel that somebody keeps.

use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Cell, CellOutcome, Events, Exit, Fault, Kernel, KernelOptions, Limits, Program};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::cause::Trouble;
use crate::envd;
use crate::held::{MARGIN, Shared};
use crate::inside::Inside;
use crate::interpreter::{self, Context};
use crate::machine;
use crate::prelude::{self, Prelude};
use crate::run::{self, Run};

/// E2B's interpreter hangs where a cell follows too soon on one that was broken off; after this long it does not.
const SETTLES: Duration = Duration::from_secs(3);

pub(crate) struct CloudKernel {
    shared: Shared,
    context: Context,
    prelude: Prelude,
    opening: KernelOptions,
    /// What it still needs before its first cell.
    pending: Pending,
    /// The count of its last cell, as the service counts.
    number: u64,
    /// When a cell was broken off: its names are whole, and it needs a moment.
    broken_off: Option<Instant>,
}

/// A cell that runs. Dropped, it was broken off at that moment.
struct Breaking<'a>(&'a mut Option<Instant>);

impl Breaking<'_> {
    /// It came to its own end.
    fn not_so(self) {
        std::mem::forget(self);
    }
}

impl Drop for Breaking<'_> {
    fn drop(&mut self) {
        *self.0 = Some(Instant::now());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// What it is opened with.
    Opening,
    /// Our own prelude too: its interpreter is a new one.
    All,
}

impl CloudKernel {
    /// `fresh`: our prelude has not run in this context yet.
    pub(crate) fn new(shared: Shared, context: Context, prelude: Prelude, opening: KernelOptions, fresh: bool) -> Self {
        let pending = if fresh { Pending::All } else { Pending::Opening };
        Self { shared, context, prelude, opening, pending, number: 0, broken_off: None }
    }

    /// What must run first, as code.
    fn first(&self) -> String {
        let opening = || prelude::opening(&self.opening);
        match self.pending {
            Pending::Nothing => String::new(),
            Pending::Opening => opening(),
            Pending::All => format!("{}\n{}", self.prelude.code(), opening()),
        }
    }

    async fn ready(&mut self, wall: Duration) -> Result<Inside, Trouble> {
        let inside = self.shared.awake(wall + MARGIN).await?;
        if let Some(at) = self.broken_off.take() {
            sleep_until(at + SETTLES).await;
        }
        Ok(inside)
    }

    async fn own_code(&mut self, code: &str, most: Duration) -> Result<String, Trouble> {
        let inside = self.ready(most).await?;
        let code = format!("{}{code}", self.first());
        let printed = run::own_within(&inside, &self.context, &code, most).await?;
        self.pending = Pending::Nothing;
        Ok(printed)
    }
}

#[async_trait]
impl Kernel for CloudKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        // All that goes before it is a part of its time.
        let deadline = Instant::now() + limits.wall;
        let ready = async {
            if self.pending != Pending::Nothing {
                self.own_code("", run::OWN).await?;
            }
            let inside = self.ready(limits.wall).await?;
            machine::apply(&inside, &cell.changes).await?;
            if let Some((path, order)) = self.prelude.order(cell.stdin.as_deref(), limits.memory) {
                envd::write(&inside, &[(&path, order.as_bytes())]).await?;
            }
            let right = interpreter::right(&inside).await?;
            Ok((inside, right))
        };
        let ready = timeout_at(deadline, ready).await.map_err(|_| run::late())?;
        let (inside, right) = ready.map_err(|trouble: Trouble| trouble.fault(false))?;
        let program = Program { env: Some(cell.env.clone()), ..Program::python(cell.source.clone()) };
        let price = self.shared.held().await.account.second();
        let breaking = Breaking(&mut self.broken_off);
        let run = Run { inside: &inside, context: &self.context, price, cell: true, deadline };
        let ended = run.run(right, &program, limits, events).await?;
        if ended.outcome.exit != Exit::TimedOut {
            breaking.not_so();
        }
        // The service has started another interpreter in its place: for this cell, or before it, where the one before left
        // by itself.
        if ended.outcome.exit == Exit::Killed || (ended.number > 0 && ended.number <= self.number) {
            self.pending = Pending::All;
        }
        self.number = if ended.outcome.exit == Exit::Killed { 0 } else { ended.number };
        Ok(CellOutcome { outcome: ended.outcome, changes: Vec::new(), tape: None, alive: true })
    }

    async fn run_internal(&mut self, code: &str, most: Duration) -> Result<String, Fault> {
        self.own_code(code, most).await.map_err(|trouble| trouble.fault(false))
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        let restarted = async {
            let inside = self.shared.awake(MARGIN).await?;
            interpreter::restart(&inside, &self.context).await
        };
        restarted.await.map_err(|trouble| trouble.fault(false))?;
        (self.pending, self.broken_off) = (Pending::All, None);
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), Fault> {
        let closed = async {
            let inside = self.shared.awake(MARGIN).await?;
            interpreter::remove(&inside, &self.context).await
        };
        closed.await.map_err(|trouble| trouble.fault(false))
    }

    fn survives_interrupt(&self) -> bool {
        true
    }
}
