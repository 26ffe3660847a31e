//! The root file system of a machine: read-only layers of the host below a private one in memory.

use std::fs::{DirBuilder, File, Permissions, set_permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

use crate::config::{Bind, ContainerConfig, Ids};
use crate::credentials;
use crate::layers::Layer;
use crate::report::{InStep, LaunchError};
use crate::sys::{self, NO_DEVICES, NO_SETUID, READ_ONLY, about, attach_in, detached, is_root, mount};

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
    let owners = owners.and_then(|namespace| {
        detached(&config.lower, READ_ONLY | NO_SETUID | NO_DEVICES, Some(&namespace)).map_err(|why| why.to_string())?;
        Ok(namespace)
    });
    let namespace = owners.as_ref().ok();
    let layer = |source: &Path| detached(source, READ_ONLY | NO_SETUID | NO_DEVICES, namespace);
    let lower = layer(&config.lower).during(step)?;
    let usr = config.usr.as_deref().map(layer).transpose().during(step)?;
    let binds: Vec<(OwnedFd, &Bind)> =
        config.binds.iter().map(|bind| Ok((layer(&bind.source)?, bind))).collect::<io::Result<_>>().during(step)?;

    let base = &config.folder;
    let (disk, inodes) = (config.limits.disk, config.limits.inodes);
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    mount("tmpfs", base, "tmpfs", flags, &format!("size={disk},nr_inodes={inodes},mode=755")).during(step)?;
    let path = base.join("root");
    let made = || -> io::Result<()> {
        for name in ["root", "lower", "upper", "work", "shm"] {
            folder(&base.join(name), ids, 0, 0, 0o755)?;
        }
        set_permissions(base.join("shm"), Permissions::from_mode(0o1777))?;
        sys::attach(&lower, &base.join("lower"))?;
        for (path, user, group, mode) in &config.folders {
            folders(&base.join("upper"), path, ids)?;
            folder(&join(&base.join("upper"), path), ids, *user, *group, *mode)?;
        }
        let places: Vec<(&Path, bool)> = config
            .binds
            .iter()
            .map(|bind| (bind.target.as_path(), bind.source.is_dir()))
            .chain(["/dev", "/proc", "/sys"].map(|mounted| (Path::new(mounted), true)))
            .chain(config.usr.is_some().then_some((Path::new("/usr"), true)))
            .collect();
        for (target, is_folder) in places {
            let upper = match target.strip_prefix("/usr") {
                Ok(below) if config.usr.is_some() && below.components().next().is_some() => {
                    let upper = base.join("usr-upper");
                    folder(&upper, ids, 0, 0, 0o755)?;
                    place(&upper, below, is_folder, ids)?;
                    continue;
                }
                Ok(_) | Err(_) => base.join("upper"),
            };
            place(&upper, target, is_folder, ids)?;
        }
        overlay(&base.join("lower"), &base.join("upper"), &base.join("work"), &path)?;
        if let Some(usr) = &usr {
            for name in ["usr-lower", "usr-upper", "usr-work"] {
                folder(&base.join(name), ids, 0, 0, 0o755)?;
            }
            sys::attach(usr, &base.join("usr-lower"))?;
            let [lower, upper, work] = ["usr-lower", "usr-upper", "usr-work"].map(|name| base.join(name));
            overlay(&lower, &upper, &work, &path.join("usr"))?;
        }
        let root = File::open(&path)?;
        binds.iter().try_for_each(|(tree, bind)| attach_in(tree, &root, &bind.target))
    };
    made().during(step)?;
    let layers =
        vec![Layer::in_force("own file system"), Layer::new("files of the host belong to root", owners.map(drop))];
    Ok(Root { path, shared_memory: base.join("shm"), layers })
}

/// Mounts an overlay.
fn overlay(lower: &Path, upper: &Path, work: &Path, target: &Path) -> io::Result<()> {
    let escaped =
        |path: &Path| path.display().to_string().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,");
    let user = if is_initial_namespace() { "" } else { ",userxattr" };
    let options = format!("lowerdir={},upperdir={},workdir={}{user}", escaped(lower), escaped(upper), escaped(work));
    mount("overlay", target, "overlay", libc::MS_NOSUID | libc::MS_NODEV, &options)
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
