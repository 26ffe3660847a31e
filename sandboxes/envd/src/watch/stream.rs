//! `WatchDir`: the changes of a folder as a stream.

use std::io;
use std::os::fd::OwnedFd;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use switchtower_e2b_wire::connect::{self, Code, Error};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::OpenWatch;
use crate::readiness::register;
use crate::stream_times::StreamTimes;

/// Most events that are sent at once.
const MAX_SENT: usize = 64;

struct WatchStream {
    open: OpenWatch,
    readable: AsyncFd<OwnedFd>,
    times: StreamTimes,
    deadline: Option<Instant>,
    stage: Stage,
}

#[derive(PartialEq)]
enum Stage {
    Start,
    Events,
    Done,
}

/// Returns the changes as frames. The watch ends with the stream.
pub(crate) fn stream(open: OpenWatch, times: StreamTimes) -> Result<Body, Error> {
    let failed = |error: io::Error| Error::new(Code::Internal, format!("error creating watcher: {error}"));
    let readable = register(open.watch.descriptor().map_err(failed)?).map_err(failed)?;
    let deadline = times.timeout.and_then(|time| Instant::now().checked_add(time));
    let watch = WatchStream { open, readable, times, deadline, stage: Stage::Start };
    let frames = stream::unfold(watch, async |mut watch| {
        let frames = watch.next().await?;
        Some((Ok::<_, io::Error>(frames), watch))
    });
    Ok(Body::from_stream(frames))
}

impl WatchStream {
    async fn next(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Done => return None,
            Stage::Start => {
                self.stage = Stage::Events;
                return Some(connect::frame(&json!({ "start": {} })));
            }
            Stage::Events => {}
        }
        let keepalive_at = Instant::now().checked_add(self.times.keepalive);
        loop {
            let mut events: Vec<Value> = Vec::new();
            if let Err(error) = self.open.watch.read_events(&mut events, MAX_SENT) {
                return Some(self.end(&error));
            }
            if !events.is_empty() {
                let frame = |event: Value| connect::frame(&json!({ "filesystem": event }));
                return Some(events.into_iter().map(frame).collect::<Vec<_>>().concat().into());
            }
            let until = [keepalive_at, self.deadline].into_iter().flatten().min();
            let ready = async { self.readable.readable().await.map(|mut guard| guard.clear_ready()) };
            let ready = match until {
                Some(until) => tokio::time::timeout_at(until, ready).await,
                None => Ok(ready.await),
            };
            match ready {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = Error::new(Code::Internal, format!("watcher error: {error}"));
                    return Some(self.end(&error));
                }
                Err(_) if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                    return Some(self.end(&Error::new(Code::DeadlineExceeded, "context deadline exceeded")));
                }
                Err(_) => return Some(connect::frame(&json!({ "keepalive": {} }))),
            }
        }
    }

    fn end(&mut self, error: &Error) -> Bytes {
        self.stage = Stage::Done;
        connect::end_frame(Some(error))
    }
}
