//! Looks after a child while it runs: hears what it says, holds it to its limits, and finds out how it ended. It never
//! waits, so many are looked after at once.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use switchtower_contract::{Change, Effects, Escalation, Event, Limits, Need, Price, Usage};
use switchtower_jail::ProcessEnd;
use switchtower_worker::output::{OutputBuffer, StdStream};

use crate::child::Child;
use crate::child_protocol::{FromChild, RunEnd};
use crate::outcome::{Observations, RunOutcome, Stop};
use crate::proc_table::ProcTable;

/// Text that waits for company is looked at this often.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Files and threads are counted this often, where nothing else child_limits them.
const COUNTS: Duration = Duration::from_millis(50);
/// A cell that is interrupted is given this long to come back.
const INTERRUPTED: Duration = Duration::from_millis(500);
/// A child is given this long to read what it is given.
const READING: Duration = Duration::from_secs(1);

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunKind {
    Program,
    Cell,
    Internal,
}

/// What all children are held to, and where they are looked up.
pub(crate) struct SuperviseContext<'a> {
    pub(crate) processes: &'a ProcTable,
    pub(crate) child_limits: ChildLimits,
}

/// What a child may have where only looking keeps it to that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChildLimits {
    /// Of files.
    pub(crate) bytes: u64,
    /// Files and folders.
    pub(crate) entries: u64,
    pub(crate) threads: u64,
}

/// What is known of the parent and the system when a child is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signals {
    /// Nobody wants the end of it any more.
    pub(crate) cancelled: bool,
    /// The parent is slow to take what is reported: nothing more is read from the child for now.
    pub(crate) congested: bool,
    /// The system says that the child has ended.
    pub(crate) ended: bool,
}

/// One child at work.
pub(crate) struct SupervisedRun {
    child: Child,
    what: RunKind,
    limits: Limits,
    output: OutputBuffer,
    began: Instant,
    /// Bytes of memory that it held then.
    before: u64,
    stop: Option<Stop>,
    /// Why it is to come back, and since when.
    interrupted: Option<(Stop, Instant)>,
    ending: Option<(RunEnd, Vec<Change>)>,
    unmet_need: Option<Need>,
    noticed: Option<Effects>,
    counted: Instant,
    looked: Instant,
    /// When it last read of what it was given.
    read: Instant,
    /// It has closed its worker, and its time is over then.
    leaves: Option<Instant>,
}

impl SupervisedRun {
    /// Looks after a child from now on, which has just been given what to do.
    pub(crate) fn new(child: Child, what: RunKind, limits: Limits, output: OutputBuffer) -> Self {
        let (began, before) = (now(), child.held());
        Self {
            child,
            what,
            limits,
            output,
            began,
            before,
            stop: None,
            interrupted: None,
            ending: None,
            unmet_need: None,
            noticed: None,
            counted: began,
            looked: began,
            read: began,
            leaves: None,
        }
    }

    /// What to wait for: what it says, prints, prints as errors, and its end; -1 where it is not to be waited for. And
    /// whether to wait until it reads.
    pub(crate) fn descriptors(&self, congested: bool) -> ([RawFd; 4], bool) {
        let [socket, stdout, stderr, pidfd] = self.child.descriptors();
        let writes = self.child.unread() > 0 && self.stop.is_none();
        if congested {
            return ([if writes { socket } else { -1 }, -1, -1, pidfd], writes);
        }
        // Once it says nothing more, its worker is shut.
        let socket = if self.leaves.is_some() && self.ending.is_none() { -1 } else { socket };
        ([socket, stdout, stderr, pidfd], writes)
    }

    /// It is to be looked at although nothing is heard of it.
    pub(crate) fn is_due(&self) -> bool {
        let time = now();
        time - self.looked >= TICK || self.interrupted.is_none() && time >= self.until()
    }

    /// Looks at it, and says how it ended, where it has. Where `None` is returned with it, the child lives on.
    pub(crate) fn step(&mut self, held: &SuperviseContext<'_>, look: Signals) -> Option<Option<ProcessEnd>> {
        self.looked = now();
        if look.ended
            && let Some(end) = self.child.ended().ok().flatten()
        {
            // To the last word: what it said before it died is in the pipes still.
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
        if !look.congested {
            let socket = self.child.read_socket();
            self.read_output(false);
            if !self.read_reports() {
                self.stop_with(Stop::Violation);
            }
            self.output.tick();
            if self.ending.is_some() {
                self.read_output(false);
                if self.stop.is_none() {
                    return Some(None);
                }
            }
            if !socket && self.leaves.is_none() {
                // Whoever closed its worker may go on until its time is over, and is not heard.
                self.leaves = Some(self.until());
            }
        }
        self.enforce_limits(held, look.cancelled);
        if self.leaves.is_some_and(|leaves| self.looked >= leaves) {
            self.child.kill();
        }
        None
    }

    /// What came of it, and the child.
    pub(crate) fn finish(self, end: Option<ProcessEnd>, held: &SuperviseContext<'_>) -> (RunOutcome, Child) {
        let Self {
            mut child,
            what,
            limits,
            mut output,
            began,
            before,
            stop,
            interrupted,
            ending,
            unmet_need,
            noticed,
            ..
        } = self;
        output.flush();
        let (cpu, peak) = match &end {
            Some(end) => (end.cpu, end.peak),
            None => (child.used(), child.peak(held.processes)),
        };
        match what {
            RunKind::Program => child.count_files_at_the_end(),
            // A kernel's files stay.
            RunKind::Cell | RunKind::Internal => drop(child.count_files()),
        }
        let memory = peak.saturating_sub(before).saturating_add(child.files());
        let usage = Usage { wall: now() - began, cpu, memory, price: Price::default() };
        // Whoever came back when interrupted lives on, and was stopped all the same.
        let stop = stop.or(interrupted.map(|(why, _)| why));
        let observed =
            Observations { what, stop, ending, end, unmet_need, noticed, usage, truncated: output.is_truncated() };
        let (finish, failure) = observed.evaluate(&limits);
        if let Some(failure) = failure {
            output.event(Event::Error(failure));
        }
        (finish, child)
    }

    /// Passes on what it was given, where it did not read all of that at once.
    fn write_pending(&mut self) {
        if self.child.unread() == 0 {
            self.read = self.looked;
        } else if self.stop.is_none() {
            let before = self.child.unread();
            let passed = self.child.write_pending();
            if self.child.unread() < before {
                self.read = self.looked;
            }
            if passed.is_err() || self.looked - self.read >= READING {
                self.stop_with(Stop::NotReading);
            }
        }
    }

    /// The parent is asked whether it wants the end.
    pub(crate) fn is_cancellable(&self) -> bool {
        self.stop.is_none() && self.interrupted.is_none()
    }

    /// How long it may be left alone.
    pub(crate) fn next_step_within(&self) -> Duration {
        let until = if self.interrupted.is_none() { self.until() } else { self.looked + TICK };
        until.saturating_duration_since(now()).min(TICK)
    }

    fn until(&self) -> Instant {
        self.began + self.limits.wall
    }

    fn read_output(&mut self, all: bool) {
        let Self { child: Child { stdout, stderr, .. }, output, .. } = self;
        stdout.read_available(all, |bytes| output.write(StdStream::Stdout, bytes));
        stderr.read_available(all, |bytes| output.write(StdStream::Stderr, bytes));
    }

    /// False: it said what no child says.
    fn read_reports(&mut self) -> bool {
        loop {
            let said = match self.child.next_report() {
                Ok(Some(said)) => said,
                Ok(None) => return true,
                Err(_) => return false,
            };
            if self.ending.is_some() {
                return false;
            }
            match (said, self.what) {
                (FromChild::Show { data, main }, _) => {
                    // What it printed before is in the pipes by now.
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
                (FromChild::Observed(effects), RunKind::Program) if self.noticed.is_none() => {
                    self.noticed = Some(effects)
                }
                (FromChild::Ended(ending), RunKind::Program | RunKind::Internal) => {
                    self.ending = Some((ending, Vec::new()))
                }
                (FromChild::CellEnded { ending, changes }, RunKind::Cell) => self.ending = Some((ending, changes)),
                (FromChild::Observed(_) | FromChild::Ended(_) | FromChild::CellEnded { .. }, _) => return false,
            }
        }
    }

    /// Stops it where it is over its limits, or where nobody waits for it any more.
    fn enforce_limits(&mut self, held: &SuperviseContext<'_>, cancelled: bool) {
        if self.stop.is_some() {
            return;
        }
        let time = now();
        let why = match &self.interrupted {
            Some((why, _)) => Some(why.clone()),
            None if cancelled || !self.output.has_receiver() => Some(Stop::Cancelled),
            None if time >= self.until() && self.ending.is_none() => Some(Stop::TimedOut),
            None => None,
        };
        match (why, &self.interrupted) {
            (Some(why), None) if self.what == RunKind::Program => self.stop_with(why),
            (Some(why), None) => {
                self.interrupted = Some((why, time));
                self.child.signal(libc::SIGINT);
            }
            (Some(why), Some((_, since))) if time - *since >= INTERRUPTED => self.stop_with(why),
            _ => {}
        }
        if time - self.counted >= COUNTS {
            self.counted = time;
            let (bytes, entries) = self.child.count_files().unwrap_or_default();
            let threads = self.child.forked().threads().unwrap_or_default();
            let ChildLimits { bytes: most_bytes, entries: most_entries, threads: most_threads } = held.child_limits;
            if bytes > most_bytes || entries > most_entries || threads > most_threads {
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
