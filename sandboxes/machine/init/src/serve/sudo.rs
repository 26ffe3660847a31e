//! Runs commands of `sudo`: for the users `user` and `root` of the machine, with the streams of the caller.

use std::fs::Permissions;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::Signal;
use switchtower_envd::{Launch, ProcessGroup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Services;
use crate::sudo::request::{CommandResult, MAX_REQUEST_BYTES, MAX_RESULT_BYTES, Shell, SudoRequest};

/// Commands at once. Further ones wait.
const MAX_COMMANDS: usize = 256;
/// Time for a request to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The standard streams.
const STREAMS: usize = 3;
/// Shells of users that have none.
const DEFAULT_SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// Serves until this is dropped. `user`: the id of the user who may call it beside root.
pub(super) async fn serve(path: String, user: u32, services: Arc<Services>) -> io::Result<()> {
    // An earlier one is of the machine's root file system.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o666))?;
    let permits = Arc::new(Semaphore::new(MAX_COMMANDS));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                let services = services.clone();
                tokio::spawn(async move {
                    // Without its caller, nobody reads how it ended.
                    let _ = run(stream, user, &services).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn run(mut stream: UnixStream, user: u32, services: &Services) -> io::Result<()> {
    let caller = stream.peer_cred()?.uid();
    let read = timeout(REQUEST_TIMEOUT, read(&mut stream)).await.map_err(io::Error::from)?;
    let refused = |why: String| CommandResult::Refused(why);
    let result = match read {
        _ if caller != 0 && caller != user => refused("this user may not run commands as another one".to_owned()),
        Err(error) => refused(error.to_string()),
        Ok((request, streams)) => match launch(request, caller, services).await {
            Err(why) => refused(why),
            Ok(launch) => run_group(&mut stream, &launch, &streams, services).await?,
        },
    };
    let mut result = serde_json::to_vec(&result)?;
    result.truncate(usize::try_from(MAX_RESULT_BYTES).unwrap_or(usize::MAX));
    stream.write_all(&result).await
}

/// Reads a request with its streams.
async fn read(stream: &mut UnixStream) -> io::Result<(SudoRequest, [OwnedFd; STREAMS])> {
    let mut length = [0; 4];
    let received = stream.async_io(Interest::READABLE, || receive_streams(stream, &mut length)).await?;
    let length = u32::from_be_bytes(length) as usize;
    let streams: [OwnedFd; STREAMS] = received
        .try_into()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the standard streams are missing"))?;
    if length > MAX_REQUEST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too large"));
    }
    let mut request = vec![0; length];
    stream.read_exact(&mut request).await?;
    Ok((serde_json::from_slice(&request)?, streams))
}

/// Receives the length of a request and the descriptors with it.
fn receive_streams(stream: &UnixStream, length: &mut [u8; 4]) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream.as_fd(), &mut [IoSliceMut::new(length)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes != 4 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok(rights.flatten().collect())
}

/// Returns how the command starts.
async fn launch(request: SudoRequest, caller: u32, services: &Services) -> Result<Launch, String> {
    let SudoRequest { user, mut command, shell, mut env, cwd } = request;
    let daemon = &services.daemon;
    let cwd = if shell == Shell::Login { None } else { cwd };
    let account = daemon.launch(Some(&user), "/bin/sh".to_owned(), Vec::new(), &env, cwd.as_deref()).await;
    let account = account.map_err(|error| error.message)?.user;
    let own_shell = shell_of(&account.name);
    let described = command.join(" ");
    match shell {
        Shell::None => {}
        Shell::Here | Shell::Login => {
            let mut by_shell = vec![own_shell.clone()];
            if shell == Shell::Login {
                by_shell.push("-l".to_owned());
            }
            if !command.is_empty() {
                by_shell
                    .extend(["-c".to_owned(), command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")]);
            }
            command = by_shell;
        }
    }
    let by = if caller == 0 { "root" } else { "user" };
    for (name, value) in [
        ("SHELL", own_shell),
        ("SUDO_USER", by.to_owned()),
        ("SUDO_UID", caller.to_string()),
        ("SUDO_GID", caller.to_string()),
        ("SUDO_COMMAND", described),
    ] {
        env.insert(name.to_owned(), value);
    }
    let mut words = command.into_iter();
    let program = words.next().unwrap_or_default();
    let launch = daemon.launch(Some(&user), program, words.collect(), &env, cwd.as_deref()).await;
    launch.map_err(|error| error.message)
}

/// Returns the shell of a user, as `/etc/passwd` names it.
fn shell_of(user: &str) -> String {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields = accounts.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':'));
    let named = fields.and_then(|fields| fields.rsplit(':').next()).filter(|shell| shell.starts_with('/'));
    let exists = |shell: &str| std::fs::exists(shell).unwrap_or_default();
    let known = named.into_iter().chain(DEFAULT_SHELLS).find(|shell| exists(shell));
    known.unwrap_or("/bin/sh").to_owned()
}

/// Returns a word as a shell reads it again.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs the command to its end, which is also that of the caller.
async fn run_group(
    stream: &mut UnixStream,
    launch: &Launch,
    streams: &[OwnedFd; STREAMS],
    services: &Services,
) -> io::Result<CommandResult> {
    let started = ProcessGroup::start(&services.launcher, launch, |command| {
        let [stdin, stdout, stderr] = streams;
        command.stdin(Stdio::from(stdin.try_clone()?));
        command.stdout(Stdio::from(stdout.try_clone()?)).stderr(Stdio::from(stderr.try_clone()?));
        Ok(())
    });
    let mut group = match started.await {
        Ok(group) => group,
        Err(error) => return Ok(CommandResult::Refused(error.to_string())),
    };
    loop {
        let mut signal = [0];
        tokio::select! {
            waited = group.wait() => {
                let status = waited?;
                let signal = || CommandResult::Signal(status.signal().unwrap_or(9));
                return Ok(status.code().map_or_else(signal, CommandResult::Code));
            }
            read = stream.read(&mut signal) => {
                if read? == 0 {
                    // The caller has gone: its command goes with it.
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if let Some(signal) = Signal::from_named_raw(signal[0].into()) {
                    // It may have ended.
                    let _ = group.signal(signal);
                }
            }
        }
    }
}
