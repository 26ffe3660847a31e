//! `serve`: process 1 of a machine.
//!
//! It serves HTTP/1.1 on an inherited Unix socket, or on the streams of an inherited connection: the daemon's calls, `CONNECT 127.0.0.1:PORT` for the machine's ports, and
//! `POST /switchtower/channel` for a program with a connection of its own, and `POST /switchtower/egress` for the machine's way to
//! the internet. It needs no file of the machine's root.

mod channel;
mod egress;
mod launcher;
mod listener;
mod machine_root;
mod options;
mod reaper;
mod sudo;
mod tunnel;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use switchtower_container::RESERVED_PROCESSES;
use switchtower_envd::{Daemon, DaemonOptions, Launcher, User, Users};
use switchtower_machine_streams::Acceptor;
use tokio::net::{UnixListener, UnixStream};

use egress::Egress;
use launcher::MachineLauncher;
use machine_root::MachineRoot;
use options::{BackendDescriptor, ServeOptions};
use reaper::Children;

/// Threads for calls that block, as those of file systems do, and their stacks.
const BLOCKING_THREADS: usize = 8;
const STACK_BYTES: usize = 256 << 10;

/// What answers the calls of a machine.
struct Services {
    daemon: Daemon,
    launcher: Arc<dyn Launcher>,
    egress: Arc<Egress>,
}

/// Serves until the machine is killed.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> Result<(), String> {
    let options = ServeOptions::parse(args)?;
    let (BackendDescriptor::Listening(number) | BackendDescriptor::Connected(number)) = options.backend;
    let socket = inherited_socket(number)?;
    if options.is_protecting {
        switchtower_container::protect().map_err(|error| error.to_string())?;
    }
    let (descriptors, processes) = (getrlimit(Resource::Nofile), getrlimit(Resource::Nproc));
    // Connections and programs take descriptors. The programs get the limit that this process had.
    let raised = Rlimit { current: descriptors.maximum, maximum: descriptors.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|error| format!("the limit of descriptors was not raised: {error}"))?;
    // Programs that have used up their processes leave some to this process, which starts and kills others.
    let left = |limit: Option<u64>| limit.map(|limit| limit.saturating_sub(RESERVED_PROCESSES).max(1));
    let processes = Rlimit { current: left(processes.current), maximum: left(processes.maximum) };
    let limits = [(Resource::Nofile, descriptors), (Resource::Nproc, processes)];
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // Programs that have the user of this process must not stop it or read its memory as a debugger does.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| format!("prctl: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        // The first one stays: where no thread can be started any more, files are still served.
        .thread_keep_alive(Duration::MAX)
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let children = Arc::new(Children::default());
        let reaping = reaper::start(children.clone()).map_err(|error| error.to_string())?;
        let launcher: Arc<dyn Launcher> = Arc::new(MachineLauncher::new(children, limits));
        let user = |name: &str, uid, gid, home: &str| User {
            name: name.to_owned(),
            uid,
            gid,
            home: home.to_owned(),
            groups: Vec::new(),
        };
        let own =
            vec![user("user", options.user_id, options.group_id, &options.user_home), user("root", 0, 0, "/root")];
        let daemon = Daemon::new(DaemonOptions {
            launcher: launcher.clone(),
            root: Arc::new(MachineRoot),
            users: Users::Listed { folder: PathBuf::from("/etc"), own },
            default_user: "user".to_owned(),
            env: options.env,
        });
        let backend = Backend::new(options.backend, socket).map_err(|error| error.to_string())?;
        tokio::spawn(reaping);
        tokio::task::spawn_blocking(|| ()).await.map_err(|error| error.to_string())?;
        let egress = Arc::<Egress>::default();
        if let Some(port) = options.egress_port {
            let egress = egress.clone();
            tokio::spawn(async move {
                if let Err(error) = egress.serve(port).await {
                    eprintln!("switchtower-init: egress: {error}");
                }
            });
        }
        let services = Arc::new(Services { daemon, launcher, egress });
        if let Some(path) = options.sudo_socket {
            let (user, services) = (options.user_id, services.clone());
            tokio::spawn(async move {
                if let Err(error) = sudo::serve(path, user, services).await {
                    eprintln!("switchtower-init: sudo: {error}");
                }
            });
        }
        match backend {
            Backend::Listener(listener) => listener::serve(listener, services).await,
            Backend::Connection(acceptor) => listener::serve_streams(acceptor, services).await,
        }
        Ok(())
    })
}

/// How the backend reaches this process.
enum Backend {
    Listener(UnixListener),
    Connection(Acceptor),
}

impl Backend {
    fn new(descriptor: BackendDescriptor, socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(match descriptor {
            BackendDescriptor::Listening(_) => Self::Listener(UnixListener::from_std(socket.into())?),
            BackendDescriptor::Connected(_) => Self::Connection(Acceptor::new(UnixStream::from_std(socket.into())?)),
        })
    }
}

/// Returns the backend's socket. No program inherits it, or another descriptor that this process has.
fn inherited_socket(number: i32) -> Result<OwnedFd, String> {
    #[allow(unsafe_code, reason = "close_range has no safe wrapper")]
    // SAFETY: it sets a flag of descriptors, which are closed when a program is executed.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    #[allow(unsafe_code, reason = "an inherited descriptor is taken over")]
    // SAFETY: nothing else in this process uses the descriptor; that it is open is checked next.
    let inherited = unsafe { OwnedFd::from_raw_fd(number) };
    // A program of a channel has its control connection as descriptor 3. Here, 3 is never free, so that no descriptor that is needed to
    // start the program is in its way.
    let socket = rustix::io::fcntl_dupfd_cloexec(&inherited, 3);
    let reserved = rustix::io::fcntl_dupfd_cloexec(&inherited, 3);
    std::mem::forget((inherited, reserved));
    if number == 0 {
        // Programs that are started without an input of their own have that of this process.
        let null = File::open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stdin(null)?));
        null.map_err(|error| format!("/dev/null: {error}"))?;
    }
    socket.map_err(|error| format!("the inherited descriptor {number}: {error}"))
}
