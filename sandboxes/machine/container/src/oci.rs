//! A container runtime with the command line of runc.
#![allow(unsafe_code, reason = "descriptors have no safe wrapper in std")]

use std::io;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::config::{ContainerConfig, Ids, OciKind, Passes, Runtime};
use crate::container::{Container, RunningRuntime};
use crate::namespaces::{enter_outer, limits, make_group};
use crate::report::{InStep, LaunchError};
use crate::root::{self, Root};
use crate::sys;
use switchtower_jail::{ControlGroup, Layer};

/// Folders that every user can reach, and that a container runtime does not need.
const REACHABLE: [&str; 4] = ["/mnt", "/media", "/srv", "/opt"];

/// Starts the runtime with the machine's root. Returns it with the layers that are known here.
pub(crate) fn start(config: &ContainerConfig) -> Result<(Container, Vec<Layer>), LaunchError> {
    let Runtime::Oci { program, kind, passes, state, bundle } = &config.runtime else {
        return Err(LaunchError::new("runtime", "it is the built-in one"));
    };
    let (kind, passes) = (*kind, *passes);
    // The machine's processes become children of this process when the runtime ends.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1).during("runtime")?;
    let ids = enter_outer(config.ids).during("user namespace")?;
    let Root { shared_memory, path, mut layers } = root::make(config, ids)?;
    let (memory, processes) = (config.limits.memory, config.limits.all_processes());
    let (group, missing) = make_group(config, memory + kind.own_memory(), kind.host_processes(processes));
    layers.push(limits(&group, &missing));
    if kind == OciKind::Runsc && !group.limits_memory() {
        // A watcher from outside does not see the processes of its machine.
        group.end();
        return Err(LaunchError::new(
            "control group",
            format!("gVisor needs one that limits memory: {}", missing.join("; ")),
        ));
    }
    let started = (|| {
        let place = show(config, [program.as_path(), state]).during("file system")?;
        let within = |path: &Path| place.join(path.strip_prefix(&config.folder).unwrap_or(path));
        let folder = config.folder.join("bundle");
        std::fs::create_dir(&folder).during("bundle")?;
        let mut bundle = complete(bundle.clone(), config, &group, ids, &within(&path), &within(&shared_memory));
        if kind == OciKind::Runsc {
            for_gvisor(&mut bundle, &within(&path));
        }
        std::fs::write(folder.join("config.json"), bundle.to_string()).during("bundle")?;
        let process = folder.join("process");
        let mut command = Command::new(program);
        command.args(options(kind)).arg("--root").arg(state).arg("run").arg("--bundle").arg(within(&folder));
        if passes == Passes::Descriptors {
            command.args(["--preserve-fds", "1"]);
        }
        command.arg("--pid-file").arg(&process).arg(&config.name);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        // crun gives its standard streams to the machine's root. The null device, which this process has as its standard output, would
        // be the host's own: that root could close it to all others.
        let pipe = io::stderr().as_fd().try_clone_to_owned().during("runtime")?;
        command.stdout(pipe);
        let socket = config.socket;
        if passes == Passes::StandardStreams {
            // SAFETY: nothing else uses the descriptor. This process must not hold the connection open.
            command.stdin(unsafe { OwnedFd::from_raw_fd(socket) });
        }
        let joined = if kind == OciKind::Runc { None } else { Some(group.clone()) };
        // SAFETY: this process has one thread, so that the new one may allocate.
        unsafe {
            command.pre_exec(move || {
                sys::die_with_parent()?;
                if let Some(group) = &joined {
                    group.add(std::process::id())?;
                }
                if passes == Passes::StandardStreams {
                    return Ok(());
                }
                if socket != 3 {
                    sys::check(libc::dup2(socket, 3))?;
                }
                sys::check(libc::fcntl(3, libc::F_SETFD, 0)).map(drop)
            });
        }
        let child = command.spawn().during(&format!("runtime {}", program.display()))?;
        let (program, state) = (program.clone(), state.clone());
        Ok((child.id() as i32, RunningRuntime { program, options: options(kind), state, process }))
    })();
    match started {
        Ok((process, runtime)) => Ok((Container { process, group, runtime: Some(runtime) }, layers)),
        Err(error) => {
            group.end();
            Err(error)
        }
    }
}

/// Returns the options of a runtime before its subcommand.
fn options(kind: OciKind) -> &'static [&'static str] {
    match kind {
        OciKind::Runc => &[],
        // It starts in the machine's group. What it would do with groups fails where version 1 and 2 are mixed.
        OciKind::Crun => &["--cgroup-manager=disabled"],
        OciKind::Runsc => &["--ignore-cgroups", "--network=none", "--file-access-mounts=exclusive"],
    }
}

/// Changes what gVisor does otherwise: it has no file system for message queues, its devices cannot be written to where their folder is
/// read-only, and it would hold `/tmp` in memory that no limit of files counts.
fn for_gvisor(bundle: &mut Value, root: &Path) {
    let Some(mounts) = bundle["mounts"].as_array_mut() else { return };
    mounts.retain(|mount| mount["type"] != "mqueue" && mount["destination"] != "/dev");
    mounts.push(json!({
        "destination": "/tmp", "type": "bind", "source": root.join("tmp"), "options": ["bind", "nosuid", "nodev", "rw"],
    }));
}

/// Shows the machine's files at a place that the machine's users reach: the container's own user mounts its root, and the
/// caller's folder is closed to it. Only this process and its children see it there.
fn show(config: &ContainerConfig, used: [&Path; 2]) -> io::Result<PathBuf> {
    let is_free = |place: &str| {
        Path::new(place).is_dir() && used.iter().chain([&config.folder.as_path()]).all(|path| !path.starts_with(place))
    };
    let place = REACHABLE.into_iter().find(|place| is_free(place));
    let place = place.ok_or_else(|| io::Error::other(format!("none of {} is a folder", REACHABLE.join(", "))))?;
    sys::mount(&config.folder.to_string_lossy(), Path::new(place), "", libc::MS_BIND | libc::MS_REC, "")?;
    Ok(PathBuf::from(place))
}

/// Adds what is known here to the configuration of a bundle.
fn complete(
    mut bundle: Value,
    config: &ContainerConfig,
    group: &ControlGroup,
    ids: Ids,
    root: &Path,
    shared_memory: &Path,
) -> Value {
    bundle["root"] = json!({ "path": root, "readonly": false });
    if let Some(mounts) = bundle["mounts"].as_array_mut() {
        mounts.push(json!({
            "destination": "/dev/shm", "type": "bind", "source": shared_memory,
            "options": ["bind", "nosuid", "nodev", "rw"],
        }));
    }
    let (first, count) = match ids {
        Ids::Range { first, count } => (first, count),
        Ids::Single => (0, 1),
    };
    let map = json!([{ "containerID": 0, "hostID": first, "size": count }]);
    bundle["linux"]["uidMappings"] = map.clone();
    bundle["linux"]["gidMappings"] = map;
    // The kernel refuses groups that the machine does not have.
    bundle["linux"]["sysctl"]["net.ipv4.ping_group_range"] = json!(format!("0 {}", count - 1));
    bundle["linux"]["cgroupsPath"] = json!(group.runtime_path(&config.name));
    bundle
}
