//! Sessions: sandboxes that keep their state between requests.
//!
//! A session starts local: its contexts have kernels in local tiers, and its files are a tree in memory. A context moves to
//! another local tier if a cell needs that tier. The session is *promoted* to a machine of its own if a cell, a file or a
//! command needs a machine: the earlier cells are run again there, values that come out different are copied, and a value
//! that can be neither recomputed nor copied is an error that names the cell.
//!
//! The modules form layers. Each uses only those above it in this list:
//!
//! 1. `config`, `files`, `file_transfers`, `history`, `ids`, `kernel_permits`, `machine_shares`, `messages`, `pip`, `tokens`: parts without a session
//! 2. `lifetime`, `placement`
//! 3. `context`, `leased_machine`, `services`
//! 4. `contexts`
//! 5. `session`: one session, made of these parts
//! 6. `leasing` and `local_kernel`, then `state_transfer` and `onward`, then `promotion`, then `cell`: what a session does
//! 7. `registry`, then `maintenance`: all sessions

mod cell;
mod config;
mod context;
mod contexts;
mod file_transfers;
pub mod files;
mod history;
mod ids;
mod kernel_permits;
mod leased_machine;
mod leasing;
mod lifetime;
mod local_kernel;
mod machine_shares;
mod maintenance;
mod messages;
mod onward;
mod pip;
mod placement;
mod promotion;
mod registry;
mod services;
#[allow(clippy::module_inception, reason = "the module's main noun")]
mod session;
mod state_transfer;
mod tokens;

pub use config::{CellQueue, Config};
pub use contexts::Contexts;
pub use leased_machine::{MachineCall, MachineSlot};
pub use lifetime::{Lifetime, SessionState};
pub use messages::{AtEnd, CellAnswer, CellEvent, ContextInfo, CreateSession, ExecuteCell};
pub use registry::Sessions;
pub use session::{MachineUse, Session};
pub use state_transfer::restore_prelude;
pub use tokens::{TokenCheck, TokenKind};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The modules, lowest layer first. Modules of one layer do not use each other.
    const LAYERS: [&[&str]; 12] = [
        &[
            "config",
            "files",
            "file_transfers",
            "history",
            "ids",
            "kernel_permits",
            "machine_shares",
            "messages",
            "pip",
            "tokens",
        ],
        &["lifetime", "placement"],
        &["context", "leased_machine", "services"],
        &["contexts"],
        &["session"],
        &["leasing", "local_kernel"],
        &["state_transfer"],
        &["onward"],
        &["promotion"],
        &["cell"],
        &["registry"],
        &["maintenance"],
    ];

    fn sources(path: &Path) -> Vec<PathBuf> {
        if path.is_file() {
            return vec![path.to_owned()];
        }
        fs::read_dir(path).unwrap().flat_map(|entry| sources(&entry.unwrap().path())).collect()
    }

    /// Returns the session modules that a file uses: the first name after the `super::`s that lead to the session folder.
    fn used(source: &str, depth: usize) -> BTreeSet<String> {
        let prefix = "super::".repeat(depth);
        let after = |line: &str| Some(line.trim_start().strip_prefix("use ")?.strip_prefix(&prefix)?.to_owned());
        let name = |path: String| path.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned);
        source.lines().filter_map(after).filter_map(name).filter(|name| name != "super").collect()
    }

    #[test]
    fn modules_use_only_those_of_lower_layers() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/session");
        let layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
        let mut seen = BTreeSet::new();
        for source in sources(&folder) {
            let path = source.strip_prefix(&folder).unwrap();
            let module = path.with_extension("").iter().next().unwrap().to_str().unwrap().to_owned();
            if module == "mod" {
                continue;
            }
            let own = layer(&module).unwrap_or_else(|| panic!("{module} is in no layer"));
            seen.insert(module.clone());
            let is_root = path.components().count() == 1 || path.ends_with("mod.rs");
            let text = fs::read_to_string(&source).unwrap();
            for used in used(&text, if is_root { 1 } else { 2 }) {
                if let Some(other) = layer(&used) {
                    assert!(other < own, "{module} uses {used}, which is not in a lower layer");
                }
            }
        }
        assert_eq!(seen.len(), LAYERS.iter().map(|layer| layer.len()).sum::<usize>());
    }
}
