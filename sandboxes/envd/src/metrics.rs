//! The figures of a machine: those of its control group where there is one, else those of the whole system.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::time::Instant;

const CGROUPS: &str = "/sys/fs/cgroup";

/// Measures the use of processors from one call to the next.
pub(crate) struct Meter {
    /// Held for a few instructions.
    last: Mutex<(Instant, CpuTime)>,
}

/// Time that processors have worked, in microseconds, and whose it is.
#[derive(Debug, Clone, Copy)]
struct CpuTime {
    used: u64,
    /// Processors, of which a control group may have a part.
    count: f64,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { last: Mutex::new((Instant::now(), CpuTime::now())) }
    }

    /// Returns the answer of `/metrics`.
    pub(crate) fn figures(&self, root: &Path) -> Value {
        let (now, cpu) = (Instant::now(), CpuTime::now());
        let (before, cpu_before) = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, (now, cpu))
        };
        let passed = (now - before).as_micros() as f64 * cpu.count;
        let used = cpu.used.saturating_sub(cpu_before.used) as f64;
        let percent = if passed > 0.0 { (used / passed * 100.0).clamp(0.0, 100.0) } else { 0.0 };
        let memory = Memory::now();
        let (disk_used, disk_total) = disk(root);
        json!({
            "ts": unix_seconds(),
            "cpu_count": cpu.count.ceil() as u64,
            "cpu_used_pct": (percent * 100.0).round() / 100.0,
            "mem_total_mib": memory.total >> 20,
            "mem_used_mib": memory.used >> 20,
            "mem_total": memory.total,
            "mem_used": memory.used,
            "mem_cache": memory.cache,
            "disk_used": disk_used,
            "disk_total": disk_total,
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "the time of a real system")]
fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl CpuTime {
    fn now() -> Self {
        let processors = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        let group = |name: &str| fs::read_to_string(format!("{CGROUPS}/{name}")).ok();
        // Only a control group below the root of all has limits, and figures of its own.
        if let (Some(stat), Some(max)) = (group("cpu.stat"), group("cpu.max")) {
            let count = quota(&max).map_or(processors, |quota| quota.min(processors));
            return Self { used: field(&stat, "usage_usec").unwrap_or_default(), count };
        }
        if let (Some(used), Some(quota)) = (group("cpuacct/cpuacct.usage"), group("cpu/cpu.cfs_quota_us")) {
            let period = group("cpu/cpu.cfs_period_us").unwrap_or_default();
            let count = self::quota(&format!("{} {}", quota.trim(), period.trim()));
            return Self { used: number(&used) / 1000, count: count.map_or(processors, |quota| quota.min(processors)) };
        }
        Self { used: of_system(&fs::read_to_string("/proc/stat").unwrap_or_default()), count: processors }
    }
}

/// Returns the processors that a quota and its period allow; `None` where there is no quota.
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Returns the time that all processors have worked, in microseconds, from `/proc/stat`, which counts hundredths of a second.
fn of_system(stat: &str) -> u64 {
    let ticks: Vec<u64> = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).map(number).collect();
    // Of the first eight columns, the fourth and the fifth are idle time. The rest is counted in these eight too.
    let worked =
        ticks.iter().take(8).enumerate().filter(|(column, _)| !matches!(column, 3 | 4)).map(|(_, ticks)| ticks);
    worked.sum::<u64>() * 10_000
}

/// Bytes.
struct Memory {
    total: u64,
    used: u64,
    cache: u64,
}

impl Memory {
    fn now() -> Self {
        let system = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let of_system = |name: &str| field(&system, name).unwrap_or_default() << 10;
        let total = of_system("MemTotal:");
        let group = |name: &str| fs::read_to_string(format!("{CGROUPS}/{name}")).ok();
        for [used, max, stat, cache, inactive] in [
            ["memory.current", "memory.max", "memory.stat", "file", "inactive_file"],
            [
                "memory/memory.usage_in_bytes",
                "memory/memory.limit_in_bytes",
                "memory/memory.stat",
                "total_cache",
                "total_inactive_file",
            ],
        ] {
            if let (Some(used), Some(max), Some(stat)) = (group(used), group(max), group(stat)) {
                let max = max.trim().parse().unwrap_or(total);
                // Files that were read once are freed before anything else, so they do not count as used.
                let used = number(&used).saturating_sub(field(&stat, inactive).unwrap_or_default());
                return Self { total: max.min(total), used, cache: field(&stat, cache).unwrap_or_default() };
            }
        }
        let cache = of_system("Cached:");
        Self { total, used: total.saturating_sub(of_system("MemAvailable:")), cache }
    }
}

/// Returns the bytes of the file system that are used, and all.
fn disk(root: &Path) -> (u64, u64) {
    let Ok(space) = rustix::fs::statvfs(root) else { return (0, 0) };
    let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
    (bytes(space.f_blocks.saturating_sub(space.f_bavail)), bytes(space.f_blocks))
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_default()
}

/// Returns the number behind a name, in a text with a name and a number in each line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with(' ')))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn figures_are_those_of_this_system() {
        let figures = Meter::new().figures(Path::new("/"));
        let number = |name: &str| figures[name].as_u64().unwrap();
        assert!(
            number("cpu_count") >= 1 && number("mem_total") > number("mem_used") && number("mem_used") > 1 << 20,
            "{figures}"
        );
        assert!(number("disk_total") >= number("disk_used") && number("disk_total") > 1 << 20, "{figures}");
        assert_eq!((quota("max 100000\n"), quota("50000 100000\n"), quota("-1 100000")), (None, Some(0.5), None));
        assert_eq!(of_system("cpu  1 2 3 400 500 6 7 8 1 2\ncpu0 1\n"), 270_000);
        assert_eq!(
            (field("file_mapped 3\nfile 4\n", "file"), field("MemTotal:       5 kB", "MemTotal:")),
            (Some(4), Some(5))
        );
    }
}
