//! The container runtimes, and how far each isolates.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use switchtower_container::{MachineLimits, OciKind, Passes, Runtime};
use switchtower_contract::Isolation;

use crate::config::RuntimeChoice;
use crate::host::UnavailableMachines;

/// The runtimes that are looked for where the strongest one is wanted, in this order. The built-in one is the last.
const STRONGEST: [&str; 3] = ["runsc", "runc", "crun"];

/// A runtime that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FoundRuntime {
    BuiltIn,
    /// A container runtime with the command line of runc.
    Oci {
        program: PathBuf,
        kind: OciKind,
        passes: Passes,
    },
}

impl FoundRuntime {
    /// Finds the chosen runtime; where the strongest one is wanted, all that are there, the strongest first.
    ///
    /// # Errors
    /// There is no such program, or it cannot start machines.
    pub(crate) fn find(choice: &RuntimeChoice) -> Result<Vec<Self>, UnavailableMachines> {
        match choice {
            RuntimeChoice::BuiltIn => Ok(vec![Self::BuiltIn]),
            RuntimeChoice::Strongest => {
                let installed = STRONGEST.iter().filter_map(|name| Self::of_program(Path::new(name)).ok());
                Ok(installed.chain([Self::BuiltIn]).collect())
            }
            RuntimeChoice::Program(wanted) => Self::of_program(wanted).map(|found| vec![found]),
        }
    }

    fn of_program(wanted: &Path) -> Result<Self, UnavailableMachines> {
        let is_path = wanted.components().count() > 1;
        let name = wanted.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let is_virtual = name.starts_with("kata") || name.contains("krun");
        if is_virtual && !is_path {
            return Err(UnavailableMachines {
                reason: format!("the container runtime {name} has not been tested with machines"),
                remedy: Some(format!(
                    "leave machine.runtime out for the built-in one, or write the path of {name} to try it"
                )),
            });
        }
        let found = if is_path {
            wanted.is_file().then(|| wanted.to_owned())
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let here = std::env::split_paths(&path).map(|folder| folder.join(wanted));
            here.chain([Path::new("/usr/sbin").join(wanted)]).find(|program| program.is_file())
        };
        let program = found.ok_or_else(|| UnavailableMachines {
            reason: format!("the container runtime {} is not there", wanted.display()),
            remedy: Some("leave machine.runtime out for the built-in one, or install it".to_owned()),
        })?;
        let kind = if name.starts_with("runsc") {
            OciKind::Runsc
        } else if name == "crun" || name.contains("krun") {
            OciKind::Crun
        } else {
            OciKind::Runc
        };
        // A program in gVisor cannot accept the connections of a socket that it inherits, and one in a virtual machine inherits none.
        let few = is_virtual || kind == OciKind::Runsc;
        let passes = if few { Passes::StandardStreams } else { Passes::Descriptors };
        Ok(Self::Oci { program, kind, passes })
    }

    /// Returns its name, as the settings have it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::BuiltIn => "built-in".to_owned(),
            Self::Oci { program, .. } => program.display().to_string(),
        }
    }

    /// Returns how far it isolates. What has not been tested counts as a container.
    pub(crate) fn isolation(&self) -> Isolation {
        match self {
            Self::Oci { kind: OciKind::Runsc, .. } => Isolation::Gvisor,
            Self::BuiltIn | Self::Oci { .. } => Isolation::Container,
        }
    }

    /// Returns the bytes of memory that it needs itself for each machine.
    pub(crate) fn own_memory(&self) -> u64 {
        match self {
            Self::BuiltIn => 0,
            Self::Oci { kind, .. } => kind.own_memory(),
        }
    }

    /// Returns whether its machines have a connection instead of a listening socket.
    pub(crate) fn passes_a_connection(&self) -> bool {
        matches!(self, Self::Oci { passes: Passes::StandardStreams, .. })
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
        Ok(match self {
            Self::BuiltIn => Runtime::BuiltIn,
            Self::Oci { program, kind, passes } => Runtime::Oci {
                program: program.clone(),
                kind: *kind,
                passes: *passes,
                state: state.to_owned(),
                bundle: bundle(command, env, limits)?,
            },
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_missing_or_untested_is_refused_with_what_to_do() {
        let refused = |name: &str| FoundRuntime::find(&RuntimeChoice::Program(name.into())).unwrap_err();
        let missing = refused("no-such-runtime");
        assert_eq!(missing.reason, "the container runtime no-such-runtime is not there");
        assert_eq!(missing.remedy.as_deref(), Some("leave machine.runtime out for the built-in one, or install it"));
        for name in ["kata-runtime", "krun", "crun-krun"] {
            assert!(refused(name).reason.contains("has not been tested"), "{name}");
        }
    }

    #[test]
    fn a_runtime_by_its_path_is_taken_as_what_its_name_says() {
        let folder = tempfile::tempdir().unwrap();
        for (name, expected, passes_a_connection) in [
            ("runsc", Isolation::Gvisor, true),
            ("runc", Isolation::Container, false),
            // It is tried, and not trusted.
            ("krun", Isolation::Container, true),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            let found = FoundRuntime::find(&RuntimeChoice::Program(path)).unwrap();
            assert_eq!(
                (found[0].isolation(), found[0].passes_a_connection()),
                (expected, passes_a_connection),
                "{name}"
            );
        }
        assert_eq!(FoundRuntime::find(&RuntimeChoice::Strongest).unwrap().last(), Some(&FoundRuntime::BuiltIn));
    }
}
