//! The built-in runtime: the machine's first process in namespaces of its own.
#![allow(unsafe_code, reason = "processes and descriptors have no safe wrapper in std")]

use std::ffi::CString;
use std::io;
use std::path::Path;

use switchtower_jail::{ControlGroup, GroupLimits};

use crate::config::{ContainerConfig, Ids};
use crate::container::Container;
use crate::credentials;
use crate::devices::{self, Devices};
use crate::layers::{self, in_force};
use crate::protection::protect;
use crate::report::{InStep, LaunchError};
use crate::root::{self, Root};
use crate::sys::{self, Sync, check, fork, is_root, unshare};
use switchtower_jail::Layer;

const NAMESPACES: i32 =
    libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNS;
/// The number of the socket in the machine's first process.
const SOCKET: i32 = 3;

/// Starts the machine's first process. Returns it with the layers that are in force.
pub(crate) fn start(config: &ContainerConfig) -> Result<(Container, Vec<Layer>), LaunchError> {
    let ids = enter_outer(config.ids).during("user namespace")?;
    let Root { path, shared_memory, layers: mut all } = root::make(config, ids)?;
    let (group, missing) = make_group(config, config.limits.memory, config.limits.all_processes());
    let devices = Devices::copy(&shared_memory).during("devices")?;
    let (mut here, mut there) = Sync::pair().during("start")?;
    // SAFETY: this process has one thread.
    match unsafe { fork(NAMESPACES) }.during("namespaces")? {
        None => {
            drop(here);
            let Err(error) = enter(config, ids, &path, &devices, &mut there);
            let _ = there.send(&serde_json::to_vec(&error).unwrap_or_default());
            // SAFETY: it does not return.
            unsafe { libc::_exit(1) }
        }
        Some(process) => {
            drop(there);
            let prepared = (|| {
                group.add(process as u32).during("control group")?;
                here.go().during("start")?;
                // The process has entered its user namespace.
                here.wait().during("start")?;
                credentials::write_maps(process, ids).during("user namespace")?;
                here.go().during("start")
            })();
            // The layers of the process, or its error, or nothing more where it has failed before.
            let rest = here.rest().during("start")?;
            let failed = |why: LaunchError| {
                sys::wait_for(process);
                group.end();
                why
            };
            match serde_json::from_slice::<Vec<Layer>>(&rest) {
                Ok(inner) if prepared.is_ok() => {
                    all.extend(inner);
                    all.push(users(config.ids));
                    all.push(limits(&group, &missing));
                    Ok((Container { process, group, runtime: None }, all))
                }
                Ok(_) | Err(_) => {
                    // Its own error is the cause.
                    let own = serde_json::from_slice(&rest).ok();
                    let why = own.or(prepared.err()).unwrap_or_else(|| LaunchError::new("start", "it ended early"));
                    Err(failed(why))
                }
            }
        }
    }
}

/// Returns the layer of the limits of all processes together.
pub(crate) fn limits(group: &ControlGroup, missing: &[String]) -> Layer {
    let watched = if group.limits_memory() { "" } else { "; memory is held by a watcher, processes for each user" };
    let status = if missing.is_empty() { Ok(()) } else { Err(missing.join("; ") + watched) };
    layers::layer("control group", status)
}

fn users(ids: Ids) -> Layer {
    layers::layer(
        "own users",
        match ids {
            Ids::Range { .. } => Ok(()),
            Ids::Single => Err("root and user are one user of the host: a range in /etc/subuid gives them their own"),
        },
    )
}

/// Makes the control group with the machine's limits: bytes of memory, and processes of the host.
pub(crate) fn make_group(config: &ContainerConfig, memory: u64, processes: u64) -> (ControlGroup, Vec<String>) {
    let limits = &config.limits;
    ControlGroup::create(
        &config.name,
        &GroupLimits {
            memory: Some(memory),
            processes: Some(processes),
            processors: limits.processors,
            weight: Some(100),
        },
    )
}

/// Enters a mount namespace of its own; where another user than root starts it, in a user namespace in which it may mount.
/// Returns the machine's ids here.
pub(crate) fn enter_outer(ids: Ids) -> io::Result<Ids> {
    if is_root() {
        unshare(libc::CLONE_NEWNS)?;
        return Ok(ids);
    }
    let (mut here, mut there) = Sync::pair()?;
    let process = std::process::id() as i32;
    // SAFETY: this process has one thread.
    match unsafe { fork(0) }? {
        None => {
            drop(there);
            let mapped = here.wait().and_then(|()| credentials::write_maps_with_helpers(process, ids));
            let why = mapped.err().map(|error| error.to_string()).unwrap_or_default();
            let _ = here.send(why.as_bytes());
            // SAFETY: it does not return.
            unsafe { libc::_exit(0) }
        }
        Some(helper) => {
            drop(here);
            unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
            there.go()?;
            let why = there.rest()?;
            sys::wait_for(helper);
            if !why.is_empty() {
                return Err(io::Error::other(String::from_utf8_lossy(&why).into_owned()));
            }
            credentials::become_root(ids)?;
            // The change of user has cleared it.
            sys::signal_with_parent(libc::SIGTERM)?;
            Ok(ids.inside())
        }
    }
}

/// Enters the container as its first process, and becomes the machine's program.
fn enter(
    config: &ContainerConfig,
    ids: Ids,
    root: &Path,
    devices: &Devices,
    parent: &mut Sync,
) -> Result<std::convert::Infallible, LaunchError> {
    sys::die_with_parent().during("dies with its parent")?;
    parent.wait().during("start")?;
    // After the parent has moved it into the control group.
    unshare(libc::CLONE_NEWCGROUP).during("namespaces")?;
    devices.mount(root).during("devices")?;
    devices::start_loopback(root).during("loopback")?;
    devices::seal_settings(root).during("devices")?;
    devices::set_host_name(&config.hostname).during("host name")?;
    sys::pivot(root).during("file system")?;
    // SAFETY: the calls take numbers.
    unsafe {
        libc::setsid();
        libc::umask(0o022);
    }
    unshare(libc::CLONE_NEWUSER).during("user namespace")?;
    parent.go().during("start")?;
    parent.wait().during("start")?;
    credentials::become_root(ids).during("own users")?;
    // The change of user has cleared it.
    sys::die_with_parent().during("dies with its parent")?;
    credentials::limit_resources(&config.limits).during("resource limits")?;
    devices::null_streams().during("standard streams")?;
    credentials::drop_capabilities().during("capabilities")?;
    sys::Signals::unblock().during("signals")?;
    let mut layers = vec![in_force("namespaces"), in_force("capabilities"), in_force("resource limits")];
    layers.extend(protect()?);
    let text = |text: &String| CString::new(text.as_str());
    let args = config.command.iter().map(text).collect::<Result<Vec<_>, _>>().during("command")?;
    let env = config.env.iter().map(|(name, value)| text(&format!("{name}={value}")));
    let env = env.collect::<Result<Vec<_>, _>>().during("environment")?;
    let program = args.first().ok_or_else(|| LaunchError::new("command", "it is empty"))?;
    keep_socket(config.socket).during("socket")?;
    let layers = serde_json::to_vec(&layers).during("start")?;
    parent.send(&layers).during("start")?;
    Err(LaunchError::new("command", sys::exec(program, &args, &env)))
}

/// Gives the machine's socket its number. All descriptors above it are closed when the program starts.
fn keep_socket(socket: i32) -> io::Result<()> {
    // SAFETY: the calls take numbers. Nothing of this process uses the descriptor 3: the pipes were made when it was open.
    unsafe {
        if socket != SOCKET {
            check(libc::dup2(socket, SOCKET))?;
        }
        check(libc::fcntl(SOCKET, libc::F_SETFD, 0))?;
        let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
        check(libc::close_range(SOCKET as u32 + 1, u32::MAX, flags)).map(drop)
    }
}
