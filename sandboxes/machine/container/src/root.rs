//! The root file system of a machine: read-only layers of the host below a private one in memory.

use std::fs::{DirBuilder, File, Permissions, set_permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

use crate::config::{ContainerConfig, Ids, Overlay};
use crate::credentials;
use crate::layers::{self, in_force};
use crate::report::{InStep, LaunchError};
use crate::sys::{self, NO_DEVICES, NO_SETUID, READ_ONLY, about, attach_in, detached, is_root, mount};
use switchtower_jail::Layer;

/// A mounted root.
pub(crate) struct Root {
    /// Where it is mounted.
    pub(crate) path: PathBuf,
    /// The folder of `/dev/shm`, which counts as the machine's files.
    pub(crate) shared_memory: PathBuf,
    pub(crate) layers: Vec<Layer>,
}

/// Makes the root in this mount namespace. `ids`: those of the machine here.
pub(crate) fn make(config: &ContainerConfig, ids: Ids) -> Result<Root, LaunchError> {
    let step = "file system";
    mount("", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "").during(step)?;
    // Sources are copied before the folder is mounted over, in which they may be.
    let owners = if is_root() && ids != Ids::Single {
        credentials::namespace(ids).map_err(|why| why.to_string())
    } else {
        Err("the machine's users are one user of the host".to_owned())
    };
    // Not every file system can map owners.
    let owners = owners.and_then(|namespace| {
        let mut first = config.overlays.iter().flat_map(|overlay| &overlay.lower);
        first.try_for_each(|lower| layer(lower, Some(&namespace)).map(drop)).map_err(|why| why.to_string())?;
        Ok(namespace)
    });
    let namespace = owners.as_ref().ok();
    let copied = |overlay: &Overlay| overlay.lower.iter().map(|lower| layer(lower, namespace)).collect();
    let lowers: Vec<Vec<OwnedFd>> = config.overlays.iter().map(copied).collect::<io::Result<_>>().during(step)?;
    let binds: Vec<OwnedFd> =
        config.binds.iter().map(|bind| layer(&bind.source, namespace)).collect::<io::Result<_>>().during(step)?;

    let base = &config.folder;
    let (disk, inodes) = (config.limits.file_bytes(), config.limits.inodes);
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    mount("tmpfs", base, "tmpfs", flags, &format!("size={disk},nr_inodes={inodes},mode=755")).during(step)?;
    let (path, shared_memory) = (base.join("root"), base.join("shm"));
    let made = || -> io::Result<()> {
        folder(&path, ids, 0, 0, 0o755)?;
        folder(&shared_memory, ids, 0, 0, 0o1777)?;
        make_places(config, ids)?;
        for (number, (overlay, lowers)) in config.overlays.iter().zip(&lowers).enumerate() {
            mount_overlay(base, number, overlay, lowers, ids)?;
        }
        let root = File::open(&path)?;
        binds.iter().zip(&config.binds).try_for_each(|(tree, bind)| attach_in(tree, &root, &bind.target))
    };
    made().during(step)?;
    let layers = vec![in_force("own file system"), layers::layer("files of the host belong to root", owners.map(drop))];
    Ok(Root { path, shared_memory, layers })
}

/// Returns a read-only copy of a part of the host's files.
fn layer(source: &Path, namespace: Option<&OwnedFd>) -> io::Result<OwnedFd> {
    detached(source, READ_ONLY | NO_SETUID | NO_DEVICES, namespace)
}

/// Returns the private layer of an overlay.
fn upper(base: &Path, overlay: usize) -> PathBuf {
    base.join(format!("upper-{overlay}"))
}

/// Makes, in the private layers, the machine's folders and places for what is mounted.
fn make_places(config: &ContainerConfig, ids: Ids) -> io::Result<()> {
    for number in 0..config.overlays.len() {
        folder(&upper(&config.folder, number), ids, 0, 0, 0o755)?;
    }
    // The private layer in which a path is, and the path there.
    let private = |path: &Path| {
        let within = |(number, overlay): (usize, &Overlay)| {
            let below = path.strip_prefix(&overlay.target).ok()?;
            below.components().next().is_some().then(|| (number, below.to_owned()))
        };
        config.overlays.iter().enumerate().rev().find_map(within)
    };
    for (path, user, group, mode) in &config.folders {
        let Some((number, below)) = private(path) else { continue };
        let layer = upper(&config.folder, number);
        folders(&layer, &below, ids)?;
        folder(&layer.join(&below), ids, *user, *group, *mode)?;
    }
    let binds = config.binds.iter().map(|bind| (bind.target.as_path(), bind.source.is_dir()));
    let mounted = ["/dev", "/proc", "/sys"].map(|path| (Path::new(path), true));
    let overlays = config.overlays.iter().map(|overlay| (overlay.target.as_path(), true));
    for (path, is_folder) in binds.chain(mounted).chain(overlays) {
        if let Some((number, below)) = private(path) {
            place(&upper(&config.folder, number), &below, is_folder, ids)?;
        }
    }
    Ok(())
}

fn mount_overlay(base: &Path, number: usize, overlay: &Overlay, lowers: &[OwnedFd], ids: Ids) -> io::Result<()> {
    let mut lower = Vec::new();
    for (layer, tree) in lowers.iter().enumerate() {
        let path = base.join(format!("lower-{number}-{layer}"));
        folder(&path, ids, 0, 0, 0o755)?;
        sys::attach(tree, &path)?;
        lower.push(escaped(&path));
    }
    let work = base.join(format!("work-{number}"));
    folder(&work, ids, 0, 0, 0o755)?;
    let user = if is_initial_namespace() { "" } else { ",userxattr" };
    let (lower, upper) = (lower.join(":"), escaped(&upper(base, number)));
    let options = format!("lowerdir={lower},upperdir={upper},workdir={}{user}", escaped(&work));
    let target = join(&base.join("root"), &overlay.target);
    mount("overlay", &target, "overlay", libc::MS_NOSUID | libc::MS_NODEV, &options)
}

/// Returns a path in the options of an overlay.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,")
}

/// Returns whether this process is in the host's own user namespace, where overlays may use trusted attributes.
fn is_initial_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

fn join(base: &Path, path: &Path) -> PathBuf {
    base.join(path.strip_prefix("/").unwrap_or(path))
}

/// Makes a folder with this owner and these permissions, or changes an existing one.
fn folder(path: &Path, ids: Ids, user: u32, group: u32, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return about(path.display(), Err(error)),
        Ok(()) | Err(_) => {}
    }
    about(path.display(), chown(path, Some(ids.of(user)), Some(ids.of(group))))?;
    about(path.display(), set_permissions(path, Permissions::from_mode(mode)))
}

/// Makes the missing folders above `path` in an empty layer, which belong to root.
fn folders(layer: &Path, path: &Path, ids: Ids) -> io::Result<()> {
    let mut above = layer.to_owned();
    let parents = path.parent().into_iter().flat_map(Path::components);
    for part in parents.filter(|part| matches!(part, Component::Normal(_))) {
        above.push(part);
        if !above.exists() {
            folder(&above, ids, 0, 0, 0o755)?;
        }
    }
    Ok(())
}

/// Makes a place for a mount in an empty layer.
fn place(layer: &Path, path: &Path, is_folder: bool, ids: Ids) -> io::Result<()> {
    folders(layer, path, ids)?;
    let target = join(layer, path);
    if target.exists() {
        return Ok(());
    }
    if is_folder {
        return folder(&target, ids, 0, 0, 0o755);
    }
    about(target.display(), std::fs::write(&target, ""))?;
    chown(&target, Some(ids.of(0)), Some(ids.of(0)))
}
