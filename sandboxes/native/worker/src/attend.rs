//! Looks after a child while it runs: hears what it says, holds it to its limits, and finds out how it ended. It never
//! waits, so many are looked after at once.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use switchtower_contract::{Change, Effects, Escalation, Event, Limits, Need, Price, Usage};
use switchtower_jail::End;
use switchtower_worker::output::{OutputBuffer, StdStream};

use crate::child::Child;
use crate::finish::{Finish, Observed, Stop};
use crate::processes::Processes;
use crate::wire::{Ending, Said};

/// Text that waits for company is looked at this often.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Files and threads are counted this often, where nothing else bounds them.
const COUNTS: Duration = Duration::from_millis(50);
/// A cell that is interrupted is given this long to come back.
const INTERRUPTED: Duration = Duration::from_millis(500);
/// A child is given this long to read what it is given.
const READING: Duration = Duration::from_secs(1);

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attended {
    Program,
    Cell,
    Own,
}

/// What all children are held to, and where they are looked up.
pub(crate) struct Attention<'a> {
    pub(crate) processes: &'a Processes,
    pub(crate) bounds: Bounds,
}

/// What a child may have where only looking keeps it to that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Of files.
    pub(crate) bytes: u64,
    /// Files and folders.
    pub(crate) entries: u64,
    pub(crate) threads: u64,
}

/// What is known of the parent and the system when a child is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Nobody wants the end of it any more.
    pub(crate) cancelled: bool,
    /// The parent is slow to take what is reported: nothing more is read from the child for now.
    pub(crate) congested: bool,
    /// The system says that the child has ended.
    pub(crate) ended: bool,
}

/// One child at work.
pub(crate) struct Watch {
    child: Child,
    what: Attended,
    limits: Limits,
    output: OutputBuffer,
    began: Instant,
    /// Bytes of memory that it held then.
    before: u64,
    stop: Option<Stop>,
    /// Why it is to come back, and since when.
    interrupted: Option<(Stop, Instant)>,
    ending: Option<(Ending, Vec<Change>)>,
    lacked: Option<Need>,
    noticed: Option<Effects>,
    counted: Instant,
    looked: Instant,
    /// When it last read of what it was given.
    read: Instant,
    /// It has closed its voice, and its time is over then.
    leaves: Option<Instant>,
}

impl Watch {
    /// Looks after a child from now on, which has just been given what to do.
    pub(crate) fn new(child: Child, what: Attended, limits: Limits, output: OutputBuffer) -> Self {
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
            lacked: None,
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
        let [speaks, stdout, stderr, pidfd] = self.child.descriptors();
        let writes = self.child.unread() > 0 && self.stop.is_none();
        if congested {
            return ([if writes { speaks } else { -1 }, -1, -1, pidfd], writes);
        }
        // Once it says nothing more, its voice is shut.
        let speaks = if self.leaves.is_some() && self.ending.is_none() { -1 } else { speaks };
        ([speaks, stdout, stderr, pidfd], writes)
    }

    /// It is to be looked at although nothing is heard of it.
    pub(crate) fn is_due(&self) -> bool {
        let time = now();
        time - self.looked >= TICK || self.interrupted.is_none() && time >= self.until()
    }

    /// Looks at it, and says how it ended, where it has. Where `None` is returned with it, the child lives on.
    pub(crate) fn step(&mut self, held: &Attention<'_>, look: Look) -> Option<Option<End>> {
        self.looked = now();
        if look.ended
            && let Some(end) = self.child.ended().ok().flatten()
        {
            // To the last word: what it said before it died is in the pipes still.
            let mut is_sound = true;
            while is_sound && self.child.listen() {
                is_sound = self.hears();
            }
            if !is_sound || !self.hears() {
                self.stop.get_or_insert(Stop::Misbehaves);
            }
            self.prints(true);
            return Some(Some(end));
        }
        self.write_given();
        if !look.congested {
            let speaks = self.child.listen();
            self.prints(false);
            if !self.hears() {
                self.stops(Stop::Misbehaves);
            }
            self.output.tick();
            if self.ending.is_some() {
                self.prints(false);
                if self.stop.is_none() {
                    return Some(None);
                }
            }
            if !speaks && self.leaves.is_none() {
                // Whoever closed its voice may go on until its time is over, and is not heard.
                self.leaves = Some(self.until());
            }
        }
        self.holds(held, look.cancelled);
        if self.leaves.is_some_and(|leaves| self.looked >= leaves) {
            self.child.kill();
        }
        None
    }

    /// What came of it, and the child.
    pub(crate) fn finish(self, end: Option<End>, held: &Attention<'_>) -> (Finish, Child) {
        let Self {
            mut child, what, limits, mut output, began, before, stop, interrupted, ending, lacked, noticed, ..
        } = self;
        output.flush();
        let (cpu, peak) = match &end {
            Some(end) => (end.cpu, end.peak),
            None => (child.used(), child.peak(held.processes)),
        };
        match what {
            Attended::Program => child.count_files_at_the_end(),
            // A kernel's files stay.
            Attended::Cell | Attended::Own => drop(child.count_files()),
        }
        let memory = peak.saturating_sub(before).saturating_add(child.files());
        let usage = Usage { wall: now() - began, cpu, memory, price: Price::default() };
        // Whoever came back when interrupted lives on, and was stopped all the same.
        let stop = stop.or(interrupted.map(|(why, _)| why));
        let observed = Observed { what, stop, ending, end, lacked, noticed, usage, truncated: output.is_truncated() };
        let (finish, failure) = observed.judged(&limits);
        if let Some(failure) = failure {
            output.event(Event::Error(failure));
        }
        (finish, child)
    }

    /// Passes on what it was given, where it did not read all of that at once.
    fn write_given(&mut self) {
        if self.child.unread() == 0 {
            self.read = self.looked;
        } else if self.stop.is_none() {
            let before = self.child.unread();
            let passed = self.child.write_given();
            if self.child.unread() < before {
                self.read = self.looked;
            }
            if passed.is_err() || self.looked - self.read >= READING {
                self.stops(Stop::NotReading);
            }
        }
    }

    /// The parent is asked whether it wants the end.
    pub(crate) fn may_be_cancelled(&self) -> bool {
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

    fn prints(&mut self, all: bool) {
        let Self { child: Child { stdout, stderr, .. }, output, .. } = self;
        stdout.drains(all, |bytes| output.write(StdStream::Stdout, bytes));
        stderr.drains(all, |bytes| output.write(StdStream::Stderr, bytes));
    }

    /// False: it said what no child says.
    fn hears(&mut self) -> bool {
        loop {
            let said = match self.child.said() {
                Ok(Some(said)) => said,
                Ok(None) => return true,
                Err(_) => return false,
            };
            if self.ending.is_some() {
                return false;
            }
            match (said, self.what) {
                (Said::Show { data, main }, _) => {
                    // What it printed before is in the pipes by now.
                    self.prints(false);
                    self.output.show(data, main);
                    self.child.goes_on();
                }
                (Said::Lacks(need), _) => {
                    if self.limits.escalation == Escalation::OnNeed {
                        self.stops(Stop::Lacks(need));
                    } else {
                        self.lacked.get_or_insert(need);
                    }
                }
                (Said::Noticed(effects), Attended::Program) if self.noticed.is_none() => self.noticed = Some(effects),
                (Said::Ended(ending), Attended::Program | Attended::Own) => self.ending = Some((ending, Vec::new())),
                (Said::Left { ending, changes }, Attended::Cell) => self.ending = Some((ending, changes)),
                (Said::Noticed(_) | Said::Ended(_) | Said::Left { .. }, _) => return false,
            }
        }
    }

    /// Stops it where it is over its limits, or where nobody waits for it any more.
    fn holds(&mut self, held: &Attention<'_>, cancelled: bool) {
        if self.stop.is_some() {
            return;
        }
        let time = now();
        let why = match &self.interrupted {
            Some((why, _)) => Some(why.clone()),
            None if cancelled || !self.output.has_receiver() => Some(Stop::Cancelled),
            None if time >= self.until() && self.ending.is_none() => Some(Stop::Late),
            None => None,
        };
        match (why, &self.interrupted) {
            (Some(why), None) if self.what == Attended::Program => self.stops(why),
            (Some(why), None) => {
                self.interrupted = Some((why, time));
                self.child.signal(libc::SIGINT);
            }
            (Some(why), Some((_, since))) if time - *since >= INTERRUPTED => self.stops(why),
            _ => {}
        }
        if time - self.counted >= COUNTS {
            self.counted = time;
            let (bytes, entries) = self.child.count_files().unwrap_or_default();
            let threads = self.child.forked().threads().unwrap_or_default();
            let Bounds { bytes: most_bytes, entries: most_entries, threads: most_threads } = held.bounds;
            if bytes > most_bytes || entries > most_entries || threads > most_threads {
                self.stops(Stop::Misbehaves);
            }
        }
    }

    fn stops(&mut self, why: Stop) {
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
