//! Reads whole bodies within limits of size, time, and memory per caller.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use switchtower_core::memory::{Charge, MemoryAccount, NoSpace};
use switchtower_core::request::{Caller, RequestLimits};
use switchtower_core::session::{self, Sessions};
use tokio::time::{Instant, timeout_at};

use super::body_limits::{BodyKind, BodyLimits, MAX_JSON_VALUES};
use super::coding::Coding;
use super::config::Config;

/// Maximum time for a whole body, as a multiple of the time-out for one chunk.
const TOTAL_TIMEOUT_FACTOR: u32 = 20;
/// Bytes per second that a body must arrive at, once the time-out for one chunk has passed.
const MIN_BYTES_PER_SECOND: u64 = 16 << 10;
/// Initial capacity for a body without a `Content-Length`, in bytes.
const INITIAL_CAPACITY: usize = 16 << 10;
/// Bytes that a JSON value takes in memory beside its text, on average.
const JSON_VALUE_BYTES: u64 = 96;
/// Bytes of each body that are not charged, so that a caller at its limit can still send requests that free memory. The
/// limit on connections bounds their sum.
const FREE_BYTES: u64 = 32 << 10;

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body has more than {0} bytes")]
    TooLarge(u64),
    #[error("the body has more than {MAX_JSON_VALUES} values")]
    TooManyValues,
    #[error("the body did not arrive in time")]
    TimedOut,
    #[error("the body ended early: {0}")]
    Incomplete(String),
    #[error("the body is not valid gzip: {0}")]
    NotGzip(String),
    #[error("Content-Encoding is not supported for JSON: send the body as it is")]
    Encoded,
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
}

impl BodyError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) | Self::TooManyValues => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Incomplete(_) | Self::NotGzip(_) => StatusCode::BAD_REQUEST,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoSpace(_) => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// A body with the memory charged to its caller for it.
#[derive(Debug)]
pub(crate) struct ChargedBody {
    pub(crate) bytes: Bytes,
    pub(crate) charge: Charge,
}

/// Reads bodies within their limits and charges them to their callers.
#[derive(Debug, Clone)]
pub(crate) struct BodyReader {
    pub(crate) memory: MemoryAccount,
    pub(crate) limits: BodyLimits,
    /// Longest silence of a client in the middle of a body.
    pub(crate) timeout: Duration,
}

impl BodyReader {
    /// Returns a reader that charges bodies to the account of the sessions, or to one of its own without sessions.
    pub(crate) fn new(config: &Config, request_limits: &RequestLimits, sessions: Option<&Sessions>) -> Self {
        let files = sessions
            .map_or_else(|| session::Config::default().max_files_size, |sessions| sessions.config().max_files_size);
        let memory = sessions.map(|sessions| sessions.memory().clone()).unwrap_or_default();
        Self {
            memory,
            limits: BodyLimits { request_limits: request_limits.clone(), session_files: files },
            timeout: config.client_timeout,
        }
    }

    /// Reads the whole body of an authenticated request.
    ///
    /// # Errors
    /// The body is too large, too slow, or more than its caller may hold, or it is JSON and encoded. No more of it is read
    /// then.
    pub(crate) async fn read(
        &self,
        caller: &Caller,
        kind: BodyKind,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<ChargedBody, BodyError> {
        if kind.is_json() && Coding::of(headers) != Ok(Coding::Identity) {
            return Err(BodyError::Encoded);
        }
        let charge = self.memory.open(caller);
        let bytes = read_whole(body, headers, self.limits.bytes(kind), self.timeout, &charge).await?;
        let length = bytes.len() as u64;
        if kind.is_json() && length > 0 {
            charge_json(&charge, &bytes)?;
        }
        Ok(ChargedBody { bytes, charge })
    }

    /// Charges JSON that has arrived by other means to its caller.
    ///
    /// # Errors
    /// It has too many values, or is more than its caller may hold.
    pub(crate) fn charge_json(&self, caller: &Caller, text: &[u8]) -> Result<Charge, BodyError> {
        let charge = self.memory.open(caller);
        charge_json(&charge, text)?;
        Ok(charge)
    }
}

/// Charges the text, and what is parsed from it.
fn charge_json(charge: &Charge, text: &[u8]) -> Result<(), BodyError> {
    let values = count_json_values(text);
    if values > MAX_JSON_VALUES {
        return Err(BodyError::TooManyValues);
    }
    charge.resize((2 * text.len() as u64 + JSON_VALUE_BYTES * values).saturating_sub(FREE_BYTES))?;
    Ok(())
}

/// Reads a whole body of at most `max` bytes, with no chunk later than `timeout` after the one before, and all of it at
/// no less than [`MIN_BYTES_PER_SECOND`].
async fn read_whole(
    body: Body,
    headers: &HeaderMap,
    max: u64,
    timeout: Duration,
    charge: &Charge,
) -> Result<Bytes, BodyError> {
    let mut chunks = body.into_data_stream();
    let read = read_chunks(&mut chunks, headers, max, timeout, charge).await;
    if matches!(read, Err(BodyError::TooLarge(_) | BodyError::NoSpace(_))) {
        charge.shrink(0);
        // A client that is still sending reads the response only afterwards.
        let _ = tokio::time::timeout(timeout, discard(&mut chunks, max.saturating_mul(DISCARDED))).await;
    }
    read
}

/// How many times the limit is read of a larger body before its connection is closed.
const DISCARDED: u64 = 4;

/// Reads about `max` bytes of a body and drops them.
async fn discard(chunks: &mut BodyDataStream, max: u64) {
    let mut discarded = 0;
    while discarded < max
        && let Some(Ok(chunk)) = chunks.next().await
    {
        discarded += chunk.len() as u64;
    }
}

async fn read_chunks(
    chunks: &mut BodyDataStream,
    headers: &HeaderMap,
    max: u64,
    timeout: Duration,
    charge: &Charge,
) -> Result<Bytes, BodyError> {
    let content_length =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if content_length.is_some_and(|length| length > max) {
        return Err(BodyError::TooLarge(max));
    }
    // A body that does not fit now is not read at all. What fits is charged as it arrives.
    if let Some(length) = content_length {
        let held = charge.bytes();
        charge.reach(length.saturating_sub(FREE_BYTES))?;
        charge.shrink(held);
    }
    let expected = usize::try_from(content_length.unwrap_or(max)).unwrap_or(usize::MAX);
    let started = Instant::now();
    let last = started + timeout.saturating_mul(TOTAL_TIMEOUT_FACTOR);
    let mut whole = Vec::new();
    loop {
        let earned = Duration::from_secs_f64(whole.len() as f64 / MIN_BYTES_PER_SECOND as f64);
        let until = (Instant::now() + timeout).min(started + timeout + earned).min(last);
        let chunk = timeout_at(until, chunks.next()).await.map_err(|_| BodyError::TimedOut)?;
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|error| BodyError::Incomplete(error.to_string()))?;
        let length = whole.len() + chunk.len();
        if length as u64 > max {
            return Err(BodyError::TooLarge(max));
        }
        if length > whole.capacity() {
            let capacity = (whole.capacity() * 2).clamp(INITIAL_CAPACITY, expected.max(INITIAL_CAPACITY)).max(length);
            charge.reach((capacity as u64).saturating_sub(FREE_BYTES))?;
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&chunk);
    }
    whole.shrink_to_fit();
    charge.shrink((whole.len() as u64).saturating_sub(FREE_BYTES));
    Ok(whole.into())
}

/// Reads the whole body of a response, at most `max` bytes. No caller is charged for it.
pub(crate) async fn read_response(body: Body, max: usize, timeout: Duration) -> Result<Bytes, BodyError> {
    let charge = MemoryAccount::default().open(&Caller::default());
    read_whole(body, &HeaderMap::new(), max as u64, timeout, &charge).await
}

/// Returns an upper bound of the number of values in a JSON text: the tokens between its commas, colons and brackets.
fn count_json_values(text: &[u8]) -> u64 {
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

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn bodies(files: u64, share: u64) -> BodyReader {
        let memory = MemoryAccount::new(&memory::Config { total: 2 * share, per_caller: share });
        BodyReader {
            memory,
            limits: BodyLimits { request_limits: RequestLimits::default(), session_files: files },
            timeout: TIMEOUT,
        }
    }

    async fn read(bodies: &BodyReader, kind: BodyKind, body: Body) -> Result<ChargedBody, BodyError> {
        bodies.read(&Caller::default(), kind, &HeaderMap::new(), body).await
    }

    fn chunk_every(gap: Duration, chunk: &'static [u8]) -> Body {
        Body::from_stream(stream::unfold((), move |()| async move {
            tokio::time::sleep(gap).await;
            Some((Ok::<_, Infallible>(chunk), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_too_large_or_too_slow_is_not_read() {
        let five = bodies(5, 1 << 20);
        assert_eq!(read(&five, BodyKind::File, Body::from("12345")).await.unwrap().bytes, "12345");
        assert_eq!(read(&five, BodyKind::File, Body::from("123456")).await.unwrap_err(), BodyError::TooLarge(5));
        let large = bodies(1 << 40, 1 << 40);
        let slow = async |gap, chunk| {
            let started = Instant::now();
            let error = read(&large, BodyKind::File, chunk_every(gap, chunk)).await.unwrap_err();
            (error, started.elapsed().as_secs())
        };
        assert_eq!(slow(Duration::from_secs(31), b"x").await, (BodyError::TimedOut, 30));
        // Every chunk is in time, and the rate is too low.
        assert_eq!(slow(Duration::from_secs(29), b"x").await, (BodyError::TimedOut, 30));
        // Fast enough, but longer than a whole body may take.
        assert_eq!(slow(Duration::from_millis(100), &[0; 4096]).await, (BodyError::TimedOut, 600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_with_a_too_large_content_length_is_not_read_and_a_client_that_sends_it_anyway_gets_the_refusal() {
        let content_length = |length: u64| HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(length))]);
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let refused = bodies(5, 1000).read(&Caller::default(), BodyKind::File, &content_length(6), never).await;
        assert_eq!(refused.unwrap_err(), BodyError::TooLarge(5));
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = |chunks: usize| {
            let sent = Arc::clone(&sent);
            Body::from_stream(stream::iter((0..chunks).map(move |_| {
                sent.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(vec![7; 10_000])
            })))
        };
        let small = bodies(1_000_000, 50_000);
        for (chunks, length) in [(20, Some(200_000)), (20, None), (900, Some(9_000_000)), (900, None)] {
            let headers = length.map(content_length).unwrap_or_default();
            let refused = small.read(&Caller::default(), BodyKind::File, &headers, counted(chunks)).await.unwrap_err();
            assert!(matches!(refused, BodyError::NoSpace(_) | BodyError::TooLarge(_)), "{refused}");
            let sent = sent.swap(0, Ordering::Relaxed);
            // All of it is read, but no more than four times the limit.
            assert!(sent == chunks || (400..=520).contains(&sent), "{sent} of {chunks}");
            assert_eq!(small.memory.total(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_charged_as_it_arrives_and_until_it_is_dropped() {
        let bodies = bodies(1 << 30, 100_000 - FREE_BYTES);
        let (ada, bob) = (Caller::named("ada"), Caller::named("bob"));
        let chunks = |count: usize| Body::from_stream(stream::iter(vec![Ok::<_, Infallible>(vec![7; 10_000]); count]));
        let none = HeaderMap::new();
        let held = bodies.read(&ada, BodyKind::File, &none, chunks(6)).await.unwrap();
        assert_eq!((held.bytes.len(), bodies.memory.held_by(&ada)), (60_000, 60_000 - FREE_BYTES));
        let refused = bodies.read(&ada, BodyKind::File, &none, chunks(8)).await.unwrap_err();
        assert!(matches!(refused, BodyError::NoSpace(NoSpace { wanted: 1.., .. })), "{refused}");
        assert_eq!(bodies.memory.held_by(&ada), 60_000 - FREE_BYTES);
        // A small body is read even when the caller may hold nothing more.
        let full = bodies.memory.charge(&ada, 40_000).unwrap();
        bodies.memory.charge(&ada, 1).unwrap_err();
        bodies.read(&ada, BodyKind::Message, &none, Body::from("{}")).await.unwrap();
        drop(full);
        bodies.read(&bob, BodyKind::File, &none, chunks(6)).await.unwrap();
        drop(held);
        assert_eq!(bodies.memory.total(), 0);
        // A content length is not charged before the bytes arrive.
        let content_length = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from_static("60000"))]);
        assert_eq!(bodies.read(&ada, BodyKind::File, &content_length, chunks(1)).await.unwrap().bytes.len(), 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn json_of_nothing_but_brackets_is_refused_before_it_is_parsed() {
        let bodies = bodies(1 << 20, 1 << 30);
        let bomb = format!("[{}", "[],".repeat(200_000));
        assert_eq!(read(&bodies, BodyKind::Program, Body::from(bomb)).await.unwrap_err(), BodyError::TooManyValues);
        let text = format!(r#"{{"code": "{}"}}"#, r##"[,{\":,"##.repeat(200_000));
        assert_eq!(count_json_values(text.as_bytes()), 3);
        let held = read(&bodies, BodyKind::Program, Body::from(text.clone())).await.unwrap();
        assert_eq!(held.charge.bytes(), 2 * text.len() as u64 + 3 * JSON_VALUE_BYTES - FREE_BYTES);
    }
}
