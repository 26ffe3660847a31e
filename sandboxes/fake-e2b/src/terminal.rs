//! Pseudo-terminals, for commands that a person would type into.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde::Deserialize;

/// Characters in a line, and lines.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
pub(crate) struct TerminalSize {
    pub(crate) cols: u16,
    pub(crate) rows: u16,
}

impl Default for TerminalSize {
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}

/// The side of a terminal at which its user sits.
pub(crate) struct Terminal(OwnedFd);

impl Terminal {
    /// Returns a new terminal, and the side for the standard streams of its programs.
    pub(crate) fn open(size: TerminalSize) -> io::Result<(Self, OwnedFd)> {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&user)?;
        unlockpt(&user)?;
        let name = ptsname(&user, Vec::new())?;
        let programs = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let terminal = Self(user);
        terminal.resize(size)?;
        Ok((terminal, programs))
    }

    pub(crate) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.0, size)?)
    }

    /// Returns a file that reads what programs write, or writes what they read.
    pub(crate) fn file(&self) -> io::Result<tokio::fs::File> {
        Ok(tokio::fs::File::from_std(self.0.try_clone()?.into()))
    }
}

/// Returns the standard streams of a program in a terminal.
pub(crate) fn streams(programs: &OwnedFd) -> io::Result<[Stdio; 3]> {
    Ok([programs.try_clone()?.into(), programs.try_clone()?.into(), programs.try_clone()?.into()])
}
