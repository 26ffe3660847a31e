//! The life of a cleanup process: waits for the end of the process that started it, and removes what that has left.

use std::io::Read as _;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use switchtower_native::cleanup::{CleanupState, Leftovers};

/// How often it is tried, and how long after the one before: the kernel takes its time to end the children of a killed
/// worker.
const ATTEMPTS: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(20);
/// So many of these are for a process that closes what it has open some time before it has ended.
const ENDING: u32 = 250;

/// Waits on standard input: a byte is a dismissal, its end is that of the process that started this one.
#[allow(clippy::disallowed_methods, reason = "there is one thread and nothing else to do")]
pub(crate) fn run(told: Option<&str>) -> ExitCode {
    let Some(remains) = told.and_then(|told| serde_json::from_str::<Leftovers>(told).ok()) else {
        return ExitCode::from(2);
    };
    detach_from_group();
    let mut byte = [0];
    if std::io::stdin().read_exact(&mut byte).is_ok() {
        return ExitCode::SUCCESS;
    }
    for attempt in 0..ATTEMPTS {
        match remains.remove() {
            CleanupState::Clean => return ExitCode::SUCCESS,
            // It goes on without this one.
            CleanupState::InUse if attempt >= ENDING => return ExitCode::SUCCESS,
            CleanupState::InUse | CleanupState::Leftovers => sleep(PAUSE),
        }
    }
    ExitCode::FAILURE
}

/// What asks all processes of a terminal or of a service to end does not end this one: it is needed until the one that
/// started it has ended, and ends right after.
#[allow(unsafe_code, reason = "signals and sessions have no safe wrapper in std")]
fn detach_from_group() {
    // SAFETY: no handler is given, and no other thread runs. Without a session of its own it does all that it should.
    unsafe {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::setsid();
    }
}
