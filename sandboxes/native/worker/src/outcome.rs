//! How a child's work ended: evaluate by what was seen of it, not by what it wishes to be believed.

use std::os::unix::process::ExitStatusExt as _;

use switchtower_contract::{Change, Effect, Effects, Escalation, Exit, Failure, Fault, Limits, Need, Outcome, Usage};
use switchtower_jail::ProcessEnd;

use crate::child_main;
use crate::child_protocol::RunEnd;
use crate::supervise::RunKind;

/// How it ended.
pub(crate) struct RunOutcome {
    pub(crate) ended: Result<Outcome, Fault>,
    pub(crate) changes: Vec<Change>,
    /// The child can do the next thing.
    pub(crate) alive: bool,
}

/// Why a child was stopped from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Out of time.
    TimedOut,
    Cancelled,
    Need(Need),
    /// It said something that no child says, or has more files or threads than it may have.
    Violation,
    /// It did not read what it was given.
    NotReading,
}

/// All that was seen of it.
pub(crate) struct Observations {
    pub(crate) what: RunKind,
    /// Why it was stopped, where it was.
    pub(crate) stop: Option<Stop>,
    /// What it said last.
    pub(crate) ending: Option<(RunEnd, Vec<Change>)>,
    /// How its process ended, where it has.
    pub(crate) end: Option<ProcessEnd>,
    pub(crate) unmet_need: Option<Need>,
    /// What the program was noticed to ask the world for; none where it did not come to say so.
    pub(crate) noticed: Option<Effects>,
    pub(crate) usage: Usage,
    pub(crate) truncated: bool,
}

impl Observations {
    /// The end, and the exception that went through, where one did.
    pub(crate) fn evaluate(self, limits: &Limits) -> (RunOutcome, Option<Failure>) {
        let Self { what, stop, ending, end, unmet_need, noticed, usage, truncated } = self;
        let alive = end.is_none() && what != RunKind::Program;
        // Code of our own moves nowhere, and neither does a kernel that goes on.
        let moves = limits.escalation == Escalation::OnNeed && what != RunKind::Internal && !alive;
        let (said, changes) = ending.map_or((None, Vec::new()), |(said, changes)| (Some(said), changes));
        let (exit, failure) = match (stop, said) {
            (Some(Stop::Cancelled), _) => (Err(Fault::Lost { reason: "it was cancelled".to_owned() }), None),
            (Some(Stop::Need(need)), _) => (Err(Fault::Unsupported(need)), None),
            (Some(Stop::NotReading), _) => {
                (Err(Fault::Lost { reason: "it does not read what it is given".to_owned() }), None)
            }
            (Some(Stop::Violation), _) => (Ok(Exit::Killed), None),
            (Some(Stop::TimedOut), _) => (Ok(Exit::TimedOut), None),
            (None, Some(RunEnd::Finished(code))) => (Ok(Exit::Finished(code)), None),
            (None, Some(RunEnd::Raised(failure))) => {
                let out_of_memory = MEMORY_ERRORS.contains(&failure.name.rsplit('.').next().unwrap_or_default());
                (Ok(if out_of_memory { Exit::OutOfMemory } else { Exit::Raised }), Some(failure))
            }
            (None, None) => (end.as_ref().map_or_else(gone, left), None),
        };
        let ended = match exit {
            Ok(Exit::TimedOut) if moves => Err(Fault::Unsupported(Need::Time(limits.wall))),
            Ok(Exit::OutOfMemory) if moves => Err(Fault::Unsupported(Need::Memory(limits.memory))),
            Ok(exit) => {
                let memory = (exit == Exit::OutOfMemory).then_some(Need::Memory(limits.memory));
                // Of a process that ended in its own way nobody knows what it asked for.
                let noticed = noticed.unwrap_or_else(|| [Effect::Identity].into_iter().collect());
                let observed = (!noticed.is_empty()).then_some(noticed);
                Ok(Outcome { exit, observed, truncated, usage, unmet_need: unmet_need.or(memory) })
            }
            Err(fault) => Err(fault),
        };
        (RunOutcome { ended, changes, alive }, failure)
    }
}

/// Exceptions that say that there was no memory left: Python's, and numpy's.
const MEMORY_ERRORS: [&str; 2] = ["MemoryError", "_ArrayMemoryError"];

fn gone<T>() -> Result<T, Fault> {
    Err(Fault::Lost { reason: "a child's end was not seen".to_owned() })
}

/// How a child ended that did not say so.
fn left(end: &ProcessEnd) -> Result<Exit, Fault> {
    let status = end.status;
    match (status.code(), status.signal()) {
        (Some(child_main::NOT_JAILED), _) => {
            Err(Fault::Unavailable { reason: "a child did not get into its jail".to_owned() })
        }
        // `os._exit`.
        (Some(code), _) => Ok(Exit::Finished(code)),
        (None, Some(libc::SIGXCPU)) => Ok(Exit::TimedOut),
        // Nobody here sent it: the system ran out of memory.
        (None, Some(libc::SIGKILL)) => Ok(Exit::OutOfMemory),
        (None, _) => Ok(Exit::Killed),
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;
    use std::time::Duration;

    use super::*;

    fn evaluate(stop: Option<Stop>, ending: Option<RunEnd>, status: Option<i32>, escalation: Escalation) -> RunOutcome {
        let end =
            status.map(|status| ProcessEnd { status: ExitStatus::from_raw(status), cpu: Duration::ZERO, peak: 0 });
        let ending = ending.map(|ending| (ending, Vec::new()));
        let (what, usage) = (RunKind::Program, Usage::default());
        let observed =
            Observations { what, stop, ending, end, unmet_need: None, noticed: None, usage, truncated: false };
        observed.evaluate(&Limits { escalation, ..Limits::default() }).0
    }

    fn exit(finish: RunOutcome) -> Exit {
        finish.ended.unwrap().exit
    }

    #[test]
    fn what_a_program_says_of_its_end_counts_only_where_nothing_stopped_it() {
        let said = || Some(RunEnd::Finished(0));
        assert_eq!(exit(evaluate(None, said(), None, Escalation::Never)), Exit::Finished(0));
        assert_eq!(exit(evaluate(Some(Stop::TimedOut), said(), Some(9), Escalation::Never)), Exit::TimedOut);
        assert_eq!(exit(evaluate(Some(Stop::Violation), said(), Some(9), Escalation::Never)), Exit::Killed);
        assert!(matches!(
            evaluate(Some(Stop::Cancelled), said(), Some(9), Escalation::Never).ended,
            Err(Fault::Lost { .. })
        ));
    }

    #[test]
    fn a_process_that_says_nothing_is_judged_by_how_it_ended() {
        // Statuses as wait(2) has them: a code in the second byte, a signal in the first.
        for (status, expected) in [
            (3 << 8, Exit::Finished(3)),
            (libc::SIGKILL, Exit::OutOfMemory),
            (libc::SIGSYS, Exit::Killed),
            (libc::SIGSEGV, Exit::Killed),
            (libc::SIGXCPU, Exit::TimedOut),
        ] {
            assert_eq!(exit(evaluate(None, None, Some(status), Escalation::Never)), expected, "{status}");
        }
    }

    #[test]
    fn too_little_time_or_memory_is_a_need_where_another_tier_stands_ready() {
        let failure =
            |name: &str| Failure { name: name.into(), value: String::new(), traceback: String::new(), line: None };
        let raised = |name| evaluate(None, Some(RunEnd::Raised(failure(name))), None, Escalation::OnNeed).ended;
        assert!(matches!(raised("MemoryError"), Err(Fault::Unsupported(Need::Memory(_)))));
        assert!(matches!(raised("_ArrayMemoryError"), Err(Fault::Unsupported(Need::Memory(_)))));
        assert_eq!(raised("NoMemoryError").unwrap().exit, Exit::Raised);
        let late = evaluate(Some(Stop::TimedOut), None, Some(9), Escalation::OnNeed).ended;
        assert!(matches!(late, Err(Fault::Unsupported(Need::Time(_)))));
    }
}
