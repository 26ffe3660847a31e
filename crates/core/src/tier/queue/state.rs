//! The state of queues that share limits, and the decision which request gets the next slot. Nothing here waits or
//! reads a clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Config, Load, Overall, SlotRefusal};
use crate::request::Priority;

/// The state of all queues that share limits.
pub(super) struct State {
    /// Most programs at once in all lanes, in total and of one user.
    slots: usize,
    per_user: usize,
    /// One lane for each tier.
    lanes: Vec<Lane>,
    /// Users with running programs or waiting requests; no others.
    users: BTreeMap<Arc<str>, User>,
    /// Running programs by ticket.
    runs: BTreeMap<u64, Run>,
    /// Counts arrivals and grants, which orders them.
    count: u64,
    /// Whether the task that grants extra slots runs.
    pub(super) has_extra_slot_task: bool,
}

/// The queue of one tier.
struct Lane {
    config: Config,
    running: usize,
    queued: usize,
    /// Moving average of the time that a slot is held.
    average_hold: Duration,
}

struct Run {
    lane: usize,
    since: Instant,
}

#[derive(Default)]
struct User {
    /// Running programs in all lanes.
    running: usize,
    /// The user with the lowest number is next.
    turn: u64,
    /// Its last grant.
    last_grant: Option<LastGrant>,
    /// One queue for each lane where a program of the user runs or waits. There is usually one, so no capacity is
    /// reserved.
    queues: Vec<UserQueue>,
}

#[derive(Clone, Copy)]
struct LastGrant {
    count: u64,
    at: Instant,
}

/// One user's requests in one lane.
struct UserQueue {
    lane: usize,
    running: usize,
    /// By priority class, then in order of arrival.
    waiting: [VecDeque<WaitingRequest>; 3],
}

/// Sends a waiting request its grant or its refusal.
pub(super) type GrantSender = oneshot::Sender<Result<(), SlotRefusal>>;

struct WaitingRequest {
    ticket: u64,
    since: Instant,
    sender: GrantSender,
}

/// The capacity of a lane for one more program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FreeSlot {
    None,
    /// An extra slot, for a user with no running program in the lane.
    Extra,
    Regular,
}

/// The first request of a user in a lane, which could start now.
struct Candidate<'a> {
    user: &'a Arc<str>,
    lane: usize,
    /// The class that was requested.
    requested_class: usize,
    /// The class after ageing.
    class: usize,
    turn: u64,
    ticket: u64,
    /// The count of its user's last grant; 0: none.
    last_grant: u64,
}

impl Candidate<'_> {
    /// Returns the count since which it has waited without a grant to its user.
    fn waits_from(&self) -> u64 {
        self.ticket.max(self.last_grant)
    }
}

/// The lowest class whose requests cannot be overtaken twice by the same user. Requests of a lower class can: their
/// callers have chosen to wait.
const LOWEST_PROTECTED_CLASS: usize = Priority::Normal as usize;

impl State {
    pub(super) fn new(overall: &Overall) -> Self {
        let slots = overall.slots.unwrap_or(usize::MAX).max(1);
        let per_user = overall.per_user.unwrap_or(usize::MAX).clamp(1, all_but_one(slots));
        let (lanes, users, runs) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { slots, per_user, lanes, users, runs, count: 0, has_extra_slot_task: false }
    }

    /// Adds a lane and returns its index.
    pub(super) fn add(&mut self, config: Config) -> usize {
        let slots = config.slots.max(1);
        let max_per_user = if config.extra_slots > 0 { slots } else { all_but_one(slots) };
        let config = Config { slots, per_user: config.per_user.clamp(1, max_per_user), ..config };
        self.lanes.push(Lane { config, running: 0, queued: 0, average_hold: Duration::from_secs(1) });
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

    /// Appends a request to its user's queue and returns its ticket.
    pub(super) fn join(
        &mut self,
        lane: usize,
        user: &Arc<str>,
        priority: Priority,
        now: Instant,
        sender: GrantSender,
    ) -> Result<u64, SlotRefusal> {
        let known = self.users.get(user);
        let waiting = known.and_then(|user| user.queue(lane)).map_or(0, UserQueue::waiting);
        // A request that could start at once is not refused because others wait for limits of their own.
        if waiting > 0 || !self.may_start(lane, known, self.free_slot(lane, now)) {
            self.ensure_queue_capacity(lane, waiting)?;
        }
        let ticket = self.next_count();
        let user = self.users.entry(Arc::clone(user)).or_default();
        if user.queues.iter().all(|queue| queue.waiting() == 0) {
            user.turn = ticket;
        }
        let queue = user.queue_or_new(lane);
        queue.waiting[priority as usize].push_back(WaitingRequest { ticket, since: now, sender });
        self.lanes[lane].queued += 1;
        Ok(ticket)
    }

    /// Ensures that one more request may wait in the lane `at`, if necessary by refusing the newest request of the user
    /// with the most waiting requests. `waiting`: how many requests of the new request's user wait there.
    fn ensure_queue_capacity(&mut self, at: usize, waiting: usize) -> Result<(), SlotRefusal> {
        let lane = &self.lanes[at];
        if let Some(allowed) = lane.config.length_per_user.filter(|allowed| waiting >= *allowed) {
            return Err(SlotRefusal::UserQueueFull {
                allowed,
                retry_after: lane.retry_after(waiting, lane.config.per_user),
            });
        }
        let length = lane.config.length;
        if lane.queued < length {
            return Ok(());
        }
        let queues = self.users.values_mut().filter_map(|user| user.queue_mut(at));
        let (mut waiting_users, mut longest) = (0, None);
        for queue in queues.filter(|queue| queue.waiting() > 0) {
            waiting_users += 1;
            if longest.as_ref().is_none_or(|longest: &&mut UserQueue| queue.waiting() > longest.waiting()) {
                longest = Some(queue);
            }
        }
        let users = waiting_users + usize::from(waiting == 0);
        let share = length.checked_div(users).unwrap_or(length).max(1).min(length);
        let full = |retry_after| SlotRefusal::QueueFull { length, share, retry_after };
        match longest.filter(|longest| longest.waiting() > waiting + 1) {
            Some(longest) => {
                let retry_after = lane.retry_after(longest.waiting(), lane.config.per_user);
                if let Some(newest) = longest.waiting.iter_mut().rev().find_map(VecDeque::pop_back) {
                    // Fails if the request is being cancelled at this moment, in which case it needs no answer.
                    let _ = newest.sender.send(Err(full(retry_after)));
                    self.lanes[at].queued -= 1;
                }
                Ok(())
            }
            None => Err(full(self.retry_after(at))),
        }
    }

    /// Grants all free slots to the next requests.
    pub(super) fn grant(&mut self, now: Instant) {
        while let Some((user, lane, class)) = self.next_request(now) {
            let count = self.next_count();
            let Some(user) = self.users.get_mut(&user) else { return };
            let Some(queue) = user.queue_mut(lane) else { return };
            let Some(request) = queue.waiting[class].pop_front() else { return };
            queue.running += 1;
            user.turn = count;
            user.last_grant = Some(LastGrant { count, at: now });
            user.running += 1;
            self.lanes[lane].running += 1;
            self.lanes[lane].queued -= 1;
            self.runs.insert(request.ticket, Run { lane, since: now });
            // Fails if the request is being cancelled at this moment; dropping its guard then frees the slot.
            let _ = request.sender.send(Ok(()));
        }
    }

    /// Returns the next request to start: its user, its lane, and the class that was requested.
    fn next_request(&self, now: Instant) -> Option<(Arc<str>, usize, usize)> {
        if self.runs.len() >= self.slots {
            return None;
        }
        let free = |(at, lane): (usize, &Lane)| if lane.queued > 0 { self.free_slot(at, now) } else { FreeSlot::None };
        let free: Vec<FreeSlot> = self.lanes.iter().enumerate().map(free).collect();
        if free.iter().all(|free| *free == FreeSlot::None) {
            return None;
        }
        // A user that was granted a slot since this request began to wait has overtaken it, and may not do so again.
        let protected = |candidate: &Candidate<'_>| candidate.class <= LOWEST_PROTECTED_CLASS;
        let longest_waiting = self.candidates(&free, now).filter(protected).min_by_key(Candidate::waits_from);
        let class = |candidate: &Candidate<'_>| match &longest_waiting {
            Some(longest) if candidate.last_grant > longest.waits_from() => candidate.class.max(longest.class),
            _ => candidate.class,
        };
        let next =
            self.candidates(&free, now).min_by_key(|candidate| (class(candidate), candidate.turn, candidate.ticket))?;
        Some((Arc::clone(next.user), next.lane, next.requested_class))
    }

    /// Returns the first request of each user and lane that could start, given the free slots of the lanes.
    fn candidates<'a>(&'a self, free: &'a [FreeSlot], now: Instant) -> impl Iterator<Item = Candidate<'a>> {
        let queues =
            self.users.iter().flat_map(|(name, user)| user.queues.iter().map(move |queue| (name, user, queue)));
        let startable = queues.filter(|(_, user, queue)| self.may_start(queue.lane, Some(user), free[queue.lane]));
        startable.filter_map(move |(name, user, queue)| {
            let config = &self.lanes[queue.lane].config;
            let (_, ticket, requested_class, since) = queue.first(config, now)?;
            // Compared with other users, only the time since the user's last grant counts: many waiting requests of one
            // user give it no advantage over users that wait for their first slot.
            let since = user.last_grant.map_or(since, |grant| grant.at.max(since));
            let last_grant = user.last_grant.map_or(0, |grant| grant.count);
            let class = aged_class(requested_class, since, config, now);
            let (lane, turn) = (queue.lane, user.turn);
            Some(Candidate { user: name, lane, requested_class, class, turn, ticket, last_grant })
        })
    }

    /// Returns whether one more program of this user may start in a lane with this free slot.
    fn may_start(&self, lane: usize, user: Option<&User>, free: FreeSlot) -> bool {
        let running_in_total = user.map_or(0, |user| user.running);
        let running_in_lane = user.and_then(|user| user.queue(lane)).map_or(0, |queue| queue.running);
        let lane_allows = match free {
            FreeSlot::None => false,
            FreeSlot::Extra => running_in_lane == 0,
            FreeSlot::Regular => running_in_lane < self.lanes[lane].config.per_user,
        };
        lane_allows && self.runs.len() < self.slots && running_in_total < self.per_user
    }

    /// Returns what is free in a lane, without regard to the shared limits.
    fn free_slot(&self, at: usize, now: Instant) -> FreeSlot {
        let Lane { config, running, .. } = &self.lanes[at];
        if *running < config.slots {
            FreeSlot::Regular
        } else if *running - config.slots < config.extra_slots && self.slice_ends(at, now).len() < config.slots {
            FreeSlot::Extra
        } else {
            FreeSlot::None
        }
    }

    /// Returns when the time slices end of those programs in a lane that are still within theirs. `None`: never.
    fn slice_ends(&self, at: usize, now: Instant) -> Vec<Option<Instant>> {
        let slice = self.lanes[at].config.time_slice;
        let runs = self.runs.values().filter(|run| run.lane == at);
        let within_slice = runs.filter(|run| now.saturating_duration_since(run.since) < slice);
        within_slice.map(|run| run.since.checked_add(slice)).collect()
    }

    /// Returns whether a request waits in a lane that has extra slots.
    pub(super) fn may_grant_extra_slots(&self) -> bool {
        self.lanes.iter().any(|lane| lane.queued > 0 && lane.config.extra_slots > 0)
    }

    /// Returns when the next extra slot becomes free because a program uses up its time slice.
    pub(super) fn next_extra_slot(&self, now: Instant) -> Option<Instant> {
        let of_lane = |(at, lane): (usize, &Lane)| {
            let Config { slots, extra_slots, .. } = lane.config;
            let is_needed = lane.queued > 0 && lane.running >= slots && lane.running - slots < extra_slots;
            let mut ends = if is_needed { self.slice_ends(at, now) } else { Vec::new() };
            // An extra slot is free once fewer programs than slots are within their time slice.
            let index = ends.len().checked_sub(slots)?;
            ends.sort_unstable_by_key(|end| (end.is_none(), *end));
            ends.get(index).copied().flatten()
        };
        self.lanes.iter().enumerate().filter_map(of_lane).min()
    }

    /// Removes a request that was waiting, whose program has ended, or that was refused.
    pub(super) fn leave(&mut self, lane: usize, name: &Arc<str>, priority: Priority, ticket: u64, now: Instant) {
        let Some(user) = self.users.get_mut(name) else { return };
        let Some(queue) = user.queue_mut(lane) else { return };
        let waiting = &mut queue.waiting[priority as usize];
        if let Some(run) = self.runs.remove(&ticket) {
            queue.running -= 1;
            user.running -= 1;
            let lane = &mut self.lanes[lane];
            lane.running -= 1;
            // A moving average over about eight programs.
            lane.average_hold = (lane.average_hold * 7 + now.saturating_duration_since(run.since)) / 8;
        } else if let Ok(at) = waiting.binary_search_by_key(&ticket, |request| request.ticket) {
            waiting.remove(at);
            self.lanes[lane].queued -= 1;
        }
        user.queues.retain(|queue| queue.running > 0 || queue.waiting() > 0);
        if user.queues.is_empty() {
            self.users.remove(name);
        }
    }

    /// Estimates when a slot may be free for one more request than those that wait.
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
    /// Estimates the time until a slot is free for one more request than the `waiting` ones, if `concurrent` of them
    /// run at once; from 100 ms to 60 s.
    fn retry_after(&self, waiting: usize, concurrent: usize) -> Duration {
        let ahead = u32::try_from(waiting.saturating_add(1)).unwrap_or(u32::MAX);
        let concurrent = u32::try_from(concurrent).unwrap_or(u32::MAX).max(1);
        (self.average_hold.saturating_mul(ahead) / concurrent)
            .clamp(Duration::from_millis(100), Duration::from_secs(60))
    }
}

impl User {
    fn queue(&self, lane: usize) -> Option<&UserQueue> {
        self.queues.iter().find(|queue| queue.lane == lane)
    }

    fn queue_mut(&mut self, lane: usize) -> Option<&mut UserQueue> {
        self.queues.iter_mut().find(|queue| queue.lane == lane)
    }

    fn queue_or_new(&mut self, lane: usize) -> &mut UserQueue {
        let at = self.queues.iter().position(|queue| queue.lane == lane).unwrap_or_else(|| {
            self.queues.reserve_exact(1);
            self.queues.push(UserQueue { lane, running: 0, waiting: Default::default() });
            self.queues.len() - 1
        });
        &mut self.queues[at]
    }
}

impl UserQueue {
    /// Returns the number of waiting requests.
    fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    /// Returns the request that is next: its class after ageing, its ticket, its requested class, and since when it
    /// waits.
    fn first(&self, config: &Config, now: Instant) -> Option<(usize, u64, usize, Instant)> {
        let heads = self.waiting.iter().enumerate().filter_map(|(class, waiting)| Some((class, waiting.front()?)));
        let ranked = heads.map(|(class, request)| {
            (aged_class(class, request.since, config, now), request.ticket, class, request.since)
        });
        ranked.min()
    }
}

/// Returns the class of a request that has waited since `since`: one better for each ageing interval.
fn aged_class(class: usize, since: Instant, config: &Config, now: Instant) -> usize {
    let waited = now.saturating_duration_since(since);
    let gained = waited.as_nanos().checked_div(config.ageing_interval.as_nanos()).unwrap_or(0);
    class.saturating_sub(usize::try_from(gained).unwrap_or(usize::MAX))
}

/// Returns one fewer, but at least one.
fn all_but_one(slots: usize) -> usize {
    if slots > 1 { slots - 1 } else { slots }
}
