//! A connection to a worker process: it carries one order at a time. A process that keeps kernels has several, so that
//! several cells run in it at once, and none waits for another's end or for another's slow reader.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use switchtower_contract::{Events, Fault};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use crate::descriptors;
use crate::frames::{self, Order, Reader, Report};

/// A cancelled program is given this long at least.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_millis(100);

/// The parent's end of a connection.
pub(crate) struct Connection {
    reports: Reader<OwnedReadHalf>,
    orders: OwnedWriteHalf,
    grace: Duration,
}

/// What became of the worker by a run.
pub(crate) enum After {
    /// It can take the next program.
    Whole,
    /// It must go.
    Broken,
}

/// Why there is no report of an end.
pub(crate) enum Stopped {
    Fault(Fault),
    /// The process, or its connection, is gone.
    Gone(io::Error),
    /// It did not heed its deadline, after so long.
    Late(Duration),
}

/// A report that answers no order of this kind.
pub(crate) fn out_of_turn<T>() -> (Result<T, Fault>, After) {
    (Err(Fault::Lost { reason: "the worker spoke out of turn".to_owned() }), After::Broken)
}

impl Connection {
    /// # Errors
    /// The runtime takes no more descriptors.
    pub(crate) fn new(near: StdUnixStream, grace: Duration) -> io::Result<Self> {
        near.set_nonblocking(true)?;
        let (reports, orders) = UnixStream::from_std(near)?.into_split();
        Ok(Self { reports: Reader::new(reports), orders, grace })
    }

    /// Reads the bytes of the worker's first frame, its ready report.
    ///
    /// # Errors
    /// The process is gone, or what came is too long for a frame.
    pub(crate) async fn ready_report(&mut self) -> io::Result<Vec<u8>> {
        self.reports.next_bytes().await
    }

    /// Gives an order and waits for its end, or until `left` resolves: then it is cancelled. `wall` is how long what is
    /// ordered may take by itself.
    pub(crate) async fn carry_out(
        &mut self,
        order: &Order,
        wall: Duration,
        events: Option<&Events>,
        left: impl Future<Output = ()>,
    ) -> (Result<Report, Stopped>, After) {
        let started = Instant::now();
        let deadline = started + wall + self.grace;
        if let Err(e) = frames::send(&mut self.orders, order).await {
            // Nothing ran: an order that is not whole is no order.
            let fault = Fault::Unavailable { reason: format!("the worker is gone: {e}") };
            return (Err(Stopped::Fault(fault)), After::Broken);
        }
        let lost = |reason: &str| (Err(Stopped::Fault(Fault::Lost { reason: reason.to_owned() })), After::Broken);
        tokio::pin!(left);
        let mut until = deadline;
        let mut cancelled = false;
        loop {
            let report = tokio::select! {
                report = self.reports.next() => report,
                () = &mut left, if !cancelled => {
                    cancelled = true;
                    until = until.min(Instant::now() + CANCEL_GRACE.max(self.grace));
                    if frames::send(&mut self.orders, &Order::Cancel).await.is_err() {
                        return lost("it was cancelled");
                    }
                    continue;
                }
                () = tokio::time::sleep_until(until) => {
                    if cancelled {
                        return lost("it was cancelled");
                    }
                    tracing::warn!(?wall, "a worker did not heed its deadline and was killed");
                    return (Err(Stopped::Late(started.elapsed())), After::Broken);
                }
            };
            match report {
                Ok(Report::Event(event)) => {
                    let Some(events) = events.filter(|_| !cancelled) else { continue };
                    // A reader that is slow must not hold the deadline up.
                    tokio::select! {
                        _ = events.send(event) => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
                Ok(end) => return (Ok(end), After::Whole),
                Err(e) => return (Err(Stopped::Gone(e)), After::Broken),
            }
        }
    }
}

/// Opens `count` further connections and sends the worker its ends of them, in one message that comes before all others;
/// returns this side's ends.
///
/// # Errors
/// The system gives no more descriptors.
pub(crate) fn hand_over(first: &StdUnixStream, count: usize) -> io::Result<Vec<StdUnixStream>> {
    let pairs: Vec<_> = (0..count.min(descriptors::MOST)).map(|_| StdUnixStream::pair()).collect::<io::Result<_>>()?;
    let far: Vec<BorrowedFd<'_>> = pairs.iter().map(|(_, far)| far.as_fd()).collect();
    // The socket is new, so one byte does not wait.
    descriptors::send(first.as_fd(), &far)?;
    Ok(pairs.into_iter().map(|(near, _)| near).collect())
}
