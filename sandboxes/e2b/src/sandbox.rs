//! One cloud sandbox as a tier uses it: a program in, its events out, fresh again afterwards; or kernels that are kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{
    Events, Fault, InterpreterId, Kernel, KernelOptions, Limits, Machine, Maintenance, Outcome, Program, Sandbox,
};
use tokio::time::{Instant, timeout_at};

use crate::cause::{Cause, Trouble};
use crate::envd::{self, Entry};
use crate::held::{Held, MARGIN, Shared};
use crate::inside::Inside;
use crate::interpreter::{self, Context};
use crate::kernel::CloudKernel;
use crate::machine::CloudMachine;
use crate::prelude::Prelude;
use crate::run::{self, Run};

/// Folders that every program may write to, and that are as they were before the next one runs.
const SCRATCH: [&str; 4] = ["/home/user", "/tmp", "/var/tmp", "/dev/shm"];

pub(crate) struct Cloud {
    shared: Shared,
    id: String,
    /// Its first context; it belongs to the first kernel, once there is one.
    context: Context,
    /// What lay in the scratch folders before the first program.
    before: BTreeMap<String, Entry>,
    prelude: Prelude,
    /// A run was broken off: its context may hang until it is restarted.
    broken_off: bool,
    /// Another for each time that its context was restarted.
    interpreter: InterpreterId,
    /// The first kernel has been given away: nothing else runs here, and it cannot be made fresh.
    kept: bool,
}

impl Cloud {
    /// Makes a new sandbox ready: its first context is prepared, its scratch folders are remembered.
    /// `more` is code of the house's own that prepares every kernel too.
    pub(crate) async fn prepare(held: Held, more: Arc<str>) -> Result<Self, Trouble> {
        let context = interpreter::first_context(&held.inside).await?;
        let id = held.inside.id().to_owned();
        let prelude = Prelude::new(&id, held.account.config.default_memory, more);
        let account = held.account.clone();
        let shared = Shared::new(held);
        account.attach(&id, shared.downgrade());
        let interpreter = InterpreterId::next();
        let (before, broken_off, kept) = (BTreeMap::new(), false, false);
        let mut cloud = Self { shared, id, context, before, prelude, broken_off, interpreter, kept };
        cloud.own(&cloud.prelude.code()).await?;
        cloud.before = scratch(&cloud.shared.inside().await).await?;
        Ok(cloud)
    }

    /// What a cell of our own prints.
    pub(crate) async fn own(&self, code: &str) -> Result<String, Trouble> {
        run::own(&self.shared.inside().await, &self.context, code).await
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) async fn inside(&self) -> Inside {
        self.shared.inside().await
    }

    async fn ready(&mut self, limits: &Limits) -> Result<Inside, Trouble> {
        let inside = self.shared.awake(limits.wall + MARGIN).await?;
        if self.broken_off {
            self.fresh_context().await?;
        }
        Ok(inside)
    }

    async fn fresh_context(&mut self) -> Result<(), Trouble> {
        interpreter::restart(&self.shared.inside().await, &self.context).await?;
        self.interpreter = InterpreterId::next();
        self.own(&self.prelude.code()).await?;
        self.broken_off = false;
        Ok(())
    }

    /// Takes away what a program left in the scratch folders.
    async fn clean(&self) -> Result<(), Trouble> {
        let inside = self.shared.inside().await;
        let now = scratch(&inside).await?;
        for (path, entry) in &now {
            match self.before.get(path) {
                None => match envd::remove(&inside, path).await {
                    // A folder above it went before.
                    Err(trouble) if trouble.cause == Cause::Gone && trouble.status == Some(404) => {}
                    done => done?,
                },
                Some(before) if before.print() != entry.print() => {
                    return Err(Trouble::nonsense(&format!("a program changed {path}")));
                }
                Some(_) => {}
            }
        }
        match self.before.keys().find(|path| !now.contains_key(*path)) {
            Some(path) => Err(Trouble::nonsense(&format!("a program removed {path}"))),
            None => Ok(()),
        }
    }
}

async fn scratch(inside: &Inside) -> Result<BTreeMap<String, Entry>, Trouble> {
    let lists = SCRATCH.map(|folder| envd::list(inside, folder));
    let listed = futures_util::future::try_join_all(lists).await?;
    Ok(listed.into_iter().flatten().collect())
}

/// Lays out what a program is given.
async fn give(inside: &Inside, program: &Program, prelude: &Prelude, limits: &Limits) -> Result<(), Trouble> {
    let mut files: Vec<(String, &[u8])> = Vec::with_capacity(program.files.len() + 1);
    for file in &program.files {
        let path = if file.path.starts_with('/') { file.path.clone() } else { format!("/home/user/{}", file.path) };
        files.push((path, &file.content));
    }
    let order = prelude.order(program.stdin.as_deref(), limits.memory);
    if let Some((path, order)) = &order {
        files.push((path.clone(), order.as_bytes()));
    }
    if files.is_empty() {
        return Ok(());
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, content)| (path.as_str(), *content)).collect();
    envd::write(inside, &files).await
}

#[async_trait]
impl Sandbox for Cloud {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        // All that goes before it is a part of its time: whoever gave it that time waits for no longer.
        let deadline = Instant::now() + limits.wall;
        let ready = async {
            let inside = self.ready(limits).await?;
            give(&inside, program, &self.prelude, limits).await?;
            let right = interpreter::right(&inside).await?;
            Ok((inside, right))
        };
        let ready = timeout_at(deadline, ready).await.map_err(|_| run::late())?;
        let (inside, right) = ready.map_err(|trouble: Trouble| trouble.fault(false))?;
        // Until it has come to its own end; dropped in the middle, it stays so.
        self.broken_off = true;
        let price = self.shared.held().await.account.second();
        let run = Run { inside: &inside, context: &self.context, price, cell: false, deadline };
        let ended = run.run(right, program, limits, events).await?;
        self.broken_off = !ended.whole;
        Ok(ended.outcome)
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        if self.kept {
            return Err(Fault::Unavailable { reason: "its kernels were kept by somebody".to_owned() });
        }
        let reset = async {
            self.fresh_context().await?;
            self.clean().await?;
            self.shared.held().await.renew(Duration::ZERO).await
        };
        reset.await.map_err(|trouble| trouble.fault(false))
    }

    async fn maintain(&mut self, how: Maintenance) -> Result<(), Fault> {
        let kept = async {
            let mut held = self.shared.held().await;
            let listed = held.account.control.get(&self.id).await?;
            if listed.state == "paused" {
                // Perhaps by somebody else: the next run wakes it.
                held.sleeps();
                return Ok(());
            }
            match how {
                Maintenance::Asleep => held.sleep().await,
                Maintenance::Awake if held.is_old() => held.renew(Duration::ZERO).await,
                Maintenance::Awake => Ok(()),
            }
        };
        kept.await.map_err(|trouble: Trouble| trouble.fault(false))
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        Some(self.interpreter)
    }

    async fn kernel(&mut self, opening: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        let opened = async {
            let inside = self.shared.awake(MARGIN).await?;
            // The first one is warm already.
            let context = if self.kept {
                interpreter::new_context(&inside, opening.folder.as_deref()).await?
            } else {
                self.context.clone()
            };
            let fresh = self.kept;
            self.kept = true;
            Ok(CloudKernel::new(self.shared.clone(), context, self.prelude.clone(), opening.clone(), fresh))
        };
        let kernel = opened.await.map_err(|trouble: Trouble| trouble.fault(false))?;
        Ok(Box::new(kernel))
    }

    fn machine(&self) -> Option<Arc<dyn Machine>> {
        Some(Arc::new(CloudMachine::new(self.shared.clone())))
    }
}
