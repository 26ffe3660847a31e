//! The file of a budget.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::hourly_counts::HourlyCounts;

pub(super) struct File {
    path: PathBuf,
    /// A failed write was logged.
    has_warned: bool,
}

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, has_warned: false }
    }

    /// Reads the counts; zero where there is no file. An invalid file is renamed.
    pub(super) fn read(&self) -> HourlyCounts {
        let read = fs::read(&self.path).and_then(|text| Ok(serde_json::from_slice(&text)?));
        match read {
            Ok(ledger) => ledger,
            Err(error) if error.kind() == ErrorKind::NotFound => HourlyCounts::default(),
            Err(error) => {
                let renamed_to = with_suffix(&self.path, "damaged");
                let moved = fs::rename(&self.path, &renamed_to);
                let (path, renamed_to) = (self.path.display(), renamed_to.display());
                tracing::warn!(%path, %renamed_to, %error, ?moved, "the budget's file cannot be read: the budget starts at zero");
                HourlyCounts::default()
            }
        }
    }

    /// Writes the whole file. The first failure is logged: a budget in memory is better than no sandbox.
    pub(super) fn write(&mut self, text: serde_json::Result<Vec<u8>>) {
        let written = text.map_err(io::Error::from).and_then(|text| replace(&self.path, &text));
        if let Err(error) = written
            && !self.has_warned
        {
            self.has_warned = true;
            let path = self.path.display();
            tracing::warn!(%path, %error, "the budget's file cannot be written: a restart will forget the budget");
        }
    }
}

/// Replaces a file atomically: a reader sees the old or the new one.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Another process that uses the same file by accident has another temporary file.
    let temporary = with_suffix(path, &format!("{}.new", std::process::id()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let mut options = OpenOptions::new();
    // A new file has this mode, and cannot be a link of another user.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&temporary)?.write_all(text)?;
    fs::rename(&temporary, path)
}

/// Returns the path with a suffix after a dot.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map(OsStr::to_os_string).unwrap_or_default();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}
