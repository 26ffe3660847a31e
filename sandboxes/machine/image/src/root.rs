//! What the setting of a root file system leads to.

use std::path::{Path, PathBuf};

use crate::error::ImportError;
use crate::layout;
use crate::limits::ImportLimits;
use crate::store::{ImportedRoot, Roots};

/// A root file system that machines use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFileSystem {
    /// The folder with its files.
    pub folder: PathBuf,
    /// Variables of its image that every program gets.
    pub env: Vec<(String, String)>,
    /// Of its image.
    pub digest: Option<String>,
}

impl RootFileSystem {
    /// Returns the root file system that a path names, if it is unpacked: an imported one, or a folder with one. `None`: it is an
    /// image layout.
    ///
    /// # Errors
    /// There is no such folder, or its description is damaged.
    pub fn unpacked(path: &Path) -> Result<Option<Self>, ImportError> {
        if let Some(imported) = ImportedRoot::open(path)? {
            return Ok(Some(imported.into()));
        }
        if layout::is_layout(path) {
            return Ok(None);
        }
        if path.is_dir() {
            return Ok(Some(Self { folder: path.to_owned(), env: Vec::new(), digest: None }));
        }
        let is_file = path.is_file();
        let error = ImportError::new(format!(
            "{} is not a folder: a root file system that was imported or unpacked, or an image layout",
            path.display()
        ));
        Err(error.with_remedy(if is_file {
            format!("`switchtower machine root import {}` unpacks an archive", path.display())
        } else {
            "`switchtower machine root import` makes one, of an archive, an image layout or a folder".to_owned()
        }))
    }

    /// Returns the root file system that a path names. That of an image layout is unpacked unless `roots` has it.
    ///
    /// # Errors
    /// There is no such folder, or the layout cannot be unpacked.
    pub fn prepare(path: &Path, roots: Option<&Roots>, limits: ImportLimits) -> Result<Self, ImportError> {
        if let Some(unpacked) = Self::unpacked(path)? {
            return Ok(unpacked);
        }
        let roots = roots.ok_or_else(|| {
            ImportError::new("there is no folder for unpacked images: neither HOME nor XDG_DATA_HOME is set")
                .with_remedy("set machine.roots_folder")
        })?;
        roots.of_layout(path, limits).map(Into::into)
    }
}

impl From<ImportedRoot> for RootFileSystem {
    fn from(imported: ImportedRoot) -> Self {
        let description = imported.description;
        Self { folder: imported.folder.join(crate::store::FILES), env: description.env, digest: description.digest }
    }
}
