//! How large a root file system may become, and what an import has made and left out.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::error::ImportError;

/// Most bytes of the headers between two files of an archive: long names and extended headers.
const MAX_HEADERS: u64 = 1 << 20;

/// How large a root file system may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportLimits {
    /// Most bytes of its files, and of the archives that it is unpacked from, before compression.
    pub bytes: u64,
    /// Most files, folders and links, those of lower layers included.
    pub files: u64,
}

impl Default for ImportLimits {
    fn default() -> Self {
        Self { bytes: 16 << 30, files: 1_000_000 }
    }
}

/// What an import has made and left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Files, folders and links that were made, those of lower layers included.
    pub files: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Device nodes, pipes and sockets, which were left out.
    pub special_files: u64,
    /// Files whose set-user-id or set-group-id bit was taken away.
    pub set_id_files: u64,
    /// Files, folders and links that belong to another user than the archive says.
    pub other_owners: u64,
}

/// What is left of the limits.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: ImportLimits,
    written: Cell<u64>,
    read: Cell<u64>,
    files: Cell<u64>,
    /// Bytes of headers that may still be read; `None`: the content of a file is read.
    headers: Cell<Option<u64>>,
    exceeded: Cell<Option<Exceeded>>,
}

#[derive(Debug, Clone, Copy)]
enum Exceeded {
    Bytes,
    Files,
    Headers,
}

impl Budget {
    pub(crate) fn new(limits: ImportLimits) -> Rc<Self> {
        Rc::new(Self {
            limits,
            written: Cell::new(0),
            read: Cell::new(0),
            files: Cell::new(0),
            headers: Cell::new(None),
            exceeded: Cell::new(None),
        })
    }

    /// Returns the whole limits for an image whose files this has counted: they are removed.
    pub(crate) fn again(&self) -> Rc<Self> {
        Self::new(self.limits)
    }

    /// Counts a file, folder or link.
    pub(crate) fn add_file(&self) -> io::Result<()> {
        self.files.set(self.files.get() + 1);
        if self.files.get() > self.limits.files { self.exceed(Exceeded::Files) } else { Ok(()) }
    }

    /// Counts bytes of a file.
    pub(crate) fn add_written(&self, bytes: u64) -> io::Result<()> {
        self.written.set(self.written.get().saturating_add(bytes));
        if self.written.get() > self.limits.bytes { self.exceed(Exceeded::Bytes) } else { Ok(()) }
    }

    pub(crate) fn files(&self) -> u64 {
        self.files.get()
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Bounds the headers that are read from now on.
    pub(crate) fn expect_headers(&self) {
        self.headers.set(Some(MAX_HEADERS));
    }

    /// From now on, the content of a file is read.
    pub(crate) fn expect_content(&self) {
        self.headers.set(None);
    }

    /// Begins another pass over an archive, or another archive of which only one is kept.
    pub(crate) fn begin_pass(&self) {
        self.read.set(0);
    }

    fn add_read(&self, bytes: u64) -> io::Result<()> {
        self.read.set(self.read.get().saturating_add(bytes));
        if self.read.get() > self.limits.bytes {
            return self.exceed(Exceeded::Bytes);
        }
        if let Some(left) = self.headers.get() {
            let Some(left) = left.checked_sub(bytes) else { return self.exceed(Exceeded::Headers) };
            self.headers.set(Some(left));
        }
        Ok(())
    }

    fn exceed<T>(&self, what: Exceeded) -> io::Result<T> {
        self.exceeded.set(Some(what));
        Err(io::Error::other("a limit is exceeded"))
    }

    /// Returns the error of an import: that of a limit, if one was exceeded.
    pub(crate) fn explain(&self, error: impl FnOnce() -> ImportError) -> ImportError {
        let ImportLimits { bytes, files } = self.limits;
        match self.exceeded.get() {
            None => error(),
            Some(Exceeded::Bytes) => ImportError::new(format!("it has more than {bytes} bytes unpacked"))
                .with_remedy("if you trust it, raise machine.max_root_bytes (`--max-bytes` of the import)"),
            Some(Exceeded::Files) => ImportError::new(format!("it has more than {files} files and folders"))
                .with_remedy("if you trust it, raise machine.max_root_files (`--max-files` of the import)"),
            Some(Exceeded::Headers) => ImportError::new(format!(
                "the archive has a header of more than {MAX_HEADERS} bytes, which no file of a root file system needs"
            )),
        }
    }
}

/// A reader whose bytes count.
pub(crate) struct Counted<R> {
    inner: R,
    budget: Rc<Budget>,
}

impl<R> Counted<R> {
    pub(crate) fn new(inner: R, budget: &Rc<Budget>) -> Self {
        Self { inner, budget: Rc::clone(budget) }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.budget.add_read(count as u64)?;
        Ok(count)
    }
}
