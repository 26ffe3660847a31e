//! Cells in a kernel here, and what becomes of the kernel with them.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use switchtower_contract::{
    Cell, CellOutcome, Escalation, Event, Events, Exit, Failure, Fault, Kernel, Limits, Need, Outcome, Usage,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::context::{Context, Seat};
use super::files::Revision;
use super::native_kernels::KernelPermit;
use super::place::{Local, Place, makes_again};
use super::ready::{Gone, Ready, Running};
use super::session::Session;
use crate::error::Error;
use crate::request::Request;
use crate::tier::attempt::{Attempt, AttemptRecorder};
use crate::tier::{Relay, Tier};

/// A cell about to run.
pub(super) struct Turn<'a> {
    pub(super) request: &'a Request,
    pub(super) cell: Cell,
    /// When its time is over.
    pub(super) deadline: Instant,
    pub(super) relay: &'a mut Relay,
    pub(super) attempts: &'a mut Vec<Attempt>,
    /// What is said from now on is said on a machine.
    pub(super) is_there: &'a AtomicBool,
}

/// How a cell fared in a local tier.
pub(super) enum Here {
    Ran {
        outcome: Outcome,
        restarted: bool,
        note: Option<String>,
    },
    /// It needs what is not here, and may find it elsewhere. Its context is as it was.
    Lacks(Need),
    /// It cannot begin here. Its context is as it was.
    Refused(Error),
}

impl Session {
    /// Runs a cell in a kernel of a local tier. `budget`: the time that it may take before it moves on; None where
    /// there is nowhere else to go.
    ///
    /// A kernel that nothing makes again is not left in the middle of a cell: it keeps what the cell did until then,
    /// and nobody could undo it.
    pub(super) async fn run_here(
        &self,
        tier: &Tier,
        budget: Option<Duration>,
        context: &Context,
        seat: &mut Seat,
        turn: &mut Turn<'_>,
    ) -> Result<Here, Error> {
        let settled = !makes_again(tier) && seat.place.kernel_of(tier.name()).is_some();
        let budget = budget.filter(|_| !settled);
        let escalation = if budget.is_some() { Escalation::OnNeed } else { Escalation::Never };
        let limits = Limits {
            wall: turn.request.timeout.min(budget.unwrap_or(turn.request.timeout)),
            memory: tier.memory(turn.request.memory),
            output: self.house.config.output,
            escalation,
        };
        let caller = &turn.request.caller;
        let slot = self.house.queue(tier).slot(&caller.user, turn.request.priority).await;
        let _slot = slot.map_err(|refusal| crate::tier::overloaded(tier.name(), refusal))?;
        // Where the kernel is found to be gone, it is made again, once.
        for again in [true, false] {
            let mut trial = AttemptRecorder::new(tier.name(), turn.attempts);
            let Ready { kernel, permit, changes, news, mark } = match self.ready(tier, context, seat).await {
                Ok(ready) => ready,
                Err(Gone::Stuck(stuck)) => {
                    trial.finish("stuck", Some(stuck.to_string()));
                    // Told once; to tell it for ever would be of no use to anybody.
                    seat.begin_anew();
                    context.holds(None);
                    if settled {
                        return Ok(died("a cell in it was broken off", Duration::ZERO));
                    }
                    return Err(Error::NotMovable { reason: format!("{stuck}; the context starts anew") });
                }
                Err(Gone::Fault(fault)) => {
                    trial.finish(fault.name(), Some(fault.detail()));
                    return Err(unavailable(tier, &fault));
                }
                Err(Gone::Refused(error)) => {
                    trial.finish(error.name(), Some(error.to_string()));
                    return Ok(Here::Refused(error));
                }
            };
            turn.cell.changes = changes;
            trial.start();
            let hold_back = if escalation == Escalation::OnNeed { tier.config().hold_back } else { Duration::ZERO };
            if settled {
                seat.history.begins(&turn.cell);
            }
            let mut running = Running { kernel: Some(kernel), tier: tier.name(), seat: &mut *seat };
            let ran = match &mut running.kernel {
                Some(kernel) => heard(kernel.as_mut(), &turn.cell, &limits, hold_back, turn.relay).await,
                None => Err(Fault::Lost { reason: "there is no kernel".to_owned() }),
            };
            let fault = match ran {
                Ok(ran) if ran.outcome.exit == Exit::OutOfMemory && escalation == Escalation::OnNeed => {
                    Fault::Unsupported(Need::Memory(limits.memory))
                }
                // The cell was interrupted, and its kernel goes on; but there is a place with more time, and nothing
                // holds it here.
                Ok(ran) if ran.outcome.exit == Exit::TimedOut && limits.wall < turn.request.timeout => {
                    Fault::Unsupported(Need::Time(limits.wall))
                }
                Ok(ran) => {
                    trial.finish(ran.outcome.exit.name(), ran.outcome.unmet_need.as_ref().map(Need::to_string));
                    let (mut outcome, kernel) = (ran.outcome.clone(), running.kernel.take().filter(|_| ran.alive));
                    drop(running);
                    let mut note = None;
                    let restarted = match kernel {
                        Some(kernel) => {
                            let mut cell = std::mem::take(&mut turn.cell);
                            cell.changes = news.unwrap_or(cell.changes);
                            let lost = self.keeps(tier, context, seat, kernel, permit, mark, cell, ran).await?;
                            note = lost.and_then(|lost| no_space(&mut outcome, turn.relay, lost));
                            false
                        }
                        None => {
                            context.holds(None);
                            // What led to the state before it leads there again.
                            let lost = settled || outcome.exit != Exit::TimedOut;
                            if lost {
                                seat.begin_anew();
                            }
                            lost
                        }
                    };
                    return Ok(Here::Ran { outcome, restarted, note });
                }
                Err(fault @ Fault::Refused { .. }) => {
                    // Nothing ran.
                    running.stays();
                    running.seat.history.did_not_begin();
                    fault
                }
                Err(fault) => fault,
            };
            if running.kernel.take().is_some() {
                context.holds(None);
            }
            drop(running);
            turn.relay.fails();
            match fault {
                Fault::Unsupported(need) if !settled => {
                    trial.finish("unsupported", Some(need.to_string()));
                    // It asked for more than the whole request allows: that is its own end.
                    if matches!(need, Need::Time(_)) && limits.wall >= turn.request.timeout {
                        let outcome = ended(Exit::TimedOut, limits.wall);
                        return Ok(Here::Ran { outcome, restarted: false, note: None });
                    }
                    return Ok(Here::Lacks(need));
                }
                fault @ Fault::Refused { .. } if settled || makes_again(tier) => {
                    trial.finish(fault.name(), Some(fault.detail()));
                    return Err(unavailable(tier, &fault));
                }
                fault if settled => {
                    // Its names are gone with it, as when a notebook's kernel dies.
                    let wall = trial.finish(fault.name(), Some(fault.detail()));
                    seat.begin_anew();
                    return Ok(died(&fault.detail(), wall));
                }
                fault => {
                    trial.finish(fault.name(), Some(fault.detail()));
                    if !(again && matches!(fault, Fault::Lost { .. })) {
                        let error = unavailable(tier, &fault);
                        return if makes_again(tier) { Err(error) } else { Ok(Here::Refused(error)) };
                    }
                }
            }
        }
        Err(Error::Unavailable { reason: "the kernel is gone".to_owned(), retry_after: None })
    }

    /// A cell ran, and its kernel lives on: its context is there from now on. `Some`: its files are not kept; why.
    #[allow(clippy::too_many_arguments, reason = "what a cell leaves behind")]
    async fn keeps(
        &self,
        tier: &Tier,
        context: &Context,
        seat: &mut Seat,
        kernel: Box<dyn Kernel>,
        permit: Option<KernelPermit>,
        mark: Revision,
        cell: Cell,
        ran: CellOutcome,
    ) -> Result<Option<String>, Error> {
        context.holds(Some(ran.outcome.usage.memory));
        seat.history.add(cell, &ran);
        seat.mark = mark;
        match seat.place.kernel_of(tier.name()) {
            Some(slot) => *slot = Some(kernel),
            None => {
                seat.place = Place::Here(Local { tier: tier.name().clone(), kernel: Some(kernel), _permit: permit });
            }
        }
        self.takes(ran.changes, context.writer()).await
    }
}

/// Runs a cell; what it says goes to the relay.
pub(super) async fn heard(
    kernel: &mut dyn Kernel,
    cell: &Cell,
    limits: &Limits,
    hold_back: Duration,
    relay: &mut Relay,
) -> Result<CellOutcome, Fault> {
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

/// The kernel ended, and nothing makes it again: told as the end of a notebook's kernel is.
fn died(why: &str, wall: Duration) -> Here {
    Here::Ran { outcome: ended(Exit::Killed, wall), restarted: true, note: Some(gone_note(why)) }
}

/// What is said of a kernel that nothing makes again.
pub(super) fn gone_note(why: &str) -> String {
    format!("its kernel is gone: {why}")
}

/// The files that a cell wrote are not kept, for there is no space: the cell ends with the exception that Python has for
/// it. One that ended with another keeps that, and what is returned is its note.
fn no_space(outcome: &mut Outcome, relay: &mut Relay, why: String) -> Option<String> {
    if !matches!(outcome.exit, Exit::Finished(_)) {
        return Some(why);
    }
    outcome.exit = Exit::Raised;
    let value = format!("[Errno 28] No space left on device: {why}");
    let traceback = format!("OSError: {value}");
    relay.add(Event::Error(Failure { name: "OSError".to_owned(), value, traceback, line: None }));
    None
}

pub(super) fn ended(exit: Exit, wall: Duration) -> Outcome {
    let usage = Usage { wall, ..Usage::default() };
    Outcome { exit, observed: None, truncated: false, usage, unmet_need: None }
}

pub(super) fn unavailable(tier: &Tier, fault: &Fault) -> Error {
    Error::from_fault(tier.name(), fault)
}
