//! The control groups of workers: how much memory one may have, and who removes them. A worker makes its group before it
//! goes behind its walls, and removes those of workers that have ended; what the last ones leave is removed here, or by the
//! cleanup process where this one is killed.

use std::time::Duration;

/// The least that a worker is of use with, whatever the machine has: the packages, and a program.
const LEAST: u64 = 1 << 30;
/// More than one program needs, or the kernels that are at work at once.
const MOST: u64 = 4 << 30;

/// The processes of a worker that was killed are gone a moment after it.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSES: usize = 200;

/// Bytes of memory for one of so many processes.
pub(crate) fn share(processes: usize) -> u64 {
    let all = physical().unwrap_or(MOST);
    (all / processes.max(1) as u64).clamp(LEAST, MOST)
}

/// Bytes of memory that the machine has.
#[cfg(target_os = "linux")]
fn physical() -> Option<u64> {
    let table = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(not(target_os = "linux"))]
fn physical() -> Option<u64> {
    None
}

/// Removes the groups of workers that the process with this number started and that have ended. Returns how many are left
/// of these for now.
#[cfg(target_os = "linux")]
pub(crate) fn remove_of(starter: u32) -> usize {
    switchtower_jail::sweep_cgroups(Some(starter))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn remove_of(_starter: u32) -> usize {
    0
}

/// Whether there is any group of a worker that the process with this number started, and whether that process lives.
#[cfg(target_os = "linux")]
pub(crate) fn remain_of(starter: u32) -> (bool, bool) {
    (switchtower_jail::count_cgroups(starter) > 0, switchtower_jail::is_alive(starter))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn remain_of(_starter: u32) -> (bool, bool) {
    (false, false)
}

/// Removes the groups of workers that this process started and that have ended.
pub(crate) async fn clear() {
    for _ in 0..PAUSES {
        if remove_of(std::process::id()) == 0 {
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
    fn a_worker_gets_its_share_of_the_machine_and_never_too_little_to_work_with() {
        assert_eq!(share(100_000), LEAST);
        assert!((LEAST..=MOST).contains(&share(1)));
        assert!(share(1) >= share(2));
    }
}
