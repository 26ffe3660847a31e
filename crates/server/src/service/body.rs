//! Reading a body whole: its size, its time, and the memory that it takes of its caller's share.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use switchtower_core::memory::{Charge, MemoryAccount, NoSpace};
use switchtower_core::request::{Caller, Ceilings};
use switchtower_core::session::{self, Sessions};
use tokio::time::{Instant, timeout, timeout_at};

use super::body_limits::{BodyKind, Limits, VALUES};
use super::config::Config;

/// How often the patience for one piece may be used up by the whole of a body: an upload has its time, and an end.
const WHOLE: u32 = 20;
/// Bytes a second that a body has to come to, once the patience for one piece is over.
const RATE: u64 = 16 << 10;
/// Room for a body whose length is not told, at first.
const FIRST: usize = 16 << 10;
/// Bytes that a value of JSON takes beside its text, on average.
const VALUE: u64 = 96;
/// Bytes of each body that nobody is charged for: whoever holds as much as it may can still ask for something to be
/// removed. The number of connections is their limit.
const FREE: u64 = 32 << 10;

/// A body that was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    #[error("the body has more than {0} bytes")]
    TooLarge(u64),
    #[error("the body has more than {VALUES} values")]
    TooManyValues,
    #[error("the body did not arrive in time")]
    Slow,
    #[error("the body broke off: {0}")]
    Broken(String),
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
}

impl Unread {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) | Self::TooManyValues => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::NoSpace(_) => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// A body, charged to its caller while it is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    pub(crate) charge: Charge,
}

/// Reads bodies.
#[derive(Debug, Clone)]
pub(crate) struct Bodies {
    pub(crate) memory: MemoryAccount,
    pub(crate) limits: Limits,
    /// How long a client may be silent in the middle of a body.
    pub(crate) patience: Duration,
}

impl Bodies {
    /// What reads bodies, charged to the account of the sessions, or to one of its own where there are none.
    pub(crate) fn new(config: &Config, ceilings: &Ceilings, sessions: Option<&Sessions>) -> Self {
        let files = sessions.map_or_else(|| session::Config::default().files, |sessions| sessions.config().files);
        let memory = sessions.map(|sessions| sessions.memory().clone()).unwrap_or_default();
        Self { memory, limits: Limits { ceilings: ceilings.clone(), files }, patience: config.client_timeout }
    }

    /// Reads the whole body of a request that has shown whose it is.
    ///
    /// # Errors
    /// It is too large, too slow, or more than its caller may hold; no more of it is read then.
    pub(crate) async fn read(
        &self,
        caller: &Caller,
        kind: BodyKind,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Held, Unread> {
        let charge = self.memory.open(caller);
        let bytes = whole(body, headers, self.limits.bytes(kind), self.patience, &charge).await?;
        let length = bytes.len() as u64;
        if kind.is_json() && length > 0 {
            let values = values(&bytes);
            if values > VALUES {
                return Err(Unread::TooManyValues);
            }
            // It, and what is read from it.
            charge.resize((2 * length + VALUE * values).saturating_sub(FREE))?;
        }
        Ok(Held { bytes, charge })
    }
}

/// The whole body, at most `most` bytes, with no piece later than `patience` after the one before, and all of it at no
/// less than the rate.
async fn whole(
    body: Body,
    headers: &HeaderMap,
    most: u64,
    patience: Duration,
    charge: &Charge,
) -> Result<Bytes, Unread> {
    let mut pieces = body.into_data_stream();
    let read = taken_in(&mut pieces, headers, most, patience, charge).await;
    if matches!(read, Err(Unread::TooLarge(_) | Unread::NoSpace(_))) {
        charge.shrink(0);
        // A client that is still sending reads its answer afterwards.
        let _ = timeout(patience, discard(&mut pieces, most)).await;
    }
    read
}

/// Takes so many bytes of a body, or a little more, and keeps none.
async fn discard(pieces: &mut BodyDataStream, most: u64) {
    let mut discarded = 0;
    while discarded < most
        && let Some(Ok(piece)) = pieces.next().await
    {
        discarded += piece.len() as u64;
    }
}

async fn taken_in(
    pieces: &mut BodyDataStream,
    headers: &HeaderMap,
    most: u64,
    patience: Duration,
    charge: &Charge,
) -> Result<Bytes, Unread> {
    let told = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|told| told > most) {
        return Err(Unread::TooLarge(most));
    }
    // What finds no space now is not begun; nothing is held for it before it is there.
    if let Some(told) = told {
        let held = charge.bytes();
        charge.reach(told.saturating_sub(FREE))?;
        charge.shrink(held);
    }
    let room = usize::try_from(told.unwrap_or(most)).unwrap_or(usize::MAX);
    let began = Instant::now();
    let last = began + patience.saturating_mul(WHOLE);
    let mut whole = Vec::new();
    loop {
        let earned = Duration::from_secs_f64(whole.len() as f64 / RATE as f64);
        let until = (Instant::now() + patience).min(began + patience + earned).min(last);
        let piece = timeout_at(until, pieces.next()).await.map_err(|_| Unread::Slow)?;
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|broken| Unread::Broken(broken.to_string()))?;
        let length = whole.len() + piece.len();
        if length as u64 > most {
            return Err(Unread::TooLarge(most));
        }
        if length > whole.capacity() {
            let capacity = (whole.capacity() * 2).clamp(FIRST, room.max(FIRST)).max(length);
            charge.reach((capacity as u64).saturating_sub(FREE))?;
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&piece);
    }
    whole.shrink_to_fit();
    charge.shrink((whole.len() as u64).saturating_sub(FREE));
    Ok(whole.into())
}

/// The whole body of an answer that nobody is charged for, at most `most` bytes.
pub(crate) async fn answer(body: Body, most: usize, patience: Duration) -> Result<Bytes, Unread> {
    let charge = MemoryAccount::default().open(&Caller::default());
    whole(body, &HeaderMap::new(), most as u64, patience, &charge).await
}

/// How many values a text of JSON has at most: what is between its commas, colons and brackets.
fn values(text: &[u8]) -> u64 {
    let (mut values, mut is_text, mut is_escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b',' | b':' | b'[' | b'{' if !is_text => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::HeaderValue;
    use futures_util::stream;

    use super::*;
    use switchtower_core::memory;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn bodies(files: u64, share: u64) -> Bodies {
        let memory = MemoryAccount::new(&memory::Config { total: 2 * share, per_caller: share });
        Bodies { memory, limits: Limits { ceilings: Ceilings::default(), files }, patience: PATIENCE }
    }

    async fn read(bodies: &Bodies, kind: BodyKind, body: Body) -> Result<Held, Unread> {
        bodies.read(&Caller::default(), kind, &HeaderMap::new(), body).await
    }

    fn every(gap: Duration, piece: &'static [u8]) -> Body {
        Body::from_stream(stream::unfold((), move |()| async move {
            tokio::time::sleep(gap).await;
            Some((Ok::<_, Infallible>(piece), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_ends_in_time_and_within_its_size_or_is_not_read() {
        let five = bodies(5, 1 << 20);
        assert_eq!(read(&five, BodyKind::File, Body::from("12345")).await.unwrap().bytes, "12345");
        assert_eq!(read(&five, BodyKind::File, Body::from("123456")).await.unwrap_err(), Unread::TooLarge(5));
        let large = bodies(1 << 40, 1 << 40);
        let slow = async |gap, piece| {
            let began = Instant::now();
            let error = read(&large, BodyKind::File, every(gap, piece)).await.unwrap_err();
            (error, began.elapsed().as_secs())
        };
        assert_eq!(slow(Duration::from_secs(31), b"x").await, (Unread::Slow, 30));
        // It drips: too slow for its length.
        assert_eq!(slow(Duration::from_secs(29), b"x").await, (Unread::Slow, 30));
        // Fast enough, but not for ever.
        assert_eq!(slow(Duration::from_millis(100), &[0; 4096]).await, (Unread::Slow, 600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_says_it_is_too_large_is_not_begun_and_a_client_that_sends_it_all_the_same_reads_why() {
        let told = |length: u64| HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(length))]);
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let refused = bodies(5, 1000).read(&Caller::default(), BodyKind::File, &told(6), never).await;
        assert_eq!(refused.unwrap_err(), Unread::TooLarge(5));
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = |pieces: usize| {
            let sent = Arc::clone(&sent);
            Body::from_stream(stream::iter((0..pieces).map(move |_| {
                sent.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(vec![7; 10_000])
            })))
        };
        let small = bodies(1_000_000, 50_000);
        for (pieces, length) in [(20, Some(200_000)), (20, None), (300, Some(3_000_000)), (300, None)] {
            let headers = length.map(told).unwrap_or_default();
            let refused = small.read(&Caller::default(), BodyKind::File, &headers, counted(pieces)).await.unwrap_err();
            assert!(matches!(refused, Unread::NoSpace(_) | Unread::TooLarge(_)), "{refused}");
            let sent = sent.swap(0, Ordering::Relaxed);
            // All of it, but no more than the limit once more.
            assert!(sent == pieces || (100..=120).contains(&sent), "{sent} of {pieces}");
            assert_eq!(small.memory.total(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrives_is_charged_as_it_arrives_and_until_it_is_dropped() {
        let bodies = bodies(1 << 30, 100_000 - FREE);
        let (ada, bob) = (Caller::named("ada"), Caller::named("bob"));
        let pieces = |count: usize| Body::from_stream(stream::iter(vec![Ok::<_, Infallible>(vec![7; 10_000]); count]));
        let none = HeaderMap::new();
        let held = bodies.read(&ada, BodyKind::File, &none, pieces(6)).await.unwrap();
        assert_eq!((held.bytes.len(), bodies.memory.held_by(&ada)), (60_000, 60_000 - FREE));
        let refused = bodies.read(&ada, BodyKind::File, &none, pieces(8)).await.unwrap_err();
        assert!(matches!(refused, Unread::NoSpace(NoSpace { wanted: 1.., .. })), "{refused}");
        assert_eq!(bodies.memory.held_by(&ada), 60_000 - FREE);
        // What is small is read even where nothing more may be held.
        let full = bodies.memory.charge(&ada, 40_000).unwrap();
        bodies.memory.charge(&ada, 1).unwrap_err();
        bodies.read(&ada, BodyKind::Message, &none, Body::from("{}")).await.unwrap();
        drop(full);
        bodies.read(&bob, BodyKind::File, &none, pieces(6)).await.unwrap();
        drop(held);
        assert_eq!(bodies.memory.total(), 0);
        // A length that is told costs nothing before its bytes are there.
        let told = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from_static("60000"))]);
        assert_eq!(bodies.read(&ada, BodyKind::File, &told, pieces(1)).await.unwrap().bytes.len(), 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn json_of_nothing_but_brackets_is_refused_before_it_is_parsed() {
        let bodies = bodies(1 << 20, 1 << 30);
        let bomb = format!("[{}", "[],".repeat(200_000));
        assert_eq!(read(&bodies, BodyKind::Program, Body::from(bomb)).await.unwrap_err(), Unread::TooManyValues);
        let text = format!(r#"{{"code": "{}"}}"#, r##"[,{\":,"##.repeat(200_000));
        assert_eq!(values(text.as_bytes()), 3);
        let held = read(&bodies, BodyKind::Program, Body::from(text.clone())).await.unwrap();
        assert_eq!(held.charge.bytes(), 2 * text.len() as u64 + 3 * VALUE - FREE);
    }
}
