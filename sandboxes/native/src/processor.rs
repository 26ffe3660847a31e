//! Identifies the processors of this machine by what native code selects its implementation by.
//!
//! numpy and OpenBLAS have several versions of their inner loops and select one by the processor's model and features, so
//! that sums differ in their last digits. A result is therefore shared only between processors with the same name.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The relevant lines of proc_cpuinfo(5), on x86-64 and on aarch64.
const FIELDS: [&str; 9] = [
    "vendor_id",
    "cpu family",
    "model",
    "flags",
    "Features",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
];

/// Returns the name of this machine's processors; `None` where the kernel does not describe them.
pub(crate) fn name() -> Option<String> {
    named(&std::fs::read_to_string("/proc/cpuinfo").ok()?)
}

/// Returns one name for all processors, since a program may run on any of them.
fn named(cpuinfo: &str) -> Option<String> {
    let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let counted = fields.map(|(key, value)| (key.trim(), value.trim())).filter(|(key, _)| FIELDS.contains(key));
    let different: BTreeSet<(&str, &str)> = counted.collect();
    if different.is_empty() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    different.hash(&mut hasher);
    Some(format!("{}-{:016x}", std::env::consts::ARCH, hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_have_the_same_name_if_and_only_if_model_and_features_are_equal() {
        let of = |model: u32, flags: &str, mhz: u32| {
            let one = format!("vendor_id\t: A\nmodel\t\t: {model}\ncpu MHz\t\t: {mhz}\nflags\t\t: {flags}\n\n");
            named(&format!("{one}{one}")).unwrap()
        };
        assert_eq!(of(1, "avx2 fma", 2000), of(1, "avx2 fma", 3000));
        assert_ne!(of(1, "avx2 fma", 2000), of(1, "avx2 fma avx512f", 2000));
        assert_ne!(of(1, "avx2 fma", 2000), of(2, "avx2 fma", 2000));
        assert_eq!(named("bogomips: 3"), None);
        assert!(name().is_some());
    }
}
