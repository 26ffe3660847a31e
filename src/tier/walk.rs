//! Walks a route: tries its tiers in order until one of them answers.
//!
//! Which fault lets a program move on is [`Fault::remedy`]'s to say. A tier with effects outside its sandbox never gives
//! a program away once it began: no budget there, no escalation.

use std::time::Duration;

use switchtower_contract::{
    Escalation, Events, Exit, Fault, InterpreterId, Limits, Need, Outcome, Output, Remedy, Spec, Usage,
};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::attempt::{Attempt, Trial};
use super::breaker::{Open, Permit};
use super::queue::Refusal;
use super::relay::Relay;
use super::{Tier, Tiers};
use crate::request::{Footprint, Request};
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

/// No tier of the route gave an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Setback {
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
}

/// The end of an attempt that gave an answer, and the interpreter that it took place in.
type Ran = (Outcome, Option<InterpreterId>);

/// Why an attempt gave no answer.
pub(super) enum Trouble {
    /// Its breaker is open.
    Open(Open),
    NoSlot(Refusal),
    Fault(Fault),
}

impl Tiers {
    /// Walks the route. `apart_from`: an earlier run's interpreter, of which this run is to be independent where another is
    /// free. Each attempt is added to `attempts` as it ends; `relay` gets what the program says. `footprint`
    /// is what a run may leave behind: what may have run and leaves something in the world is not run again.
    ///
    /// # Errors
    /// No tier gave an answer: the last one's setback.
    pub async fn walk(
        &self,
        request: &Request,
        footprint: Footprint,
        route: &Route,
        apart_from: Option<InterpreterId>,
        relay: &mut Relay,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Walked, Setback> {
        let mut legs = self.usable(request, route);
        let mut walk = Walk { request, footprint, apart_from, left: request.timeout, relay, attempts };
        let mut setback = Setback::NoTier { reason: format!("none of the route {route} may run it") };
        let mut at = 0;
        while let Some(&(tier, leg)) = legs.get(at) {
            let limits = walk.limits(tier, leg, at + 1 == legs.len());
            match walk.tier(tier, &limits).await {
                Ok((outcome, interpreter)) => {
                    let output = walk.relay.ends();
                    let note = outcome.lacked.as_ref().map(|need| self.note(need, request.memory, &tier.name));
                    return Ok(Walked { tier: tier.name.clone(), outcome, output, interpreter, limits, note });
                }
                Err(Trouble::Fault(Fault::Unsupported(need))) if at + 1 < legs.len() => {
                    match legs[at + 1..].iter().position(|(tier, _)| tier.may_have(&need, request.memory)) {
                        Some(skipped) => at += 1 + skipped,
                        // Nobody on the route has it: the program runs here again and sees its own exception.
                        None => legs.truncate(at + 1),
                    }
                    setback = Setback::NoTier { reason: format!("it needs {need}") };
                }
                Err(trouble) => {
                    setback = trouble.setback(tier, tier.is_effectful(footprint));
                    if matches!(setback, Setback::Lost { .. }) {
                        break;
                    }
                    at += 1;
                }
            }
            if walk.left.is_zero() {
                break;
            }
        }
        Err(setback)
    }

    /// The legs that may run this request.
    fn usable<'a>(&'a self, request: &Request, route: &'a Route) -> Vec<(&'a Tier, &'a Leg)> {
        let known = route.0.iter().filter_map(|leg| Some((self.get(&leg.tier)?, leg)));
        known
            .filter(|(tier, _)| tier.offer.languages.contains(&request.program.language))
            .filter(|(tier, _)| request.isolation.is_none_or(|floor| tier.offer.isolation >= floor))
            .collect()
    }

    /// What would have let the program fare better than in the tier `ran`.
    pub(crate) fn note(&self, need: &Need, asked: Option<u64>, ran: &TierName) -> String {
        match self.iter().find(|tier| tier.name != *ran && tier.may_have(need, asked)) {
            Some(tier) => format!("it needs {need}; the tier {} may have it, but was not on its route", tier.name),
            None => match self.remedies(matches!(need, Need::Network(_) | Need::Process(_) | Need::Files(_))) {
                Some(remedy) => format!("it needs {need}; {remedy}"),
                None => format!("it needs {need}; a tier that has it is needed: none is configured"),
            },
        }
    }
}

struct Walk<'a> {
    request: &'a Request,
    footprint: Footprint,
    apart_from: Option<InterpreterId>,
    /// What is left of the request's time.
    left: Duration,
    relay: &'a mut Relay,
    attempts: &'a mut Vec<Attempt>,
}

impl Walk<'_> {
    fn limits(&self, tier: &Tier, leg: &Leg, last: bool) -> Limits {
        let stays = last || tier.offer.effectful;
        let budget = if stays { None } else { leg.budget };
        Limits {
            wall: self.left.min(budget.unwrap_or(self.left)).min(tier.offer.wall),
            memory: tier.memory(self.request.memory),
            output: tier.config.output,
            escalation: if stays { Escalation::Never } else { Escalation::OnNeed },
        }
    }

    /// Tries one tier until it answers, or until trying it again is of no use. Its breaker hears of the end alone: what a
    /// retry mended is no failure.
    async fn tier(&mut self, tier: &Tier, limits: &Limits) -> Result<Ran, Trouble> {
        let mut permit = None;
        let ended = self.attempts_at(tier, limits, &mut permit).await;
        if let Some(permit) = permit {
            match &ended {
                Ok(_) => permit.tells(None),
                Err(Trouble::Fault(fault)) => permit.tells(Some(fault)),
                // As if it had not been there.
                Err(Trouble::Open(_) | Trouble::NoSlot(_)) => drop(permit),
            }
        }
        ended
    }

    async fn attempts_at(&mut self, tier: &Tier, limits: &Limits, permit: &mut Option<Permit>) -> Result<Ran, Trouble> {
        let mut repeat = 0;
        loop {
            let limits = Limits { wall: limits.wall.min(self.left), ..limits.clone() };
            let trouble = match self.attempt(tier, &limits, repeat + 1, permit).await {
                Ok(ran) => return Ok(ran),
                Err(trouble) => trouble,
            };
            let pause = match &trouble {
                // A probe is to find out, not to insist.
                Trouble::Fault(Fault::Unavailable { .. }) if permit.as_ref().is_some_and(Permit::is_probe) => None,
                Trouble::Fault(fault) if fault.remedy(tier.is_effectful(self.footprint)) == Remedy::RetryHere => {
                    tier.pause(repeat, asked(fault))
                }
                _ => None,
            };
            match pause {
                Some(pause) if !self.left.is_zero() => {
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
        number: u32,
        permit: &mut Option<Permit>,
    ) -> Result<Ran, Trouble> {
        let mut trial = Trial::new(&tier.name, self.attempts);
        let caller = &self.request.caller;
        // Before the queue, so that nobody waits to be refused.
        if let Err(open) = tier.lets_through(permit.as_ref()) {
            trial.ends("open", Some(open.to_string()));
            return Err(Trouble::Open(open));
        }
        let slot = match tier.queue.slot(&caller.user, self.request.priority).await {
            Ok(slot) => slot,
            Err(refusal) => {
                trial.ends("overloaded", Some(refusal.to_string()));
                return Err(Trouble::NoSlot(refusal));
            }
        };
        // After it, since much may have happened meanwhile.
        match tier.permit(permit.take()) {
            Ok(given) => *permit = given,
            Err(open) => {
                trial.ends("open", Some(open.to_string()));
                return Err(Trouble::Open(open));
            }
        }
        let (events, from) = Events::channel();
        let (over, is_over) = oneshot::channel();
        let (program, footprint) = (&self.request.program, self.footprint);
        let spec = Spec { language: program.language, apart_from: self.apart_from };
        let mut interpreter = None;
        let run = async {
            // The sandbox goes before its slot does, and both before a slow reader has read the last event.
            let _slot = slot;
            let ran = async {
                let mut held = tier.sandbox(&spec, limits.wall, number).await?;
                trial.starts();
                let ran = timeout(limits.wall + tier.config.grace, held.sandbox()?.run(program, limits, &events))
                    .await
                    .unwrap_or_else(|_| Err(Fault::Lost { reason: "no end long after its deadline".to_owned() }));
                interpreter = held.sandbox()?.interpreter();
                match &ran {
                    Ok(Outcome { exit: Exit::Finished(_) | Exit::Raised, .. }) => held.give_back(footprint),
                    // Nothing ran in it: a rate limit is no reason to buy another.
                    Err(Fault::Refused { .. }) => held.give_back(Footprint::None),
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
        let stays = limits.escalation == Escalation::Never;
        let hold_back = if stays { Duration::ZERO } else { tier.config.hold_back };
        let (ran, ()) = tokio::join!(run, self.relay.attempt(hold_back, from, is_over));
        let ended = match ran {
            // It asked for more than the whole request allows: that is its own end, and no other tier's business.
            Err(Fault::Unsupported(Need::Time(_))) if limits.wall >= self.left => Ok(timed_out(limits.wall)),
            Ok(outcome) => match cut_short(&outcome, limits, self.left, self.request.memory) {
                Some(need) => Err(Fault::Unsupported(need)),
                None => Ok(outcome),
            },
            failed => failed,
        };
        let ran = match &ended {
            Ok(outcome) => trial.ends(outcome.exit.name(), outcome.lacked.as_ref().map(Need::to_string)),
            Err(fault) => {
                self.relay.fails();
                let ran = trial.ends(fault.name(), Some(fault.detail()));
                // Where nothing ran, the time was ours and not the program's.
                let began = matches!(fault, Fault::Lost { .. } | Fault::Unsupported(_));
                if began { ran } else { Duration::ZERO }
            }
        };
        if let (Err(fault), Some(attempt)) = (&ended, self.attempts.last_mut()) {
            attempt.retry_after = asked(fault);
        }
        self.left = self.left.saturating_sub(ran);
        ended.map(|outcome| (outcome, interpreter)).map_err(Trouble::Fault)
    }
}

/// The end of a program that took all the time there was.
fn timed_out(wall: Duration) -> Outcome {
    let usage = Usage { wall, ..Usage::default() };
    Outcome { exit: Exit::TimedOut, observed: None, truncated: false, usage, lacked: None }
}

/// When the backend wants to be asked again.
pub(crate) fn asked(fault: &Fault) -> Option<Duration> {
    match fault {
        Fault::Refused { retry_after, .. } => *retry_after,
        Fault::Unavailable { .. } | Fault::Lost { .. } | Fault::Unsupported(_) => None,
    }
}

/// What a program needed that ended only because this tier gives less than the request allows. Only where another tier
/// stands ready.
fn cut_short(outcome: &Outcome, limits: &Limits, left: Duration, memory: Option<u64>) -> Option<Need> {
    match outcome.exit {
        _ if limits.escalation == Escalation::Never => None,
        Exit::TimedOut if limits.wall < left => Some(Need::Time(limits.wall)),
        Exit::OutOfMemory if memory.is_none_or(|memory| limits.memory < memory) => Some(Need::Memory(limits.memory)),
        _ => None,
    }
}

/// There was no slot.
pub(crate) fn overloaded(tier: &TierName, refusal: Refusal) -> Setback {
    let retry_after = refusal.retry_after();
    Setback::Overloaded { reason: format!("{tier}: {refusal}"), retry_after }
}

impl Trouble {
    pub(super) fn setback(self, tier: &Tier, effectful: bool) -> Setback {
        let name = &tier.name;
        match self {
            Self::Open(open) => {
                Setback::Unavailable { reason: format!("{name}: {open}"), retry_after: open.retry_after }
            }
            Self::NoSlot(refusal) => overloaded(name, refusal),
            Self::Fault(fault) if fault.remedy(effectful) == Remedy::GiveUp => {
                Setback::Lost { reason: format!("{name}: {}", fault.detail()) }
            }
            Self::Fault(Fault::Unsupported(need)) => Setback::NoTier { reason: format!("{name} has not {need}") },
            Self::Fault(fault) => Setback::Unavailable {
                reason: format!("{name}: {fault}"),
                retry_after: asked(&fault).unwrap_or(tier.config.backoff.cap),
            },
        }
    }
}

#[cfg(test)]
mod tests;
