//! The control groups of workers: their limit of memory, and their removal. A worker makes its group before it enters its
//! jail, and removes those of workers that have ended; the groups of the last workers are removed here, or by the cleanup
//! process where this one is killed.

use std::time::Duration;

/// The lower bound: memory for the packages and a program.
const MIN: u64 = 1 << 30;
/// The upper bound: more than a program needs, or the kernels that run at once.
const MAX: u64 = 4 << 30;

/// How long to wait for the processes of a killed worker, and how often.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSES: usize = 200;

/// Returns the bytes of memory for one of so many workers.
pub(crate) fn share(processes: usize) -> u64 {
    let all = physical().unwrap_or(MAX);
    (all / processes.max(1) as u64).clamp(MIN, MAX)
}

/// Returns the bytes of memory of the machine.
fn physical() -> Option<u64> {
    let table = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// Removes the groups of ended workers that this process started, as far as their processes have ended.
pub(crate) fn remove_of(starter: u32) {
    switchtower_jail::sweep_cgroups(Some(starter));
}

/// Returns whether a group of a worker exists that this process started, and whether that process runs.
pub(crate) fn remain_of(starter: u32) -> (bool, bool) {
    (switchtower_jail::count_cgroups(starter) > 0, switchtower_jail::is_alive(starter))
}

/// Removes the groups of this process's workers, all of which have been ended or killed, and waits for their processes: a
/// worker that was killed while it started may not have been noticed as ended yet.
pub(crate) async fn clear() {
    for _ in 0..PAUSES {
        remove_of(std::process::id());
        if !remain_of(std::process::id()).0 {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    tracing::warn!("a worker's control group could not be removed: it is not empty");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_gets_its_share_of_the_machine_and_at_least_the_minimum() {
        assert_eq!(share(100_000), MIN);
        assert!((MIN..=MAX).contains(&share(1)));
        assert!(share(1) >= share(2));
    }
}
