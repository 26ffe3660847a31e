//! A machine as a sandbox that runs programs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use switchtower_contract::{
    Events, Fault, InterpreterId, Limits, Machine, Maintenance, Need, NetworkPolicy, Outcome, Program, Randomness,
    Sandbox,
};
use tokio::time::Instant;

use crate::backend::Shared;
use crate::instance::Instance;
use crate::machine::LocalMachine;
use crate::program::ProgramRun;
use crate::shared::OwnedInstance;

pub(crate) struct MachineSandbox {
    shared: Arc<Shared>,
    /// `None` while it is replaced.
    instance: Option<OwnedInstance>,
    /// What its machines may reach.
    network: NetworkPolicy,
    interpreter: Option<InterpreterId>,
    /// Somebody uses it as a machine: no program runs here any more.
    is_machine: AtomicBool,
}

impl MachineSandbox {
    pub(crate) fn new(shared: Arc<Shared>, instance: Instance, network: NetworkPolicy) -> Self {
        let instance = Some(OwnedInstance::new(instance));
        Self { shared, instance, network, interpreter: None, is_machine: AtomicBool::new(false) }
    }

    fn instance(&self) -> Result<&OwnedInstance, Fault> {
        self.instance.as_ref().ok_or_else(|| Fault::Unavailable { reason: "the machine has ended".to_owned() })
    }
}

#[async_trait]
impl Sandbox for MachineSandbox {
    async fn run(&mut self, program: &Program, limits: &Limits, events: &Events) -> Result<Outcome, Fault> {
        let deadline = Instant::now() + limits.wall;
        Fault::check_language(program.language, |given| self.shared.languages().contains(&given))?;
        if matches!(program.randomness, Randomness::Seeded(_)) {
            let need = "a seeded clock and random numbers";
            return Err(Fault::Unsupported(Need::Language(need.to_owned())));
        }
        let interpreter = InterpreterId::next();
        let machine = self.instance()?.share();
        let (compiled, most_memory) = (&self.shared.compiled, self.shared.memory());
        let run = ProgramRun { machine: &machine, compiled, program, limits, deadline, most_memory };
        let outcome = run.run(events).await;
        self.interpreter = Some(interpreter);
        outcome
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        if self.is_machine.load(Ordering::Relaxed) {
            return Err(Fault::Unavailable { reason: "a machine that was used as one cannot be reset".to_owned() });
        }
        // A program may have left anything anywhere: only a new machine is as the first was.
        if let Some(instance) = self.instance.take().and_then(OwnedInstance::into_instance) {
            instance.end().await;
        }
        self.instance = Some(OwnedInstance::new(self.shared.start(&self.network).await?));
        Ok(())
    }

    async fn maintain(&mut self, how: Maintenance) -> Result<(), Fault> {
        let instance = self.instance()?;
        if !instance.is_running() {
            return Err(Fault::Unavailable { reason: "the machine's first process has ended".to_owned() });
        }
        // Where it cannot be frozen it runs on, which costs nothing but the host's processor.
        instance.share().set_frozen(how == Maintenance::Asleep).map(drop)
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        self.interpreter
    }

    fn machine(&self) -> Option<Arc<dyn Machine>> {
        self.is_machine.store(true, Ordering::Relaxed);
        let instance = self.instance.as_ref()?.share();
        Some(Arc::new(LocalMachine { instance, languages: self.shared.languages() }))
    }
}
