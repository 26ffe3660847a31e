//! Cells in the kernel here: opened when it is first needed, made again from its history where it is gone.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use switchtower_contract::{Cell, Escalation, Events, Exit, Fault, Kernel, Limits, Need, Opening, Outcome, Ran, Usage};
use tokio::sync::oneshot;

use super::context::{Context, Seat};
use super::history::Stuck;
use super::session::Session;
use crate::error::Error;
use crate::request::Request;
use crate::tier::attempt::{Attempt, Trial};
use crate::tier::{Relay, Tier};

/// A cell of a history is given this much more time than a cell may take; machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cell about to run.
pub(super) struct Turn<'a> {
    pub(super) request: &'a Request,
    pub(super) cell: Cell,
    pub(super) relay: &'a mut Relay,
    pub(super) attempts: &'a mut Vec<Attempt>,
    /// What is said from now on is said on a machine.
    pub(super) is_there: &'a AtomicBool,
}

/// How a cell fared here.
pub(super) enum Here {
    Ran {
        outcome: Outcome,
        restarted: bool,
    },
    /// It needs what is not here, and may find it elsewhere.
    Lacks(Need),
}

impl Session {
    /// Runs a cell in the kernel here. `budget`: the time that it may take before it moves on; None where there is nowhere
    /// else to go.
    pub(super) async fn run_here(
        &self,
        tier: &Tier,
        budget: Option<Duration>,
        context: &Context,
        seat: &mut Seat,
        turn: &mut Turn<'_>,
    ) -> Result<Here, Error> {
        let escalation = if budget.is_some() { Escalation::OnNeed } else { Escalation::Never };
        let limits = Limits {
            wall: turn.request.timeout.min(budget.unwrap_or(turn.request.timeout)),
            memory: tier.memory(turn.request.memory),
            output: self.house.config.output,
            escalation,
        };
        let caller = &turn.request.caller;
        let slot = self.house.queue.slot(&caller.user, turn.request.priority).await;
        let _slot = slot.map_err(|refusal| Error::from_walk(crate::tier::overloaded(tier.name(), refusal), &[]))?;
        // Where the kernel is found to be gone, it is made again, once.
        for again in [true, false] {
            let mut trial = Trial::new(tier.name(), turn.attempts);
            let mut kernel = match self.kernel_here(tier, context, seat).await {
                Ok(kernel) => kernel,
                Err(Gone::Stuck(stuck)) => {
                    trial.ends("stuck", Some(stuck.to_string()));
                    // Told once; to tell it for ever would be of no use to anybody.
                    seat.begin_anew();
                    return Err(Error::NoTier { reason: format!("{stuck}; the context begins anew") });
                }
                Err(Gone::Fault(fault)) => {
                    trial.ends(fault.name(), Some(fault.detail()));
                    return Err(unavailable(tier, &fault));
                }
            };
            let (changes, mark) = self.files.since(seat.mark, context.writer());
            turn.cell.changes = changes;
            trial.starts();
            let hold_back = if escalation == Escalation::OnNeed { tier.config().hold_back } else { Duration::ZERO };
            let ran = heard(kernel.as_mut(), &turn.cell, &limits, hold_back, turn.relay).await;
            match ran {
                Ok(ran) if ran.outcome.exit == Exit::OutOfMemory && escalation == Escalation::OnNeed => {
                    trial.ends("unsupported", Some(Need::Memory(limits.memory).to_string()));
                    context.holds(None);
                    turn.relay.fails();
                    return Ok(Here::Lacks(Need::Memory(limits.memory)));
                }
                Ok(ran) => {
                    trial.ends(ran.outcome.exit.name(), ran.outcome.lacked.as_ref().map(Need::to_string));
                    let restarted = !ran.alive && ran.outcome.exit != Exit::TimedOut;
                    let outcome = ran.outcome.clone();
                    if ran.alive {
                        self.keeps(context, seat, kernel, &mut turn.cell, ran).await?;
                        seat.mark = mark;
                    } else {
                        context.holds(None);
                        if restarted {
                            seat.begin_anew();
                        }
                    }
                    return Ok(Here::Ran { outcome, restarted });
                }
                Err(Fault::Unsupported(need)) => {
                    trial.ends("unsupported", Some(need.to_string()));
                    context.holds(None);
                    turn.relay.fails();
                    // It asked for more than the whole request allows: that is its own end.
                    if matches!(need, Need::Time(_)) && limits.wall >= turn.request.timeout {
                        return Ok(Here::Ran { outcome: timed_out(limits.wall), restarted: false });
                    }
                    return Ok(Here::Lacks(need));
                }
                Err(fault) => {
                    trial.ends(fault.name(), Some(fault.detail()));
                    context.holds(None);
                    turn.relay.fails();
                    if !(again && matches!(fault, Fault::Lost { .. })) {
                        return Err(unavailable(tier, &fault));
                    }
                }
            }
        }
        Err(Error::Unavailable { reason: "the kernel is gone".to_owned(), retry_after: None, attempts: Vec::new() })
    }

    /// A cell ran, and its kernel lives on.
    async fn keeps(
        &self,
        context: &Context,
        seat: &mut Seat,
        kernel: Box<dyn Kernel>,
        cell: &mut Cell,
        ran: Ran,
    ) -> Result<(), Error> {
        context.holds(Some(ran.outcome.usage.memory));
        seat.history.add(std::mem::take(cell), &ran);
        seat.here = Some(kernel);
        self.takes(ran.changes, context.writer()).await
    }

    /// The kernel of a context here, as its last cell left it.
    pub(super) async fn kernel_here(
        &self,
        tier: &Tier,
        context: &Context,
        seat: &mut Seat,
    ) -> Result<Box<dyn Kernel>, Gone> {
        // Whoever takes it puts it back when its cell has ended; broken off, it is gone.
        if let Some(kernel) = seat.here.take() {
            return Ok(kernel);
        }
        let opening = self.opening(&context.info.folder);
        let mut kernel = tier.kernel(&opening).await.map_err(Gone::Fault)?;
        for past in seat.history.cells().map_err(Gone::Stuck)? {
            // What it slept counts as time, so it needs as much as it may have had; and it must be refused the memory that it
            // was refused then.
            let limits = Limits {
                wall: self.house.config.cell + PATIENCE,
                memory: tier.memory(None),
                output: u64::MAX,
                escalation: Escalation::Never,
            };
            let ran = unheard(kernel.as_mut(), &past.cell, &limits).await.map_err(Gone::Fault)?;
            if !ran.alive || ran.outcome.exit != past.exit || ran.tape.is_none() {
                return Err(Gone::Stuck(Stuck::new(past.cell.number, "it did not run as it did before")));
            }
        }
        Ok(kernel)
    }

    pub(super) fn opening(&self, folder: &str) -> Opening {
        Opening { env: self.asked().env.clone(), folder: Some(folder.to_owned()) }
    }
}

/// There is no kernel to go on with.
pub(super) enum Gone {
    Stuck(Stuck),
    Fault(Fault),
}

/// Runs a cell; what it says goes to the relay.
pub(super) async fn heard(
    kernel: &mut dyn Kernel,
    cell: &Cell,
    limits: &Limits,
    hold_back: Duration,
    relay: &mut Relay,
) -> Result<Ran, Fault> {
    let (events, from) = Events::channel();
    let (over, is_over) = oneshot::channel();
    let run = async {
        let ran = kernel.run(cell, limits, &events).await;
        let _ = over.send(());
        ran
    };
    let (ran, ()) = tokio::join!(run, relay.attempt(hold_back, from, is_over));
    ran
}

/// Runs a cell that everything has been heard of before.
async fn unheard(kernel: &mut dyn Kernel, cell: &Cell, limits: &Limits) -> Result<Ran, Fault> {
    let (events, mut from) = Events::channel();
    let run = async {
        let ran = kernel.run(cell, limits, &events).await;
        drop(events);
        ran
    };
    let (ran, ()) = tokio::join!(run, async { while from.recv().await.is_some() {} });
    ran
}

fn timed_out(wall: Duration) -> Outcome {
    let usage = Usage { wall, ..Usage::default() };
    Outcome { exit: Exit::TimedOut, observed: None, truncated: false, usage, lacked: None }
}

pub(super) fn unavailable(tier: &Tier, fault: &Fault) -> Error {
    let retry_after = match fault {
        Fault::Refused { retry_after, .. } => *retry_after,
        _ => None,
    };
    let reason = format!("{}: {fault}", tier.name());
    Error::Unavailable { reason, retry_after, attempts: Vec::new() }
}
