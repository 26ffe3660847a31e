//! Reading a body whole: its size, and its time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use bytes::BytesMut;
use futures_util::StreamExt as _;

/// How often the patience for one piece may be used up by the whole of a body: an upload has its time, and an end.
const WHOLE: u32 = 20;

/// A body that was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive in time")]
    Slow,
    #[error("the body broke off: {0}")]
    Broken(String),
}

impl Unread {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// The whole body, at most `most` bytes, with no piece later than `patience` after the one before.
pub(crate) async fn whole(body: Body, most: usize, patience: Duration) -> Result<Bytes, Unread> {
    let mut pieces = body.into_data_stream();
    let read = async {
        let mut whole = BytesMut::new();
        while let Some(piece) = tokio::time::timeout(patience, pieces.next()).await.map_err(|_| Unread::Slow)? {
            let piece = piece.map_err(|broken| Unread::Broken(broken.to_string()))?;
            if whole.len() + piece.len() > most {
                return Err(Unread::TooLarge(most));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(patience.saturating_mul(WHOLE), read).await.unwrap_or(Err(Unread::Slow))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_body_ends_in_time_and_within_its_size_or_is_not_read() {
        assert_eq!(whole(Body::from("12345"), 5, PATIENCE).await.unwrap(), "12345");
        assert_eq!(whole(Body::from("12345"), 4, PATIENCE).await, Err(Unread::TooLarge(4)));
        let every = |gap: u64| {
            Body::from_stream(stream::unfold((), move |()| async move {
                tokio::time::sleep(Duration::from_secs(gap)).await;
                Some((Ok::<_, Infallible>("x"), ()))
            }))
        };
        assert_eq!(whole(every(31), 1000, PATIENCE).await, Err(Unread::Slow));
        // It drips, but not for ever.
        assert_eq!(whole(every(29), 1000, PATIENCE).await, Err(Unread::Slow));
    }
}
