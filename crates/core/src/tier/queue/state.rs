//! What queues under common limits know, and whom they grant a slot. Nothing here waits or reads a clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Config, Load, Overall, Refusal};
use crate::request::Priority;

/// Everything that the queues know.
pub(super) struct State {
    /// Most programs at once in all lanes, and most of one user.
    slots: usize,
    per_user: usize,
    /// One for each tier.
    lanes: Vec<Lane>,
    /// Users that run or wait, none besides.
    users: BTreeMap<Arc<str>, User>,
    /// Programs that run, by their tickets.
    runs: BTreeMap<u64, Run>,
    /// Counts arrivals and grants, so that their order is known.
    count: u64,
    /// A task looks when programs become long ones.
    pub(super) is_watched: bool,
}

/// One tier.
struct Lane {
    config: Config,
    running: usize,
    queued: usize,
    /// How long a slot is usually held.
    usual: Duration,
}

struct Run {
    lane: usize,
    since: Instant,
}

#[derive(Default)]
struct User {
    /// In all lanes.
    running: usize,
    /// The smallest goes first.
    turn: u64,
    /// When it was last given a slot.
    served: Option<Served>,
    /// In lanes where something runs or waits; mostly one, so there is room for no more.
    lines: Vec<UserQueue>,
}

#[derive(Clone, Copy)]
struct Served {
    count: u64,
    at: Instant,
}

/// One user's requests in one lane.
struct UserQueue {
    lane: usize,
    running: usize,
    /// By class, then by arrival.
    waiting: [VecDeque<Place>; 3],
}

/// Where a waiting request is told what became of it.
type Granted = oneshot::Sender<Result<(), Refusal>>;

struct Place {
    ticket: u64,
    since: Instant,
    granted: Granted,
}

/// What a lane has for one program more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Free {
    Nothing,
    /// A slot for a user who has nothing running there.
    Extra,
    Slot,
}

/// A request that could start now: the first of its line.
struct Candidate<'a> {
    user: &'a Arc<str>,
    lane: usize,
    /// The class that it came with, and the one that it has by now.
    origin: usize,
    class: usize,
    turn: u64,
    ticket: u64,
    /// The count at which its user was last given a slot; 0: it was not.
    served: u64,
}

impl Candidate<'_> {
    /// The count since which it waits without its user being given anything.
    fn waits_from(&self) -> u64 {
        self.ticket.max(self.served)
    }
}

/// The class below which nobody is passed by the same user twice: to wait there was the caller's own wish.
const USUAL: usize = Priority::Normal as usize;

impl State {
    pub(super) fn new(overall: &Overall) -> Self {
        let slots = overall.slots.unwrap_or(usize::MAX).max(1);
        let per_user = overall.per_user.unwrap_or(usize::MAX).clamp(1, all_but_one(slots));
        let (lanes, users, runs) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { slots, per_user, lanes, users, runs, count: 0, is_watched: false }
    }

    /// Adds a lane.
    pub(super) fn add(&mut self, config: Config) -> usize {
        let slots = config.slots.max(1);
        let most = if config.extra_slots > 0 { slots } else { all_but_one(slots) };
        let config = Config { slots, per_user: config.per_user.clamp(1, most), ..config };
        self.lanes.push(Lane { config, running: 0, queued: 0, usual: Duration::from_secs(1) });
        self.lanes.len() - 1
    }

    pub(super) fn load(&self, lane: usize) -> Load {
        let Lane { config, running, queued, .. } = &self.lanes[lane];
        Load { running: *running, queued: *queued, slots: config.slots }
    }

    fn next_count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Puts a request at the end of its user's line. Returns its ticket.
    pub(super) fn join(
        &mut self,
        lane: usize,
        user: &Arc<str>,
        priority: Priority,
        now: Instant,
        granted: Granted,
    ) -> Result<u64, Refusal> {
        let known = self.users.get(user);
        let waiting = known.and_then(|user| user.line(lane)).map_or(0, UserQueue::waiting);
        // A request that could start at once is not turned away because others wait for their own limits.
        if waiting > 0 || !self.may_start(lane, known, self.free(lane, now)) {
            self.make_room(lane, waiting)?;
        }
        let ticket = self.next_count();
        let user = self.users.entry(Arc::clone(user)).or_default();
        if user.lines.iter().all(|line| line.waiting() == 0) {
            user.turn = ticket;
        }
        let line = user.line_or_new(lane);
        line.waiting[priority as usize].push_back(Place { ticket, since: now, granted });
        self.lanes[lane].queued += 1;
        Ok(ticket)
    }

    /// Sees to it that one more request may wait whose user has so many waiting.
    fn make_room(&mut self, at: usize, waiting: usize) -> Result<(), Refusal> {
        let lane = &self.lanes[at];
        if let Some(allowed) = lane.config.length_per_user.filter(|most| waiting >= *most) {
            return Err(Refusal::Line { allowed, retry_after: lane.retry_after(waiting, lane.config.per_user) });
        }
        let length = lane.config.length;
        if lane.queued < length {
            return Ok(());
        }
        let lines = self.users.values_mut().filter_map(|user| user.line_mut(at));
        let (mut others, mut longest) = (0, None);
        for line in lines.filter(|line| line.waiting() > 0) {
            others += 1;
            if longest.as_ref().is_none_or(|longest: &&mut UserQueue| line.waiting() > longest.waiting()) {
                longest = Some(line);
            }
        }
        let users = others + usize::from(waiting == 0);
        let share = length.checked_div(users).unwrap_or(length).max(1).min(length);
        let full = |retry_after| Refusal::Full { length, share, retry_after };
        match longest.filter(|longest| longest.waiting() > waiting + 1) {
            Some(longest) => {
                let retry_after = lane.retry_after(longest.waiting(), lane.config.per_user);
                if let Some(place) = longest.waiting.iter_mut().rev().find_map(VecDeque::pop_back) {
                    // One that leaves at this very moment need not know.
                    let _ = place.granted.send(Err(full(retry_after)));
                    self.lanes[at].queued -= 1;
                }
                Ok(())
            }
            None => Err(full(self.retry_after(at))),
        }
    }

    /// Gives all that is free to whoever is next.
    pub(super) fn grant(&mut self, now: Instant) {
        while let Some((user, lane, class)) = self.next_up(now) {
            let count = self.next_count();
            let Some(user) = self.users.get_mut(&user) else { return };
            let Some(line) = user.line_mut(lane) else { return };
            let Some(place) = line.waiting[class].pop_front() else { return };
            line.running += 1;
            user.turn = count;
            user.served = Some(Served { count, at: now });
            user.running += 1;
            self.lanes[lane].running += 1;
            self.lanes[lane].queued -= 1;
            self.runs.insert(place.ticket, Run { lane, since: now });
            // A waiter that leaves at this very moment gives the slot back when it drops its guard.
            let _ = place.granted.send(Ok(()));
        }
    }

    /// The user whose turn it is, in which lane, and which of its requests by the class that this came with.
    fn next_up(&self, now: Instant) -> Option<(Arc<str>, usize, usize)> {
        if self.runs.len() >= self.slots {
            return None;
        }
        let free = |(at, lane): (usize, &Lane)| if lane.queued > 0 { self.free(at, now) } else { Free::Nothing };
        let free: Vec<Free> = self.lanes.iter().enumerate().map(free).collect();
        if free.iter().all(|free| *free == Free::Nothing) {
            return None;
        }
        // Whoever was given something while this one waited has passed it, and does so no second time.
        let patient = self.candidates(&free, now).filter(|one| one.class <= USUAL).min_by_key(Candidate::waits_from);
        let class = |one: &Candidate<'_>| match &patient {
            Some(patient) if one.served > patient.waits_from() => one.class.max(patient.class),
            _ => one.class,
        };
        let next = self.candidates(&free, now).min_by_key(|one| (class(one), one.turn, one.ticket))?;
        Some((Arc::clone(next.user), next.lane, next.origin))
    }

    /// The first of each line that could start, where this is free.
    fn candidates<'a>(&'a self, free: &'a [Free], now: Instant) -> impl Iterator<Item = Candidate<'a>> {
        let lines = self.users.iter().flat_map(|(name, user)| user.lines.iter().map(move |line| (name, user, line)));
        let could = lines.filter(|(_, user, line)| self.may_start(line.lane, Some(user), free[line.lane]));
        could.filter_map(move |(name, user, line)| {
            let config = &self.lanes[line.lane].config;
            let (_, ticket, origin, since) = line.best(config, now)?;
            // Against others only that time counts in which the user got nothing: a long line of one's own gives no
            // advantage over those who wait for their first.
            let since = user.served.map_or(since, |served| served.at.max(since));
            let served = user.served.map_or(0, |served| served.count);
            let class = aged(origin, since, config, now);
            Some(Candidate { user: name, lane: line.lane, origin, class, turn: user.turn, ticket, served })
        })
    }

    /// Whether one more program of this user may start in a lane that has this free.
    fn may_start(&self, lane: usize, user: Option<&User>, free: Free) -> bool {
        let everywhere = user.map_or(0, |user| user.running);
        let here = user.and_then(|user| user.line(lane)).map_or(0, |line| line.running);
        let there_is = match free {
            Free::Nothing => false,
            Free::Extra => here == 0,
            Free::Slot => here < self.lanes[lane].config.per_user,
        };
        there_is && self.runs.len() < self.slots && everywhere < self.per_user
    }

    fn free(&self, at: usize, now: Instant) -> Free {
        let Lane { config, running, .. } = &self.lanes[at];
        if *running < config.slots {
            Free::Slot
        } else if *running - config.slots < config.extra_slots && self.become_long(at, now).len() < config.slots {
            Free::Extra
        } else {
            Free::Nothing
        }
    }

    /// When the programs of a lane become long ones that are not yet. `None`: never.
    fn become_long(&self, at: usize, now: Instant) -> Vec<Option<Instant>> {
        let slice = self.lanes[at].config.time_slice;
        let here = self.runs.values().filter(|run| run.lane == at);
        let short = here.filter(|run| now.saturating_duration_since(run.since) < slice);
        short.map(|run| run.since.checked_add(slice)).collect()
    }

    /// Whether somebody waits where there are extra slots.
    pub(super) fn wants_watch(&self) -> bool {
        self.lanes.iter().any(|lane| lane.queued > 0 && lane.config.extra_slots > 0)
    }

    /// When the next extra slot may be had because a program has become a long one.
    pub(super) fn next_long(&self, now: Instant) -> Option<Instant> {
        let of_lane = |(at, lane): (usize, &Lane)| {
            let Config { slots, extra_slots, .. } = lane.config;
            let is_sought = lane.queued > 0 && lane.running >= slots && lane.running - slots < extra_slots;
            let mut short = if is_sought { self.become_long(at, now) } else { Vec::new() };
            // As many must become long as leave fewer short ones than there are slots.
            let must = short.len().checked_sub(slots)?;
            short.sort_unstable_by_key(|long| (long.is_none(), *long));
            short.get(must).copied().flatten()
        };
        self.lanes.iter().enumerate().filter_map(of_lane).min()
    }

    /// A request leaves: it waited, or its program has ended, or it was refused.
    pub(super) fn leave(&mut self, lane: usize, name: &Arc<str>, priority: Priority, ticket: u64, now: Instant) {
        let Some(user) = self.users.get_mut(name) else { return };
        let Some(line) = user.line_mut(lane) else { return };
        let places = &mut line.waiting[priority as usize];
        if let Some(run) = self.runs.remove(&ticket) {
            line.running -= 1;
            user.running -= 1;
            let lane = &mut self.lanes[lane];
            lane.running -= 1;
            // A moving average over about eight programs.
            lane.usual = (lane.usual * 7 + now.saturating_duration_since(run.since)) / 8;
        } else if let Ok(at) = places.binary_search_by_key(&ticket, |place| place.ticket) {
            places.remove(at);
            self.lanes[lane].queued -= 1;
        }
        user.lines.retain(|line| line.running > 0 || line.waiting() > 0);
        if user.lines.is_empty() {
            self.users.remove(name);
        }
    }

    /// When a slot may be free for one more than those who wait.
    pub(super) fn retry_after(&self, lane: usize) -> Duration {
        let lane = &self.lanes[lane];
        lane.retry_after(lane.queued, lane.config.slots)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.runs.is_empty()
    }
}

impl Lane {
    /// When there may be a slot for one more than so many that wait, of which so many run at once.
    fn retry_after(&self, waiting: usize, at_once: usize) -> Duration {
        let ahead = u32::try_from(waiting.saturating_add(1)).unwrap_or(u32::MAX);
        let at_once = u32::try_from(at_once).unwrap_or(u32::MAX).max(1);
        (self.usual.saturating_mul(ahead) / at_once).clamp(Duration::from_millis(100), Duration::from_secs(60))
    }
}

impl User {
    fn line(&self, lane: usize) -> Option<&UserQueue> {
        self.lines.iter().find(|line| line.lane == lane)
    }

    fn line_mut(&mut self, lane: usize) -> Option<&mut UserQueue> {
        self.lines.iter_mut().find(|line| line.lane == lane)
    }

    fn line_or_new(&mut self, lane: usize) -> &mut UserQueue {
        let at = self.lines.iter().position(|line| line.lane == lane).unwrap_or_else(|| {
            self.lines.reserve_exact(1);
            self.lines.push(UserQueue { lane, running: 0, waiting: Default::default() });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }
}

impl UserQueue {
    /// How many wait.
    fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    /// The request that goes first: its class after ageing, its ticket, its class of origin, since when it waits.
    fn best(&self, config: &Config, now: Instant) -> Option<(usize, u64, usize, Instant)> {
        let heads = self.waiting.iter().enumerate().filter_map(|(class, places)| Some((class, places.front()?)));
        heads.map(|(class, place)| (aged(class, place.since, config, now), place.ticket, class, place.since)).min()
    }
}

/// The class of a request that has waited since then.
fn aged(class: usize, since: Instant, config: &Config, now: Instant) -> usize {
    let waited = now.saturating_duration_since(since);
    let gained = waited.as_nanos().checked_div(config.ageing_interval.as_nanos()).unwrap_or(0);
    class.saturating_sub(usize::try_from(gained).unwrap_or(usize::MAX))
}

/// One fewer, where there are two or more.
fn all_but_one(slots: usize) -> usize {
    if slots > 1 { slots - 1 } else { slots }
}
