//! The open connections: limits their number, and chooses the one to close for a new one at a limit.
//!
//! Closed first are connections that have not sent a whole request yet, then connections between two requests, then
//! connections whose client has stopped in the middle of a body. Within each group the one that has been silent longest
//! is closed. A connection whose request runs, or whose response is being sent, is never closed for another.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Silence in the middle of a body after which the connection may be closed for another.
const STALLED: Duration = Duration::from_secs(1);

/// All open connections. Clones share one table.
#[derive(Clone)]
pub(super) struct Connections(Arc<Inner>);

struct Inner {
    max: usize,
    /// 0: no limit.
    max_per_address: usize,
    started: Instant,
    /// Locked for a look-up, and for one pass over the table when all connections are busy.
    table: Mutex<Table>,
    /// Notified when a connection has ended or may be closed for another.
    capacity: Notify,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Arc<Shared>>,
    /// Connections that may be closed for another, in the order in which they are closed.
    closable: BTreeSet<(Stage, Instant, u64)>,
    count_by_address: HashMap<IpAddr, usize>,
    next_number: u64,
}

/// What a connection is doing. [`New`](Self::New) is closed before [`Idle`](Self::Idle).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    /// It has not sent a whole request yet.
    New,
    /// It is between two requests.
    Idle,
    /// Its client is expected to send more of a body.
    Receiving,
    /// Its request runs, or its response is being sent.
    Busy,
}

/// What the table and a [`Connection`] share.
struct Shared {
    address: Option<IpAddr>,
    stage: AtomicU8,
    /// Milliseconds from the start of the table to the last chunk of a body.
    last_progress: AtomicU64,
    /// The response is complete, and not all of it has been flushed yet.
    is_response_complete: AtomicBool,
    /// A response has ended in the middle.
    is_broken_off: AtomicBool,
    close: Notify,
}

/// A connection cannot be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAdmitted {
    /// The limit is reached and all connections are busy. [`Connections::wait_for_capacity`] waits for one that is not.
    Full,
    /// Its address has reached its limit and all of its connections are busy.
    AddressFull,
}

/// What a new connection does at a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtLimit {
    /// It closes another one that may be closed.
    CloseAnother,
    /// It is not admitted.
    Refuse,
}

impl Connections {
    /// `max_per_address`: 0 for no limit.
    pub(super) fn new(max: usize, max_per_address: usize) -> Self {
        let (table, capacity) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { max, max_per_address, started: Instant::now(), table, capacity }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Adds a connection.
    ///
    /// # Errors
    /// The limit is reached and no connection can be closed for it.
    pub(super) fn admit(&self, address: Option<IpAddr>, at_limit: AtLimit) -> Result<Connection, NotAdmitted> {
        let closes = at_limit == AtLimit::CloseAnother;
        let mut table = self.table();
        let max_per_address = self.0.max_per_address;
        if let Some(address) = address.filter(|_| max_per_address > 0)
            && table.count_by_address.get(&address).is_some_and(|count| *count >= max_per_address)
        {
            let is_same_address = |number: &u64| table.open.get(number).is_some_and(|it| it.address == Some(address));
            let closable = table.closable.iter().find(|(_, _, number)| is_same_address(number)).copied();
            let closable = closable.filter(|_| closes).ok_or(NotAdmitted::AddressFull)?;
            table.closable.remove(&closable);
            table.close(closable.2);
        }
        if table.open.len() >= self.0.max {
            let number = if closes { table.take_closable(self.now()) } else { None }.ok_or(NotAdmitted::Full)?;
            table.close(number);
        }
        let number = table.next_number;
        table.next_number += 1;
        let shared = Arc::new(Shared {
            address,
            stage: AtomicU8::new(Stage::New as u8),
            last_progress: AtomicU64::new(0),
            is_response_complete: AtomicBool::new(false),
            is_broken_off: AtomicBool::new(false),
            close: Notify::new(),
        });
        table.open.insert(number, Arc::clone(&shared));
        let since = Instant::now();
        table.closable.insert((Stage::New, since, number));
        if let Some(address) = address {
            *table.count_by_address.entry(address).or_default() += 1;
        }
        drop(table);
        Ok(Connection { connections: self.clone(), number, since: Mutex::new(since), shared })
    }

    /// Resolves when one more connection may be admitted.
    pub(super) async fn wait_for_capacity(&self) {
        tokio::select! {
            () = self.0.capacity.notified() => {}
            // A body may have stalled in the meantime.
            () = sleep(STALLED) => {}
        }
    }
}

impl Table {
    fn take_closable(&mut self, now: u64) -> Option<u64> {
        let closable = self.closable.pop_first().map(|(_, _, number)| number);
        let stalled = || {
            let receiving = self.open.iter().filter(|(_, it)| it.stage() == Stage::Receiving as u8);
            let silence = |it: &Shared| now.saturating_sub(it.last_progress.load(Ordering::Relaxed));
            let (silence, number) = receiving.map(|(number, it)| (silence(it), *number)).max()?;
            (u128::from(silence) >= STALLED.as_millis()).then_some(number)
        };
        closable.or_else(stalled)
    }

    /// Closes a connection, which no longer counts.
    fn close(&mut self, number: u64) {
        if let Some(shared) = self.remove(number) {
            shared.close.notify_one();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Shared>> {
        let shared = self.open.remove(&number)?;
        if let Some(address) = shared.address
            && let Some(count) = self.count_by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.count_by_address.remove(&address);
            }
        }
        Some(shared)
    }
}

impl Shared {
    fn stage(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }
}

/// A connection in the table, until it is dropped.
pub(super) struct Connection {
    connections: Connections,
    number: u64,
    /// When its stage began.
    since: Mutex<Instant>,
    shared: Arc<Shared>,
}

impl Connection {
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.shared.address
    }

    pub(super) fn is_new(&self) -> bool {
        self.shared.stage() == Stage::New as u8
    }

    /// Sets the stage of the connection.
    pub(super) fn set_stage(&self, stage: Stage) {
        if self.shared.stage() == stage as u8 {
            return;
        }
        let mut table = self.connections.table();
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        for closable in [Stage::New, Stage::Idle] {
            table.closable.remove(&(closable, *since, self.number));
        }
        *since = Instant::now();
        self.shared.stage.store(stage as u8, Ordering::Relaxed);
        self.record_progress();
        if matches!(stage, Stage::New | Stage::Idle) && table.open.contains_key(&self.number) {
            table.closable.insert((stage, *since, self.number));
            self.connections.0.capacity.notify_one();
        }
    }

    /// Records that a chunk of a body has arrived.
    pub(super) fn record_progress(&self) {
        self.shared.last_progress.store(self.connections.now(), Ordering::Relaxed);
    }

    /// Records that the response is complete. The connection is busy until all of it is flushed.
    pub(super) fn record_response_complete(&self) {
        self.shared.is_response_complete.store(true, Ordering::Relaxed);
    }

    /// Records that all that was written has been flushed.
    pub(super) fn record_flush(&self) {
        if self.shared.is_response_complete.swap(false, Ordering::Relaxed) {
            self.set_stage(Stage::Idle);
        }
    }

    /// Records that a response has broken off, so that its connection ends with it.
    pub(super) fn break_off(&self) {
        self.shared.is_broken_off.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_broken_off(&self) -> bool {
        self.shared.is_broken_off.load(Ordering::Relaxed)
    }

    /// Resolves when it has to be closed for another.
    pub(super) async fn wait_for_close(&self) {
        self.shared.close.notified().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        for closable in [Stage::New, Stage::Idle] {
            table.closable.remove(&(closable, since, self.number));
        }
        table.remove(self.number);
        drop(table);
        self.connections.0.capacity.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    /// Opens connections in these stages, one after the other.
    async fn open(table: &Connections, stages: &[Stage]) -> Vec<Connection> {
        let mut all = Vec::new();
        for stage in stages {
            let connection = table.admit(None, AtLimit::CloseAnother).unwrap();
            advance(TICK).await;
            connection.set_stage(*stage);
            advance(TICK).await;
            all.push(connection);
        }
        all
    }

    fn closed(all: &[Connection]) -> Vec<usize> {
        let is_closed = |connection: &Connection| connection.wait_for_close().now_or_never().is_some();
        all.iter().enumerate().filter(|(_, connection)| is_closed(connection)).map(|(at, _)| at).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_connection_is_closed_first_and_those_without_a_request_before_all_others() {
        let table = Connections::new(6, 0);
        let all =
            open(&table, &[Stage::Busy, Stage::Idle, Stage::New, Stage::Receiving, Stage::Idle, Stage::New]).await;
        let mut gone = Vec::new();
        let mut kept = Vec::new();
        for _ in 0..4 {
            let next = table.admit(None, AtLimit::CloseAnother).unwrap();
            next.set_stage(Stage::Busy);
            kept.push(next);
            gone.extend(closed(&all));
        }
        assert_eq!(gone, [2, 5, 1, 4]);
        // The others are busy, or receive a body that has not stalled yet.
        assert_eq!(table.admit(None, AtLimit::CloseAnother).err(), Some(NotAdmitted::Full));
        assert_eq!(table.admit(None, AtLimit::Refuse).err(), Some(NotAdmitted::Full));
        advance(STALLED - TICK).await;
        all[3].record_progress();
        advance(STALLED - TICK).await;
        assert_eq!(table.admit(None, AtLimit::CloseAnother).err(), Some(NotAdmitted::Full));
        advance(TICK).await;
        kept.push(table.admit(None, AtLimit::CloseAnother).unwrap());
        assert_eq!(closed(&all), [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_not_flushed_yet_is_not_cut_off_for_another_connection() {
        let table = Connections::new(1, 0);
        let all = open(&table, &[Stage::Busy]).await;
        // Part of a stream is flushed; then the stream is complete.
        all[0].record_flush();
        all[0].record_response_complete();
        assert_eq!(table.admit(None, AtLimit::CloseAnother).err(), Some(NotAdmitted::Full));
        all[0].record_flush();
        table.admit(None, AtLimit::CloseAnother).unwrap();
        assert_eq!(closed(&all), [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_at_its_limit_closes_its_own_connections_and_no_others() {
        let table = Connections::new(100, 2);
        let address = |text: &str| Some(text.parse().unwrap());
        let other = table.admit(address("192.0.2.2"), AtLimit::CloseAnother).unwrap();
        let one = table.admit(address("192.0.2.1"), AtLimit::CloseAnother).unwrap();
        advance(TICK).await;
        let two = table.admit(address("192.0.2.1"), AtLimit::CloseAnother).unwrap();
        let three = table.admit(address("192.0.2.1"), AtLimit::CloseAnother).unwrap();
        assert_eq!(closed(&[other, one]), [1]);
        assert_eq!(table.admit(address("192.0.2.1"), AtLimit::Refuse).err(), Some(NotAdmitted::AddressFull));
        for connection in [&two, &three] {
            connection.set_stage(Stage::Busy);
        }
        assert_eq!(table.admit(address("192.0.2.1"), AtLimit::CloseAnother).err(), Some(NotAdmitted::AddressFull));
        drop(three);
        table.admit(address("192.0.2.1"), AtLimit::CloseAnother).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn ended_connections_leave_nothing_in_the_table() {
        let table = Connections::new(4, 4);
        for stage in [Stage::New, Stage::Idle, Stage::Receiving, Stage::Busy].repeat(10) {
            let connection = table.admit(Some("::1".parse().unwrap()), AtLimit::CloseAnother).unwrap();
            connection.set_stage(stage);
        }
        let table = table.table();
        assert!(table.open.is_empty() && table.closable.is_empty() && table.count_by_address.is_empty());
    }
}
