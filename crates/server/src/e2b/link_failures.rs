//! Limits how often an address may send a wrong signature: each one may cost a hash for every recent sandbox.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time after which an address may fail once more: 20 times a second in the long run.
const INTERVAL: Duration = Duration::from_millis(50);
/// Failures that an address may have at once.
const BURST: u32 = 40;
/// Maximum number of addresses that are counted separately; further ones share one entry.
const MAX_ADDRESSES: usize = 8192;

/// The failures of each address, for as long as they count. Requests without a known address share one entry.
#[derive(Default)]
pub(super) struct LinkFailures {
    /// When the failures of an address no longer count. Locked for a look-up.
    clear_at: Mutex<HashMap<Option<IpAddr>, Instant>>,
}

impl LinkFailures {
    /// Returns how long this address must wait before its next signature is checked; `None` if it need not wait.
    pub(super) fn wait(&self, address: Option<IpAddr>) -> Option<Duration> {
        let clear_at = self.clear_at.lock().unwrap_or_else(PoisonError::into_inner);
        let used = clear_at.get(&network(address))?.saturating_duration_since(Instant::now());
        used.checked_sub(INTERVAL * (BURST - 1)).filter(|wait| !wait.is_zero())
    }

    /// Counts a wrong signature from this address.
    pub(super) fn record(&self, address: Option<IpAddr>) {
        let now = Instant::now();
        let mut clear_at = self.clear_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut address = network(address);
        if clear_at.len() >= MAX_ADDRESSES && !clear_at.contains_key(&address) {
            clear_at.retain(|_, at| *at > now);
            if clear_at.len() >= MAX_ADDRESSES {
                address = None;
            }
        }
        let entry = clear_at.entry(address).or_insert(now);
        *entry = (*entry).max(now) + INTERVAL;
    }
}

/// Returns the network that an address is counted as: one client usually has all addresses of an IPv6 /64.
fn network(address: Option<IpAddr>) -> Option<IpAddr> {
    address.map(|address| match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_address_with_the_failures_has_to_wait() {
        let failures = LinkFailures::default();
        let address = |text: &str| Some(text.parse().unwrap());
        let (one, neighbour, other) = (address("2001:db8::1"), address("2001:db8::2"), address("192.0.2.1"));
        for _ in 0..BURST {
            assert_eq!(failures.wait(one), None);
            failures.record(one);
        }
        assert_eq!(failures.wait(one), Some(INTERVAL));
        assert_eq!((failures.wait(neighbour), failures.wait(other), failures.wait(None)), (Some(INTERVAL), None, None));
        advance(INTERVAL).await;
        assert_eq!(failures.wait(one), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_counted_addresses_is_bounded() {
        let failures = LinkFailures::default();
        for number in 0..20_000_u32 {
            failures.record(Some(IpAddr::V4(number.into())));
        }
        assert!(failures.clear_at.lock().unwrap().len() <= MAX_ADDRESSES + 1);
    }
}
