//! A container runtime with the command line of runc.
#![allow(unsafe_code, reason = "descriptors have no safe wrapper in std")]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::config::{ContainerConfig, Ids};
use crate::layers;
use crate::namespaces::{enter_outer, make_group};
use crate::report::{InStep, LaunchError};
use crate::root::{self, Root};
use crate::sys;
use switchtower_jail::Layer;

/// Starts the runtime with the machine's root. Returns the number of its process, which waits for the container, and the layers
/// that are known here.
pub(crate) fn start(
    config: &ContainerConfig,
    program: &Path,
    state: &Path,
    bundle: &Value,
) -> Result<(i32, Vec<Layer>), LaunchError> {
    let ids = enter_outer(config.ids).during("user namespace")?;
    let Root { path, shared_memory, mut layers } = root::make(config, ids)?;
    let (group, missing) = make_group(config);
    let limits = if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) };
    layers.push(layers::layer("control group", limits));
    let folder = config.folder.join("bundle");
    std::fs::create_dir(&folder).during("bundle")?;
    let bundle = complete(bundle.clone(), ids, &path, &shared_memory);
    std::fs::write(folder.join("config.json"), bundle.to_string()).during("bundle")?;
    let mut command = Command::new(program);
    command.arg("--root").arg(state).arg("run").arg("--preserve-fds").arg("1").arg("--bundle").arg(&folder);
    command.arg(&config.name).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let socket = config.socket;
    // SAFETY: the calls take numbers, and allocate nothing.
    unsafe {
        command.pre_exec(move || {
            sys::die_with_parent()?;
            if socket != 3 {
                sys::check(libc::dup2(socket, 3))?;
            }
            sys::check(libc::fcntl(3, libc::F_SETFD, 0)).map(drop)
        });
    }
    let child = command.spawn().during(&format!("runtime {}", program.display()));
    match child {
        Ok(child) => Ok((child.id() as i32, layers)),
        Err(error) => {
            group.end();
            Err(error)
        }
    }
}

/// Adds what is known here to the configuration of a bundle.
fn complete(mut bundle: Value, ids: Ids, root: &Path, shared_memory: &Path) -> Value {
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
    bundle
}
