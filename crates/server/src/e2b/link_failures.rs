//! How often an address may show a signature that is wrong: each one costs a search through all sandboxes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time after which an address has one more failure: 20 a second in the long run.
const INTERVAL: Duration = Duration::from_millis(50);
/// Failures at once.
const BURST: u32 = 40;
/// Addresses that are told apart; further ones share what is left.
const ADDRESSES: usize = 8192;

/// The failures of each address, for as long as they count. Requests whose address is not known share one entry.
#[derive(Default)]
pub(super) struct LinkFailures {
    /// When the address would have used up nothing. Locked for a look-up.
    clear_at: Mutex<HashMap<Option<IpAddr>, Instant>>,
}

impl LinkFailures {
    /// Returns how long this address has to wait before its next signature is looked at; `None`: it has not to.
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
        if clear_at.len() >= ADDRESSES && !clear_at.contains_key(&address) {
            clear_at.retain(|_, at| *at > now);
            if clear_at.len() >= ADDRESSES {
                address = None;
            }
        }
        let entry = clear_at.entry(address).or_insert(now);
        *entry = (*entry).max(now) + INTERVAL;
    }
}

/// An address as it is counted: whoever has one of IPv6 usually has its 64 bits of others.
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
    async fn an_address_waits_after_its_failures_and_no_other_does() {
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
    async fn many_addresses_take_no_more_room_than_there_is() {
        let failures = LinkFailures::default();
        for number in 0..20_000_u32 {
            failures.record(Some(IpAddr::V4(number.into())));
        }
        assert!(failures.clear_at.lock().unwrap().len() <= ADDRESSES + 1);
    }
}
