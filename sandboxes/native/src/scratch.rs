//! The folder in which children have their private folders where there are no namespaces. It goes with its backend; what a
//! process that was killed has left is cleared away by the next one.

use std::io;
use std::path::{Path, PathBuf};

/// Its name, before the number of the process that made it and a count.
const NAME: &str = "switchtower-native-";

/// A folder that is gone when this is.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// # Errors
    /// There is no room for it in the system's folder for temporary files.
    pub(crate) fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        use std::sync::atomic::{AtomicUsize, Ordering};
        static COUNT: AtomicUsize = AtomicUsize::new(0);

        let system = std::env::temp_dir();
        sweep(&system);
        let name = format!("{NAME}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = system.join(name);
        // Nobody else's: a folder that is there already was put there by another, and making it fails. A worker that was
        // started by root makes its own folder below while it is root still, so others need to pass through only.
        let made = std::fs::DirBuilder::new().mode(0o711).create(&path);
        made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a folder for private files could not be removed");
        }
    }
}

/// Removes what dead processes have left: a user what is its own, root whatever bears this name. Links are not followed.
fn sweep(system: &Path) {
    let Ok(entries) = std::fs::read_dir(system) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NAME)).and_then(|rest| rest.split('-').next());
        let Some(number) = number.and_then(|number| number.parse::<u32>().ok()) else { continue };
        if !Path::new("/proc").join(number.to_string()).exists() {
            // Another process may be doing the same.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
