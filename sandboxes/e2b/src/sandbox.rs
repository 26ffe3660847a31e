//! One cloud sandbox as a tier uses it: a program in, its events out, fresh again afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Events, Fault, Limits, Outcome, Program, Sandbox, Upkeep};

use crate::cause::{Cause, Trouble};
use crate::envd::{self, Entry};
use crate::held::Held;
use crate::interpreter::{self, Context};
use crate::prelude;
use crate::run::{self, Run};

/// Folders that every program may write to, and that are as they were before the next one runs.
const SCRATCH: [&str; 4] = ["/home/user", "/tmp", "/var/tmp", "/dev/shm"];
/// Time beyond a run's own that a sandbox must live for.
const MARGIN: Duration = Duration::from_secs(60);

pub(crate) struct Cloud {
    held: Held,
    context: Context,
    /// What lay in the scratch folders before the first program.
    before: BTreeMap<String, Entry>,
    /// Bytes of memory that its kernel gives a program without being told.
    memory: u64,
    /// A run was broken off: its context may hang until it is restarted.
    broken_off: bool,
}

impl Cloud {
    /// Makes a new sandbox ready: its first context is prepared, its scratch folders are remembered.
    pub(crate) async fn prepare(held: Held) -> Result<Self, Trouble> {
        let context = interpreter::first_context(&held.inside).await?;
        let memory = held.account.config.default_memory;
        let mut cloud = Self { held, context, before: BTreeMap::new(), memory, broken_off: false };
        cloud.prelude().await?;
        cloud.before = cloud.scratch().await?;
        Ok(cloud)
    }

    /// What a cell of our own prints.
    pub(crate) async fn own(&self, code: &str) -> Result<String, Trouble> {
        run::own(&self.held.inside, &self.context, code).await
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    async fn prelude(&self) -> Result<(), Trouble> {
        self.own(&prelude::prelude(&self.orders(), self.memory)).await.map(drop)
    }

    /// The file in which the kernel is told what a run is given. It is gone before the program's first line.
    fn orders(&self) -> String {
        format!("/tmp/.switchtower-{}", self.held.inside.id())
    }

    async fn scratch(&self) -> Result<BTreeMap<String, Entry>, Trouble> {
        let lists = SCRATCH.map(|folder| envd::list(&self.held.inside, folder));
        let listed = futures_util::future::try_join_all(lists).await?;
        Ok(listed.into_iter().flatten().collect())
    }

    async fn ready(&mut self, limits: &Limits) -> Result<(), Trouble> {
        self.held.wake().await?;
        self.held.lasts(limits.wall + MARGIN).await?;
        if self.broken_off {
            self.fresh_context().await?;
        }
        Ok(())
    }

    async fn fresh_context(&mut self) -> Result<(), Trouble> {
        interpreter::restart(&self.held.inside, &self.context).await?;
        self.prelude().await?;
        self.broken_off = false;
        Ok(())
    }

    /// Lays out what the program is given.
    async fn give(&self, program: &Program, limits: &Limits) -> Result<(), Trouble> {
        let mut files: Vec<(String, &[u8])> = Vec::with_capacity(program.files.len() + 1);
        for file in &program.files {
            let path = if file.path.starts_with('/') { file.path.clone() } else { format!("/home/user/{}", file.path) };
            files.push((path, &file.content));
        }
        let order = (program.stdin.as_ref().is_some_and(|stdin| !stdin.is_empty()) || limits.memory != self.memory)
            .then(|| prelude::order(program.stdin.as_deref(), limits.memory));
        if let Some(order) = &order {
            files.push((self.orders(), order.as_bytes()));
        }
        if files.is_empty() {
            return Ok(());
        }
        let files: Vec<(&str, &[u8])> = files.iter().map(|(path, content)| (path.as_str(), *content)).collect();
        envd::write(&self.held.inside, &files).await
    }

    /// Takes away what a program left in the scratch folders.
    async fn clean(&self) -> Result<(), Trouble> {
        let now = self.scratch().await?;
        for (path, entry) in &now {
            match self.before.get(path) {
                None => match envd::remove(&self.held.inside, path).await {
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

#[async_trait]
impl Sandbox for Cloud {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let before = |trouble: Trouble| trouble.fault(false);
        self.ready(limits).await.map_err(before)?;
        self.give(program, limits).await.map_err(before)?;
        // Until it has come to its own end; dropped in the middle, it stays so.
        self.broken_off = true;
        let run = Run { inside: &self.held.inside, context: &self.context, price: self.held.account.second() };
        let ended = run.run(program, limits, events).await?;
        self.broken_off = !ended.whole;
        Ok(ended.outcome)
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        let reset = async {
            self.fresh_context().await?;
            self.clean().await?;
            self.held.renew(Duration::ZERO).await
        };
        reset.await.map_err(|trouble| trouble.fault(false))
    }

    async fn keep(&mut self, how: Upkeep) -> Result<(), Fault> {
        let kept = async {
            let listed = self.held.account.control.get(self.held.inside.id()).await?;
            if listed.state == "paused" {
                // Perhaps by somebody else: the next run wakes it.
                self.held.sleeps();
                return Ok(());
            }
            match how {
                Upkeep::Asleep => self.held.sleep().await,
                Upkeep::Awake if self.held.is_old() => self.held.renew(Duration::ZERO).await,
                Upkeep::Awake => Ok(()),
            }
        };
        kept.await.map_err(|trouble| trouble.fault(false))
    }
}
