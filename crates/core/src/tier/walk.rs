//! Walks a route: tries its tiers in order until one of them answers.
//!
//! Which fault lets a program move on is [`Fault::remedy`]'s to say. A tier with effects outside its sandbox has no budget,
//! and a program that began there moves on only where it had no effects and ended for want of something that a further tier
//! may have.
//!
//! A request's time-out covers all of it: the wait for a slot, for a sandbox, the pauses between attempts, every tier.

use std::time::Duration;

use switchtower_contract::{
    Escalation, Events, Exit, Fault, InterpreterId, Limits, Need, Outcome, Output, Remedy, Spec, Usage, rounded,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::attempt::{Attempt, AttemptRecorder};
use super::breaker::{Open, Permit};
use super::queue::Refusal;
use super::relay::Relay;
use super::{Tier, Tiers};
use crate::analyse;
use crate::request::{Request, SideEffects};
use crate::route::{Leg, Route, TierName};

/// The end of a walk that found an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Walked {
    pub tier: TierName,
    pub outcome: Outcome,
    pub output: Output,
    /// The interpreter that it ran in, where that is known.
    pub interpreter: Option<InterpreterId>,
    /// What it ran under there.
    pub limits: Limits,
    /// What would have let the program fare better.
    pub note: Option<String>,
}

/// What a walk is held to, beside its request.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// What a run may leave behind: what may have run and leaves something in the world is not run again.
    pub side_effects: SideEffects,
    /// When the request's time is over.
    pub deadline: Instant,
    /// An earlier run's interpreter: this run is to take place in another, where one is free.
    pub avoid_interpreter: Option<InterpreterId>,
    /// Called each time that the program begins to run.
    pub begins: &'a (dyn Fn() + Send + Sync),
}

impl Terms<'_> {
    /// Returns those of a request whose time begins now.
    pub fn of(request: &Request, side_effects: SideEffects) -> Self {
        Self { side_effects, deadline: Instant::now() + request.timeout, avoid_interpreter: None, begins: &|| () }
    }
}

/// No tier of the route gave an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// None may run it, now or later.
    #[error("no tier can run this: {reason}")]
    NoTier { reason: String },
    /// Too many are waiting. Nothing ran.
    #[error("overloaded: {reason}")]
    Overloaded { reason: String, retry_after: Duration },
    /// The tiers failed us. Whatever ran had no effects outside.
    #[error("unavailable: {reason}")]
    Unavailable { reason: String, retry_after: Duration },
    /// It may have run, with effects outside, and nobody knows its end. It was not run again.
    #[error("lost: {reason}")]
    Lost { reason: String },
    /// The request's time-out passed before the program came to run to an end anywhere. Whatever ran had no effects outside.
    #[error("timed out {reason}")]
    TimedOut { reason: String },
}

/// The end of an attempt that gave an answer, and the interpreter that it took place in.
type Ran = (Outcome, Option<InterpreterId>);

/// Why an attempt gave no answer.
pub(super) enum AttemptError {
    /// Its breaker is open.
    Open(Open),
    NoSlot(Refusal),
    Fault(Fault),
    /// The time of whoever asked was over before anything ran; what was still missing.
    Late(&'static str),
}

/// How much longer than its time-out a request waits for a run to say how it ended. A backend keeps the time itself; one
/// that does not is left.
pub(crate) const OVERTIME: Duration = Duration::from_millis(250);

impl Tiers {
    /// Walks the route. Each attempt is added to `attempts` as it ends; `relay` gets what the program says.
    ///
    /// # Errors
    /// No tier gave an answer: the last one's walk_error.
    pub async fn walk(
        &self,
        request: &Request,
        terms: &Terms<'_>,
        route: &Route,
        relay: &mut Relay,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Walked, WalkError> {
        let mut legs = self.usable(request, route);
        let Terms { side_effects, deadline, avoid_interpreter, begins } = *terms;
        let mut walk = Walk { request, side_effects, deadline, avoid_interpreter, begins, relay, attempts };
        let mut walk_error = WalkError::NoTier { reason: format!("none of the route {route} may run it") };
        let mut at = 0;
        while let Some(&(tier, leg)) = legs.get(at) {
            let further = &legs[at + 1..];
            let limits = walk.limits(tier, leg, further.is_empty());
            match walk.tier(tier, &limits, further).await {
                Ok((outcome, interpreter)) => {
                    let output = walk.relay.ends();
                    let unmet_need = outcome.unmet_need.as_ref();
                    let note = unmet_need.map(|need| self.walked_note(request, route, walk.attempts, need, &tier.name));
                    return Ok(Walked { tier: tier.name.clone(), outcome, output, interpreter, limits, note });
                }
                Err(AttemptError::Fault(Fault::Unsupported(need))) if at + 1 < legs.len() => {
                    match legs[at + 1..].iter().position(|(tier, _)| tier.may_have(&need, request.memory)) {
                        Some(skipped) => at += 1 + skipped,
                        // Nobody on the route has it: the program runs here again and sees its own exception.
                        None => legs.truncate(at + 1),
                    }
                    walk_error = WalkError::NoTier { reason: format!("it needs {need}") };
                }
                Err(trouble) => {
                    walk_error = trouble.walk_error(tier, tier.is_effectful(side_effects));
                    if matches!(walk_error, WalkError::Lost { .. }) {
                        break;
                    }
                    at += 1;
                }
            }
            if walk.left().is_zero() && !matches!(walk_error, WalkError::Lost { .. }) {
                return Err(walk.late(tier, &walk_error));
            }
        }
        Err(walk_error)
    }

    /// The legs that may run this request.
    fn usable<'a>(&'a self, request: &Request, route: &'a Route) -> Vec<(&'a Tier, &'a Leg)> {
        let known = route.0.iter().filter_map(|leg| Some((self.get(&leg.tier)?, leg)));
        known
            .filter(|(tier, _)| tier.offer.languages.contains(&request.program.language))
            .filter(|(tier, _)| request.isolation.is_none_or(|floor| tier.offer.isolation >= floor))
            .collect()
    }
}

struct Walk<'a> {
    request: &'a Request,
    side_effects: SideEffects,
    avoid_interpreter: Option<InterpreterId>,
    begins: &'a (dyn Fn() + Send + Sync),
    /// When the request's time is over.
    deadline: Instant,
    relay: &'a mut Relay,
    attempts: &'a mut Vec<Attempt>,
}

impl Walk<'_> {
    /// What is left of the request's time.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The request's time is over; `walk_error`: how it stood then.
    fn late(&self, tier: &Tier, walk_error: &WalkError) -> WalkError {
        let (name, after) = (&tier.name, rounded(self.request.timeout));
        match walk_error {
            WalkError::TimedOut { reason } => WalkError::TimedOut { reason: format!("after {after} {reason}") },
            WalkError::NoTier { reason } => {
                WalkError::TimedOut { reason: format!("after {after} in the tier {name}: {reason}") }
            }
            other => {
                WalkError::TimedOut { reason: format!("after {after} while waiting for the tier {name}: {other}") }
            }
        }
    }

    fn limits(&self, tier: &Tier, leg: &Leg, last: bool) -> Limits {
        let stays = last || tier.offer.effectful;
        let budget = if stays { None } else { leg.budget };
        Limits {
            wall: self.left().min(budget.unwrap_or(Duration::MAX)).min(tier.offer.max_wall),
            memory: tier.memory(self.request.memory),
            output: tier.config.max_output,
            escalation: if stays { Escalation::Never } else { Escalation::OnNeed },
        }
    }

    /// Tries one tier until it answers, or until trying it again is of no use. Its breaker hears of the end alone: what a
    /// retry mended is no failure.
    async fn tier(&mut self, tier: &Tier, limits: &Limits, further: &[(&Tier, &Leg)]) -> Result<Ran, AttemptError> {
        let mut permit = None;
        let ended = self.attempts_at(tier, limits, further, &mut permit).await;
        if let Some(permit) = permit {
            match &ended {
                Ok(_) => permit.record_outcome(None),
                // Whoever asked had little time: that says nothing of the tier.
                Err(AttemptError::Fault(Fault::Unavailable { .. })) if self.left().is_zero() => drop(permit),
                Err(AttemptError::Fault(fault)) => permit.record_outcome(Some(fault)),
                // As if it had not been there.
                Err(AttemptError::Open(_) | AttemptError::NoSlot(_) | AttemptError::Late(_)) => drop(permit),
            }
        }
        ended
    }

    async fn attempts_at(
        &mut self,
        tier: &Tier,
        limits: &Limits,
        further: &[(&Tier, &Leg)],
        permit: &mut Option<Permit>,
    ) -> Result<Ran, AttemptError> {
        let mut repeat = 0;
        loop {
            let trouble = match self.attempt(tier, limits, further, repeat + 1, permit).await {
                Ok(ran) => return Ok(ran),
                Err(trouble) => trouble,
            };
            let pause = match &trouble {
                // A probe is to find out, not to insist.
                AttemptError::Fault(Fault::Unavailable { .. }) if permit.as_ref().is_some_and(Permit::is_probe) => None,
                AttemptError::Fault(fault)
                    if fault.remedy(tier.is_effectful(self.side_effects)) == Remedy::RetryHere =>
                {
                    tier.pause(repeat, asked(fault))
                }
                _ => None,
            };
            match pause {
                // One that does not end in time is of no use: whoever asked learns now what is wrong.
                Some(pause) if pause < self.left() => {
                    if let Some(attempt) = self.attempts.last_mut() {
                        attempt.paused = Some(pause);
                    }
                    sleep(pause).await;
                }
                _ => return Err(trouble),
            }
            repeat += 1;
        }
    }

    async fn attempt(
        &mut self,
        tier: &Tier,
        limits: &Limits,
        further: &[(&Tier, &Leg)],
        number: u32,
        permit: &mut Option<Permit>,
    ) -> Result<Ran, AttemptError> {
        let deadline = self.deadline;
        // What ends for want of something may go on, where it may run twice.
        let stays = further.is_empty() || tier.is_effectful(self.side_effects);
        let mut recorder = AttemptRecorder::new(&tier.name, self.attempts);
        let caller = &self.request.caller;
        // Before the queue, so that nobody waits to be refused.
        if let Err(open) = tier.lets_through(permit.as_ref()) {
            recorder.finish("open", Some(open.to_string()));
            return Err(AttemptError::Open(open));
        }
        let slot = match timeout_at(deadline, tier.queue.slot(&caller.user, self.request.priority)).await {
            Ok(Ok(slot)) => slot,
            Ok(Err(refusal)) => {
                recorder.finish("overloaded", Some(refusal.to_string()));
                return Err(AttemptError::NoSlot(refusal));
            }
            Err(_) => {
                recorder.finish(LATE, Some(NO_SLOT.to_owned()));
                return Err(AttemptError::Late(NO_SLOT));
            }
        };
        // After it, since much may have happened meanwhile.
        match tier.permit(permit.take()) {
            Ok(given) => *permit = given,
            Err(open) => {
                recorder.finish("open", Some(open.to_string()));
                return Err(AttemptError::Open(open));
            }
        }
        let (events, from) = Events::channel();
        let (over, is_over) = oneshot::channel();
        let (program, side_effects) = (&self.request.program, self.side_effects);
        let spec = Spec { language: program.language, avoid_interpreter: self.avoid_interpreter };
        let (begins, mut interpreter) = (self.begins, None);
        let mut late = false;
        // The time that the program has, and all that there was when it began.
        let (mut given, mut whole) = (limits.wall, limits.wall);
        let run = async {
            // The sandbox goes before its slot does, and both before a slow reader has read the last event.
            let _slot = slot;
            let ran = async {
                let opened = tier.sandbox(&spec, limits.wall, number);
                let Ok(opened) = timeout_at(deadline, opened).await else {
                    late = true;
                    return Err(Fault::Unavailable { reason: NO_SANDBOX.to_owned() });
                };
                let mut held = opened?;
                whole = deadline.saturating_duration_since(Instant::now());
                given = limits.wall.min(whole);
                let limits = Limits { wall: given, ..limits.clone() };
                recorder.start();
                begins();
                let most = (given + tier.config.grace_period).min(whole + OVERTIME);
                let ran = match timeout(most, held.sandbox()?.run(program, &limits, &events)).await {
                    Ok(ran) => ran,
                    // Cut short like this, it has had all the time that it was given.
                    Err(_) if Instant::now() >= deadline => Ok(timed_out(given)),
                    Err(_) => Err(Fault::Lost { reason: "run did not return within its grace period".to_owned() }),
                };
                interpreter = held.sandbox()?.interpreter();
                match &ran {
                    Ok(Outcome { exit: Exit::Finished(_) | Exit::Raised, .. }) => held.give_back(side_effects),
                    // Nothing ran in it: a rate limit is no reason to buy another.
                    Err(Fault::Refused { .. }) => held.give_back(SideEffects::None),
                    // What was cut short may go on inside.
                    Ok(_) | Err(Fault::Unsupported(_)) => drop(held),
                    Err(Fault::Unavailable { .. } | Fault::Lost { .. }) => held.give_up(),
                }
                ran
            }
            .await;
            let _ = over.send(());
            ran
        };
        // Where no other tier can take over, nothing is gained by holding back.
        let hold_back = if stays { Duration::ZERO } else { tier.config.hold_back };
        let (ran, ()) = tokio::join!(run, self.relay.attempt(hold_back, from, is_over));
        let ended = match ran {
            // It asked for more than the whole request allows: that is its own end, and no other tier's business.
            Err(Fault::Unsupported(Need::Time(_))) if given >= whole => Ok(timed_out(given)),
            Ok(outcome) => {
                let memory = self.request.memory;
                let need = cut_short(&outcome, &Limits { wall: given, ..limits.clone() }, whole, memory, stays);
                let need = match limits.escalation {
                    Escalation::OnNeed => need,
                    // It has come to its end here, which stands where no further tier may have what it needs.
                    Escalation::Never => need
                        .or_else(|| unmet_need(tier, self.request, side_effects, &outcome, self.relay))
                        .filter(|need| further.iter().any(|(tier, _)| tier.may_have(need, memory))),
                };
                match need.filter(|_| Instant::now() < deadline) {
                    Some(need) => Err(Fault::Unsupported(need)),
                    None => Ok(outcome),
                }
            }
            failed => failed,
        };
        if late {
            recorder.finish(LATE, Some(NO_SANDBOX.to_owned()));
            self.relay.fails();
            return Err(AttemptError::Late(NO_SANDBOX));
        }
        match &ended {
            Ok(outcome) => recorder.finish(outcome.exit.name(), outcome.unmet_need.as_ref().map(Need::to_string)),
            Err(fault) => {
                self.relay.fails();
                recorder.finish(fault.name(), Some(fault.detail()))
            }
        };
        if let (Err(fault), Some(attempt)) = (&ended, self.attempts.last_mut()) {
            attempt.retry_after = asked(fault);
        }
        ended.map(|outcome| (outcome, interpreter)).map_err(AttemptError::Fault)
    }
}

/// What a program lacked that ended for want of it in a tier that lets programs come to their end, where it may run twice:
/// nothing that it may have done until then reached the world.
fn unmet_need(
    tier: &Tier,
    request: &Request,
    side_effects: SideEffects,
    outcome: &Outcome,
    relay: &Relay,
) -> Option<Need> {
    let need = outcome.unmet_need.clone().filter(|_| outcome.exit == Exit::Raised)?;
    if !tier.is_effectful(side_effects) {
        return Some(need);
    }
    // By its whole text it reaches the world, but it may have ended before it did.
    let line = relay.error_line().filter(|_| matches!(need, Need::Module(_) | Need::Library(_)))?;
    let until_then = analyse::side_effects_before_import(&request.program, line);
    (!tier.is_effectful(until_then)).then_some(need)
}

/// How an attempt ends for which the request had no time left.
const LATE: &str = "deadline";
const NO_SLOT: &str = "no slot was free";
const NO_SANDBOX: &str = "no sandbox was ready";

/// The end of a program that took all the time there was.
fn timed_out(wall: Duration) -> Outcome {
    let usage = Usage { wall, ..Usage::default() };
    Outcome { exit: Exit::TimedOut, observed: None, truncated: false, usage, unmet_need: None }
}

/// When the backend wants to be asked again.
pub(crate) fn asked(fault: &Fault) -> Option<Duration> {
    match fault {
        Fault::Refused { retry_after, .. } => *retry_after,
        Fault::Unavailable { .. } | Fault::Lost { .. } | Fault::Unsupported(_) => None,
    }
}

/// What a program needed that ended only because this tier gives less than the request allows, where it does not stay.
fn cut_short(outcome: &Outcome, limits: &Limits, whole: Duration, memory: Option<u64>, stays: bool) -> Option<Need> {
    match outcome.exit {
        _ if stays => None,
        Exit::TimedOut if limits.wall < whole => Some(Need::Time(limits.wall)),
        Exit::OutOfMemory if memory.is_none_or(|memory| limits.memory < memory) => Some(Need::Memory(limits.memory)),
        _ => None,
    }
}

/// There was no slot.
pub(crate) fn overloaded(tier: &TierName, refusal: Refusal) -> WalkError {
    let retry_after = refusal.retry_after();
    WalkError::Overloaded { reason: format!("{tier}: {refusal}"), retry_after }
}

impl AttemptError {
    pub(super) fn walk_error(self, tier: &Tier, effectful: bool) -> WalkError {
        let name = &tier.name;
        match self {
            Self::Open(open) => {
                WalkError::Unavailable { reason: format!("{name}: {open}"), retry_after: open.retry_after }
            }
            Self::NoSlot(refusal) => overloaded(name, refusal),
            Self::Late(missing) => {
                WalkError::TimedOut { reason: format!("while waiting for the tier {name}: {missing}") }
            }
            Self::Fault(fault) if fault.remedy(effectful) == Remedy::GiveUp => {
                WalkError::Lost { reason: format!("{name}: {}", fault.detail()) }
            }
            Self::Fault(Fault::Unsupported(need)) => WalkError::NoTier { reason: format!("{name} has not {need}") },
            Self::Fault(fault) => WalkError::Unavailable {
                reason: format!("{name}: {fault}"),
                retry_after: asked(&fault).unwrap_or(tier.config.backoff.max_delay),
            },
        }
    }
}

#[cfg(test)]
mod tests;
