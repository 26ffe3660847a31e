//! The connections that are open: how many there may be, and which one is closed when there are more.
//!
//! Closed for another are, in this order: connections that have not sent a whole request yet, connections between two
//! requests, and connections whose client has stopped in the middle of a body. Of each kind the one that has been
//! silent longest goes first. A connection whose request runs, or whose answer is being sent, is never closed for another.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Silence in the middle of a body after which its connection may be closed for another.
const STALLED: Duration = Duration::from_secs(1);

/// All open connections. Clones are the same table.
#[derive(Clone)]
pub(super) struct Connections(Arc<Inner>);

struct Inner {
    most: usize,
    /// 0: any number.
    most_per_address: usize,
    started: Instant,
    /// Held for a look-up, and for a look through the table where all connections are busy.
    table: Mutex<Table>,
    /// One has ended, or may be closed for another.
    freed: Notify,
}

#[derive(Default)]
struct Table {
    all: HashMap<u64, Arc<Open>>,
    /// Those that may be closed for others, in the order in which they are.
    waiting: BTreeSet<(Stage, Instant, u64)>,
    by_address: HashMap<IpAddr, usize>,
    next: u64,
}

/// What a connection is doing. The order of the first two is the order in which they are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    /// It has not sent a whole request yet.
    New,
    /// It is between two requests.
    Idle,
    /// Its client is expected to send more of a body.
    Receiving,
    /// Its request runs, or is being answered.
    Busy,
}

struct Open {
    address: Option<IpAddr>,
    stage: AtomicU8,
    /// Milliseconds from the start of the table to the last piece of a body.
    progress: AtomicU64,
    /// Its answer is whole, and not all of it is on its way yet.
    is_answered: AtomicBool,
    close: Notify,
}

/// There is no room for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// All connections are busy. There will be.
    Now,
    /// Its address has as many as it may have, and all are busy.
    ForAddress,
}

impl Connections {
    pub(super) fn new(most: usize, most_per_address: usize) -> Self {
        let (table, freed) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { most, most_per_address, started: Instant::now(), table, freed }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes in a connection, and closes another where that is needed.
    ///
    /// # Errors
    /// None can be closed for it.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Result<Connection, NoRoom> {
        let mut table = self.table();
        let most = self.0.most_per_address;
        if let Some(address) = address.filter(|_| most > 0)
            && table.by_address.get(&address).is_some_and(|count| *count >= most)
        {
            let is_own = |number: &u64| table.all.get(number).is_some_and(|open| open.address == Some(address));
            let own = table.waiting.iter().find(|(_, _, number)| is_own(number)).copied();
            let own = own.ok_or(NoRoom::ForAddress)?;
            table.waiting.remove(&own);
            table.close(own.2);
        }
        if table.all.len() >= self.0.most {
            let number = table.first_to_close(self.now()).ok_or(NoRoom::Now)?;
            table.close(number);
        }
        let number = table.next;
        table.next += 1;
        let open = Arc::new(Open {
            address,
            stage: AtomicU8::new(Stage::New as u8),
            progress: AtomicU64::new(0),
            is_answered: AtomicBool::new(false),
            close: Notify::new(),
        });
        table.all.insert(number, Arc::clone(&open));
        let since = Instant::now();
        table.waiting.insert((Stage::New, since, number));
        if let Some(address) = address {
            *table.by_address.entry(address).or_default() += 1;
        }
        drop(table);
        Ok(Connection { connections: self.clone(), number, since: Mutex::new(since), open })
    }

    /// Resolves when there may be room for one more.
    pub(super) async fn freed(&self) {
        tokio::select! {
            () = self.0.freed.notified() => {}
            // A body may have stalled.
            () = sleep(STALLED) => {}
        }
    }
}

impl Table {
    fn first_to_close(&mut self, now: u64) -> Option<u64> {
        let waits = self.waiting.pop_first().map(|(_, _, number)| number);
        let stalled = || {
            let silent = self.all.iter().filter(|(_, open)| open.stage() == Stage::Receiving as u8);
            let silent =
                silent.map(|(number, open)| (now.saturating_sub(open.progress.load(Ordering::Relaxed)), *number));
            let (silence, number) = silent.max()?;
            (u128::from(silence) >= STALLED.as_millis()).then_some(number)
        };
        waits.or_else(stalled)
    }

    /// Ends a connection. From now on it is not counted.
    fn close(&mut self, number: u64) {
        if let Some(open) = self.remove(number) {
            open.close.notify_one();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Open>> {
        let open = self.all.remove(&number)?;
        if let Some(address) = open.address
            && let Some(count) = self.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(open)
    }
}

impl Open {
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
    open: Arc<Open>,
}

impl Connection {
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.open.address
    }

    pub(super) fn is_new(&self) -> bool {
        self.open.stage() == Stage::New as u8
    }

    /// Says what it is doing from now on.
    pub(super) fn enters(&self, stage: Stage) {
        if self.open.stage() == stage as u8 {
            return;
        }
        let mut table = self.connections.table();
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        for waiting in [Stage::New, Stage::Idle] {
            table.waiting.remove(&(waiting, *since, self.number));
        }
        *since = Instant::now();
        self.open.stage.store(stage as u8, Ordering::Relaxed);
        self.progresses();
        if matches!(stage, Stage::New | Stage::Idle) && table.all.contains_key(&self.number) {
            table.waiting.insert((stage, *since, self.number));
            self.connections.0.freed.notify_one();
        }
    }

    /// A piece of a body has come.
    pub(super) fn progresses(&self) {
        self.open.progress.store(self.connections.now(), Ordering::Relaxed);
    }

    /// Its answer is whole. It is busy until all of it is on its way.
    pub(super) fn answered(&self) {
        self.open.is_answered.store(true, Ordering::Relaxed);
    }

    /// All that was written is on its way.
    pub(super) fn flushed(&self) {
        if self.open.is_answered.swap(false, Ordering::Relaxed) {
            self.enters(Stage::Idle);
        }
    }

    /// Resolves when it has to make room for another.
    pub(super) async fn closed(&self) {
        self.open.close.notified().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        for waiting in [Stage::New, Stage::Idle] {
            table.waiting.remove(&(waiting, since, self.number));
        }
        table.remove(self.number);
        drop(table);
        self.connections.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    /// Connections in these stages, each entered after the one before.
    async fn open(table: &Connections, stages: &[Stage]) -> Vec<Connection> {
        let mut all = Vec::new();
        for stage in stages {
            let connection = table.admit(None).unwrap();
            advance(TICK).await;
            connection.enters(*stage);
            advance(TICK).await;
            all.push(connection);
        }
        all
    }

    fn closed(all: &[Connection]) -> Vec<usize> {
        let is_closed = |connection: &Connection| connection.closed().now_or_never().is_some();
        all.iter().enumerate().filter(|(_, connection)| is_closed(connection)).map(|(at, _)| at).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_been_silent_longest_goes_and_those_without_a_request_go_first() {
        let table = Connections::new(6, 0);
        let all =
            open(&table, &[Stage::Busy, Stage::Idle, Stage::New, Stage::Receiving, Stage::Idle, Stage::New]).await;
        let mut gone = Vec::new();
        let mut kept = Vec::new();
        for _ in 0..4 {
            let next = table.admit(None).unwrap();
            next.enters(Stage::Busy);
            kept.push(next);
            gone.extend(closed(&all));
        }
        assert_eq!(gone, [2, 5, 1, 4]);
        // What is left is busy, but for a body that has not stalled yet.
        assert_eq!(table.admit(None).err(), Some(NoRoom::Now));
        advance(STALLED - TICK).await;
        all[3].progresses();
        advance(STALLED - TICK).await;
        assert_eq!(table.admit(None).err(), Some(NoRoom::Now));
        advance(TICK).await;
        kept.push(table.admit(None).unwrap());
        assert_eq!(closed(&all), [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_waits_for_its_reader_is_not_cut_for_another() {
        let table = Connections::new(1, 0);
        let all = open(&table, &[Stage::Busy]).await;
        // Part of a stream is on its way; then all of it is whole.
        all[0].flushed();
        all[0].answered();
        assert_eq!(table.admit(None).err(), Some(NoRoom::Now));
        all[0].flushed();
        table.admit(None).unwrap();
        assert_eq!(closed(&all), [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_over_its_limit_closes_its_own_and_nobody_elses() {
        let table = Connections::new(100, 2);
        let address = |text: &str| Some(text.parse().unwrap());
        let other = table.admit(address("192.0.2.2")).unwrap();
        let one = table.admit(address("192.0.2.1")).unwrap();
        advance(TICK).await;
        let two = table.admit(address("192.0.2.1")).unwrap();
        let three = table.admit(address("192.0.2.1")).unwrap();
        assert_eq!(closed(&[other, one]), [1]);
        for connection in [&two, &three] {
            connection.enters(Stage::Busy);
        }
        assert_eq!(table.admit(address("192.0.2.1")).err(), Some(NoRoom::ForAddress));
        drop(three);
        table.admit(address("192.0.2.1")).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_of_connections_that_have_ended() {
        let table = Connections::new(4, 4);
        for stage in [Stage::New, Stage::Idle, Stage::Receiving, Stage::Busy].repeat(10) {
            let connection = table.admit(Some("::1".parse().unwrap())).unwrap();
            connection.enters(stage);
        }
        let table = table.table();
        assert!(table.all.is_empty() && table.waiting.is_empty() && table.by_address.is_empty());
    }
}
