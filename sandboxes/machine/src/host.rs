//! What all machines of this process share.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use switchtower_container::MachineLimits;
use switchtower_jail::{ControlGroup, ProcessId, group_names};
use switchtower_machine_image::{ImportError, RootFileSystem};
use switchtower_worker::private_folder::PrivateFolder;

use crate::assets;
use crate::config::Config;
use crate::egress::{Egress, EgressNetwork};
use crate::pauses::Pauses;
use crate::runtime::FoundRuntime;
use crate::template::Template;
use crate::user_ids::UserIds;

/// Machines cannot be started here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UnavailableMachines {
    pub reason: String,
    /// How to fix it, where that is known.
    pub remedy: Option<String>,
}

impl UnavailableMachines {
    pub(crate) fn new(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), remedy: None }
    }
}

impl From<ImportError> for UnavailableMachines {
    fn from(ImportError { reason, remedy }: ImportError) -> Self {
        Self { reason: format!("the root file system of machines: {reason}"), remedy }
    }
}

/// The beginning of the names of control groups. The namespace of process numbers, the number
/// and the start time of this process follow, then the machine's number.
const GROUP_PREFIX: &str = "switchtower-local-";
/// The beginnings of the names of private folders: of this process, and of each machine.
const HOST_FOLDER: &str = "machines-";
const MACHINE_FOLDER: &str = "m-";
/// Descriptors of each process of a machine.
const DESCRIPTORS: u64 = 4096;

/// What all machines of this process share.
pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) runtime: FoundRuntime,
    pub(crate) template: Template,
    /// The root file system of the user's, if there is one.
    pub(crate) root: Option<RootFileSystem>,
    pub(crate) user_ids: Arc<UserIds>,
    pub(crate) init: PathBuf,
    /// `None`: machines reach nothing.
    pub(crate) egress: Option<Egress>,
    /// The group names of this process begin with it.
    prefix: String,
    folder: PrivateFolder,
}

impl Host {
    /// Removes what killed processes have left, and makes what all machines share. It reads and writes files: those of an image that is
    /// not unpacked yet, too, which may take a minute.
    ///
    /// # Errors
    /// Machines cannot be started here.
    pub(crate) fn prepare(
        config: Config,
        runtime: FoundRuntime,
        network: Arc<dyn EgressNetwork>,
    ) -> Result<Self, UnavailableMachines> {
        let prepare = |path: &PathBuf| RootFileSystem::prepare(path, config.roots.as_ref(), config.root_limits);
        let root = config.root.as_ref().map(prepare).transpose()?;
        let own = ProcessId::of(std::process::id()).ok_or_else(|| UnavailableMachines::new("/proc is not mounted"))?;
        sweep_groups();
        let folder = make_folder(&config.scratch)
            .map_err(|error| UnavailableMachines::new(format!("{}: {error}", config.scratch.display())))?;
        let failed = |error: io::Error| UnavailableMachines::new(format!("the machines' files: {error}"));
        let assets = folder.path().join("assets");
        assets::write(&assets).map_err(failed)?;
        let template =
            Template::make(&folder.path().join("template"), &assets, &config, root.as_ref()).map_err(failed)?;
        let prefix = format!("{GROUP_PREFIX}{}-{}-{}-", process_namespace(), own.number, own.start);
        let user_ids = UserIds::of_process();
        let egress = Egress::new(&config.egress, network);
        Ok(Self { config, runtime, template, root, user_ids, init: assets.join("init"), egress, prefix, folder })
    }

    /// Returns a new name for a machine's control group, which no other machine of this process has.
    pub(crate) fn next_name(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("{}{}", self.prefix, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes the folder of one machine.
    pub(crate) fn machine_folder(&self) -> io::Result<PrivateFolder> {
        PrivateFolder::create(self.folder.path(), MACHINE_FOLDER)
    }

    /// Returns the variables of the image that machines have as their root.
    pub(crate) fn root_env(&self) -> impl Iterator<Item = &(String, String)> {
        self.root.iter().flat_map(|root| &root.env)
    }

    /// Returns the folder in which a container runtime keeps its state.
    pub(crate) fn state_folder(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn limits(&self) -> MachineLimits {
        let config = &self.config;
        MachineLimits {
            memory: config.memory,
            processes: config.processes,
            processors: config.processors,
            disk: config.disk,
            inodes: config.inodes,
            descriptors: DESCRIPTORS,
        }
    }
}

fn make_folder(scratch: &Path) -> io::Result<PrivateFolder> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(scratch)?;
    PrivateFolder::sweep(scratch, HOST_FOLDER);
    PrivateFolder::create(scratch, HOST_FOLDER)
}

/// Ends the machines that processes which have ended left behind.
fn sweep_groups() {
    let here = process_namespace();
    for name in group_names(GROUP_PREFIX) {
        let Some((namespace, owner)) = name.strip_prefix(GROUP_PREFIX).and_then(owner) else { continue };
        let group = ControlGroup::existing(&name);
        if namespace != here {
            // Nothing is known about its owner. Where that has ended, so have its processes.
            group.remove();
        } else if !owner.is_alive() {
            tracing::info!(group = name, "a machine that an ended process has left is removed");
            // Processes that were killed take a moment to end.
            let mut pauses = Pauses::default();
            while !group.end() && pauses.next() {}
            if !group.end() {
                tracing::warn!(group = name, "a control group of a left machine could not be removed");
            }
        }
    }
}

/// Returns the number of this process's namespace of process numbers.
fn process_namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino())
}

/// Returns the namespace and the process that started a machine, by what follows the beginning of its group's name.
fn owner(rest: &str) -> Option<(u64, ProcessId)> {
    let mut numbers = rest.split('-');
    let namespace = numbers.next()?.parse().ok()?;
    Some((namespace, ProcessId { number: numbers.next()?.parse().ok()?, start: numbers.next()?.parse().ok()? }))
}
