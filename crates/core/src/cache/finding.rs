//! What the end of a run says about its result: whether the same request must have the same one.

use switchtower_contract::{Effect, Exit, InterpreterId, Limits, Outcome, Output, Randomness};

use super::StoredResult;
use super::compare::shows_an_address;
use crate::analyse::Verdict;
use crate::route::TierName;

/// A run that ended.
pub struct Run<'a> {
    pub tier: &'a TierName,
    /// Its tier sees everything that a program asks for.
    pub observes: bool,
    pub outcome: &'a Outcome,
    pub output: &'a Output,
    /// What analysis says of the program.
    pub verdict: &'a Verdict,
    pub randomness: Randomness,
    pub limits: &'a Limits,
    pub interpreter: Option<InterpreterId>,
}

/// What a run's result may be used for.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// For this request only.
    Unique,
    /// The sandbox saw that the program asked for nothing that differs from run to run: the result holds by itself.
    Observed(StoredResult),
    /// Nobody saw what the program asked for, and its text proves that it must be the same again: the result holds once a
    /// run in another interpreter agrees.
    Proven(StoredResult, InterpreterId),
}

impl Finding {
    pub fn of(run: &Run<'_>) -> Self {
        let Some(kept) = StoredResult::new(run.tier, run.outcome, run.output) else { return Self::Unique };
        let seeded = matches!(run.randomness, Randomness::Seeded(_));
        match run.outcome.observed {
            // What the sandbox saw and what the program looks like must agree; a given seed settles both.
            Some(effects) if run.observes => {
                let settled = |effect| seeded && matches!(effect, Effect::Clock | Effect::Randomness);
                let pure = effects.iter().all(settled) && (run.verdict.doubt.is_none() || seeded);
                if pure { Self::Observed(kept) } else { Self::Unique }
            }
            // It was seen to ask for something, and may have asked for more.
            Some(_) => Self::Unique,
            // An exception's message is written by whatever raised it, which the proof does not look into.
            None => match (run.outcome.exit, run.interpreter) {
                (Exit::Finished(_), Some(interpreter))
                    if run.verdict.deterministic
                        && run.verdict.doubt.is_none()
                        && !was_strained(run)
                        && !shows_an_address(run.output) =>
                {
                    Self::Proven(kept, interpreter)
                }
                _ => Self::Unique,
            },
        }
    }
}

/// True where a run came so near to one of its limits that another might have been cut short there, or was, and caught it.
fn was_strained(run: &Run<'_>) -> bool {
    let usage = &run.outcome.usage;
    usage.memory > run.limits.memory / 2 || usage.wall > run.limits.wall / 2
}
