//! The files of the machine: those that this process sees.

use std::path::{Path, PathBuf};

use switchtower_envd::FileRoot;

pub(super) struct MachineRoot;

impl FileRoot for MachineRoot {
    fn locate(&self, path: &str) -> PathBuf {
        PathBuf::from(path)
    }

    fn path_of(&self, located: &Path) -> PathBuf {
        located.to_owned()
    }

    fn is_writable(&self, _path: &str) -> bool {
        true
    }

    fn parts_of(&self, path: &str) -> Vec<PathBuf> {
        vec![PathBuf::from(path)]
    }
}
