//! Copies an unpacked root file system.

use std::collections::HashMap;
use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::error::ImportError;
use crate::inside;
use crate::limits::Budget;
use crate::tree::{EntryPath, Meta, Tree};

/// Copies the files below `from`, without what is mounted there.
///
/// # Errors
/// A file cannot be read or written, or it is larger than the limits.
pub(crate) fn copy(from: &Path, tree: &mut Tree, budget: &Rc<Budget>) -> Result<(), ImportError> {
    let failed = |path: &Path, error: io::Error| budget.explain(|| ImportError::at(path, &error));
    let device = fs::metadata(from).map_err(|error| failed(from, error))?.dev();
    let mut waiting = vec![PathBuf::new()];
    let mut linked = HashMap::new();
    while let Some(folder) = waiting.pop() {
        let here = from.join(&folder);
        let entries = fs::read_dir(&here).and_then(Iterator::collect::<io::Result<Vec<DirEntry>>>);
        for entry in entries.map_err(|error| failed(&here, error))? {
            let path = folder.join(entry.file_name());
            let is_folder =
                copy_entry(from, &path, device, tree, &mut linked).map_err(|error| failed(&from.join(&path), error))?;
            if is_folder {
                waiting.push(path);
            }
        }
    }
    Ok(())
}

/// Copies one file, link or empty folder. Returns whether it is a folder whose files follow.
fn copy_entry(
    from: &Path,
    path: &Path,
    device: u64,
    tree: &mut Tree,
    linked: &mut HashMap<u64, EntryPath>,
) -> io::Result<bool> {
    let here = from.join(path);
    let found = fs::symlink_metadata(&here)?;
    let Some(target) = EntryPath::parse(path.as_os_str().as_bytes())? else { return Ok(false) };
    let meta = Meta {
        user: found.uid().into(),
        group: found.gid().into(),
        mode: found.mode(),
        modified: found.mtime().try_into().unwrap_or_default(),
    };
    let kind = found.file_type();
    if kind.is_dir() {
        tree.add_folder(&target, meta)?;
        return Ok(found.dev() == device);
    }
    if kind.is_symlink() {
        let link = fs::read_link(&here)?;
        return tree.add_link(&target, link.as_os_str().as_bytes(), meta).map(|()| false);
    }
    if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() || kind.is_socket() {
        tree.report.special_files += 1;
        return Ok(false);
    }
    if found.nlink() > 1 && found.dev() == device {
        if let Some(first) = linked.get(&found.ino()) {
            return tree.add_hard_link(&target, first).map(|()| false);
        }
        linked.insert(found.ino(), target.clone());
    }
    let mut file: File = inside::open_file(from, path)?;
    tree.add_file(&target, meta, &mut file).map(|()| false)
}
