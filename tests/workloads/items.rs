//! The items of the workload files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One program, and what is known of it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) category: String,
    pub(super) code: String,
    pub(super) stdin: Option<String>,
    pub(super) expected_stdout: Option<String>,
    /// The exception's name, where one goes through.
    pub(super) expected_error_type: Option<String>,
    /// Top-level modules that are not of the standard library.
    third_party: Vec<String>,
    pub(super) deterministic: bool,
    /// A result of it may be given again.
    pub(super) cacheable_strict: bool,
    pub(super) uses_clock_or_pid: bool,
}

impl Item {
    /// It imports only what the WebAssembly tier has.
    pub(super) fn is_at_home(&self) -> bool {
        self.third_party.iter().all(|module| ["sympy", "mpmath"].contains(&module.as_str()))
    }
}

/// The folder of the workloads; nothing, and a line that says so, where it is not there.
pub(crate) fn beside() -> Option<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/workloads");
    let folder = std::env::var_os("SWITCHTOWER_WORKLOADS").map_or_else(usual, PathBuf::from);
    if folder.join("dev.jsonl").is_file() {
        return Some(folder);
    }
    let told = format!("skipped: no workloads in {} (SWITCHTOWER_WORKLOADS names another folder)\n", folder.display());
    // Not by `eprint!`: the harness would keep it to itself.
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    None
}

/// The items that are wanted of all.
pub(super) fn items(wanted: impl Fn(&Item) -> bool) -> Vec<Item> {
    let Some(folder) = beside() else { return Vec::new() };
    let text = fs::read_to_string(folder.join("dev.jsonl")).unwrap();
    let all = text.lines().map(|line| serde_json::from_str::<Item>(line).unwrap());
    all.filter(wanted).collect()
}

/// The programs that lie beside the items to break out of a jail.
pub(super) fn hostile() -> Vec<Item> {
    let Some(folder) = beside() else { return Vec::new() };
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
