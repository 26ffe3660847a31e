//! The processes of one sandbox, in Linux namespaces of their own where this machine allows that to its users.
//!
//! With namespaces, the root folder belongs to the sandbox, with `/home`, `/tmp`, `/var/tmp`, `/run/e2b`, `/etc/build-tag` and every
//! folder that this machine does not have, and so do its process numbers; everything else is this machine's. Commands, cells and the
//! calls for files see the same. Without namespaces, a program begins in the sandbox's home folder with
//! `HOME` set: Python's own file functions translate the sandbox's paths, but for commands and C code an absolute path like
//! `/home/user/x` is this machine's file. Neither protects this machine from the program.
//!
//! All processes end with the sandbox, and with this process however it ends. Without namespaces, processes that a program
//! left in the background may outlive a stand-in that is killed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use switchtower_envd::{Launch, Launcher};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::disk::{HOME, HostFolder};

const INIT: &str = include_str!("init.sh");
/// Runs its arguments, unless the process with the number `$0` has ended already: then it ended before the new process
/// could register to end with it.
const UNLESS_ORPHANED: &str = "[ \"$PPID\" = \"$0\" ] && exec \"$@\"";
/// Longest that the namespaces may take to set up.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The Python that all sandboxes of a stand-in run, found once.
pub(crate) struct Interpreter {
    program: PathBuf,
    path: OnceCell<PathBuf>,
}

pub(crate) struct Namespace {
    id: String,
    interpreter: Arc<Interpreter>,
    pub(crate) folder: Arc<HostFolder>,
    /// Set for every process of the sandbox.
    env: BTreeMap<String, String>,
    /// The first process, started when it is first needed. `None`: this machine does not allow namespaces.
    init: OnceCell<Option<InitProcess>>,
}

/// The first process of a sandbox's namespaces. All others in them end with it.
struct InitProcess {
    group: tokio::sync::Mutex<ProcessGroup>,
    /// Its number outside the namespaces.
    pid: String,
}

/// A process that leads a group, which is killed when this is dropped. A process that entered the namespaces to wait for
/// another one is not killed itself: without it nothing would reap the other one.
pub(crate) struct ProcessGroup(pub(crate) Child);

impl Interpreter {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program, path: OnceCell::new() }
    }

    /// Returns the path of the interpreter itself, where the program is a script that chooses one.
    pub(crate) async fn path(&self) -> PathBuf {
        let find = || async {
            let mut command = Command::new(&self.program);
            let output = command.args(["-c", "import sys; print(sys.executable)"]).stdin(Stdio::null()).output().await;
            let path = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
            if path.trim().is_empty() { self.program.clone() } else { PathBuf::from(path.trim()) }
        };
        self.path.get_or_init(find).await.clone()
    }
}

impl Namespace {
    pub(crate) fn new(
        id: &str,
        interpreter: Arc<Interpreter>,
        folder: Arc<HostFolder>,
        env: BTreeMap<String, String>,
    ) -> Self {
        Self { id: id.to_owned(), interpreter, folder, env, init: OnceCell::new() }
    }

    pub(crate) async fn python(&self) -> PathBuf {
        self.interpreter.path().await
    }

    /// Whether the sandbox has namespaces of its own.
    pub(crate) async fn is_separate(&self) -> bool {
        self.init.get_or_init(|| self.start_init()).await.is_some()
    }

    /// Returns a command that runs in the sandbox as the leader of a session. In namespaces, its standard input may be the
    /// session's terminal.
    pub(crate) async fn command(
        &self,
        program: &Path,
        args: &[String],
        cwd: &str,
        env: &BTreeMap<String, String>,
        has_terminal: bool,
    ) -> Command {
        let init = self.init.get_or_init(|| self.start_init()).await;
        let python = self.python().await;
        let mut command = match init {
            Some(init) => {
                let mut command = Command::new("nsenter");
                command.args(["-t", &init.pid, "-U", "-m", "-p", "--preserve-credentials", "--"]);
                command.arg("setsid").args(has_terminal.then_some("--ctty"));
                command
            }
            None => command_that_ends_with_this_process(),
        };
        let home = if init.is_some() { PathBuf::from(HOME) } else { self.folder.host_path(HOME) };
        let cwd = if init.is_some() { PathBuf::from(cwd) } else { self.folder.host_path(cwd) };
        command.args(["env", "-i"]);
        for (name, value) in self.environment(&home, &python).iter().chain(env) {
            command.arg(format!("{name}={value}"));
        }
        // Not `current_dir`: the folder may exist in the sandbox only.
        command.args(["sh", "-c", "cd \"$0\" && exec \"$@\""]).arg(cwd).arg(program).args(args);
        command.process_group(0);
        command
    }

    /// Returns the folder that is the sandbox's root, where its programs see this machine's root instead.
    pub(crate) fn root_on_host(&self) -> Option<&Path> {
        matches!(self.init.get(), Some(None)).then(|| self.folder.root())
    }

    fn environment(&self, home: &Path, python: &Path) -> BTreeMap<String, String> {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
        let beside = python.parent().filter(|parent| parent.is_absolute());
        let path = beside.map_or_else(|| path.clone(), |beside| format!("{}:{path}", beside.display()));
        let packages = home.join(".local/lib/packages").display().to_string();
        let mut env: BTreeMap<String, String> = [
            ("PATH", path),
            ("HOME", home.display().to_string()),
            ("USER", "user".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("E2B_SANDBOX", "true".to_owned()),
            ("E2B_SANDBOX_ID", self.id.clone()),
            // What a program installs stays in its sandbox.
            ("PIP_TARGET", packages.clone()),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()),
            ("PYTHONPATH", packages),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        env.extend(self.env.clone());
        env
    }

    /// Starts the first process of the namespaces. Returns `None` where this machine does not allow them.
    async fn start_init(&self) -> Option<InitProcess> {
        // A login shell reads the machine's profile first, which sets `PATH`; commands are to find the kernel's interpreter.
        if let Some(beside) = self.python().await.parent().filter(|beside| beside.is_absolute()) {
            let profile = format!("PATH='{}':\"$PATH\"\n", beside.display());
            // Without the file, commands find another interpreter: no reason not to run.
            let _ = std::fs::write(self.folder.host_path(&format!("{HOME}/.profile")), profile);
        }
        let mut command = command_that_ends_with_this_process();
        command.args(["unshare", "-rmpf", "--kill-child=KILL", "--propagation", "private"]);
        command.args(["sh", "-c", INIT, "init"]).arg(self.folder.root()).arg(self.python().await);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut group = ProcessGroup(command.process_group(0).spawn().ok()?);
        let mut lines = BufReader::new(group.0.stdout.take()?).lines();
        let pid = tokio::time::timeout(SETUP_TIMEOUT, lines.next_line()).await.ok()?.ok()??;
        Some(InitProcess { group: tokio::sync::Mutex::new(group), pid })
    }

    /// Ends every process of the sandbox but the first one.
    pub(crate) async fn end_programs(&self) {
        match self.init.get() {
            Some(Some(_)) => {
                let args = ["-c".to_owned(), "kill -KILL -1".to_owned()];
                let mut command = self.command(Path::new("sh"), &args, HOME, &BTreeMap::new(), false).await;
                // Its own end is of no interest: a process that cannot be started ends with the sandbox.
                let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
            }
            Some(None) => self.kill_by_environment(),
            None => {}
        }
    }

    /// Ends every process of the sandbox and removes its files.
    pub(crate) async fn close(&self) {
        if let Some(Some(init)) = self.init.get() {
            init.group.lock().await.end().await;
        } else if self.init.initialized() {
            self.kill_by_environment();
        }
        self.folder.remove();
    }

    /// Kills the processes that have this sandbox's folder in their environment: without namespaces nothing else identifies
    /// them. Ids come from a seed, so other stand-ins may have the same; the folder belongs to this sandbox only.
    fn kill_by_environment(&self) {
        let mark = self.folder.root().as_os_str().as_encoded_bytes();
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        for process in processes.flatten() {
            let number = process.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(pid) = number.and_then(Pid::from_raw) else { continue };
            let env = std::fs::read(process.path().join("environ")).unwrap_or_default();
            if env.windows(mark.len()).any(|part| part == mark) {
                // It may have ended already.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

#[async_trait]
impl Launcher for Namespace {
    async fn command(&self, launch: &Launch) -> io::Result<Command> {
        if launch.has_terminal && !self.is_separate().await {
            let why = "terminals need a machine that allows its users namespaces";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let program = Path::new(&launch.program);
        Ok(self.command(program, &launch.args, &launch.cwd, &launch.env, launch.has_terminal).await)
    }

    fn signal(&self, leader: u32, signal: Signal) -> io::Result<()> {
        signal_group(leader, signal)
    }
}

/// Returns a command whose process ends with this one, however early that ends. Its further arguments are a program and
/// that program's arguments.
fn command_that_ends_with_this_process() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "sh", "-c", UNLESS_ORPHANED]).arg(std::process::id().to_string());
    command
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if matches!(self.init.get(), Some(None)) {
            self.kill_by_environment();
        }
    }
}

impl ProcessGroup {
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        signal_group(self.0.id().ok_or(io::ErrorKind::NotFound)?, signal)
    }

    pub(crate) async fn end(&mut self) {
        // It may have ended already.
        let _ = self.signal(Signal::KILL);
        let _ = self.0.wait().await;
    }
}

/// Sends a signal to the group that a process leads, or that the process leads for which it waits.
fn signal_group(leader: u32, signal: Signal) -> io::Result<()> {
    let number = |id: u32| i32::try_from(id).ok().and_then(Pid::from_raw);
    match waited_for_by(leader).and_then(number) {
        Some(inner) => kill_process_group(inner, signal).or_else(|_| kill_process(inner, signal))?,
        None => number(leader).map_or(Ok(()), |leader| kill_process_group(leader, signal))?,
    }
    Ok(())
}

/// Returns the one child of a process that has entered namespaces and waits for it.
fn waited_for_by(leader: u32) -> Option<u32> {
    let name = std::fs::read_to_string(format!("/proc/{leader}/comm")).ok()?;
    let children = std::fs::read_to_string(format!("/proc/{leader}/task/{leader}/children")).ok()?;
    ["nsenter", "unshare"].contains(&name.trim()).then(|| children.trim().parse().ok()).flatten()
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // The runtime reaps the leader.
        let _ = self.signal(Signal::KILL);
    }
}
