//! The programs that machines are given: their first process, and the sources of kernels.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The first process of machines, statically linked.
static INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// Where machines have the assets.
pub(crate) const FOLDER: &str = "/run/switchtower";

/// Writes all assets to a folder, for all users of machines to read.
///
/// # Errors
/// The folder cannot be written to.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    create(folder)?;
    let init = folder.join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, Permissions::from_mode(0o755))?;
    for (name, content) in FILES {
        let path = folder.join(name);
        if let Some(parent) = Path::new(name).parent() {
            let mut made = folder.to_owned();
            for part in parent.components() {
                made.push(part);
                create(&made)?;
            }
        }
        fs::write(&path, content)?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    }
    Ok(())
}

fn create(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

/// Returns a hash of all assets, for the runtime id.
pub(crate) fn hash() -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(INIT);
    for (name, content) in FILES {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&(content.len() as u64).to_le_bytes()).update(content);
    }
    hasher.finalize()
}
