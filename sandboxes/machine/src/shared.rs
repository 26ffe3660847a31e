//! A machine as its sandbox, its clients and its kernels share it.

use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use serde_json::{Map, Value};
use switchtower_contract::{Exit, Fault, Need, NetworkPolicy, Outcome, Price, Usage};
use switchtower_jail::GroupUsage;
use tokio::time::{Instant, sleep};

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
        self.with(|instance| UsageSoFar { at: Instant::now(), group: instance.usage() })
    }

    /// Returns how a run ended that began when `before` was read. Where using up the memory ends the whole machine, as with gVisor, the
    /// loss of the machine is that of the program.
    pub(crate) async fn end_of(&self, end: Result<RunEnd, Fault>, before: &UsageSoFar) -> Result<RunEnd, Fault> {
        if !matches!(end, Err(Fault::Lost { .. } | Fault::Unavailable { .. })) {
            return end;
        }
        let until = Instant::now() + LOSS_TIMEOUT;
        loop {
            let (kills, may_come) = self.with(|instance| (instance.usage().memory_kills, instance.ends_whole()))?;
            if kills.unwrap_or(0) > before.group.memory_kills.unwrap_or(0) {
                return Ok(RunEnd::Process(CommandEnd::Signal(KILL)));
            }
            // It is written down when all processes of the machine have ended.
            if !may_come || Instant::now() > until {
                return end;
            }
            sleep(LOSS_INTERVAL).await;
        }
    }

    /// Returns the outcome of a run that began when `before` was read.
    pub(crate) fn outcome(
        &self,
        end: RunEnd,
        before: &UsageSoFar,
        truncated: bool,
        unmet_need: Option<Need>,
    ) -> Outcome {
        let now = self.with(Instance::usage).unwrap_or_default();
        let used = now.processor_time.zip(before.group.processor_time);
        let cpu = used.map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before));
        let usage =
            Usage { wall: before.at.elapsed(), cpu, memory: most_memory(&before.group, &now), price: Price::default() };
        let exit = exit(end, now.memory_kills.unwrap_or(0) > before.group.memory_kills.unwrap_or(0));
        Outcome { exit, observed: None, truncated, usage, unmet_need }
    }
}

/// How long it may take to learn why a machine was lost, and how often that is looked for.
const LOSS_TIMEOUT: Duration = Duration::from_secs(3);
const LOSS_INTERVAL: Duration = Duration::from_millis(20);
/// The signal that nothing catches.
const KILL: i32 = 9;
/// The exit code of a shell whose command was killed.
const KILLED_CODE: i32 = 128 + KILL;

/// What a machine has used at some time.
#[derive(Debug, Clone)]
pub(crate) struct UsageSoFar {
    at: Instant,
    group: GroupUsage,
}

/// Returns the most bytes of memory that a run is known to have used: the machine's peak where the run raised it, because the
/// processes of a run may have ended before it is asked, and otherwise what the machine had at one of the run's ends.
fn most_memory(before: &GroupUsage, after: &GroupUsage) -> u64 {
    match (before.peak_memory, after.peak_memory) {
        (Some(before), Some(after)) if after > before => after,
        _ => after.memory.max(before.memory).unwrap_or(0),
    }
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
        RunEnd::Process(CommandEnd::Signal(KILL)) => Exit::Killed,
        // What a shell sees.
        RunEnd::Process(CommandEnd::Signal(signal)) => Exit::Finished(128 + signal),
    }
}

fn ended() -> Fault {
    Fault::Unavailable { reason: "the machine has ended".to_owned() }
}
