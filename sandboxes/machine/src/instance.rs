//! One running machine: its container, and its end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};
use switchtower_container::{ContainerConfig, Ids, LaunchReport, Layer};
use switchtower_contract::{Fault, NetworkPolicy};
use switchtower_jail::{ControlGroup, GroupUsage};
use switchtower_worker::private_folder::PrivateFolder;
use switchtower_worker::spawn;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::assets;
use crate::client::InitClient;
use crate::egress::{self, Egress, EgressConnections, EgressPolicy};
use crate::figures::Meter;
use crate::host::{Host, UnavailableMachines};
use crate::pauses::Pauses;
use crate::runtime::FoundRuntime;
use crate::template::USER;
use crate::user_ids::IdRange;

/// How long the start of a machine may take; on a busy host it takes hundreds of times as long as usual.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of a launcher's messages that are read.
const MAX_MESSAGE: u64 = 16 << 10;
/// The least memory of a machine, which its first process and a program's files share with the program.
const LEAST_MEMORY: u64 = 32 << 20;
/// The name that machines have for themselves.
const HOSTNAME: &str = "sandbox";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A running machine. Dropping it kills all its processes, and frees its memory and its files.
pub(crate) struct Instance {
    pub(crate) client: InitClient,
    pub(crate) layers: Vec<Layer>,
    egress: Option<Egress>,
    /// `None`: it reaches nothing.
    egress_connections: Mutex<Option<EgressConnections>>,
    group: ControlGroup,
    meter: Meter,
    /// Of its group.
    name: String,
    /// Bytes that the runtime itself has in the group.
    own_memory: u64,
    kill_count: PathBuf,
    lowered_memory: PathBuf,
    launcher: Option<Child>,
    folder: Option<PrivateFolder>,
    ids: Option<IdRange>,
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
        let mounted = folder.path().join("mnt");
        let made = std::fs::create_dir(&mounted).and_then(|()| sockets(host, folder.path()));
        let (client, socket) =
            made.map_err(|error| UnavailableMachines::new(format!("{}: {error}", folder.path().display())))?;
        let limits = host.limits();
        let command = command(host, ids.ids);
        let path = host.root_env().find(|(name, _)| name == "PATH").map_or(PATH, |(_, value)| value);
        let env = vec![("PATH".to_owned(), path.to_owned()), ("LANG".to_owned(), "C.UTF-8".to_owned())];
        let runtime = host
            .runtime
            .of_container(&host.state_folder(), &command, &env, &limits)
            .map_err(|error| UnavailableMachines::new(format!("the limits of this process: {error}")))?;
        let config = ContainerConfig {
            name: name.clone(),
            hostname: HOSTNAME.to_owned(),
            runtime,
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
        let launcher = launch(host, &config, socket)
            .await
            .map_err(|error| UnavailableMachines::new(format!("the launcher of machines: {error}")))?;
        // From now on, dropping it removes everything, also where this future is dropped.
        let mut instance = Self {
            client,
            layers: Vec::new(),
            egress: host.egress.clone(),
            egress_connections: Mutex::default(),
            group: ControlGroup::none(),
            meter: Meter::new(&config.limits),
            name,
            own_memory: host.runtime.own_memory(),
            kill_count: config.kill_count(),
            lowered_memory: config.lowered_memory(),
            launcher: Some(launcher),
            folder: Some(folder),
            ids: Some(ids),
            place: None,
        };
        let reported = match &mut instance.launcher {
            Some(launcher) => timeout(START_TIMEOUT, report(launcher)).await,
            None => return Err(UnavailableMachines::new("the launcher of machines has ended")),
        };
        instance.layers = match reported {
            Ok(Ok(layers)) => layers,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(instance.failed("the launcher of machines did not report in time").await),
        };
        instance.group = ControlGroup::existing(&instance.name);
        match timeout(START_TIMEOUT, instance.client.ready()).await {
            Ok(Ok(())) => Ok(instance),
            Ok(Err(error)) => Err(instance.failed(&error.to_string()).await),
            Err(_) => Err(instance.failed("its first process does not answer").await),
        }
    }

    /// Returns the error of a machine that does not start, with what its launcher said.
    async fn failed(&mut self, why: &str) -> UnavailableMachines {
        let mut said = String::new();
        if let Some(launcher) = &mut self.launcher {
            let _ = launcher.start_kill();
            if let Some(stderr) = launcher.stderr.take() {
                let _ = timeout(Duration::from_secs(1), stderr.take(MAX_MESSAGE).read_to_string(&mut said)).await;
            }
        }
        let said = said.trim();
        UnavailableMachines::new(if said.is_empty() { why } else { said })
    }

    /// Holds one of the places for machines until the end.
    pub(crate) fn hold(&mut self, place: OwnedSemaphorePermit) {
        self.place = Some(place);
    }

    /// Replaces what the machine reaches: by this policy, or nothing. Connections that were open before end.
    pub(crate) fn set_egress(&self, policy: Option<EgressPolicy>) {
        let connections = self.egress.as_ref().zip(policy);
        let connections = connections.map(|(egress, policy)| egress.serve(self.client.clone(), &self.name, policy));
        *self.egress_connections.lock().unwrap_or_else(PoisonError::into_inner) = connections;
    }

    /// Replaces what the machine reaches.
    ///
    /// # Errors
    /// A rule of the policy cannot be kept. Nothing has changed then.
    pub(crate) fn set_network(&self, network: &NetworkPolicy) -> Result<(), Fault> {
        let policy = self.egress.as_ref().map(|egress| egress.policy(network)).transpose()?;
        self.set_egress(policy);
        Ok(())
    }

    /// Returns whether the machine's first process runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.launcher.as_mut().is_some_and(|launcher| matches!(launcher.try_wait(), Ok(None)))
    }

    /// Freezes all processes, or lets them continue. Returns false where machines cannot be frozen: then they run on.
    pub(crate) fn set_frozen(&self, frozen: bool) -> bool {
        self.group.can_freeze() && self.group.set_frozen(frozen).is_ok()
    }

    /// Lowers the memory of the machine, as far as its limit is above: to what one program may use.
    pub(crate) fn lower_memory(&self, bytes: u64) {
        let bytes = bytes.max(LEAST_MEMORY);
        if self.group.limits_memory() {
            // Where less is left, the machine's own limit holds.
            let _ = self.group.lower_memory(bytes + self.own_memory);
        } else {
            // Its launcher watches its memory, and may read at any time. Where the file cannot be written, the machine's own limit
            // holds.
            let written = self.lowered_memory.with_extension("new");
            let _ = std::fs::write(&written, bytes.to_string())
                .and_then(|()| std::fs::rename(&written, &self.lowered_memory));
        }
    }

    /// Returns whether the machine ends as a whole where its memory is used up.
    pub(crate) fn ends_whole(&self) -> bool {
        self.own_memory > 0
    }

    /// Returns what the machine has used.
    pub(crate) fn usage(&self) -> GroupUsage {
        let mut usage = self.group.usage();
        if usage.memory_kills.is_none() {
            // Where its launcher watches its memory, or its group has been removed with the machine.
            let killed = std::fs::read_to_string(&self.kill_count).ok();
            usage.memory_kills = killed.and_then(|number| number.parse().ok());
        }
        usage
    }

    /// Replaces the host's figures in those of the machine's daemon.
    pub(crate) fn replace_figures(&self, figures: &mut Map<String, Value>) {
        self.meter.replace(figures, &self.group.usage());
    }

    /// Ends the machine and waits until nothing of it is left.
    pub(crate) async fn end(mut self) {
        if let Some(rest) = self.take_rest() {
            let _ended = tokio::task::spawn_blocking(move || rest.clear()).await;
        }
    }

    fn take_rest(&mut self) -> Option<Rest> {
        let (launcher, folder) = (self.launcher.take()?, self.folder.take()?);
        Some(Rest { launcher, name: self.name.clone(), folder, ids: self.ids.take() })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(rest) = self.take_rest() {
            // It waits for processes and removes files.
            let cleared = std::thread::Builder::new().name("machine-end".into()).spawn(move || rest.clear());
            drop(cleared);
        }
    }
}

/// What is left of a machine that is given up.
struct Rest {
    launcher: Child,
    name: String,
    folder: PrivateFolder,
    /// No other machine gets them before this one has ended.
    ids: Option<IdRange>,
}

impl Rest {
    fn clear(mut self) {
        // It ends the machine and removes its control groups.
        if let Some(launcher) = self.launcher.id().and_then(|id| Pid::from_raw(id as i32)) {
            let _ = kill_process(launcher, Signal::TERM);
        }
        let mut pauses = Pauses::default();
        while matches!(self.launcher.try_wait(), Ok(None)) && pauses.next() {}
        // Its end kills the first process, and that one's end all others.
        let _ = self.launcher.start_kill();
        let group = ControlGroup::existing(&self.name);
        // Processes that were killed may not have ended yet.
        while !group.end() && pauses.next() {}
        drop((self.folder, self.ids));
    }
}

/// Where the first process takes commands of `sudo`: the program of that name has this path too.
const SUDO_SOCKET: &str = "/run/switchtower.sudo";

/// Returns the command of a machine's first process.
fn command(host: &Host, ids: Ids) -> Vec<String> {
    let program = format!("{}/init", assets::FOLDER);
    // Where a machine has one id, both users have it.
    let user = if ids == Ids::Single { 0 } else { USER }.to_string();
    let socket = if host.runtime.passes_a_connection() { ["--connection-fd", "0"] } else { ["--listen-fd", "3"] };
    let mut command = vec![program.as_str(), "serve", "--user-id", &user, "--group-id", &user];
    command.extend(socket);
    command.extend(["--sudo-socket", SUDO_SOCKET]);
    let (port, variables) = (egress::PORT.to_string(), egress::environment());
    let variables: Vec<String> = variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    if host.egress.is_some() {
        command.extend(["--egress-port", &port]);
        command.extend(variables.iter().flat_map(|variable| ["--env", variable]));
    }
    // pip: packages of the system are thrown away with the machine, so there is nothing to protect; and where nothing outside is reached,
    // trying again takes a quarter of a minute.
    command.extend(["--env", "PIP_BREAK_SYSTEM_PACKAGES=1"]);
    command.extend(host.egress.is_none().then_some(["--env", "PIP_RETRIES=0"]).into_iter().flatten());
    // A container runtime does not know what the built-in one refuses.
    command.extend((host.runtime != FoundRuntime::BuiltIn).then_some("--protect"));
    let command = command.into_iter().map(str::to_owned);
    // Not by its own environment: the image's variables are for programs, and may change what a process of the machine's root does.
    let env = host.root_env().filter(|(name, _)| name != "PATH");
    command.chain(env.flat_map(|(name, value)| ["--env".to_owned(), format!("{name}={value}")])).collect()
}

/// Returns the client of a machine, and the socket that the machine gets.
fn sockets(host: &Host, folder: &Path) -> io::Result<(InitClient, OwnedFd)> {
    if host.runtime.passes_a_connection() {
        let (here, there) = UnixStream::pair()?;
        here.set_nonblocking(true)?;
        return Ok((InitClient::over(tokio::net::UnixStream::from_std(here)?), there.into()));
    }
    let path = folder.join("s");
    let listener = UnixListener::bind(&path)?;
    Ok((InitClient::new(path), listener.into()))
}

async fn launch(host: &Host, config: &ContainerConfig, socket: OwnedFd) -> io::Result<Child> {
    let mut command = Command::new(&host.init);
    command.arg("launch").arg(serde_json::to_string(config)?).env_clear().env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::from(socket)).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C in a terminal ends the server, which ends its machines when their commands have ended.
    command.process_group(0);
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
