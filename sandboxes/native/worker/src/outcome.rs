//! Decides how a run ended, from what the worker observed. A child's own report counts only where nothing else decides.

use std::os::unix::process::ExitStatusExt as _;

use switchtower_contract::{
    Change, Effect, Effects, Escalation, Exit, Failure, Fault, Limits, Need, Outcome, Usage, python,
};
use switchtower_jail::ProcessEnd;

use crate::child_main;
use crate::child_protocol::ChildRunEnd;
use crate::supervise::ChildRunKind;

/// The outcome of a run.
pub(crate) struct RunOutcome {
    pub(crate) ended: Result<Outcome, Fault>,
    pub(crate) changes: Vec<Change>,
    /// The child can run the next cell.
    pub(crate) alive: bool,
}

/// Why the worker stopped a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its time limit was reached.
    TimedOut,
    Cancelled,
    Need(Need),
    /// It sent an invalid report, or exceeded a limit of files or threads.
    Violation,
    /// It did not read its message in time.
    NotReading,
}

/// Everything that was observed of a run.
pub(crate) struct Observations {
    pub(crate) kind: ChildRunKind,
    /// Why the worker stopped it, if it did.
    pub(crate) stop: Option<Stop>,
    /// What it reported as its end.
    pub(crate) reported_end: Option<(ChildRunEnd, Vec<Change>)>,
    /// How its process ended, if it has.
    pub(crate) end: Option<ProcessEnd>,
    pub(crate) unmet_need: Option<Need>,
    /// The effects that its libc calls had; `None` where it did not report them.
    pub(crate) observed: Option<Effects>,
    pub(crate) usage: Usage,
    pub(crate) truncated: bool,
}

impl Observations {
    /// Returns the outcome, and the exception that ended the run, if one did.
    pub(crate) fn evaluate(self, limits: &Limits) -> (RunOutcome, Option<Failure>) {
        let Self { kind, stop, reported_end, end, unmet_need, observed, usage, truncated } = self;
        let alive = end.is_none() && kind != ChildRunKind::Program;
        // Internal code does not move to another tier, and neither does a kernel that lives on.
        let escalates = limits.escalation == Escalation::OnNeed && kind != ChildRunKind::Internal && !alive;
        let (reported, changes) =
            reported_end.map_or((None, Vec::new()), |(reported, changes)| (Some(reported), changes));
        let (exit, failure) = match (stop, reported) {
            (Some(Stop::Cancelled), _) => (Err(Fault::Lost { reason: "it was cancelled".to_owned() }), None),
            (Some(Stop::Need(need)), _) => (Err(Fault::Unsupported(need)), None),
            (Some(Stop::NotReading), _) => {
                (Err(Fault::Lost { reason: "it did not read its message in time".to_owned() }), None)
            }
            (Some(Stop::Violation), _) => (Ok(Exit::Killed), None),
            (Some(Stop::TimedOut), _) => (Ok(Exit::TimedOut), None),
            (None, Some(ChildRunEnd::Finished(code))) => (Ok(Exit::Finished(code)), None),
            (None, Some(ChildRunEnd::Raised(failure))) => {
                let out_of_memory =
                    python::MEMORY_ERRORS.contains(&failure.name.rsplit('.').next().unwrap_or_default());
                (Ok(if out_of_memory { Exit::OutOfMemory } else { Exit::Raised }), Some(failure))
            }
            (None, None) => (end.as_ref().map_or_else(process_not_seen, unreported_exit), None),
        };
        let disk = failure.as_ref().filter(|failure| is_out_of_disk(failure)).map(|_| Need::Disk);
        let ended = match exit {
            Ok(Exit::Raised) if escalates && disk.is_some() => Err(Fault::Unsupported(Need::Disk)),
            Ok(Exit::TimedOut) if escalates => Err(Fault::Unsupported(Need::Time(limits.wall))),
            Ok(Exit::OutOfMemory) if escalates => Err(Fault::Unsupported(Need::Memory(limits.memory))),
            Ok(exit) => {
                let memory = (exit == Exit::OutOfMemory).then_some(Need::Memory(limits.memory));
                // The effects of a process that ended without a report are not known.
                let observed = observed.unwrap_or_else(|| [Effect::Identity].into_iter().collect());
                let observed = (!observed.is_empty()).then_some(observed);
                Ok(Outcome { exit, observed, truncated, usage, unmet_need: unmet_need.or(memory).or(disk) })
            }
            Err(fault) => Err(fault),
        };
        (RunOutcome { ended, changes, alive }, failure)
    }
}

/// Returns whether an exception says that a file cannot grow: 27 is the error of the limit on a file's size, 28 that of the file
/// system's.
fn is_out_of_disk(failure: &Failure) -> bool {
    let says = |text: &str| text.starts_with("[Errno 27]") || text.starts_with("[Errno 28]");
    failure.name == "OSError" && (says(&failure.value))
}

fn process_not_seen<T>() -> Result<T, Fault> {
    Err(Fault::Lost { reason: "the end of a child was not seen".to_owned() })
}

/// Returns the exit of a child that did not report its end, from its status.
fn unreported_exit(end: &ProcessEnd) -> Result<Exit, Fault> {
    let status = end.status;
    match (status.code(), status.signal()) {
        (Some(child_main::NOT_JAILED), _) => {
            Err(Fault::Unavailable { reason: "a child could not enter its jail".to_owned() })
        }
        // `os._exit`.
        (Some(code), _) => Ok(Exit::Finished(code)),
        (None, Some(libc::SIGXCPU)) => Ok(Exit::TimedOut),
        // The worker did not send it: the kernel ran out of memory.
        (None, Some(libc::SIGKILL)) => Ok(Exit::OutOfMemory),
        (None, _) => Ok(Exit::Killed),
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;
    use std::time::Duration;

    use super::*;

    fn evaluate(
        stop: Option<Stop>,
        reported_end: Option<ChildRunEnd>,
        status: Option<i32>,
        escalation: Escalation,
    ) -> RunOutcome {
        let end =
            status.map(|status| ProcessEnd { status: ExitStatus::from_raw(status), cpu: Duration::ZERO, peak: 0 });
        let reported_end = reported_end.map(|reported_end| (reported_end, Vec::new()));
        let (kind, usage) = (ChildRunKind::Program, Usage::default());
        let observed =
            Observations { kind, stop, reported_end, end, unmet_need: None, observed: None, usage, truncated: false };
        observed.evaluate(&Limits { escalation, ..Limits::default() }).0
    }

    fn exit(finish: RunOutcome) -> Exit {
        finish.ended.unwrap().exit
    }

    #[test]
    fn what_a_program_says_of_its_end_counts_only_where_nothing_stopped_it() {
        let reported = || Some(ChildRunEnd::Finished(0));
        assert_eq!(exit(evaluate(None, reported(), None, Escalation::Never)), Exit::Finished(0));
        assert_eq!(exit(evaluate(Some(Stop::TimedOut), reported(), Some(9), Escalation::Never)), Exit::TimedOut);
        assert_eq!(exit(evaluate(Some(Stop::Violation), reported(), Some(9), Escalation::Never)), Exit::Killed);
        assert!(matches!(
            evaluate(Some(Stop::Cancelled), reported(), Some(9), Escalation::Never).ended,
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
    fn too_little_space_for_files_is_a_need() {
        let raised = |value: &str, escalation| {
            let (name, traceback) = ("OSError".to_owned(), String::new());
            let failure = Failure { name, value: value.to_owned(), traceback, line: None };
            evaluate(None, Some(ChildRunEnd::Raised(failure)), None, escalation).ended
        };
        for full in ["[Errno 27] File too large: 'a'", "[Errno 28] No space left on device"] {
            assert_eq!(raised(full, Escalation::OnNeed), Err(Fault::Unsupported(Need::Disk)), "{full}");
            let ended = raised(full, Escalation::Never).unwrap();
            assert_eq!((ended.exit, ended.unmet_need), (Exit::Raised, Some(Need::Disk)), "{full}");
        }
        assert_eq!(raised("[Errno 2] No such file", Escalation::OnNeed).unwrap().unmet_need, None);
    }

    #[test]
    fn too_little_time_or_memory_is_a_need_where_another_tier_stands_ready() {
        let failure =
            |name: &str| Failure { name: name.into(), value: String::new(), traceback: String::new(), line: None };
        let raised = |name| evaluate(None, Some(ChildRunEnd::Raised(failure(name))), None, Escalation::OnNeed).ended;
        assert!(matches!(raised("MemoryError"), Err(Fault::Unsupported(Need::Memory(_)))));
        assert!(matches!(raised("_ArrayMemoryError"), Err(Fault::Unsupported(Need::Memory(_)))));
        assert_eq!(raised("NoMemoryError").unwrap().exit, Exit::Raised);
        let late = evaluate(Some(Stop::TimedOut), None, Some(9), Escalation::OnNeed).ended;
        assert!(matches!(late, Err(Fault::Unsupported(Need::Time(_)))));
    }
}
