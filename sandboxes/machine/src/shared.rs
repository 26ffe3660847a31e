//! A machine as its sandbox, its clients and its kernels share it.

use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use serde_json::{Map, Value};
use switchtower_contract::{Exit, Fault, Need, NetworkPolicy, Outcome, Price, Usage};
use tokio::time::Instant;

use crate::channel::CommandEnd;
use crate::client::InitClient;
use crate::instance::Instance;
use crate::kernel_process::RunEnd;

/// A machine, held by its sandbox. It ends with the sandbox, even if something else refers to it.
#[derive(Clone)]
pub(crate) struct SharedInstance(Weak<RwLock<Instance>>);

/// The owner's handle.
pub(crate) struct OwnedInstance(Arc<RwLock<Instance>>);

impl OwnedInstance {
    pub(crate) fn new(instance: Instance) -> Self {
        Self(Arc::new(RwLock::new(instance)))
    }

    pub(crate) fn share(&self) -> SharedInstance {
        SharedInstance(Arc::downgrade(&self.0))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).is_running()
    }

    /// Takes the machine out, to wait for its end. `None` while somebody uses it for a moment.
    pub(crate) fn into_instance(self) -> Option<Instance> {
        Arc::try_unwrap(self.0).ok().map(|lock| lock.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SharedInstance {
    fn with<T>(&self, act: impl FnOnce(&Instance) -> T) -> Result<T, Fault> {
        let instance = self.0.upgrade().ok_or_else(ended)?;
        let instance = instance.read().unwrap_or_else(PoisonError::into_inner);
        Ok(act(&instance))
    }

    /// Returns the client of the machine, which is awake afterwards.
    pub(crate) fn client(&self) -> Result<InitClient, Fault> {
        self.with(|instance| {
            instance.set_frozen(false);
            instance.client.clone()
        })
    }

    /// Freezes the machine, or lets it continue.
    pub(crate) fn set_frozen(&self, frozen: bool) -> Result<bool, Fault> {
        self.with(|instance| instance.set_frozen(frozen))
    }

    /// Replaces what the machine reaches.
    pub(crate) fn set_network(&self, network: &NetworkPolicy) -> Result<(), Fault> {
        self.with(|instance| instance.set_network(network))?
    }

    /// Replaces the host's figures in those of the machine's daemon.
    pub(crate) fn replace_figures(&self, figures: &mut Map<String, Value>) -> Result<(), Fault> {
        self.with(|instance| instance.replace_figures(figures))
    }

    /// Lowers the memory of the machine.
    pub(crate) fn lower_memory(&self, bytes: u64) -> Result<(), Fault> {
        self.with(|instance| instance.lower_memory(bytes))
    }

    /// Returns what the machine has used so far.
    pub(crate) fn usage(&self) -> Result<UsageSoFar, Fault> {
        self.with(|instance| {
            let usage = instance.usage();
            UsageSoFar { at: Instant::now(), cpu: usage.processor_time, memory_kills: usage.memory_kills.unwrap_or(0) }
        })
    }

    /// Returns the outcome of a run that began when `before` was read.
    pub(crate) fn outcome(
        &self,
        end: RunEnd,
        before: &UsageSoFar,
        truncated: bool,
        unmet_need: Option<Need>,
    ) -> Outcome {
        let (cpu, memory, kills) = self
            .with(|instance| {
                let usage = instance.usage();
                (usage.processor_time, usage.memory.unwrap_or(0), usage.memory_kills.unwrap_or(0))
            })
            .unwrap_or_default();
        let used = cpu.zip(before.cpu).map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before));
        let usage = Usage { wall: before.at.elapsed(), cpu: used, memory, price: Price::default() };
        let exit = exit(end, kills > before.memory_kills);
        Outcome { exit, observed: None, truncated, usage, unmet_need }
    }
}

/// The exit code of a shell whose command was killed.
const KILLED_CODE: i32 = 128 + 9;

/// What a machine has used at some time.
#[derive(Debug, Clone)]
pub(crate) struct UsageSoFar {
    at: Instant,
    cpu: Option<Duration>,
    memory_kills: u64,
}

/// Returns the end of a program. `out_of_memory`: the kernel killed a process of the machine meanwhile.
fn exit(end: RunEnd, out_of_memory: bool) -> Exit {
    match end {
        RunEnd::Code(exit) => exit,
        RunEnd::Interrupted | RunEnd::TimedOut => Exit::TimedOut,
        // A shell says so of its command.
        RunEnd::Process(CommandEnd::Code(KILLED_CODE)) if out_of_memory => Exit::OutOfMemory,
        RunEnd::Process(CommandEnd::Code(code)) => Exit::Finished(code),
        RunEnd::Process(CommandEnd::Signal(_)) if out_of_memory => Exit::OutOfMemory,
        RunEnd::Process(CommandEnd::Signal(_)) => Exit::Killed,
    }
}

fn ended() -> Fault {
    Fault::Unavailable { reason: "the machine has ended".to_owned() }
}
