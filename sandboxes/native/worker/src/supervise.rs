//! Supervises a child while it runs: reads its output and reports, enforces its limits, and finds out how it ended. It never
//! blocks, so that one thread supervises many children.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use switchtower_contract::{Change, Effects, Escalation, Event, Limits, Need, Price, Usage};
use switchtower_jail::ProcessEnd;
use switchtower_worker::output::{OutputBuffer, StdStream};

use crate::child::Child;
use crate::child_protocol::{ChildRunEnd, FromChild};
use crate::outcome::{Observations, RunOutcome, Stop};
use crate::proc_table::ProcTable;

/// The interval of steps of a child without events, in which gathered output is sent on.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// The interval at which files and threads are counted where the kernel does not limit them.
const COUNT_INTERVAL: Duration = Duration::from_millis(50);
/// How long an interrupted cell has to end before its kernel is killed.
const INTERRUPT_GRACE: Duration = Duration::from_millis(500);
/// How long a child may leave a message unread.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// The kind of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildRunKind {
    Program,
    Cell,
    Internal,
}

/// What supervision needs beside the child.
pub(crate) struct SuperviseContext<'a> {
    pub(crate) processes: &'a ProcTable,
    pub(crate) child_limits: ChildLimits,
}

/// The limits of a child that the worker enforces where the kernel does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChildLimits {
    /// Bytes of files.
    pub(crate) bytes: u64,
    /// Files and folders.
    pub(crate) entries: u64,
    pub(crate) threads: u64,
}

/// Facts about the parent and the process for one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signals {
    /// The parent has cancelled the run.
    pub(crate) cancelled: bool,
    /// The parent is slow to read reports: nothing is read from the child for now.
    pub(crate) congested: bool,
    /// The pidfd says that the child has ended.
    pub(crate) ended: bool,
}

/// A child and its run.
pub(crate) struct SupervisedRun {
    child: Child,
    kind: ChildRunKind,
    limits: Limits,
    output: OutputBuffer,
    started: Instant,
    /// Bytes of its memory at the start.
    memory_before: u64,
    stop: Option<Stop>,
    /// Why and when it was interrupted.
    interrupted: Option<(Stop, Instant)>,
    reported_end: Option<(ChildRunEnd, Vec<Change>)>,
    unmet_need: Option<Need>,
    observed: Option<Effects>,
    last_count: Instant,
    last_step: Instant,
    /// When it last read from its socket.
    last_read: Instant,
    /// It has closed its socket, and is killed at this time.
    kill_at: Option<Instant>,
}

impl SupervisedRun {
    /// Starts to supervise a child that has just been given its message.
    pub(crate) fn new(child: Child, kind: ChildRunKind, limits: Limits, output: OutputBuffer) -> Self {
        let (started, memory_before) = (now(), child.memory_at_start());
        Self {
            child,
            kind,
            limits,
            output,
            started,
            memory_before,
            stop: None,
            interrupted: None,
            reported_end: None,
            unmet_need: None,
            observed: None,
            last_count: started,
            last_step: started,
            last_read: started,
            kill_at: None,
        }
    }

    /// Returns the descriptors to poll: its socket, standard output, standard error and pidfd; -1 for those that are not
    /// polled. And whether to poll the socket for writing.
    pub(crate) fn descriptors(&self, congested: bool) -> ([RawFd; 4], bool) {
        let [socket, stdout, stderr, pidfd] = self.child.descriptors();
        let writes = self.child.unread() > 0 && self.stop.is_none();
        if congested {
            return ([if writes { socket } else { -1 }, -1, -1, pidfd], writes);
        }
        // A socket that it has closed is not polled.
        let socket = if self.kill_at.is_some() && self.reported_end.is_none() { -1 } else { socket };
        ([socket, stdout, stderr, pidfd], writes)
    }

    /// Returns whether a step is due without an event.
    pub(crate) fn is_due(&self) -> bool {
        let time = now();
        time - self.last_step >= TICK || self.interrupted.is_none() && time >= self.deadline()
    }

    /// Does one step. Returns how the run ended once it has: with the end of the process, or `None` where the child lives on.
    pub(crate) fn step(&mut self, context: &SuperviseContext<'_>, signals: Signals) -> Option<Option<ProcessEnd>> {
        self.last_step = now();
        if signals.ended
            && let Some(end) = self.child.ended().ok().flatten()
        {
            // Its last reports and output are still in the socket and the pipes.
            let mut is_sound = true;
            while is_sound && self.child.read_socket() {
                is_sound = self.read_reports();
            }
            if !is_sound || !self.read_reports() {
                self.stop.get_or_insert(Stop::Violation);
            }
            self.read_output(true);
            return Some(Some(end));
        }
        self.write_pending();
        if !signals.congested {
            let socket = self.child.read_socket();
            self.read_output(false);
            if !self.read_reports() {
                self.stop_with(Stop::Violation);
            }
            self.output.tick();
            if self.reported_end.is_some() {
                self.read_output(false);
                if self.stop.is_none() {
                    return Some(None);
                }
            }
            if !socket && self.kill_at.is_none() {
                // A child that closed its socket may run until its deadline, without being read.
                self.kill_at = Some(self.deadline());
            }
        }
        self.enforce_limits(context, signals.cancelled);
        if self.kill_at.is_some_and(|at| self.last_step >= at) {
            self.child.kill();
        }
        None
    }

    /// Returns the outcome of the run, and the child.
    pub(crate) fn into_outcome(self, end: Option<ProcessEnd>, context: &SuperviseContext<'_>) -> (RunOutcome, Child) {
        let Self {
            mut child,
            kind,
            limits,
            mut output,
            started,
            memory_before,
            stop,
            interrupted,
            reported_end,
            unmet_need,
            observed,
            ..
        } = self;
        output.flush();
        let (cpu, peak) = match &end {
            Some(end) => (end.cpu, end.peak),
            None => (child.used(), child.peak(context.processes)),
        };
        match kind {
            ChildRunKind::Program => child.count_files_finally(),
            // The files of a kernel stay.
            ChildRunKind::Cell | ChildRunKind::Internal => drop(child.count_files()),
        }
        let memory = peak.saturating_sub(memory_before).saturating_add(child.files());
        let usage = Usage { wall: now() - started, cpu, memory, price: Price::default() };
        // A cell that ended when interrupted was stopped all the same, and its kernel lives on.
        let stop = stop.or(interrupted.map(|(why, _)| why));
        let observations = Observations {
            kind,
            stop,
            reported_end,
            end,
            unmet_need,
            observed,
            usage,
            truncated: output.is_truncated(),
        };
        let (outcome, failure) = observations.evaluate(&limits);
        if let Some(failure) = failure {
            output.event(Event::Error(failure));
        }
        (outcome, child)
    }

    /// Writes the rest of its message, where it did not fit into the socket at once.
    fn write_pending(&mut self) {
        if self.child.unread() == 0 {
            self.last_read = self.last_step;
        } else if self.stop.is_none() {
            let before = self.child.unread();
            let passed = self.child.write_pending();
            if self.child.unread() < before {
                self.last_read = self.last_step;
            }
            if passed.is_err() || self.last_step - self.last_read >= READ_TIMEOUT {
                self.stop_with(Stop::NotReading);
            }
        }
    }

    /// Returns whether the run can be cancelled.
    pub(crate) fn is_cancellable(&self) -> bool {
        self.stop.is_none() && self.interrupted.is_none()
    }

    /// Returns how long until the next step is due.
    pub(crate) fn next_step_within(&self) -> Duration {
        let until = if self.interrupted.is_none() { self.deadline() } else { self.last_step + TICK };
        until.saturating_duration_since(now()).min(TICK)
    }

    fn deadline(&self) -> Instant {
        self.started + self.limits.wall
    }

    fn read_output(&mut self, all: bool) {
        let Self { child: Child { stdout, stderr, .. }, output, .. } = self;
        stdout.read_available(all, |bytes| output.write(StdStream::Stdout, bytes));
        stderr.read_available(all, |bytes| output.write(StdStream::Stderr, bytes));
    }

    /// Reads its reports. Returns false where one is invalid or out of order.
    fn read_reports(&mut self) -> bool {
        loop {
            let report = match self.child.next_report() {
                Ok(Some(report)) => report,
                Ok(None) => return true,
                Err(_) => return false,
            };
            if self.reported_end.is_some() {
                return false;
            }
            match (report, self.kind) {
                (FromChild::Show { data, main }, _) => {
                    // What it printed before the value is in the pipes.
                    self.read_output(false);
                    self.output.show(data, main);
                    self.child.confirm_value();
                }
                (FromChild::Need(need), _) => {
                    if self.limits.escalation == Escalation::OnNeed {
                        self.stop_with(Stop::Need(need));
                    } else {
                        self.unmet_need.get_or_insert(need);
                    }
                }
                (FromChild::Observed(effects), ChildRunKind::Program) if self.observed.is_none() => {
                    self.observed = Some(effects);
                }
                (FromChild::Ended(reported_end), ChildRunKind::Program | ChildRunKind::Internal) => {
                    self.reported_end = Some((reported_end, Vec::new()));
                }
                (FromChild::CellEnded { ending, changes }, ChildRunKind::Cell) => {
                    self.reported_end = Some((ending, changes));
                }
                (FromChild::Observed(_) | FromChild::Ended(_) | FromChild::CellEnded { .. }, _) => return false,
            }
        }
    }

    /// Stops the run where it exceeds a limit or is cancelled.
    fn enforce_limits(&mut self, context: &SuperviseContext<'_>, cancelled: bool) {
        if self.stop.is_some() {
            return;
        }
        let time = now();
        let why = match &self.interrupted {
            Some((why, _)) => Some(why.clone()),
            None if cancelled || !self.output.has_receiver() => Some(Stop::Cancelled),
            None if time >= self.deadline() && self.reported_end.is_none() => Some(Stop::TimedOut),
            None => None,
        };
        match (why, &self.interrupted) {
            (Some(why), None) if self.kind == ChildRunKind::Program => self.stop_with(why),
            (Some(why), None) => {
                self.interrupted = Some((why, time));
                self.child.signal(libc::SIGINT);
            }
            (Some(why), Some((_, since))) if time - *since >= INTERRUPT_GRACE => self.stop_with(why),
            _ => {}
        }
        if time - self.last_count >= COUNT_INTERVAL {
            self.last_count = time;
            let (bytes, entries) = self.child.count_files().unwrap_or_default();
            let threads = self.child.forked().threads().unwrap_or_default();
            let ChildLimits { bytes: max_bytes, entries: max_entries, threads: max_threads } = context.child_limits;
            if bytes > max_bytes || entries > max_entries || threads > max_threads {
                self.stop_with(Stop::Violation);
            }
        }
    }

    fn stop_with(&mut self, why: Stop) {
        if self.stop.is_none() {
            self.stop = Some(why);
            self.child.kill();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "programs run in real time")]
fn now() -> Instant {
    Instant::now()
}
