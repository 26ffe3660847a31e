//! Pseudo-terminals, for programs that a person would type into.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, fchown, fcntl_setfl, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde::Deserialize;
use tokio::io::unix::AsyncFd;
use tokio::process::Command;

use crate::readiness::register;
use crate::users::User;

/// Characters in a line, and lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TerminalSize {
    pub cols: u16,
    pub rows: u16,
}

impl Default for TerminalSize {
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}

/// The user's side of a terminal.
pub(crate) struct Terminal(AsyncFd<OwnedFd>);

/// The programs' side of a terminal.
pub(crate) struct ProgramsSide(OwnedFd);

impl Terminal {
    pub(crate) fn open(size: TerminalSize) -> io::Result<(Self, ProgramsSide)> {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&user)?;
        unlockpt(&user)?;
        let name = ptsname(&user, Vec::new())?;
        let programs = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        fcntl_setfl(&user, OFlags::RDWR | OFlags::NONBLOCK)?;
        let terminal = Self(register(user)?);
        terminal.resize(size)?;
        Ok((terminal, ProgramsSide(programs)))
    }

    pub(crate) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.0, size)?)
    }

    /// Reads what programs write. Returns 0 when all have closed the terminal.
    pub(crate) async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.0.readable().await?;
            match guard.try_io(|terminal| Ok(rustix::io::read(terminal, &mut *bytes)?)) {
                // Linux reports the end in this way.
                Ok(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => return Ok(0),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    /// Writes what programs read.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut guard = self.0.writable().await?;
            match guard.try_io(|terminal| Ok(rustix::io::write(terminal, bytes)?)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => bytes = &bytes[result?..],
                Err(_would_block) => {}
            }
        }
        Ok(())
    }
}

impl ProgramsSide {
    /// Makes a user the owner of the terminal's device, as far as this process may, so that the user's programs can open it.
    pub(crate) fn give_to(&self, user: &User) {
        // Without it, they still have the terminal as their standard streams.
        let _ = fchown(&self.0, user.owner().0, None);
    }

    /// Makes the terminal the standard streams of a program.
    pub(crate) fn set_streams(&self, command: &mut Command) -> io::Result<()> {
        command.stdin(self.0.try_clone()?).stdout(self.0.try_clone()?).stderr(self.0.try_clone()?);
        Ok(())
    }
}
