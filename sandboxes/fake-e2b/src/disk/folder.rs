//! Files in a folder of this machine that is the sandbox's root.
//!
//! `/home`, `/tmp`, `/var/tmp`, `/run/e2b`, `/etc/build-tag` and all folders of `/` that this machine does not have belong to the
//! sandbox, like `/workspace`. All other paths are this machine's and read-only. A symbolic link with an absolute target leads to this
//! machine's file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use switchtower_envd::FileRoot;
use switchtower_worker::private_folder::PrivateFolder;

use super::HOME;

pub(crate) struct HostFolder {
    root: PrivateFolder,
}

/// The prefix of the folders' names. Folders of stand-ins that were killed are removed by the next one.
const NAME_PREFIX: &str = "switchtower-e2b-";
/// The paths that belong to the sandbox although this machine has them too.
const OWN: [&str; 5] = ["/home", "/tmp", "/var/tmp", "/run/e2b", "/etc/build-tag"];

impl HostFolder {
    /// Creates the root of a new sandbox.
    pub(crate) fn new(id: &str, template: &str, tag: &str) -> io::Result<Self> {
        let temporary = std::env::temp_dir();
        // Once: folders that appear later belong to stand-ins that run.
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| {
            // A folder that cannot be removed does no harm.
            let _left = PrivateFolder::sweep(&temporary, NAME_PREFIX);
        });
        let root = PrivateFolder::create(&temporary, NAME_PREFIX)?;
        let folder = Self { root };
        for path in [HOME, "/tmp", "/var/tmp", "/run/e2b", "/run/.host", "/etc/.host", "/var/.host"] {
            std::fs::create_dir_all(folder.in_root(path))?;
        }
        std::fs::write(folder.in_root("/etc/build-tag"), tag)?;
        std::fs::write(folder.in_root("/run/e2b/.E2B_SANDBOX"), "true")?;
        std::fs::write(folder.in_root("/run/e2b/.E2B_SANDBOX_ID"), id)?;
        std::fs::write(folder.in_root("/run/e2b/.E2B_TEMPLATE_ID"), template)?;
        Ok(folder)
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Removes all files now, although others may still hold this.
    pub(crate) fn remove(&self) {
        // Dropping the folder tries again.
        let _ = std::fs::remove_dir_all(self.root.path());
    }

    /// Returns where a path of the sandbox is on this machine.
    pub(crate) fn host_path(&self, path: &str) -> PathBuf {
        if self.is_own(path) { self.in_root(path) } else { PathBuf::from(path) }
    }

    fn in_root(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn is_own(&self, path: &str) -> bool {
        let within = |own: &str| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let top = path.split('/').nth(1).unwrap_or_default();
        let is_of_machine = Path::new("/").join(top).symlink_metadata().is_ok();
        // Programs without a root of their own name their files by their paths on this machine.
        (!is_of_machine || OWN.iter().any(|own| within(own))) && !Path::new(path).starts_with(self.root.path())
    }
}

impl FileRoot for HostFolder {
    fn locate(&self, path: &str) -> PathBuf {
        self.host_path(path)
    }

    fn path_of(&self, located: &Path) -> PathBuf {
        let root = self.root.path().canonicalize();
        let inside =
            root.ok().and_then(|root| located.strip_prefix(root).ok().map(|inside| Path::new("/").join(inside)));
        inside.unwrap_or_else(|| located.to_owned())
    }

    fn is_writable(&self, path: &str) -> bool {
        self.is_own(path) || Path::new(path).starts_with(self.root.path())
    }

    fn parts_of(&self, path: &str) -> Vec<PathBuf> {
        match path {
            // Beside the machine's own folders, the sandbox's.
            "/" => vec![PathBuf::from("/"), self.root.path().to_owned()],
            path => vec![self.host_path(path)],
        }
    }
}
