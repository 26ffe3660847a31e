//! Starts the container of a local machine, in a process of one thread that does nothing else.
//!
//! [`launch`] makes the machine's root file system in a mount namespace of its own, where it vanishes with the last process
//! that uses it, whatever ends this program. Then it starts the machine's first process in namespaces of its own, or hands the
//! root to a container runtime, and waits for its end.
//!
//! # What a container stops, and what it does not
//!
//! The machine's processes have users of their own (a range of user ids that nothing else on the host uses, where root starts
//! it or the user has such a range), process numbers, network (no interface but the loopback), message queues and names. They
//! see the host's `/usr` read-only below a private layer, and no other file of the host. They have the capabilities of a
//! container's root inside, none outside, and cannot mount, make namespaces, load code into the kernel or reach devices. They
//! are limited in memory, processes, processor time and files. `tests/machine/hostile` tries all of this as both users, in the
//! built-in runtime and in runc. Under a runtime the first process filters system calls itself, so that they are the same.
//!
//! The machine's root can harm its own first process (its limits, its priority when memory is used up) and write to the files
//! by which it is found: its machine then answers no more, or what it likes, which the caller must bound. The file service acts
//! as the machine's root and follows links, as E2B's does: a program can lead a client's write to any file of its own machine.
//!
//! It does not stop faults of the kernel in the about 300 remaining system calls, and what can be learnt from timing, from the
//! load of the machine, from `/proc/meminfo`, `/proc/cpuinfo`, `uname(2)` and `sysinfo(2)`. The versions of the host's programs
//! in `/usr` are visible, and in `/proc/self/mountinfo` the names of the folders that the machine is made of. A crash starts the
//! host's handler of crashes, if it has one and the program has lowered its limit of core files to 0.
//!
//! Where no control group can be made, memory is held by a watcher that looks 20 times a second and kills the largest process:
//! a machine exceeds its limit in between, and segments of System V that no process has attached are not counted. Processes
//! are limited for each of its users, processor time is not. The layers report it.
#![cfg(target_os = "linux")]

mod config;
mod container;
mod credentials;
mod devices;
mod layers;
mod namespaces;
mod oci;
mod protection;
mod report;
mod resource_limits;
mod root;
mod sys;
mod watch;

pub use config::{Bind, ContainerConfig, Ids, MachineLimits, OciKind, Overlay, Passes, RESERVED_PROCESSES, Runtime};
pub use protection::protect;
use report::InStep as _;
pub use report::{LaunchError, LaunchReport};
pub use resource_limits::ResourceLimit;
pub use switchtower_jail::Layer;

use std::os::fd::OwnedFd;

use sys::Signals;

/// Starts the container that `config` describes, writes a [`LaunchReport`] as one line of JSON to `report`, and waits for the end of
/// the machine's first process. Returns its exit code, as a shell would give it. Where the caller ends, or sends SIGTERM, the
/// machine ends, and its control groups are removed.
///
/// # Errors
/// The container could not be started. The report says so too.
pub fn launch(config: &ContainerConfig, report: OwnedFd) -> Result<i32, LaunchError> {
    let started = prepare(config, &report).and_then(|(config, signals)| {
        let started = match &config.runtime {
            Runtime::BuiltIn => namespaces::start(&config),
            Runtime::Oci { .. } => oci::start(&config),
        }?;
        Ok((config, signals, started))
    });
    match started {
        Ok((config, signals, (container, layers))) => {
            report::send(report, &LaunchReport::Started { layers });
            Ok(container.wait(&config, &signals))
        }
        Err(error) => {
            report::send(report, &LaunchReport::Failed { error: error.clone() });
            Err(error)
        }
    }
}

/// Has this process learn of its parent's end, and gives the socket a number that is not replaced.
fn prepare(config: &ContainerConfig, report: &OwnedFd) -> Result<(ContainerConfig, Signals), LaunchError> {
    sys::reset_signals();
    let step = "ends with its parent";
    let signals = Signals::block().during(step)?;
    sys::signal_with_parent(libc::SIGTERM).during(step)?;
    if sys::has_no_reader(report) {
        return Err(LaunchError::new(step, "it has ended already"));
    }
    let socket = sys::move_up(config.socket).during("socket")?;
    Ok((ContainerConfig { socket, ..config.clone() }, signals))
}
