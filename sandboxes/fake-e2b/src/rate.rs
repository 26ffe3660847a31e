//! A rate: tokens that come back with time.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of tokens.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    size: f64,
    per_second: f64,
    tokens: f64,
    at: Instant,
}

/// No token is left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Empty {
    /// When the next one is there.
    pub(crate) retry_after: Duration,
    /// Tokens in a full bucket.
    pub(crate) limit: u64,
}

impl Bucket {
    pub(crate) fn new(size: u32, per_second: f64) -> Self {
        let size = f64::from(size.max(1));
        Self { size, per_second, tokens: size, at: Instant::now() }
    }

    pub(crate) fn take(&mut self) -> Result<(), Empty> {
        let now = Instant::now();
        self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.per_second).min(self.size);
        self.at = now;
        // A token that is there but for the rounding is there.
        if self.tokens >= 1.0 - 1e-9 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let retry_after = Duration::from_secs_f64(((1.0 - self.tokens) / self.per_second).min(3600.0));
        Err(Empty { retry_after, limit: self.size as u64 })
    }
}
