//! Classification of a finished run: whether every run of the same request must have the same result.

use switchtower_contract::{Effect, Exit, InterpreterId, Limits, Outcome, Output, Randomness};

use super::StoredResult;
use super::compare::contains_address;
use crate::analyse::Verdict;
use crate::route::TierName;

/// A finished run.
pub struct Run<'a> {
    pub tier: &'a TierName,
    /// Whether its tier observes every effect of a program.
    pub observes: bool,
    pub outcome: &'a Outcome,
    pub output: &'a Output,
    /// The static analysis of the program.
    pub verdict: &'a Verdict,
    pub randomness: Randomness,
    pub limits: &'a Limits,
    pub interpreter: Option<InterpreterId>,
}

/// Whether a run's result may answer other requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// It may not: another run may have another result.
    Unique,
    /// It may: the sandbox observed that the program used nothing that differs between runs.
    Observed(StoredResult),
    /// It may once a run in another interpreter has the same result: the effects were not observed, but the static proof says
    /// that the program is deterministic.
    Proven(StoredResult, InterpreterId),
}

impl Finding {
    /// Classifies a finished run.
    pub fn of(run: &Run<'_>) -> Self {
        let Some(result) = StoredResult::new(run.tier, run.outcome, run.output) else { return Self::Unique };
        let seeded = matches!(run.randomness, Randomness::Seeded(_));
        match run.outcome.observed {
            // Observation and analysis must agree. With a given seed, clock and randomness are the same in every run.
            Some(effects) if run.observes => {
                let fixed = |effect| seeded && matches!(effect, Effect::Clock | Effect::Randomness);
                let pure = effects.iter().all(fixed) && (run.verdict.doubt.is_none() || seeded);
                if pure { Self::Observed(result) } else { Self::Unique }
            }
            // The tier observes only some effects, so there may have been others.
            Some(_) => Self::Unique,
            // The proof does not cover the message of an exception, so only a program that finished is a candidate.
            None => match (run.outcome.exit, run.interpreter) {
                (Exit::Finished(_), Some(interpreter))
                    if run.verdict.deterministic
                        && run.verdict.doubt.is_none()
                        && !was_near_limit(run)
                        && !contains_address(run.output) =>
                {
                    Self::Proven(result, interpreter)
                }
                _ => Self::Unique,
            },
        }
    }
}

/// Returns whether a run used more than half of its memory or time limit: another run might reach the limit, or this one did
/// and caught the exception.
fn was_near_limit(run: &Run<'_>) -> bool {
    let usage = &run.outcome.usage;
    usage.memory > run.limits.memory / 2 || usage.wall > run.limits.wall / 2
}
