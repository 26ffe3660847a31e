//! One running machine: its container, and its end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use switchtower_container::{ContainerConfig, LaunchReport, Layer};
use switchtower_jail::{ControlGroup, GroupUsage};
use switchtower_worker::private_folder::PrivateFolder;
use switchtower_worker::spawn;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::assets;
use crate::client::InitClient;
use crate::host::{Host, UnavailableMachines};
use crate::template::USER;
use crate::user_ids::IdRange;

/// How long the start of a machine may take; on a busy host it takes hundreds of times as long as usual.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of a launcher's messages that are read.
const MAX_MESSAGE: u64 = 16 << 10;
/// The name that machines have for themselves.
const HOSTNAME: &str = "sandbox";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A running machine. Dropping it kills all its processes, and frees its memory and its files.
pub(crate) struct Instance {
    pub(crate) client: InitClient,
    pub(crate) layers: Vec<Layer>,
    group: ControlGroup,
    launcher: Option<Child>,
    folder: Option<PrivateFolder>,
    /// Freed last.
    _ids: IdRange,
    place: Option<OwnedSemaphorePermit>,
}

impl Instance {
    /// Starts a machine and waits until it answers.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) async fn start(host: &Arc<Host>) -> Result<Self, UnavailableMachines> {
        let ids = host.user_ids.take();
        let name = host.next_name();
        let folder =
            host.machine_folder().map_err(|error| UnavailableMachines::new(format!("a machine's folder: {error}")))?;
        let socket = folder.path().join("s");
        let mounted = folder.path().join("mnt");
        let made = std::fs::create_dir(&mounted).and_then(|()| UnixListener::bind(&socket));
        let listener = made.map_err(|error| UnavailableMachines::new(format!("{}: {error}", socket.display())))?;
        let limits = host.limits();
        let command = command();
        let env = vec![("PATH".to_owned(), PATH.to_owned()), ("LANG".to_owned(), "C.UTF-8".to_owned())];
        let config = ContainerConfig {
            name: name.clone(),
            hostname: HOSTNAME.to_owned(),
            runtime: host.runtime.of_container(&host.state_folder(), &command, &env, &limits),
            folder: mounted,
            overlays: host.template.overlays.clone(),
            folders: host.template.folders.clone(),
            binds: host.template.binds.clone(),
            ids: ids.ids,
            limits,
            command,
            env,
            // The standard input of the launcher.
            socket: 0,
        };
        let mut launcher = launch(host, &config, listener.into())
            .await
            .map_err(|error| UnavailableMachines::new(format!("the launcher of machines: {error}")))?;
        let reported = timeout(START_TIMEOUT, report(&mut launcher)).await;
        let layers = match reported {
            Ok(Ok(layers)) => layers,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(UnavailableMachines::new("the launcher of machines did not report in time")),
        };
        let group = ControlGroup::existing(&name);
        let client = InitClient::new(socket);
        let mut instance =
            Self { client, layers, group, launcher: Some(launcher), folder: Some(folder), _ids: ids, place: None };
        match timeout(START_TIMEOUT, instance.client.ready()).await {
            Ok(Ok(())) => Ok(instance),
            Ok(Err(error)) => Err(instance.failed(&error.to_string()).await),
            Err(_) => Err(instance.failed("its first process does not answer").await),
        }
    }

    /// Returns the error of a machine that does not answer, with what its launcher said.
    async fn failed(&mut self, why: &str) -> UnavailableMachines {
        let mut said = String::new();
        if let Some(launcher) = &mut self.launcher {
            let _ = launcher.start_kill();
            if let Some(stderr) = launcher.stderr.take() {
                let _ = timeout(Duration::from_secs(1), stderr.take(MAX_MESSAGE).read_to_string(&mut said)).await;
            }
        }
        let said = said.trim();
        UnavailableMachines::new(if said.is_empty() { why.to_owned() } else { format!("{why}: {said}") })
    }

    /// Holds one of the places for machines until the end.
    pub(crate) fn hold(&mut self, place: OwnedSemaphorePermit) {
        self.place = Some(place);
    }

    /// Returns whether the machine's first process runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.launcher.as_mut().is_some_and(|launcher| matches!(launcher.try_wait(), Ok(None)))
    }

    /// Freezes all processes, or lets them continue. Returns false where machines cannot be frozen: then they run on.
    pub(crate) fn set_frozen(&self, frozen: bool) -> bool {
        self.group.can_freeze() && self.group.set_frozen(frozen).is_ok()
    }

    /// Returns what the machine has used.
    pub(crate) fn usage(&self) -> GroupUsage {
        self.group.usage()
    }

    /// Ends the machine and waits until nothing of it is left.
    pub(crate) async fn end(mut self) {
        let (launcher, group, folder) = (self.launcher.take(), self.group.clone(), self.folder.take());
        if let Some(mut launcher) = launcher {
            let _ = launcher.kill().await;
        }
        let _ended = tokio::task::spawn_blocking(move || clean_up(&group, folder)).await;
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(launcher) = &mut self.launcher {
            // Its end kills the first process, and that one's end all others.
            let _ = launcher.start_kill();
        }
        let (group, folder) = (self.group.clone(), self.folder.take());
        if folder.is_some() {
            // It waits for processes and removes files.
            let cleaned =
                std::thread::Builder::new().name("machine-end".into()).spawn(move || clean_up(&group, folder));
            drop(cleaned);
        }
    }
}

fn clean_up(group: &ControlGroup, folder: Option<PrivateFolder>) {
    let mut gone = group.end();
    // Processes that were killed may not have ended yet.
    for _ in 0..100 {
        if gone {
            break;
        }
        #[allow(clippy::disallowed_methods, reason = "a thread that only cleans up")]
        std::thread::sleep(Duration::from_millis(5));
        gone = group.end();
    }
    drop(folder);
}

/// Returns the command of a machine's first process.
fn command() -> Vec<String> {
    let program = format!("{}/init", assets::FOLDER);
    let user = USER.to_string();
    [program.as_str(), "serve", "--listen-fd", "3", "--user-id", &user, "--group-id", &user].map(str::to_owned).into()
}

async fn launch(host: &Host, config: &ContainerConfig, listener: OwnedFd) -> io::Result<Child> {
    let mut command = Command::new(&host.init);
    command.arg("launch").arg(serde_json::to_string(config)?).env_clear().env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::from(listener)).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    spawn::spawn(command).await
}

/// Reads the launcher's report.
async fn report(launcher: &mut Child) -> Result<Vec<Layer>, UnavailableMachines> {
    let mut line = String::new();
    if let Some(stdout) = launcher.stdout.take() {
        let _read = BufReader::new(stdout.take(MAX_MESSAGE)).read_line(&mut line).await;
    }
    match serde_json::from_str(&line) {
        Ok(LaunchReport::Started { layers }) => Ok(layers),
        Ok(LaunchReport::Failed { error }) => Err(UnavailableMachines::new(error)),
        Err(_) => {
            let mut said = String::new();
            if let Some(stderr) = launcher.stderr.take() {
                let _read = stderr.take(MAX_MESSAGE).read_to_string(&mut said).await;
            }
            Err(UnavailableMachines::new(format!("the launcher of machines ended: {}", said.trim())))
        }
    }
}
