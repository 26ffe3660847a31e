//! The settings of local machines.

use std::collections::BTreeSet;
use std::path::PathBuf;

use switchtower_contract::EgressRule;
use switchtower_machine_image::{ImportLimits, Roots};

/// What starts machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// The built-in one.
    BuiltIn,
    /// The strongest of those that are installed and start machines: runsc, runc, crun, and then the built-in one.
    Strongest,
    /// A container runtime with the command line of runc: its name or path.
    Program(PathBuf),
}

/// The settings of local machines.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub runtime: RuntimeChoice,
    /// The machines' root file system: an imported one, a folder with one, or an image layout; `None`: the host's `/usr` and a made
    /// `/etc`.
    pub root: Option<PathBuf>,
    /// Where image layouts are unpacked; `None`: nowhere, so that they cannot be used.
    pub roots: Option<Roots>,
    /// How large an unpacked image may become.
    pub root_limits: ImportLimits,
    /// The folder for the private folders of this process. It is made where it is missing.
    pub scratch: PathBuf,
    /// Bytes of memory of one machine, files in memory included.
    pub memory: u64,
    /// Processors' worth of time of one machine; `None`: all, shared by weight.
    pub processors: Option<f64>,
    /// Most processes and threads of one machine.
    pub processes: u64,
    /// Most bytes of one machine's files.
    pub disk: u64,
    /// Most files and folders of one machine.
    pub inodes: u64,
    /// Most machines at once.
    pub max_machines: usize,
    /// What machines reach on the internet; empty: nothing.
    pub egress: Vec<EgressRule>,
    /// Whether programs that use the internet come here. With a cloud, which reaches all of it, they go there.
    pub offers_internet: bool,
    /// The Python of machines without a root of their own; `None`: the host's `/usr/bin/python3`.
    pub python: Option<Python>,
}

/// A Python of the host with its packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// Its version, such as `3.11.7`.
    pub version: String,
    /// Its prefix: it has `bin/python3.N` and `lib/python3.N`.
    pub home: PathBuf,
    /// The folder of the packages.
    pub site: PathBuf,
    /// The packages and their versions.
    pub packages: Vec<(String, String)>,
    /// Top-level names that can be imported.
    pub modules: BTreeSet<String>,
}

impl Python {
    /// Returns the part of its version that names files: `3.11`.
    pub(crate) fn minor(&self) -> String {
        self.version.split('.').take(2).collect::<Vec<_>>().join(".")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            runtime: RuntimeChoice::BuiltIn,
            root: None,
            roots: Roots::default_folder().map(Roots::new),
            root_limits: ImportLimits::default(),
            scratch: std::env::temp_dir().join("switchtower-machines"),
            memory: 1 << 30,
            processors: None,
            processes: 512,
            disk: 1 << 30,
            inodes: 200_000,
            max_machines: 100,
            egress: Vec::new(),
            offers_internet: false,
            python: None,
        }
    }
}
