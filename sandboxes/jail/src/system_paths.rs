//! The files of the system that every Python needs: libraries, time zones, fonts, four devices.

use std::path::{Path, PathBuf};

/// The home folder of programs.
pub const HOME: &str = "/home/user";
/// The folder for temporary files of programs.
pub const TMP: &str = "/tmp";

const FOLDERS: [&str; 6] = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/usr/share/fonts"];
const FILES: [&str; 2] = ["/etc/ld.so.cache", "/etc/localtime"];
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

fn present<const N: usize>(paths: [&'static str; N]) -> impl Iterator<Item = PathBuf> {
    paths.into_iter().map(PathBuf::from).filter(|path| path.exists())
}

pub(crate) fn folders() -> impl Iterator<Item = PathBuf> {
    present(FOLDERS)
}

pub(crate) fn files() -> impl Iterator<Item = PathBuf> {
    present(FILES)
}

pub(crate) fn devices() -> impl Iterator<Item = PathBuf> {
    present(DEVICES)
}

/// Returns whether a path is in a folder of which each child has one of its own.
pub(crate) fn is_private(path: &Path) -> bool {
    path.starts_with(HOME) || path.starts_with(TMP)
}

/// Returns the folders under their given and their canonical paths, outermost first, without those that are in another.
pub(crate) fn outermost(folders: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = folders.into_iter().collect();
    let real: Vec<PathBuf> = all.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
    all.extend(real);
    all.sort_by_key(|folder| folder.components().count());
    let mut outermost: Vec<PathBuf> = Vec::new();
    for folder in all {
        if !outermost.iter().any(|outer| folder.starts_with(outer)) {
            outermost.push(folder);
        }
    }
    outermost
}

#[cfg(test)]
mod tests {
    use super::outermost;

    #[test]
    fn a_folder_in_another_is_left_out() {
        let folders = ["/usr/lib/python3", "/usr", "/usr", "/nowhere/site"].map(Into::into);
        assert_eq!(outermost(folders), ["/usr", "/nowhere/site"].map(std::path::PathBuf::from));
    }
}
