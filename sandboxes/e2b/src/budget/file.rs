//! The file that a budget is kept in.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::ledger::Ledger;

pub(super) struct File {
    path: PathBuf,
    /// A write failed, and that was said.
    complained: bool,
}

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, complained: false }
    }

    /// What the file says; nothing where there is none. A file that says nothing sensible is set aside.
    pub(super) fn read(&self) -> Ledger {
        let read = fs::read(&self.path).and_then(|text| Ok(serde_json::from_slice(&text)?));
        match read {
            Ok(ledger) => ledger,
            Err(error) if error.kind() == ErrorKind::NotFound => Ledger::default(),
            Err(error) => {
                let aside = beside(&self.path, "damaged");
                let moved = fs::rename(&self.path, &aside);
                let (path, aside) = (self.path.display(), aside.display());
                tracing::warn!(%path, %aside, %error, ?moved, "the budget's file cannot be read: it starts at zero");
                Ledger::default()
            }
        }
    }

    /// Writes it whole. Trouble is a warning once: a budget in memory is better than no sandbox.
    pub(super) fn write(&mut self, text: serde_json::Result<Vec<u8>>) {
        let written = text.map_err(io::Error::from).and_then(|text| replace(&self.path, &text));
        if let Err(error) = written
            && !self.complained
        {
            self.complained = true;
            let path = self.path.display();
            tracing::warn!(%path, %error, "the budget's file cannot be written: a restart will forget it");
        }
    }
}

/// Puts this text there, so that a reader sees the old file or the new one.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Another process that shares the file by accident must not write into ours.
    let draft = beside(path, &format!("{}.new", std::process::id()));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let mut options = OpenOptions::new();
    // New, so that the mode is ours and nobody's link is followed.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&draft)?.write_all(text)?;
    fs::rename(&draft, path)
}

/// The same name with something behind it.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().map(OsStr::to_os_string).unwrap_or_default();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}
