//! The operations of the last hour. Pure: the time is an argument.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Counts of creations and other operations, by time since 1970. This is the content of the budget's file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HourlyCounts {
    /// Creations by second, rounded up, so that none leaves the hour too early. At most 3600 entries.
    creations: BTreeMap<u64, u32>,
    /// Other operations by the minute in which they began.
    operations: BTreeMap<Cow<'static, str>, BTreeMap<u64, u64>>,
}

pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
const MINUTE: u64 = 60;
/// The name of creations among the operations.
const CREATION: &str = "sandbox_create";

impl HourlyCounts {
    /// Returns the creations in the hour before `now`.
    pub(super) fn creations(&mut self, now: SystemTime) -> u32 {
        self.forget(now);
        self.creations.values().fold(0, |count, more| count.saturating_add(*more))
    }

    pub(super) fn count_creation(&mut self, now: SystemTime) {
        let since = since_1970(now);
        let second = since.as_secs() + u64::from(since.subsec_nanos() > 0);
        let count = self.creations.entry(second).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn count(&mut self, operation: &'static str, now: SystemTime) {
        let minute = since_1970(now).as_secs() / MINUTE;
        let minutes = self.operations.entry(Cow::Borrowed(operation)).or_default();
        let count = minutes.entry(minute).or_default();
        *count = count.saturating_add(1);
    }

    /// Returns the time until the hour has fewer than `limit` creations. `None`: it never has.
    pub(super) fn time_until_below(&self, limit: u32, now: SystemTime) -> Option<Duration> {
        let mut left = limit;
        // From the latest one back: when the one that reaches the limit has left the hour, the count is below it.
        for (second, count) in self.creations.iter().rev() {
            left = left.saturating_sub(*count);
            if left == 0 {
                return (limit > 0).then(|| (Duration::from_secs(*second) + HOUR).saturating_sub(since_1970(now)));
            }
        }
        (limit > 0).then_some(Duration::ZERO)
    }

    /// Returns the count of each operation, with creations.
    pub(super) fn by_operation(&mut self, now: SystemTime) -> BTreeMap<String, u64> {
        let created = u64::from(self.creations(now));
        let counted = self.operations.iter().map(|(name, minutes)| {
            (name.to_string(), minutes.values().fold(0, |all: u64, more| all.saturating_add(*more)))
        });
        let mut all: BTreeMap<_, _> = counted.collect();
        if created > 0 {
            *all.entry(CREATION.to_owned()).or_default() += created;
        }
        all
    }

    /// Forgets operations that are older than an hour, or more than an hour in the future: the clock was wrong then.
    pub(super) fn forget(&mut self, now: SystemTime) {
        let now = since_1970(now).as_secs();
        let hour = HOUR.as_secs();
        self.creations.retain(|second, _| second.saturating_add(hour) > now && *second <= now + hour);
        self.operations.retain(|_, minutes| {
            minutes.retain(|minute, _| {
                minute.saturating_add(1).saturating_mul(MINUTE).saturating_add(hour) > now
                    && *minute <= (now + hour) / MINUTE
            });
            !minutes.is_empty()
        });
    }
}

fn since_1970(now: SystemTime) -> Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
