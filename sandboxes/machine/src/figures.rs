//! The figures of a machine. Its daemon sees those of the whole host; a machine's control group has its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use switchtower_container::MachineLimits;
use switchtower_jail::GroupUsage;
use tokio::time::Instant;

/// Measures the use of a machine's processors from one call to the next.
pub(crate) struct Meter {
    /// Bytes that the machine may use.
    memory: u64,
    /// Processors' worth of time that the machine may use.
    processors: f64,
    /// The time of the last call, and the processor time until then. Held for a few instructions.
    last: Mutex<(Instant, Duration)>,
}

impl Meter {
    /// Returns the meter of a machine that starts now, with these limits.
    pub(crate) fn new(limits: &MachineLimits) -> Self {
        let all = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        let processors = limits.processors.map_or(all, |some| some.min(all));
        Self { memory: limits.memory, processors, last: Mutex::new((Instant::now(), Duration::ZERO)) }
    }

    /// Replaces the host's figures in an answer of the daemon's `/metrics` by those that the machine's group has: processors and
    /// bytes of memory. Figures that the group does not have stay away, since the host's are nobody's business.
    pub(crate) fn replace(&self, figures: &mut Map<String, Value>, usage: &GroupUsage) {
        let mut set = |name: &str, value: Value| figures.insert(name.to_owned(), value);
        set("cpu_count", (self.processors.ceil() as u64).into());
        set("cpu_used_pct", usage.processor_time.map_or(0.0, |time| self.percent(time)).into());
        let used = usage.memory.unwrap_or(0);
        set("mem_total", self.memory.into());
        set("mem_total_mib", (self.memory >> 20).into());
        set("mem_used", used.into());
        set("mem_used_mib", (used >> 20).into());
        set("mem_cache", 0.into());
    }

    /// Returns the share of the machine's processors that was used since the last call, from 0 to 100.
    fn percent(&self, time: Duration) -> f64 {
        let now = Instant::now();
        let (before, time_before) = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, (now, time))
        };
        let passed = (now - before).as_secs_f64() * self.processors;
        let used = time.saturating_sub(time_before).as_secs_f64();
        let percent = if passed > 0.0 { (used / passed * 100.0).clamp(0.0, 100.0) } else { 0.0 };
        (percent * 100.0).round() / 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_figures_of_the_host_are_replaced_by_those_of_the_machine() {
        let limits = MachineLimits {
            memory: 256 << 20,
            processes: 1,
            processors: Some(0.5),
            disk: 1,
            inodes: 1,
            descriptors: 1,
        };
        let meter = Meter::new(&limits);
        let host = serde_json::json!({ "cpu_count": 64, "mem_total": 1_u64 << 40, "mem_used": 7, "disk_used": 3 });
        let Value::Object(mut figures) = host else { unreachable!() };
        tokio::time::advance(Duration::from_secs(2)).await;
        let usage = GroupUsage {
            memory: Some(96 << 20),
            processor_time: Some(Duration::from_millis(250)),
            ..GroupUsage::default()
        };
        meter.replace(&mut figures, &usage);
        let expected = serde_json::json!({
            "cpu_count": 1, "cpu_used_pct": 25.0, "disk_used": 3, "mem_cache": 0,
            "mem_total": 256 << 20, "mem_total_mib": 256, "mem_used": 96 << 20, "mem_used_mib": 96,
        });
        assert_eq!(Value::Object(figures.clone()), expected);
        tokio::time::advance(Duration::from_secs(2)).await;
        meter.replace(&mut figures, &usage);
        assert_eq!(figures["cpu_used_pct"], 0.0, "nothing was used since the last call");
    }
}
