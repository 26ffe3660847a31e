//! Identifies processes across the reuse of their numbers.

use std::fs::read_to_string;

/// A process, identified by its number and start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessId {
    pub number: u32,
    /// In the kernel's ticks since it booted.
    pub start: u64,
}

impl ProcessId {
    /// Returns the process that has this number now; `None` where there is none, or it is a zombie.
    pub fn of(number: u32) -> Option<Self> {
        let stat = read_to_string(format!("/proc/{number}/stat")).ok()?;
        start(&stat).map(|start| Self { number, start })
    }

    pub fn is_alive(self) -> bool {
        Self::of(self.number) == Some(self)
    }
}

/// Returns whether a process with this number is running. A zombie is not.
pub fn is_alive(number: u32) -> bool {
    ProcessId::of(number).is_some()
}

/// Returns the start time in a line of `/proc/<pid>/stat`; `None` for a zombie. See proc(5): the state is field 3 and the
/// start time field 22. The name before them may contain anything.
fn start(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_identified_by_its_start_time_and_a_zombie_is_none() {
        let own = ProcessId::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { start: own.start + 1, ..own }.is_alive(), "another process with its number");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let number = child.id();
        // It is not reaped yet.
        while ProcessId::of(number).is_some() {
            std::thread::yield_now();
        }
        assert!(read_to_string(format!("/proc/{number}/stat")).unwrap().contains(") Z "));
        child.wait().unwrap();
        assert_eq!(ProcessId::of(number), None);
    }

    #[test]
    fn fields_are_counted_after_the_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start(&format!("12 (a) b) {fields}")), Some(4711));
        assert_eq!(start(&format!("12 (a) {}", fields.replacen('S', "Z", 1))), None);
        assert_eq!(start("12 (a"), None);
    }
}
