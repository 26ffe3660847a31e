//! A file or a folder as envd describes it.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use switchtower_e2b_wire::files::{EntryInfo, EntryKind, permissions};

use crate::file_error::FileError;
use crate::folders::FileRoot;
use crate::metadata;
use crate::users::OwnerNames;

/// Returns the description of what is at a path. Of a symbolic link, kind and mode are those of what it leads to.
pub(crate) fn describe(root: &dyn FileRoot, names: &OwnerNames, path: &str) -> Result<Value, FileError> {
    let located = root.locate(path);
    let data = std::fs::symlink_metadata(&located).map_err(|error| FileError::of(&error, path))?;
    let is_link = data.file_type().is_symlink();
    let target = is_link.then(|| match located.canonicalize() {
        Ok(target) => root.path_of(&target).to_string_lossy().into_owned(),
        Err(_) => path.to_owned(),
    });
    let followed = if is_link { std::fs::metadata(&located).ok() } else { Some(data.clone()) };
    let kind = match &followed {
        Some(data) if data.is_file() => EntryKind::File,
        Some(data) if data.is_dir() => EntryKind::Folder,
        _ => EntryKind::Other,
    };
    let own_names = metadata::read(&located);
    let (owner, group) = (names.owner(data.uid()), names.group(data.gid()));
    let described = EntryInfo {
        path,
        kind,
        size: data.len(),
        mode: followed.map_or(0, |data| data.mode() & 0o777),
        permissions: permissions(data.mode()),
        owner: &owner,
        group: &group,
        modified: modified(&data),
        symlink_target: target.as_deref(),
        metadata: Some(&own_names).filter(|own| !own.is_empty()),
    };
    Ok(described.json())
}

/// Returns when a file was changed. A time before 1970, which no client can read, counts as 1970.
pub(crate) fn modified(data: &std::fs::Metadata) -> SystemTime {
    let seconds = u64::try_from(data.mtime()).unwrap_or_default();
    let nanoseconds = u32::try_from(data.mtime_nsec()).unwrap_or_default();
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)).unwrap_or(UNIX_EPOCH)
}
