//! Code of our own that runs in a fresh kernel: it prepares the kernel, and says what the template has.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

const PRELUDE: &str = include_str!("prelude.py");
const CHECK: &str = include_str!("check.py");

/// What stands in a template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Checked {
    pub(crate) python: String,
    pub(crate) missing: Vec<String>,
}

/// Prepares a kernel. `orders`: the file that a run's input and memory are told in; `memory`: bytes beyond what it has.
pub(crate) fn prelude(orders: &str, memory: u64) -> String {
    format!("{PRELUDE}\n_switchtower_prelude({}, {memory})\ndel _switchtower_prelude\n", json!(orders))
}

/// Prints a [`Checked`] as JSON.
pub(crate) fn check(modules: &BTreeSet<String>) -> String {
    format!("{CHECK}\n_switchtower_check({})\ndel _switchtower_check\n", json!(modules))
}

/// What a run's kernel is told before its first line.
pub(crate) fn order(stdin: Option<&str>, memory: u64) -> String {
    json!({ "stdin": stdin, "memory": memory }).to_string()
}
