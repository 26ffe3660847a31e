//! Verdicts and classes of the workloads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::profile;

/// Returns the folder of the workloads.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("SWITCHTOWER_WORKLOADS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/workloads"), PathBuf::from)
}

/// Returns the workloads. Prints a line and returns `None` if their folder does not exist.
pub(crate) fn workloads() -> Option<Vec<Value>> {
    let folder = folder();
    let Ok(text) = std::fs::read_to_string(folder.join("dev.jsonl")) else {
        eprintln!("skipped: no workloads in {}; SWITCHTOWER_WORKLOADS names their folder", folder.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).expect("workloads are one JSON object a line")).collect())
}

/// Labelled as drawing random numbers without a seed, but `shuffle` occurs only in a docstring: its output never
/// varies.
const MISLABELLED: &str = "dev-nondeterministic-0035";

#[test]
fn no_workload_with_varying_output_is_proven_deterministic() {
    let Some(items) = workloads() else { return };
    let (mut stable, mut proven, mut wrong) = (0, 0, Vec::new());
    let mut by_category = BTreeMap::new();
    for item in &items {
        let profile = profile(item["code"].as_str().unwrap());
        let varies = !item["cacheable_strict"].as_bool().unwrap();
        if varies && item["id"] != MISLABELLED && profile.verdict.deterministic {
            wrong.push(item["id"].as_str().unwrap());
        }
        let counts: &mut (u32, u32) = by_category.entry(item["category"].as_str().unwrap()).or_default();
        counts.0 += u32::from(!varies);
        counts.1 += u32::from(profile.verdict.deterministic);
        stable += u32::from(!varies);
        proven += u32::from(profile.verdict.deterministic);
    }
    assert!(wrong.is_empty(), "proven although they vary: {wrong:?}");
    // A proof that accepts no program would be sound but useless.
    for (category, least) in [("data_science", 71), ("simple_math", 255)] {
        assert!(by_category[category].1 >= least, "{category}: {}", by_category[category].1);
    }
    println!("deterministic: {proven} proven of {stable} stable programs");
    for (category, (stable, proven)) in &by_category {
        println!("{category:16} {proven} of {stable}");
    }
}

#[test]
fn classes_agree_with_the_workloads_categories() {
    const COUNTED: [&str; 7] =
        ["simple_math", "algorithm", "symbolic", "data_science", "plotting", "ml_training", "network"];
    let Some(items) = workloads() else { return };
    let mut table: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let (mut counted, mut agreed) = (0, 0);
    for item in &items {
        let category = item["category"].as_str().unwrap();
        let class = profile(item["code"].as_str().unwrap()).class.name();
        *table.entry((category, class)).or_default() += 1;
        if COUNTED.contains(&category) {
            counted += 1;
            agreed += u32::from(category == class);
        }
    }
    for ((category, class), count) in &table {
        println!("{category:16} classified as {class:16} {count}");
    }
    println!("agreement: {agreed} of {counted}");
    assert!(f64::from(agreed) >= 0.85 * f64::from(counted), "{agreed} of {counted}");
}
