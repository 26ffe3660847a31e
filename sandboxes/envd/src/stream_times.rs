//! The times of a stream: how long it may last, and how often a silent one gives a sign of life.

use std::time::Duration;

use axum::http::HeaderMap;
use switchtower_e2b_wire::connect::{Code, Error};

/// Seconds between the keepalives of a silent stream, where the client names no interval.
const KEEPALIVE_SECONDS: u64 = 90;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamTimes {
    /// `None`: without an end.
    pub(crate) timeout: Option<Duration>,
    pub(crate) keepalive: Duration,
}

impl StreamTimes {
    /// Reads the times of a stream from the headers of its call.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let number = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let timeout = match number("connect-timeout-ms").filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => {
                let invalid =
                    |_| Error::new(Code::InvalidArgument, format!("connect-timeout-ms is not a number: {text:?}"));
                // No time means no time-out.
                u64::try_from(text.parse::<i64>().map_err(invalid)?).ok().filter(|time| *time > 0)
            }
        };
        let keepalive = number("keepalive-ping-interval").and_then(|text| text.parse().ok());
        Ok(Self {
            timeout: timeout.map(Duration::from_millis),
            keepalive: Duration::from_secs(keepalive.unwrap_or(KEEPALIVE_SECONDS).max(1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_the_times_of_its_headers() {
        let times = |timeout: &'static str, keepalive: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("connect-timeout-ms", timeout.parse().unwrap());
            headers.insert("keepalive-ping-interval", keepalive.parse().unwrap());
            StreamTimes::of(&headers)
                .map(|times| (times.timeout.map(|time| time.as_millis()), times.keepalive.as_secs()))
        };
        assert_eq!(StreamTimes::of(&HeaderMap::new()).unwrap().timeout, None);
        assert_eq!(times("1500", "50"), Ok((Some(1500), 50)));
        assert_eq!((times("0", "0"), times("-5", "x")), (Ok((None, 1)), Ok((None, 90))));
        assert_eq!(times("soon", "1").unwrap_err().code, Code::InvalidArgument);
    }
}
