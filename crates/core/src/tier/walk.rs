//! Walks a route: tries its tiers in order until one of them returns an outcome.
//!
//! [`Fault::remedy`] decides which faults let a program move to the next tier. The budget of a leg is ignored in a tier
//! whose programs can have effects outside their sandbox; a program that started in such a tier moves on only if it had
//! no such effects and ended because of an unmet need that a later tier may meet.
//!
//! The timeout of a request covers the whole walk: waiting for slots and sandboxes, all runs, and the pauses between
//! attempts.

use std::time::Duration;

use switchtower_contract::{Escalation, Fault, InterpreterId, Limits, Need, Outcome, Output, Remedy, rounded};
use tokio::time::{Instant, sleep};

use super::attempt::Attempt;
use super::breaker::{Open, Permit};
use super::queue::SlotRefusal;
use super::relay::Relay;
use super::{Tier, Tiers};
use crate::request::{Request, SideEffects};
use crate::route::{Leg, Route, TierName};

mod one_attempt;

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
        let mut walk = Walk { request, options, relay, attempts };
        let mut walk_error = WalkError::NoTier { reason: format!("no tier of the route {route} can run it") };
        let may_provide = |tier: &Tier, need: &Need| tier.may_provide(need, request.program.language, request.memory);
        let mut at = 0;
        while let Some(&(tier, leg)) = legs.get(at) {
            let later = &legs[at + 1..];
            let limits = walk.limits(tier, leg, later.is_empty());
            match walk.run_on_tier(tier, &limits, later).await {
                Ok((outcome, interpreter)) => {
                    let output = walk.relay.finish();
                    let unmet_need = outcome.harmful_need();
                    let note = unmet_need.map(|need| self.route_note(request, route, walk.attempts, need, &tier.name));
                    return Ok(WalkOutcome { tier: tier.name.clone(), outcome, output, interpreter, limits, note });
                }
                Err(AttemptError::Fault(Fault::Unsupported(need))) if at + 1 < legs.len() => {
                    match legs[at + 1..].iter().position(|(tier, _)| may_provide(tier, &need)) {
                        Some(skipped) => at += 1 + skipped,
                        // No later tier provides it: the program runs in this tier again and gets its own exception.
                        None => legs.truncate(at + 1),
                    }
                    walk_error = WalkError::NoTier { reason: format!("it needs {need}") };
                }
                Err(error) => {
                    walk_error = error.walk_error(tier, tier.is_effectful(options.side_effects));
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
            .filter(|(tier, _)| tier.offer().languages.has(request.program.language))
            .filter(|(tier, _)| request.isolation.is_none_or(|floor| tier.offer().isolation >= floor))
            .collect()
    }
}

struct Walk<'a> {
    request: &'a Request,
    options: &'a WalkOptions<'a>,
    relay: &'a mut Relay,
    attempts: &'a mut Vec<Attempt>,
}

impl Walk<'_> {
    /// Returns the time until the request's deadline.
    fn time_left(&self) -> Duration {
        self.options.deadline.saturating_duration_since(Instant::now())
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
        let is_final = is_last || tier.offer().effectful;
        let budget = if is_final { None } else { leg.budget };
        Limits {
            wall: self.time_left().min(budget.unwrap_or(Duration::MAX)).min(tier.offer().max_wall),
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
                    if fault.remedy(tier.is_effectful(self.options.side_effects)) == Remedy::RetryHere =>
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
}

/// The outcome of an attempt whose request reached its deadline before the program started.
const DEADLINE: &str = "deadline";
/// What such an attempt was waiting for.
const NO_SLOT: &str = "no slot was free";
pub(super) const NO_SANDBOX: &str = "no sandbox was ready";
const STARTING: &str = "it is still starting";

/// Returns the delay that a backend requested before the next try.
pub(crate) fn requested_delay(fault: &Fault) -> Option<Duration> {
    match fault {
        Fault::Refused { retry_after, .. } => *retry_after,
        Fault::Unavailable { .. } | Fault::Lost { .. } | Fault::Unsupported(_) => None,
    }
}

/// Returns the error of a request that was granted no slot.
pub(crate) fn overloaded(tier: &TierName, refusal: SlotRefusal) -> WalkError {
    let retry_after = refusal.retry_after();
    WalkError::Overloaded { reason: format!("{tier}: {refusal}"), retry_after }
}

impl AttemptError {
    /// Returns the outcome and the detail of the attempt's record.
    pub(super) fn recorded(&self) -> (&'static str, String) {
        match self {
            Self::Open(open) => ("open", open.to_string()),
            Self::NoSlot(refusal) => ("overloaded", refusal.to_string()),
            Self::DeadlinePassed(missing) => (DEADLINE, (*missing).to_owned()),
            Self::Fault(fault) => (fault.name(), fault.detail()),
        }
    }

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
