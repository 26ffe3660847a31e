//! The folder in which children have their private folders where there are no namespaces. It goes with its backend. What a
//! process that was killed has left is removed by its cleanup process, or else by the next process of the same user.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use switchtower_worker::private_folder::PrivateFolder;

/// What the folders are called, before what tells them apart.
const NAME: &str = "switchtower-scratch-";

/// A folder that is gone when this is.
#[derive(Debug)]
pub(crate) struct ScratchRoot(PrivateFolder);

impl ScratchRoot {
    /// Makes one in the first of the [`places`] where that can be done, and removes what earlier processes have left.
    ///
    /// # Errors
    /// None of them can be used; the message says why.
    pub(crate) fn new() -> io::Result<Self> {
        Self::within(&places(|name| env::var_os(name).map(PathBuf::from)))
    }

    fn within(places: &[PathBuf]) -> io::Result<Self> {
        for place in places {
            sweep(place);
        }
        let mut reasons = Vec::new();
        for place in places {
            match PrivateFolder::create(place, NAME) {
                Ok(folder) => {
                    if !reasons.is_empty() {
                        let (folder, reason) = (folder.path().display(), reasons.join("; "));
                        tracing::warn!(%folder, reason, "private files lie in another folder than usual");
                    }
                    return Ok(Self(folder));
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(io::Error::other(format!("{}; TMPDIR names another place", reasons.join("; "))))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Removes the folders of processes that have ended. Returns how many could not be removed as a whole.
pub(crate) fn sweep(place: &Path) -> usize {
    PrivateFolder::sweep(place, NAME)
}

/// Where such a folder can be, best first: the folder for temporary files that the operator names or else the system's;
/// where files go that may be large; and last the user's own folder for what lives as long as a session, which is made for
/// small files.
fn places(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let named = |name: &str| variable(name).filter(|path| path.is_absolute());
    let mut places = vec![named("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp")), PathBuf::from("/var/tmp")];
    places.extend(named("XDG_RUNTIME_DIR"));
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_operators_folder_comes_first_and_a_relative_one_does_not_count() {
        let of = |tmpdir: &'static str, runtime: &'static str| {
            places(move |name| Some(PathBuf::from(if name == "TMPDIR" { tmpdir } else { runtime })))
        };
        assert_eq!(of("/data/tmp", "/run/user/7"), ["/data/tmp", "/var/tmp", "/run/user/7"].map(PathBuf::from));
        assert_eq!(of("tmp", ""), ["/tmp", "/var/tmp"].map(PathBuf::from));
        assert_eq!(places(|_| None), ["/tmp", "/var/tmp"].map(PathBuf::from));
    }

    #[test]
    fn a_place_that_cannot_be_used_gives_way_to_the_next_and_the_last_word_names_all() {
        let folder = env::temp_dir().join(format!("switchtower-places-{}", std::process::id()));
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
