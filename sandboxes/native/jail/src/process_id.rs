//! Tells processes apart: a number alone may be another process's by now.

use std::fs::read_to_string;

/// A process, by its number and the moment of its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessId {
    pub(crate) number: u32,
    /// In the kernel's ticks since it booted.
    pub(crate) start: u64,
}

impl ProcessId {
    /// The process that has this number now; none where there is no such process, or where it has ended and only waits to
    /// be collected by its parent.
    pub(crate) fn of(number: u32) -> Option<Self> {
        let stat = read_to_string(format!("/proc/{number}/stat")).ok()?;
        start(&stat).map(|start| Self { number, start })
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.number) == Some(self)
    }
}

/// Whether a process with this number lives; one that has ended and only waits to be collected does not.
pub fn is_alive(number: u32) -> bool {
    ProcessId::of(number).is_some()
}

/// The moment of its start, of a process that lives. See proc(5): the state is the 3rd field and this the 22nd, counted
/// behind the name, which may hold anything.
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
    fn a_process_is_known_by_its_start_and_one_that_has_ended_is_none() {
        let own = ProcessId::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { start: own.start + 1, ..own }.is_alive(), "its number is another's");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let number = child.id();
        // Nobody has waited for it yet.
        while ProcessId::of(number).is_some() {
            std::thread::yield_now();
        }
        assert!(read_to_string(format!("/proc/{number}/stat")).unwrap().contains(") Z "));
        child.wait().unwrap();
        assert_eq!(ProcessId::of(number), None);
    }

    #[test]
    fn the_start_is_counted_behind_the_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start(&format!("12 (a) b) {fields}")), Some(4711));
        assert_eq!(start(&format!("12 (a) {}", fields.replacen('S', "Z", 1))), None);
        assert_eq!(start("12 (a"), None);
    }
}
