//! Walks a route: tries its tiers in order until one of them returns an outcome.
//!
//! [`Fault::remedy`] decides which faults let a program move to the next tier. The budget of a leg is ignored in a tier
//! whose programs can have effects outside their sandbox; a program that started in such a tier moves on only if it had
//! no such effects and ended because of an unmet need that a later tier may meet.
//!
//! The timeout of a request covers the whole walk: waiting for slots and sandboxes, all runs, and the pauses between
//! attempts.

use std::time::Duration;

use switchtower_contract::{
    Escalation, Events, Exit, Fault, InterpreterId, Limits, Need, Outcome, Output, Remedy, Spec, Usage, rounded,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::attempt::{Attempt, AttemptRecorder};
use super::breaker::{Open, Permit};
use super::queue::SlotRefusal;
use super::relay::Relay;
use super::{Tier, Tiers};
use crate::analyse;
use crate::request::{Request, SideEffects};
use crate::route::{Leg, Route, TierName};

/// The result of a walk in which a tier ran the program to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct WalkOutcome {
    pub tier: TierName,
    pub outcome: Outcome,
    pub output: Output,
    /// The interpreter that the program ran in, if known.
    pub interpreter: Option<InterpreterId>,
    /// The limits that the program ran under.
    pub limits: Limits,
    /// Which need of the program was not met, and how to meet it.
    pub note: Option<String>,
}

/// The inputs of a walk besides its request and route.
#[derive(Clone, Copy)]
pub struct WalkOptions<'a> {
    /// The program's side effects. A program with effects on the world that may have run is not run again.
    pub side_effects: SideEffects,
    /// When the request's timeout ends.
    pub deadline: Instant,
    /// The interpreter of an earlier run. This run uses a different one if one is free.
    pub avoid_interpreter: Option<InterpreterId>,
    /// Called each time the program starts to run.
    pub on_start: &'a (dyn Fn() + Send + Sync),
}

impl WalkOptions<'_> {
    /// Returns the options of a request whose timeout starts now.
    pub fn new(request: &Request, side_effects: SideEffects) -> Self {
        Self { side_effects, deadline: Instant::now() + request.timeout, avoid_interpreter: None, on_start: &|| () }
    }
}

/// Why no tier of the route returned an outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// No tier of the route can run the program, now or later.
    #[error("no tier can run this: {reason}")]
    NoTier { reason: String },
    /// No slot was granted. Nothing ran.
    #[error("overloaded: {reason}")]
    Overloaded { reason: String, retry_after: Duration },
    /// The tiers failed. If the program ran, it had no effects outside its sandbox.
    #[error("unavailable: {reason}")]
    Unavailable { reason: String, retry_after: Duration },
    /// The program may have run with effects outside its sandbox, and its outcome is unknown. It was not run again.
    #[error("lost: {reason}")]
    Lost { reason: String },
    /// The request's timeout passed before the program ended in any tier. If it ran, it had no effects outside its
    /// sandbox.
    #[error("timed out {reason}")]
    TimedOut { reason: String },
}

/// The outcome of an attempt and the interpreter that it ran in.
type Completed = (Outcome, Option<InterpreterId>);

/// Why an attempt returned no outcome.
pub(super) enum AttemptError {
    /// The circuit breaker is open.
    Open(Open),
    NoSlot(SlotRefusal),
    Fault(Fault),
    /// The deadline passed before the program started; what the attempt was waiting for.
    DeadlinePassed(&'static str),
}

/// Time after its deadline that a request waits for the outcome of a run. Backends end programs at the deadline
/// themselves; the run of a backend that does not is abandoned.
pub(crate) const DEADLINE_GRACE: Duration = Duration::from_millis(250);

impl Tiers {
    /// Walks the route. Each attempt is added to `attempts` as it ends; `relay` receives the program's events.
    ///
    /// # Errors
    /// The error of the last tier that was tried.
    pub async fn walk(
        &self,
        request: &Request,
        options: &WalkOptions<'_>,
        route: &Route,
        relay: &mut Relay,
        attempts: &mut Vec<Attempt>,
    ) -> Result<WalkOutcome, WalkError> {
        let mut legs = self.usable_legs(request, route);
        let WalkOptions { side_effects, deadline, avoid_interpreter, on_start } = *options;
        let mut walk = Walk { request, side_effects, deadline, avoid_interpreter, on_start, relay, attempts };
        let mut walk_error = WalkError::NoTier { reason: format!("no tier of the route {route} can run it") };
        let mut at = 0;
        while let Some(&(tier, leg)) = legs.get(at) {
            let later = &legs[at + 1..];
            let limits = walk.limits(tier, leg, later.is_empty());
            match walk.run_on_tier(tier, &limits, later).await {
                Ok((outcome, interpreter)) => {
                    let output = walk.relay.finish();
                    let unmet_need = outcome.unmet_need.as_ref();
                    let note = unmet_need.map(|need| self.route_note(request, route, walk.attempts, need, &tier.name));
                    return Ok(WalkOutcome { tier: tier.name.clone(), outcome, output, interpreter, limits, note });
                }
                Err(AttemptError::Fault(Fault::Unsupported(need))) if at + 1 < legs.len() => {
                    match legs[at + 1..].iter().position(|(tier, _)| tier.may_provide(&need, request.memory)) {
                        Some(skipped) => at += 1 + skipped,
                        // No later tier provides it: the program runs in this tier again and gets its own exception.
                        None => legs.truncate(at + 1),
                    }
                    walk_error = WalkError::NoTier { reason: format!("it needs {need}") };
                }
                Err(error) => {
                    walk_error = error.walk_error(tier, tier.is_effectful(side_effects));
                    if matches!(walk_error, WalkError::Lost { .. }) {
                        break;
                    }
                    at += 1;
                }
            }
            if walk.time_left().is_zero() && !matches!(walk_error, WalkError::Lost { .. }) {
                return Err(walk.timed_out(tier, &walk_error));
            }
        }
        Err(walk_error)
    }

    /// Returns the legs whose tiers support the request's language and isolation floor.
    fn usable_legs<'a>(&'a self, request: &Request, route: &'a Route) -> Vec<(&'a Tier, &'a Leg)> {
        let present = route.0.iter().filter_map(|leg| Some((self.get(&leg.tier)?, leg)));
        present
            .filter(|(tier, _)| tier.offer.languages.contains(&request.program.language))
            .filter(|(tier, _)| request.isolation.is_none_or(|floor| tier.offer.isolation >= floor))
            .collect()
    }
}

struct Walk<'a> {
    request: &'a Request,
    side_effects: SideEffects,
    avoid_interpreter: Option<InterpreterId>,
    on_start: &'a (dyn Fn() + Send + Sync),
    /// When the request's timeout ends.
    deadline: Instant,
    relay: &'a mut Relay,
    attempts: &'a mut Vec<Attempt>,
}

impl Walk<'_> {
    /// Returns the time until the request's deadline.
    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Returns the error of a request whose timeout has passed. `last`: the error of the last tier, `tier`.
    fn timed_out(&self, tier: &Tier, last: &WalkError) -> WalkError {
        let (name, after) = (&tier.name, rounded(self.request.timeout));
        match last {
            WalkError::TimedOut { reason } => WalkError::TimedOut { reason: format!("after {after} {reason}") },
            WalkError::NoTier { reason } => {
                WalkError::TimedOut { reason: format!("after {after} in tier {name}: {reason}") }
            }
            other => WalkError::TimedOut { reason: format!("after {after} while waiting for tier {name}: {other}") },
        }
    }

    /// Returns the limits of a run. `is_last`: no later tier could continue the program.
    fn limits(&self, tier: &Tier, leg: &Leg, is_last: bool) -> Limits {
        let is_final = is_last || tier.offer.effectful;
        let budget = if is_final { None } else { leg.budget };
        Limits {
            wall: self.time_left().min(budget.unwrap_or(Duration::MAX)).min(tier.offer.max_wall),
            memory: tier.memory(self.request.memory),
            output: tier.config.max_output,
            escalation: if is_final { Escalation::Never } else { Escalation::OnNeed },
        }
    }

    /// Runs the program on one tier, with retries. The breaker records only the final outcome: a fault that a retry
    /// remedied does not count as a failure.
    async fn run_on_tier(
        &mut self,
        tier: &Tier,
        limits: &Limits,
        later: &[(&Tier, &Leg)],
    ) -> Result<Completed, AttemptError> {
        let mut permit = None;
        let result = self.retry_on_tier(tier, limits, later, &mut permit).await;
        if let Some(permit) = permit {
            match &result {
                Ok(_) => permit.record_outcome(None),
                // The request's own deadline passed, which is no evidence against the tier.
                Err(AttemptError::Fault(Fault::Unavailable { .. })) if self.time_left().is_zero() => drop(permit),
                Err(AttemptError::Fault(fault)) => permit.record_outcome(Some(fault)),
                // The backend was not called.
                Err(AttemptError::Open(_) | AttemptError::NoSlot(_) | AttemptError::DeadlinePassed(_)) => drop(permit),
            }
        }
        result
    }

    async fn retry_on_tier(
        &mut self,
        tier: &Tier,
        limits: &Limits,
        later: &[(&Tier, &Leg)],
        permit: &mut Option<Permit>,
    ) -> Result<Completed, AttemptError> {
        let mut repeat = 0;
        loop {
            let error = match self.attempt(tier, limits, later, repeat + 1, permit).await {
                Ok(completed) => return Ok(completed),
                Err(error) => error,
            };
            let pause = match &error {
                // A probe is a single attempt.
                AttemptError::Fault(Fault::Unavailable { .. }) if permit.as_ref().is_some_and(Permit::is_probe) => None,
                AttemptError::Fault(fault)
                    if fault.remedy(tier.is_effectful(self.side_effects)) == Remedy::RetryHere =>
                {
                    tier.pause(repeat, requested_delay(fault))
                }
                _ => None,
            };
            match pause {
                // A pause that would not end before the deadline is skipped: the caller gets the error now.
                Some(pause) if pause < self.time_left() => {
                    if let Some(attempt) = self.attempts.last_mut() {
                        attempt.paused = Some(pause);
                    }
                    sleep(pause).await;
                }
                _ => return Err(error),
            }
            repeat += 1;
        }
    }

    async fn attempt(
        &mut self,
        tier: &Tier,
        limits: &Limits,
        later: &[(&Tier, &Leg)],
        number: u32,
        permit: &mut Option<Permit>,
    ) -> Result<Completed, AttemptError> {
        let deadline = self.deadline;
        // A program that ends because of an unmet need moves on if there is a later tier and it may run twice.
        let is_final = later.is_empty() || tier.is_effectful(self.side_effects);
        let mut recorder = AttemptRecorder::new(&tier.name, self.attempts);
        let caller = &self.request.caller;
        // Checked before the queue, so that a request does not wait for a slot only to be rejected.
        if let Err(open) = tier.check_breaker(permit.as_ref()) {
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
                recorder.finish(DEADLINE, Some(NO_SLOT.to_owned()));
                return Err(AttemptError::DeadlinePassed(NO_SLOT));
            }
        };
        // Checked again after the queue: the breaker may have opened meanwhile.
        match tier.permit(permit.take()) {
            Ok(current) => *permit = current,
            Err(open) => {
                recorder.finish("open", Some(open.to_string()));
                return Err(AttemptError::Open(open));
            }
        }
        let (events, from) = Events::channel();
        let (over, is_over) = oneshot::channel();
        let (program, side_effects) = (&self.request.program, self.side_effects);
        let spec = Spec { language: program.language, avoid_interpreter: self.avoid_interpreter };
        let (on_start, mut interpreter) = (self.on_start, None);
        let mut deadline_passed = false;
        // The program's time limit, and the request's remaining time when the program started.
        let (mut wall, mut remaining) = (limits.wall, limits.wall);
        let run = async {
            // The slot is released after the sandbox, and both before the caller has read the last event.
            let _slot = slot;
            let ran = async {
                let opening = tier.sandbox(&spec, limits.wall, number);
                let Ok(opened) = timeout_at(deadline, opening).await else {
                    deadline_passed = true;
                    return Err(Fault::Unavailable { reason: NO_SANDBOX.to_owned() });
                };
                let mut guard = opened?;
                remaining = deadline.saturating_duration_since(Instant::now());
                wall = limits.wall.min(remaining);
                let limits = Limits { wall, ..limits.clone() };
                recorder.start();
                on_start();
                let longest = (wall + tier.config.grace_period).min(remaining + DEADLINE_GRACE);
                let ran = match timeout(longest, guard.sandbox()?.run(program, &limits, &events)).await {
                    Ok(ran) => ran,
                    // The program has used all of its time.
                    Err(_) if Instant::now() >= deadline => Ok(timed_out(wall)),
                    Err(_) => Err(Fault::Lost { reason: "run did not return within its grace period".to_owned() }),
                };
                interpreter = guard.sandbox()?.interpreter();
                match &ran {
                    Ok(Outcome { exit: Exit::Finished(_) | Exit::Raised, .. }) => guard.release(side_effects),
                    // Nothing ran in it: a rate limit is no reason to pay for another sandbox.
                    Err(Fault::Refused { .. }) => guard.release(SideEffects::None),
                    // A program that was interrupted may still be running inside.
                    Ok(_) | Err(Fault::Unsupported(_)) => drop(guard),
                    Err(Fault::Unavailable { .. } | Fault::Lost { .. }) => guard.discard(),
                }
                ran
            }
            .await;
            let _ = over.send(());
            ran
        };
        // If no later tier can continue the program, there is no reason to hold its output back.
        let output_delay = if is_final { Duration::ZERO } else { tier.config.output_delay };
        let (ran, ()) = tokio::join!(run, self.relay.attempt(output_delay, from, is_over));
        let result = match ran {
            // The program needs more time than the whole request allows, which no other tier can provide.
            Err(Fault::Unsupported(Need::Time(_))) if wall >= remaining => Ok(timed_out(wall)),
            Ok(outcome) => {
                let memory = self.request.memory;
                let need = exceeded_limit(&outcome, &Limits { wall, ..limits.clone() }, remaining, memory, is_final);
                let need = match limits.escalation {
                    Escalation::OnNeed => need,
                    // The program ended by itself. That outcome is final unless a later tier may provide what it needs.
                    Escalation::Never => need
                        .or_else(|| unmet_need(tier, self.request, side_effects, &outcome, self.relay))
                        .filter(|need| later.iter().any(|(tier, _)| tier.may_provide(need, memory))),
                };
                match need.filter(|_| Instant::now() < deadline) {
                    Some(need) => Err(Fault::Unsupported(need)),
                    None => Ok(outcome),
                }
            }
            failed => failed,
        };
        if deadline_passed {
            recorder.finish(DEADLINE, Some(NO_SANDBOX.to_owned()));
            self.relay.discard_attempt();
            return Err(AttemptError::DeadlinePassed(NO_SANDBOX));
        }
        match &result {
            Ok(outcome) => recorder.finish(outcome.exit.name(), outcome.unmet_need.as_ref().map(Need::to_string)),
            Err(fault) => {
                self.relay.discard_attempt();
                recorder.finish(fault.name(), Some(fault.detail()))
            }
        };
        if let (Err(fault), Some(attempt)) = (&result, self.attempts.last_mut()) {
            attempt.retry_after = requested_delay(fault);
        }
        result.map(|outcome| (outcome, interpreter)).map_err(AttemptError::Fault)
    }
}

/// Returns the need that made a program raise in a tier that reports needs only after the program has ended. `None`
/// unless the program may run again: nothing that it has done can have had effects outside its sandbox.
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
    // Analysis found effects on the world, but the program may have ended before it reached them.
    let line = relay.error_line().filter(|_| matches!(need, Need::Module(_) | Need::Library(_)))?;
    let effects_until_then = analyse::side_effects_before_import(&request.program, line);
    (!tier.is_effectful(effects_until_then)).then_some(need)
}

/// The outcome of an attempt whose request reached its deadline before the program started.
pub(super) const DEADLINE: &str = "deadline";
const NO_SLOT: &str = "no slot was free";
pub(super) const NO_SANDBOX: &str = "no sandbox was ready";

/// Returns the outcome of a program that used all of its time, `wall`.
fn timed_out(wall: Duration) -> Outcome {
    let usage = Usage { wall, ..Usage::default() };
    Outcome { exit: Exit::TimedOut, observed: None, truncated: false, usage, unmet_need: None }
}

/// Returns the delay that a backend requested before the next try.
pub(crate) fn requested_delay(fault: &Fault) -> Option<Duration> {
    match fault {
        Fault::Refused { retry_after, .. } => *retry_after,
        Fault::Unavailable { .. } | Fault::Lost { .. } | Fault::Unsupported(_) => None,
    }
}

/// Returns the need of a program that exceeded a limit of this tier which is lower than what the request allows
/// (`remaining` time, `memory` in bytes). `None` if the attempt `is_final`.
fn exceeded_limit(
    outcome: &Outcome,
    limits: &Limits,
    remaining: Duration,
    memory: Option<u64>,
    is_final: bool,
) -> Option<Need> {
    match outcome.exit {
        _ if is_final => None,
        Exit::TimedOut if limits.wall < remaining => Some(Need::Time(limits.wall)),
        Exit::OutOfMemory if memory.is_none_or(|memory| limits.memory < memory) => Some(Need::Memory(limits.memory)),
        _ => None,
    }
}

/// Returns the error of a request that was granted no slot.
pub(crate) fn overloaded(tier: &TierName, refusal: SlotRefusal) -> WalkError {
    let retry_after = refusal.retry_after();
    WalkError::Overloaded { reason: format!("{tier}: {refusal}"), retry_after }
}

impl AttemptError {
    /// Returns the error of a walk that ends with this attempt. `effectful`: the program must not run twice in this
    /// tier.
    pub(super) fn walk_error(self, tier: &Tier, effectful: bool) -> WalkError {
        let name = &tier.name;
        match self {
            Self::Open(open) => {
                WalkError::Unavailable { reason: format!("{name}: {open}"), retry_after: open.retry_after }
            }
            Self::NoSlot(refusal) => overloaded(name, refusal),
            Self::DeadlinePassed(missing) => {
                WalkError::TimedOut { reason: format!("while waiting for tier {name}: {missing}") }
            }
            Self::Fault(fault) if fault.remedy(effectful) == Remedy::GiveUp => {
                WalkError::Lost { reason: format!("{name}: {}", fault.detail()) }
            }
            Self::Fault(Fault::Unsupported(need)) => {
                WalkError::NoTier { reason: format!("tier {name} does not provide {need}") }
            }
            Self::Fault(fault) => WalkError::Unavailable {
                reason: format!("{name}: {fault}"),
                retry_after: requested_delay(&fault).unwrap_or(tier.config.backoff.max_delay),
            },
        }
    }
}

#[cfg(test)]
mod tests;
