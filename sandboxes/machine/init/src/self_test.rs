//! The subcommand `self-test`: tries, as the machine's root, what a machine must refuse. It needs no program of the machine's root
//! file system, which may be any.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::UdpSocket;
use std::process::ExitCode;

use rustix::fs::{AtFlags, CWD, FileType, Mode, makedev, mknodat, unlinkat};

/// Processes that a machine in which nothing has run does not have.
const MANY_PROCESSES: usize = 20;
/// A device node that is tried: its number is that of `/dev/null`.
const DEVICE: &str = "/tmp/.switchtower-device";

/// What a machine must refuse: a name, and an attempt that succeeds if it does not.
type Attempt = (&'static str, fn() -> io::Result<()>);

const ATTEMPTS: [Attempt; 8] = [
    ("mounting", mount),
    ("a namespace of its own", unshare),
    ("devices", use_device),
    ("the memory of the host", || File::open("/proc/kcore")?.read_exact(&mut [0])),
    ("settings of the kernel", write_setting),
    // Opening it is harmless; a letter would do something to the host.
    ("the power of the host", || OpenOptions::new().write(true).open("/proc/sysrq-trigger").map(drop)),
    // A connection of UDP sends nothing: it succeeds where there is a way to that address, which is one for documentation.
    ("the internet", || UdpSocket::bind("0.0.0.0:0")?.connect("192.0.2.1:9")),
    ("the host's processes", find_processes),
];

/// Prints the names of what the machine's root reaches, one a line; nothing where the machine is isolated.
pub(crate) fn run() -> ExitCode {
    let reached = ATTEMPTS.iter().filter(|(_, attempt)| attempt().is_ok()).map(|(name, _)| *name);
    let text: String = reached.flat_map(|name| [name, "\n"]).collect();
    // It must not be taken for an isolated machine where its answer is lost.
    if io::stdout().write_all(text.as_bytes()).is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn checked(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[allow(unsafe_code, reason = "mounts have no safe wrapper here")]
fn mount() -> io::Result<()> {
    let (kind, target): (&CStr, &CStr) = (c"tmpfs", c"/tmp");
    // SAFETY: the texts end with a zero and outlive the call; there are no options.
    checked(unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) })
}

#[allow(unsafe_code, reason = "namespaces have no safe wrapper here")]
fn unshare() -> io::Result<()> {
    // SAFETY: the call takes one number, and this process has one thread.
    checked(unsafe { libc::unshare(libc::CLONE_NEWUSER) })
}

fn use_device() -> io::Result<()> {
    mknodat(CWD, DEVICE, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 3))?;
    let used = File::open(DEVICE).and_then(|mut device| device.read(&mut [0]));
    unlinkat(CWD, DEVICE, AtFlags::empty())?;
    used.map(drop)
}

/// Writes the value that a setting has.
fn write_setting() -> io::Result<()> {
    let setting = "/proc/sys/kernel/panic";
    let value = fs::read(setting)?;
    OpenOptions::new().write(true).open(setting)?.write_all(&value)
}

fn find_processes() -> io::Result<()> {
    let is_process =
        |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
    let count = fs::read_dir("/proc")?.flatten().filter(is_process).count();
    if count > MANY_PROCESSES { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}
