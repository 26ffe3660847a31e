//! Looks after a child while it runs: hears what it says, holds it to its limits, and finds out how it ended.

use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use switchtower_contract::{Change, Effects, Escalation, Event, Limits, Need, Price, Usage};
use switchtower_jail::End;
use switchtower_worker::child::Cancel;
use switchtower_worker::sink::{Sink, Stream};

use crate::child::Child;
use crate::finish::{Finish, Observed, Stop};
use crate::processes::Processes;
use crate::wire::{Ending, Said};

/// Text that waits for company is looked at this often.
const TICK: Duration = Duration::from_millis(10);
/// Files and threads are counted this often, where nothing else bounds them.
const COUNTS: Duration = Duration::from_millis(50);
/// A cell that is interrupted is given this long to come back.
const INTERRUPTED: Duration = Duration::from_millis(500);

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attended {
    Program,
    Cell,
    Own,
}

/// What it is held to.
pub(crate) struct Attention<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) cancel: &'a Cancel,
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

/// One child at work.
struct Watch<'a> {
    child: &'a mut Child,
    what: Attended,
    held: &'a Attention<'a>,
    began: Instant,
    stop: Option<Stop>,
    /// Why it is to come back, and since when.
    interrupted: Option<(Stop, Instant)>,
    ending: Option<(Ending, Vec<Change>)>,
    lacked: Option<Need>,
    noticed: Option<Effects>,
    counted: Instant,
}

/// Stays with a child until what it does is over.
pub(crate) fn attend(child: &mut Child, what: Attended, held: &Attention<'_>, sink: &mut Sink) -> Finish {
    let began = now();
    let before = child.held();
    let mut watch = Watch {
        child,
        what,
        held,
        began,
        stop: None,
        interrupted: None,
        ending: None,
        lacked: None,
        noticed: None,
        counted: began,
    };
    let end = watch.watches(sink);
    let Watch { child, stop, interrupted, ending, lacked, noticed, .. } = watch;
    sink.flush();
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
    let observed = Observed { what, stop, ending, end, lacked, noticed, usage, truncated: sink.was_cut() };
    let (finish, failure) = observed.judged(held.limits);
    if let Some(failure) = failure {
        sink.event(Event::Error(failure));
    }
    finish
}

impl Watch<'_> {
    /// How it ended; none where it lives on.
    fn watches(&mut self, sink: &mut Sink) -> Option<End> {
        let mut leaves = None;
        loop {
            if let Some(end) = self.waits(leaves) {
                // To the last word: what it said before it died is in the pipes still.
                let mut is_sound = true;
                while is_sound && self.child.listen() {
                    is_sound = self.hears(sink);
                }
                if !is_sound || !self.hears(sink) {
                    self.stop.get_or_insert(Stop::Misbehaves);
                }
                self.prints(sink, true);
                return Some(end);
            }
            let speaks = self.child.listen();
            self.prints(sink, false);
            if !self.hears(sink) {
                self.stops(Stop::Misbehaves);
            }
            sink.tick();
            if self.ending.is_some() {
                self.prints(sink, false);
                // Where it is not stopped, it lives on.
                self.stop.as_ref()?;
            }
            if !speaks {
                // Whoever closed its voice may go on until its time is over, and is not heard.
                leaves.get_or_insert_with(|| self.until());
            }
            self.holds(sink);
            if leaves.is_some_and(|leaves| now() >= leaves) {
                self.child.kill();
            }
        }
    }

    fn until(&self) -> Instant {
        self.began + self.held.limits.wall
    }

    /// Waits for whatever comes next; its end, where that came.
    #[allow(unsafe_code, reason = "poll has no safe wrapper in std")]
    fn waits(&mut self, leaves: Option<Instant>) -> Option<End> {
        let [speaks, stdout, stderr, pidfd] = self.child.descriptors();
        // Once it is cancelled there is nothing more to hear from the parent; once it says nothing more, its voice is shut.
        let parent = if self.stop.is_none() && self.interrupted.is_none() {
            self.held.cancel.descriptor().as_raw_fd()
        } else {
            -1
        };
        let speaks = if leaves.is_some() && self.ending.is_none() { -1 } else { speaks };
        let wanted = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut all = [speaks, stdout, stderr, pidfd, parent].map(wanted);
        let until = leaves.unwrap_or_else(|| self.until()).max(now());
        let within = (until - now()).min(TICK).as_millis().max(1);
        // SAFETY: the pointer is to as many entries of ours as is said.
        unsafe {
            libc::poll(all.as_mut_ptr(), all.len() as libc::nfds_t, libc::c_int::try_from(within).unwrap_or(1));
        }
        if all[3].revents != 0 { self.child.ended().ok().flatten() } else { None }
    }

    fn prints(&mut self, sink: &mut Sink, all: bool) {
        let Child { stdout, stderr, .. } = &mut *self.child;
        stdout.drains(all, |bytes| sink.write(Stream::Stdout, bytes));
        stderr.drains(all, |bytes| sink.write(Stream::Stderr, bytes));
    }

    /// False: it said what no child says.
    fn hears(&mut self, sink: &mut Sink) -> bool {
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
                    self.prints(sink, false);
                    sink.show(data, main);
                    self.child.goes_on();
                }
                (Said::Lacks(need), _) => {
                    if self.held.limits.escalation == Escalation::OnNeed {
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
    fn holds(&mut self, sink: &Sink) {
        if self.stop.is_some() {
            return;
        }
        let time = now();
        let why = match &self.interrupted {
            Some((why, _)) => Some(why.clone()),
            None if self.held.cancel.is_set() || !sink.listening() => Some(Stop::Cancelled),
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
            let Bounds { bytes: most_bytes, entries: most_entries, threads: most_threads } = self.held.bounds;
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
