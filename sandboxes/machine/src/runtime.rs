//! The container runtimes, and how far each isolates.

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
        let isolation = isolation(&name);
        Ok(Self { program: Some(program), isolation })
    }

    /// Returns the runtime of a container.
    pub(crate) fn of_container(
        &self,
        state: &Path,
        command: &[String],
        env: &[(String, String)],
        limits: &MachineLimits,
    ) -> Runtime {
        match &self.program {
            None => Runtime::BuiltIn,
            Some(program) => {
                Runtime::Oci { program: program.clone(), state: state.to_owned(), bundle: bundle(command, env, limits) }
            }
        }
    }
}

/// Returns the isolation level of a runtime by the name of its program.
fn isolation(name: &str) -> Isolation {
    if name.starts_with("runsc") {
        Isolation::Gvisor
    } else if name.starts_with("kata") || name.contains("krun") {
        Isolation::MicroVm
    } else {
        Isolation::Container
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
/// Calls that are refused, as in the built-in runtime.
const REFUSED_CALLS: &[&str] = &[
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "quotactl",
    "reboot",
    "request_key",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "umount2",
    "unshare",
    "userfaultfd",
];

/// Returns the `config.json` of a bundle, as the OCI runtime specification 1.0 has it, without what is known at the start.
fn bundle(command: &[String], env: &[(String, String)], limits: &MachineLimits) -> Value {
    let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let limit = |kind: &str, most: u64| json!({ "type": kind, "hard": most, "soft": most });
    let private = ["nosuid", "noexec", "nodev"];
    json!({
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
            "rlimits": [
                limit("RLIMIT_NOFILE", limits.descriptors), limit("RLIMIT_NPROC", limits.processes),
                limit("RLIMIT_FSIZE", limits.disk), limit("RLIMIT_CORE", 0),
            ],
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": private },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=64k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": private },
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                { "type": "user" }, { "type": "cgroup" },
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/sched_debug", "/proc/scsi", "/proc/kallsyms",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "sysctl": { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" },
            "seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [
                    { "names": REFUSED_CALLS, "action": "SCMP_ACT_ERRNO", "errnoRet": 1 },
                    { "names": ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"],
                      "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
                ],
            },
        },
    })
}
