//! The cleanup process: waits for the end of the process that started it, and removes what it has left.

use std::io::Read as _;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use switchtower_native::cleanup::{CleanupState, Leftovers};

/// How often it tries, and the pause between attempts: the kernel takes its time to end the children of a killed worker.
const ATTEMPTS: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(20);
/// How many attempts to wait for a process that has closed its pipe and has not ended yet.
const ATTEMPTS_IN_USE: u32 = 250;

/// Waits on standard input: a byte dismisses it; end of file is the end of the process that started it.
#[allow(clippy::disallowed_methods, reason = "there is one thread and nothing else to do")]
pub(crate) fn run(argument: Option<&str>) -> ExitCode {
    let Some(leftovers) = argument.and_then(|json| serde_json::from_str::<Leftovers>(json).ok()) else {
        return ExitCode::from(2);
    };
    detach_from_group();
    let mut byte = [0];
    if std::io::stdin().read_exact(&mut byte).is_ok() {
        return ExitCode::SUCCESS;
    }
    for attempt in 0..ATTEMPTS {
        match leftovers.remove() {
            CleanupState::Clean => return ExitCode::SUCCESS,
            // The process runs on and needs no cleanup.
            CleanupState::InUse if attempt >= ATTEMPTS_IN_USE => return ExitCode::SUCCESS,
            CleanupState::InUse | CleanupState::Leftovers => sleep(PAUSE),
        }
    }
    ExitCode::FAILURE
}

/// Ignores the signals that end all processes of a terminal or a service: this process is needed until the one that started
/// it has ended, and ends right after.
#[allow(unsafe_code, reason = "signals and sessions have no safe wrapper in std")]
fn detach_from_group() {
    // SAFETY: no handler is given, and no other thread runs. A failure of setsid is harmless.
    unsafe {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::setsid();
    }
}
