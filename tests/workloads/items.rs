//! The items of the workload files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One program with its expected behaviour.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) category: String,
    pub(super) code: String,
    pub(super) stdin: Option<String>,
    pub(super) expected_stdout: Option<String>,
    /// The name of the exception that ends it, if any.
    pub(super) expected_error_type: Option<String>,
    /// Imported top-level modules that are not in the standard library.
    third_party: Vec<String>,
    pub(super) deterministic: bool,
    /// Whether its result may be answered from the cache.
    pub(super) cacheable_strict: bool,
    pub(super) uses_clock_or_pid: bool,
}

impl Item {
    /// Returns whether the WebAssembly tier has every module that it imports.
    pub(super) fn runs_in_wasm(&self) -> bool {
        self.third_party.iter().all(|module| ["sympy", "mpmath"].contains(&module.as_str()))
    }
}

/// Returns the folder of the workloads; `None`, with a message, if there is none.
pub(crate) fn workloads_folder() -> Option<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/workloads");
    let folder = std::env::var_os("SWITCHTOWER_WORKLOADS").map_or_else(usual, PathBuf::from);
    if folder.join("dev.jsonl").is_file() {
        return Some(folder);
    }
    let message =
        format!("skipped: no workloads in {} (SWITCHTOWER_WORKLOADS names another folder)\n", folder.display());
    // Not by `eprint!`, which the test harness captures.
    std::io::stderr().write_all(message.as_bytes()).unwrap();
    None
}

/// Returns the items that satisfy a condition.
pub(super) fn items(wanted: impl Fn(&Item) -> bool) -> Vec<Item> {
    let Some(folder) = workloads_folder() else { return Vec::new() };
    let text = fs::read_to_string(folder.join("dev.jsonl")).unwrap();
    let all = text.lines().map(|line| serde_json::from_str::<Item>(line).unwrap());
    all.filter(wanted).collect()
}

/// Returns the programs of the folder `hostile` beside the items.
pub(super) fn hostile() -> Vec<Item> {
    let Some(folder) = workloads_folder() else { return Vec::new() };
    let paths = fs::read_dir(folder.join("hostile")).unwrap().map(|entry| entry.unwrap().path());
    let item = |path: PathBuf| Item {
        id: path.file_name().unwrap().to_string_lossy().into_owned(),
        category: "hostile".to_owned(),
        code: fs::read_to_string(&path).unwrap(),
        stdin: None,
        expected_stdout: None,
        expected_error_type: None,
        third_party: Vec::new(),
        deterministic: false,
        cacheable_strict: false,
        uses_clock_or_pid: true,
    };
    paths.filter(|path| path.extension().is_some_and(|end| end == "py")).map(item).collect()
}
