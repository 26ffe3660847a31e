//! Checks that docs/metrics.md describes the metrics that the server registers, and no others.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regex::Regex;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Returns the type of each metric that a source registers, by its name on the wire. The text of `GET /metrics` would not do:
/// it leaves out metrics without a value.
fn registered(source: &str) -> BTreeMap<String, String> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let registration = Regex::new(
        r#"\.register(?:_with_unit)?\(\s*"(\w+)",\s*"[^"]*",\s*(?:Unit::(\w+),\s*)?(?:self\.)?(\w+)\.clone\(\)"#,
    )
    .unwrap();
    let kind_of = |field: &str| {
        let declared = Regex::new(&format!(r"(?m)^    {field}: (?:Family<\w+, )?(?:Float)?(\w+)>?,$")).unwrap();
        declared.captures(source).unwrap_or_else(|| panic!("no field {field}"))[1].to_lowercase()
    };
    let metrics: BTreeMap<String, String> = registration
        .captures_iter(source)
        .map(|found| {
            let kind = kind_of(&found[3]);
            let unit = found.get(2).map_or_else(String::new, |unit| format!("_{}", unit.as_str().to_lowercase()));
            let suffix = if kind == "counter" { "_total" } else { "" };
            (format!("switchtower_{}{unit}{suffix}", &found[1]), kind)
        })
        .collect();
    assert_eq!(metrics.len(), source.matches(".register").count() - source.matches(".register(&mut").count());
    metrics
}

/// Returns the type of each metric in the table of the page, by its name.
fn documented(page: &str) -> BTreeMap<String, String> {
    let name = Regex::new(r"`(\w+)`").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `switchtower_"));
    let metrics = rows.flat_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let kind = cells[2].split(',').next().unwrap().trim_end_matches('s').to_owned();
        name.captures_iter(cells[1]).map(|found| (found[1].to_owned(), kind.clone())).collect::<Vec<_>>()
    });
    metrics.collect()
}

#[test]
fn the_documentation_lists_every_metric_with_its_type_and_no_other() {
    let sources = ["crates/core/src/record/metrics.rs", "crates/core/src/record/tier_metrics.rs"];
    let registered: BTreeMap<String, String> = sources.into_iter().flat_map(|path| registered(&read(path))).collect();
    assert_eq!(registered, documented(&read("docs/metrics.md")));
}
