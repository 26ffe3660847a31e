//! The folder for the private folders of children, in the profile without namespaces. It is removed with its backend. What
//! a killed process has left is removed by its cleanup process, or by the next process of the same user.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use switchtower_worker::private_folder::PrivateFolder;

/// The beginning of the folders' names.
const NAME: &str = "switchtower-scratch-";

/// The folder. Dropping this removes it.
#[derive(Debug)]
pub(crate) struct ScratchRoot(PrivateFolder);

impl ScratchRoot {
    /// Makes it in the first usable one of the [`candidates`], and removes what ended processes have left there.
    ///
    /// # Errors
    /// None of them can be used; the message says why.
    pub(crate) fn new() -> io::Result<Self> {
        Self::within(&candidates(|name| env::var_os(name).map(PathBuf::from)))
    }

    fn within(candidates: &[PathBuf]) -> io::Result<Self> {
        for parent in candidates {
            sweep(parent);
        }
        let mut reasons = Vec::new();
        for parent in candidates {
            match PrivateFolder::create(parent, NAME) {
                Ok(folder) => {
                    if !reasons.is_empty() {
                        let (folder, reason) = (folder.path().display(), reasons.join("; "));
                        tracing::warn!(%folder, reason, "private files are in another folder than the default");
                    }
                    return Ok(Self(folder));
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(io::Error::other(format!("{}; set TMPDIR to another folder", reasons.join("; "))))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Removes the folders of ended processes. Returns how many could not be removed completely.
pub(crate) fn sweep(parent: &Path) -> usize {
    PrivateFolder::sweep(parent, NAME)
}

/// Returns the parent folders to try, best first: `TMPDIR` or the system's folder for temporary files; the folder for large
/// temporary files; and the user's runtime folder, which is for small files.
fn candidates(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let named = |name: &str| variable(name).filter(|path| path.is_absolute());
    let mut candidates = vec![named("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp")), PathBuf::from("/var/tmp")];
    candidates.extend(named("XDG_RUNTIME_DIR"));
    candidates.dedup();
    candidates
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tmpdir_comes_first_and_a_relative_path_is_ignored() {
        let of = |tmpdir: &'static str, runtime: &'static str| {
            candidates(move |name| Some(PathBuf::from(if name == "TMPDIR" { tmpdir } else { runtime })))
        };
        assert_eq!(of("/data/tmp", "/run/user/7"), ["/data/tmp", "/var/tmp", "/run/user/7"].map(PathBuf::from));
        assert_eq!(of("tmp", ""), ["/tmp", "/var/tmp"].map(PathBuf::from));
        assert_eq!(candidates(|_| None), ["/tmp", "/var/tmp"].map(PathBuf::from));
    }

    #[test]
    fn an_unusable_parent_is_skipped_and_the_error_names_all_of_them() {
        let folder = env::temp_dir().join(format!("switchtower-scratch-root-test-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let (missing, there) = (folder.join("missing"), folder.join("there"));
        fs::create_dir(&there).unwrap();
        let scratch = ScratchRoot::within(&[missing.clone(), there.clone()]).unwrap();
        assert!(scratch.path().starts_with(&there));
        drop(scratch);
        assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
        let refused = ScratchRoot::within(std::slice::from_ref(&missing)).unwrap_err().to_string();
        assert!(refused.contains("missing") && refused.contains("TMPDIR"), "{refused}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
