//! Where the processes of one sandbox run.
//!
//! Where this machine allows namespaces to its users, `/home`, `/tmp`, `/var/tmp`, `/run/e2b` and `/etc/build-tag` are
//! the sandbox's own, and so are its process numbers; everything else is this machine's. Elsewhere a program begins in
//! the sandbox's home with `HOME` set. Python's own file functions know the sandbox's paths there; to commands and to C
//! code an absolute path like `/home/user/x` is this machine's file. Neither is a security wall.
//!
//! All processes end with the sandbox, and with this process however it ends; without namespaces, what a program left
//! in the background may outlive a stand-in that is killed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::disk::{Folder, HOME};

const GUARDIAN: &str = include_str!("guardian.sh");
/// Runs its arguments, unless the process with the number `$0` has ended already: it ended before the one that runs this
/// could ask to be ended with it.
const WITH_ITS_PARENT: &str = "[ \"$PPID\" = \"$0\" ] && exec \"$@\"";
/// Longest that a sandbox's view may take to make.
const PATIENCE: Duration = Duration::from_secs(10);

/// What all sandboxes of a stand-in share: the interpreter, found once.
pub(crate) struct Host {
    program: PathBuf,
    found: OnceCell<PathBuf>,
}

pub(crate) struct Jail {
    id: String,
    host: Arc<Host>,
    pub(crate) folder: Arc<Folder>,
    /// What every process of the sandbox has in its environment.
    env: BTreeMap<String, String>,
    /// Its first process, where this machine allows one.
    guardian: OnceCell<Option<Guardian>>,
}

/// The first process of a sandbox's namespaces.
struct Guardian {
    child: tokio::sync::Mutex<Group>,
    /// By the machine's numbers.
    pid: String,
}

/// A process that leads a group, which ends when this is dropped. Where the process only waits for another one, that
/// inside the namespaces, it is left to do so: else the other would have nobody to reap it.
pub(crate) struct Group(pub(crate) Child);

impl Host {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program, found: OnceCell::new() }
    }

    /// The interpreter itself, behind any script that chooses one.
    pub(crate) async fn python(&self) -> PathBuf {
        let find = || async {
            let mut command = Command::new(&self.program);
            let asked = command.args(["-c", "import sys; print(sys.executable)"]).stdin(Stdio::null()).output().await;
            let said = asked.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
            if said.trim().is_empty() { self.program.clone() } else { PathBuf::from(said.trim()) }
        };
        self.found.get_or_init(find).await.clone()
    }
}

impl Jail {
    pub(crate) fn new(id: &str, host: Arc<Host>, folder: Arc<Folder>, env: BTreeMap<String, String>) -> Self {
        Self { id: id.to_owned(), host, folder, env, guardian: OnceCell::new() }
    }

    pub(crate) async fn python(&self) -> PathBuf {
        self.host.python().await
    }

    /// A command in the sandbox, as the leader of a group.
    pub(crate) async fn command(
        &self,
        program: &Path,
        args: &[String],
        cwd: &str,
        env: &BTreeMap<String, String>,
    ) -> Command {
        let guardian = self.guardian.get_or_init(|| self.guard()).await;
        let python = self.python().await;
        let mut command = match guardian {
            Some(guardian) => {
                let mut command = Command::new("nsenter");
                command.args(["-t", &guardian.pid, "-U", "-m", "-p", "--preserve-credentials", "--"]);
                command.arg("setsid");
                command
            }
            None => ending_with_this(),
        };
        let home = if guardian.is_some() { PathBuf::from(HOME) } else { self.folder.outside(HOME) };
        let cwd = if guardian.is_some() { PathBuf::from(cwd) } else { self.folder.outside(cwd) };
        command.args(["env", "-i"]);
        for (name, value) in self.environment(&home, &python).iter().chain(env) {
            command.arg(format!("{name}={value}"));
        }
        // Not by the parent: the folder may be there in the sandbox only.
        command.args(["sh", "-c", "cd \"$0\" && exec \"$@\""]).arg(cwd).arg(program).args(args);
        command.process_group(0);
        command
    }

    /// Where the sandbox's root is, where its programs see this machine's.
    pub(crate) fn root_outside(&self) -> Option<&Path> {
        matches!(self.guardian.get(), Some(None)).then(|| self.folder.root())
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

    /// Starts the guardian; none, where it cannot live.
    async fn guard(&self) -> Option<Guardian> {
        // A login shell has the path of the machine's profile first; commands are to find the kernel's interpreter.
        if let Some(beside) = self.python().await.parent().filter(|beside| beside.is_absolute()) {
            let profile = format!("PATH='{}':\"$PATH\"\n", beside.display());
            // Without it, commands find another interpreter: no reason not to run.
            let _ = std::fs::write(self.folder.outside(&format!("{HOME}/.profile")), profile);
        }
        let mut command = ending_with_this();
        command.args(["unshare", "-rmpf", "--kill-child=KILL", "--propagation", "private"]);
        command.args(["sh", "-c", GUARDIAN, "guardian"]).arg(self.folder.root()).arg(self.python().await);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Group(command.process_group(0).spawn().ok()?);
        let mut said = BufReader::new(child.0.stdout.take()?).lines();
        let pid = tokio::time::timeout(PATIENCE, said.next_line()).await.ok()?.ok()??;
        Some(Guardian { child: tokio::sync::Mutex::new(child), pid })
    }

    /// Ends every process of the sandbox, and takes its files away.
    pub(crate) async fn close(&self) {
        if let Some(Some(guardian)) = self.guardian.get() {
            guardian.child.lock().await.end().await;
        } else if self.guardian.initialized() {
            self.sweep();
        }
        self.folder.remove();
    }

    /// Without namespaces: whatever still names this sandbox's folder in its environment. Ids are of a seed, and so of
    /// others too; a folder is of one sandbox only.
    fn sweep(&self) {
        let mark = self.folder.root().as_os_str().as_encoded_bytes();
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        for process in processes.flatten() {
            let number = process.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(pid) = number.and_then(Pid::from_raw) else { continue };
            let env = std::fs::read(process.path().join("environ")).unwrap_or_default();
            if env.windows(mark.len()).any(|part| part == mark) {
                // Gone already is as good.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// A command whose process ends with this one, however early that ends; the arguments are a program and its own.
fn ending_with_this() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "sh", "-c", WITH_ITS_PARENT]).arg(std::process::id().to_string());
    command
}

impl Drop for Jail {
    fn drop(&mut self) {
        if matches!(self.guardian.get(), Some(None)) {
            self.sweep();
        }
    }
}

impl Group {
    /// The number of its leader, while it was not waited for.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let leader = self.0.id().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let number = |id: u32| i32::try_from(id).ok().and_then(Pid::from_raw);
        match waited_for(leader).and_then(number) {
            Some(inner) => kill_process_group(inner, signal).or_else(|_| kill_process(inner, signal))?,
            None => number(leader).map_or(Ok(()), |leader| kill_process_group(leader, signal))?,
        }
        Ok(())
    }

    pub(crate) async fn end(&mut self) {
        // Gone already is as good.
        let _ = self.signal(Signal::KILL);
        let _ = self.0.wait().await;
    }
}

/// The one child of a process that enters namespaces and waits.
fn waited_for(leader: u32) -> Option<u32> {
    let name = std::fs::read_to_string(format!("/proc/{leader}/comm")).ok()?;
    let children = std::fs::read_to_string(format!("/proc/{leader}/task/{leader}/children")).ok()?;
    ["nsenter", "unshare"].contains(&name.trim()).then(|| children.trim().parse().ok()).flatten()
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its leader is reaped by the runtime.
        let _ = self.signal(Signal::KILL);
    }
}
