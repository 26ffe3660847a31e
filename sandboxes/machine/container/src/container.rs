//! A running container, and its end.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use switchtower_jail::ControlGroup;

use crate::config::ContainerConfig;
use crate::sys::{self, Signals};
use crate::watch::{self, Watch};

/// A running container.
pub(crate) struct Container {
    /// The child of this process: the machine's first process, or a runtime that waits for it.
    pub(crate) process: i32,
    pub(crate) group: ControlGroup,
    pub(crate) runtime: Option<RunningRuntime>,
}

/// A container runtime's container.
pub(crate) struct RunningRuntime {
    pub(crate) program: PathBuf,
    pub(crate) options: &'static [&'static str],
    pub(crate) state: PathBuf,
    /// The file with the number of the machine's first process.
    pub(crate) process: PathBuf,
}

impl Container {
    /// Waits until the container has ended, or ends it with this process's parent. Returns the exit code of the child.
    pub(crate) fn wait(&self, config: &ContainerConfig, signals: &Signals) -> i32 {
        // Where the group holds no memory, its processes are watched.
        let mut watch = None;
        let interval = (!self.group.limits_memory()).then_some(watch::INTERVAL);
        let code = loop {
            match signals.wait(interval) {
                Some(libc::SIGTERM) => break self.end(config),
                None if interval.is_some() => {
                    watch = watch.or_else(|| self.first().map(|first| Watch::new(config, first)));
                    if let Some(watch) = &mut watch {
                        watch.look();
                    }
                }
                _ => {}
            }
            // One signal may report several ends, and other children end too.
            if let Ok(Some(code)) = sys::ended(self.process, libc::WNOHANG) {
                break code;
            }
        };
        self.keep_kills(config);
        self.clear(&config.name);
        code
    }

    /// Returns the number of the machine's first process.
    fn first(&self) -> Option<i32> {
        match &self.runtime {
            None => Some(self.process),
            Some(runtime) => std::fs::read_to_string(&runtime.process).ok()?.trim().parse().ok(),
        }
    }

    /// Ends it.
    fn end(&self, config: &ContainerConfig) -> i32 {
        // A frozen process ends when it continues.
        let _ = self.group.set_frozen(false);
        if let Some(runtime) = &self.runtime {
            let mut command = Command::new(&runtime.program);
            command.args(runtime.options).arg("--root").arg(&runtime.state).args(["delete", "--force", &config.name]);
            // The rest is killed by its group, or as an orphan.
            let _ = command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        sys::kill(self.process);
        sys::wait_for(self.process)
    }

    /// Writes down whether the machine's memory was used up, which its group knows until it is removed: with gVisor, that ends the whole
    /// machine.
    fn keep_kills(&self, config: &ContainerConfig) {
        if let Some(kills) = self.group.usage().memory_kills.filter(|kills| *kills > 0) {
            // Without it, the machine was lost for another reason.
            let _ = std::fs::write(config.kill_count(), kills.to_string());
        }
    }

    /// Removes what the container leaves: processes whose runtime has ended are children of this process.
    fn clear(&self, name: &str) {
        self.group.end();
        while let Ok(list) = std::fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())) {
            let children: Vec<i32> = list.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            if children.is_empty() {
                break;
            }
            for child in children {
                sys::kill(child);
                sys::wait_for(child);
            }
        }
        // A runtime has made some of other controllers.
        ControlGroup::existing(name).end();
    }
}
