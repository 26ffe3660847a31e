//! A rate limit: a bucket of tokens that refills with time.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    size: f64,
    per_second: f64,
    tokens: f64,
    /// When `tokens` was right.
    updated: Instant,
}

/// No token is left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RateExceeded {
    /// Time until the next token.
    pub(crate) retry_after: Duration,
    /// Tokens of the full bucket.
    pub(crate) bucket_size: u64,
}

impl TokenBucket {
    /// Returns a full bucket; its size is at least 1.
    pub(crate) fn new(size: u32, per_second: f64) -> Self {
        let size = f64::from(size.max(1));
        Self { size, per_second, tokens: size, updated: Instant::now() }
    }

    pub(crate) fn take(&mut self) -> Result<(), RateExceeded> {
        let now = Instant::now();
        self.tokens = (self.tokens + (now - self.updated).as_secs_f64() * self.per_second).min(self.size);
        self.updated = now;
        // Rounding must not cost a token.
        if self.tokens >= 1.0 - 1e-9 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let retry_after = Duration::from_secs_f64(((1.0 - self.tokens) / self.per_second).min(3600.0));
        Err(RateExceeded { retry_after, bucket_size: self.size as u64 })
    }
}
