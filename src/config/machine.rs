//! The settings of local machines.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use switchtower_contract::{EgressRule, byte_size};
use switchtower_core::route::TierName;

/// Local machines: containers of this host with commands, files, ports, and other languages than Python.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalMachines {
    /// Whether the backend is used where machines can be started.
    pub enabled: bool,
    /// The name of its tier in rules, requests and answers.
    pub tier: TierName,
    /// What starts machines: `built-in`, with namespaces of this host; a container runtime with the command line of runc, by its
    /// name or path: `runsc` (gVisor, the isolation level `gvisor`), `runc`, `crun`; or `auto`, the first of these three that is
    /// installed and starts machines, and otherwise the built-in one. `kata` and `krun` have not been tested, and need a path.
    pub runtime: String,
    /// The machines' root file system: a folder that `switchtower machine root import` has made, a folder with an unpacked root
    /// file system, or an image layout, which is unpacked once. Not set: `/usr` of this host, read-only, and a made `/etc`.
    pub root: Option<PathBuf>,
    /// The folder of imported root file systems and unpacked image layouts. Not set: `switchtower/machine-roots` in
    /// `XDG_DATA_HOME`, by default `~/.local/share`.
    pub roots_folder: Option<PathBuf>,
    /// Most bytes of an imported root file system, and of the archives that it is unpacked from, before compression; at least 1MiB.
    #[serde(with = "byte_size")]
    pub max_root_bytes: u64,
    /// Most files, folders and links of an imported root file system, those of lower layers included; at least 100.
    pub max_root_files: u64,
    /// The folder for the files of machines' starts. Not set: one in the system's folder for temporary files.
    pub scratch_folder: Option<PathBuf>,
    /// Machines at once, at least 1, at most 2000. Each caller's share is `sessions.max_machines_per_caller`.
    pub max_machines: usize,
    /// Bytes of memory of one machine with all its processes, and with its files, which are in memory; at least 32MiB.
    #[serde(with = "byte_size")]
    pub memory: u64,
    /// Processors' worth of time of one machine, such as 0.5; 0: all of them, which machines share equally.
    pub processors: f64,
    /// Processes and threads of one machine, at least 16.
    pub processes: u64,
    /// Bytes of the files of one machine; at least 1MiB.
    #[serde(with = "byte_size")]
    pub disk: u64,
    /// Files and folders of one machine, at least 1000.
    pub files: u64,
    /// What machines reach on the internet.
    pub egress: MachineEgress,
}

/// What machines reach on the internet, through a proxy of this process: connections that begin with `CONNECT`, as those of
/// https do. Its address is in the variables `HTTPS_PROXY` and `https_proxy` of all programs in machines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineEgress {
    /// Hosts with ports, such as `api.example.com:443`, or `*.example.com:443` for all hosts below a domain. Addresses of this host, of private
    /// networks and of links are refused, whatever a name leads to. Empty: machines reach nothing.
    pub allow: Vec<EgressRule>,
}

/// The runtime of machines that is part of this program.
pub const BUILT_IN: &str = "built-in";
/// The strongest runtime that is found.
pub const STRONGEST: &str = "auto";

impl LocalMachines {
    pub(super) fn problem(&self) -> Option<String> {
        let least = |name: &str, value: u64, least: u64, text: &str| {
            (value < least).then(|| format!("{name} must be at least {text}"))
        };
        if self.runtime.trim().is_empty() {
            return Some(format!(
                "runtime must be {BUILT_IN}, {STRONGEST} or the name of a container runtime, such as runsc"
            ));
        }
        if !(1..=2000).contains(&self.max_machines) {
            return Some("max_machines must be between 1 and 2000".to_owned());
        }
        if !(self.processors.is_finite() && (0.0..=1024.0).contains(&self.processors)) {
            return Some("processors must be between 0 and 1024".to_owned());
        }
        least("memory", self.memory, 32 << 20, "32MiB")
            .or_else(|| least("processes", self.processes, 16, "16"))
            .or_else(|| least("disk", self.disk, 1 << 20, "1MiB"))
            .or_else(|| least("files", self.files, 1000, "1000"))
            .or_else(|| least("max_root_bytes", self.max_root_bytes, 1 << 20, "1MiB"))
            .or_else(|| least("max_root_files", self.max_root_files, 100, "100"))
    }
}

impl Default for LocalMachines {
    fn default() -> Self {
        Self {
            enabled: true,
            tier: "machine".into(),
            runtime: BUILT_IN.to_owned(),
            root: None,
            roots_folder: None,
            max_root_bytes: 16 << 30,
            max_root_files: 1_000_000,
            scratch_folder: None,
            max_machines: 100,
            memory: 1 << 30,
            processors: 0.0,
            processes: 512,
            disk: 1 << 30,
            files: 200_000,
            egress: MachineEgress::default(),
        }
    }
}
