//! The subcommand `launch`: starts a container from outside.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use switchtower_container::ContainerConfig;

/// The exit code of a launcher that could not start its container; the report says why.
const NOT_STARTED: u8 = 125;

/// Starts the container that the argument describes, in JSON, and waits for its end.
pub(crate) fn run(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let config = args.next().and_then(|config| config.into_string().ok());
    let Some(config) = config.and_then(|config| serde_json::from_str::<ContainerConfig>(&config).ok()) else {
        eprintln!("switchtower-init: launch takes the configuration of a container in JSON");
        return ExitCode::from(2);
    };
    let Ok(report) = std::io::stdout().as_fd().try_clone_to_owned() else { return ExitCode::from(NOT_STARTED) };
    // Only the report holds it, so that its reader sees the end.
    close_stdout();
    let ended = switchtower_container::launch(&config, report);
    ended.map_or(ExitCode::from(NOT_STARTED), |code| ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Makes the null device the standard output.
fn close_stdout() {
    if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}
