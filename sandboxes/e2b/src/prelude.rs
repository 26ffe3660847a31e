//! Code of our own that runs in a fresh kernel: it prepares the kernel, and says what the template has.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use switchtower_contract::KernelOptions;

const PRELUDE: &str = include_str!("prelude.py");
const OPENING: &str = include_str!("opening.py");
const CHECK: &str = include_str!("check.py");

/// What stands in a template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Checked {
    pub(crate) python: String,
    pub(crate) missing: Vec<String>,
    /// Names the processors by what native code chooses its way by; none where they are not described.
    #[serde(default)]
    pub(crate) processor: Option<String>,
}

/// What every kernel of a sandbox is prepared with.
#[derive(Clone)]
pub(crate) struct Prelude {
    /// The file in which a kernel is told what a run is given. It is gone before the program's first line.
    orders: String,
    /// Bytes of memory that a kernel gives a program without being told.
    memory: u64,
    /// Code of the house's own that runs after ours.
    more: Arc<str>,
}

impl Prelude {
    pub(crate) fn new(sandbox: &str, memory: u64, more: Arc<str>) -> Self {
        Self { orders: format!("/tmp/.switchtower-{sandbox}"), memory, more }
    }

    /// Prepares a kernel.
    pub(crate) fn code(&self) -> String {
        let Self { orders, memory, more } = self;
        format!("{PRELUDE}\n_switchtower_prelude({}, {memory})\ndel _switchtower_prelude\n{more}\n", json!(orders))
    }

    /// What a run's kernel is told before its first line, and in which file; nothing where it is as always.
    pub(crate) fn order(&self, stdin: Option<&str>, memory: u64) -> Option<(String, String)> {
        let usual = stdin.is_none_or(str::is_empty) && memory == self.memory;
        (!usual).then(|| (self.orders.clone(), json!({ "stdin": stdin, "memory": memory }).to_string()))
    }
}

/// Makes a prepared kernel one that is kept: with these variables, in this folder, with a notebook's own ways.
pub(crate) fn opening(opening: &KernelOptions) -> String {
    let (env, folder) = (json!(opening.env), json!(opening.folder));
    // JSON is Python here but for its null.
    let folder = if opening.folder.is_some() { folder.to_string() } else { "None".to_owned() };
    format!("{OPENING}\n_switchtower_open({env}, {folder})\ndel _switchtower_open\n")
}

/// Prints a [`Checked`] as JSON.
pub(crate) fn check(modules: &BTreeSet<String>) -> String {
    format!("{CHECK}\n_switchtower_check({})\ndel _switchtower_check\n", json!(modules))
}
