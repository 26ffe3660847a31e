//! Functions of all benchmarks.

/// Returns a description of the machine and its load.
pub(crate) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split(": ").nth(1)).unwrap_or("?");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {model}, Linux {}, load {}", kernel.trim(), load.trim())
}

/// Returns the median.
pub(crate) fn median<T: PartialOrd + Copy>(of: &mut [T]) -> T {
    of.sort_by(|a, b| a.partial_cmp(b).expect("no figure is NaN"));
    of[of.len() / 2]
}
