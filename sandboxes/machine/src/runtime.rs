//! The container runtimes, and how far each isolates.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use switchtower_container::{MachineLimits, Runtime};
use switchtower_contract::Isolation;

use crate::config::RuntimeChoice;

/// A runtime that was found.
#[derive(Debug, Clone)]
pub(crate) struct FoundRuntime {
    /// Where its program is; `None`: the built-in one.
    pub(crate) program: Option<PathBuf>,
    pub(crate) isolation: Isolation,
}

impl FoundRuntime {
    /// Finds the chosen runtime.
    ///
    /// # Errors
    /// There is no such program.
    pub(crate) fn find(choice: &RuntimeChoice) -> Result<Self, String> {
        let RuntimeChoice::Program(wanted) = choice else {
            return Ok(Self { program: None, isolation: Isolation::Container });
        };
        let found = if wanted.components().count() > 1 {
            wanted.is_file().then(|| wanted.clone())
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let here = std::env::split_paths(&path).map(|folder| folder.join(wanted));
            here.chain([Path::new("/usr/sbin").join(wanted)]).find(|program| program.is_file())
        };
        let program = found.ok_or_else(|| {
            format!(
                "the container runtime {} is not there: leave machine.runtime out for the built-in one",
                wanted.display()
            )
        })?;
        let name = program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let isolation = isolation(&name)?;
        Ok(Self { program: Some(program), isolation })
    }

    /// Returns the runtime of a container.
    ///
    /// # Errors
    /// The limits of this process cannot be read.
    pub(crate) fn of_container(
        &self,
        state: &Path,
        command: &[String],
        env: &[(String, String)],
        limits: &MachineLimits,
    ) -> io::Result<Runtime> {
        Ok(match &self.program {
            None => Runtime::BuiltIn,
            Some(program) => {
                let (program, state) = (program.clone(), state.to_owned());
                // The runtime starts in the machine's group. What it would do with groups fails where version 1 and 2 are mixed.
                let is_crun = program.file_name().is_some_and(|name| name == "crun");
                let options = is_crun.then(|| "--cgroup-manager=disabled".to_owned()).into_iter().collect();
                Runtime::Oci { program, options, state, bundle: bundle(command, env, limits)? }
            }
        })
    }
}

/// Returns the isolation level of a runtime by the name of its program.
///
/// # Errors
/// It cannot start machines.
fn isolation(name: &str) -> Result<Isolation, String> {
    let unable =
        |why: &str| Err(format!("{name} cannot start machines, {why}: use runc, crun or the built-in runtime"));
    if name.starts_with("runsc") {
        unable("because a program in gVisor cannot accept connections of a socket that it inherits")
    } else if name.starts_with("kata") || name.contains("krun") {
        unable("because a virtual machine inherits no sockets")
    } else {
        Ok(Isolation::Container)
    }
}

/// Capabilities of a machine's root, as in the built-in runtime.
const CAPABILITIES: [&str; 10] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
];

/// Returns the `config.json` of a bundle, as the OCI runtime specification 1.0 has it, without what is known at the start. System
/// calls are filtered by the machine's first process itself, so that the same ones are refused in every runtime.
fn bundle(command: &[String], env: &[(String, String)], limits: &MachineLimits) -> io::Result<Value> {
    let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let limits = limits.of_processes()?;
    let limits = limits.iter().map(|it| json!({ "type": it.name, "hard": it.most, "soft": it.most }));
    let private = ["nosuid", "noexec", "nodev"];
    Ok(json!({
        "ociVersion": "1.0.2",
        "hostname": "sandbox",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": command,
            "env": env,
            "cwd": "/",
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
                "inheritable": [], "ambient": [],
            },
            "rlimits": limits.collect::<Vec<_>>(),
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": private },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noexec", "ro", "mode=755", "size=64k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "max=256"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": private },
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                { "type": "user" }, { "type": "cgroup" },
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/bus", "/proc/kallsyms", "/proc/kcore", "/proc/key-users",
                "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger",
                "/proc/timer_list",
            ],
            "readonlyPaths": ["/proc/fs", "/proc/irq", "/proc/sys"],
            "sysctl": { "net.ipv4.ip_unprivileged_port_start": "0" },
        },
    }))
}
