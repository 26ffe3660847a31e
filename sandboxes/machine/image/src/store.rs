//! The imported root file systems of a user: one folder for each, complete or not there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use switchtower_worker::private_folder::PrivateFolder;

use crate::error::ImportError;
use crate::import::{self, Source};
use crate::layout::Image;
use crate::limits::{Budget, ImportLimits, ImportReport};

/// The folder with the files of an imported root, and the file with its description.
pub(crate) const FILES: &str = "rootfs";
const DESCRIPTION: &str = "switchtower-root.json";
/// The beginning of the names of folders that are not complete yet, or are being removed.
const STAGING: &str = ".staging-";
/// Most bytes of a description, whose variables are bounded too.
const MAX_DESCRIPTION: u64 = 256 << 10;
const MAX_NAME: usize = 80;

/// What is known of an imported root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// 1: the form of this description.
    pub format: u32,
    /// What it was imported from.
    pub source: String,
    /// The digest of its image's manifest, of an older archive its configuration's.
    pub digest: Option<String>,
    /// Variables of its image.
    pub env: Vec<(String, String)>,
    /// Files, folders and links that were made for it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An imported root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedRoot {
    pub name: String,
    /// The folder to name in the settings.
    pub folder: PathBuf,
    pub description: Description,
}

impl ImportedRoot {
    /// Returns the imported root in a folder; `None`: it is another folder, or none.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>, ImportError> {
        let path = folder.join(DESCRIPTION);
        if !path.is_file() || !folder.join(FILES).is_dir() {
            return Ok(None);
        }
        let text = crate::inside::read(folder, DESCRIPTION, MAX_DESCRIPTION);
        let text = text.map_err(|error| ImportError::at(&path, &error))?;
        let description: Description = serde_json::from_slice(&text).map_err(|error| {
            ImportError::new(format!("{}: {error}", path.display())).with_remedy("remove and import it again")
        })?;
        if description.format != 1 {
            let reason = format!("{} has the format {}: 1 is read", path.display(), description.format);
            return Err(ImportError::new(reason).with_remedy("import it again with this version"));
        }
        let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Some(Self { name, folder: folder.to_owned(), description }))
    }
}

/// The folder of a user's imported root file systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    folder: PathBuf,
}

impl Roots {
    /// Returns those in a folder, which is made with the first import.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the user's default folder, by the XDG base directory specification; `None`: neither `XDG_DATA_HOME` nor `HOME` is an
    /// absolute path.
    pub fn default_folder() -> Option<PathBuf> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")))?;
        Some(data.join("switchtower/machine-roots"))
    }

    /// Imports a source. `name`: of the new root; `None`: the digest of the image, or what the source is called. `image`: the name or
    /// digest of the image, where the source has several.
    ///
    /// # Errors
    /// The name is taken or malformed, or the source is damaged, refused, or larger than the limits. Nothing of it is left then.
    pub fn import(
        &self,
        source: &Source,
        name: Option<&str>,
        image: Option<&str>,
        limits: ImportLimits,
    ) -> Result<(ImportedRoot, ImportReport), ImportError> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => default_name(source)?,
        };
        check_name(&name)?;
        let target = self.folder.join(&name);
        let taken = || {
            ImportError::new(format!("there is a root {name} already, at {}", target.display()))
                .with_remedy(format!("take another --name, or `switchtower machine root remove {name}`"))
        };
        if fs::symlink_metadata(&target).is_ok() {
            return Err(taken());
        }
        let staging = self.stage()?;
        let budget = Budget::new(limits);
        let files = make(staging.path().join(FILES))?;
        let (description, report) = import::import(source, image, &files, staging.path(), &budget)?;
        let root = self.complete(&staging, &name, description)?;
        Ok((root.ok_or_else(taken)?, report))
    }

    /// Returns the root file system of an image layout, which is unpacked if that has not been done.
    ///
    /// # Errors
    /// The layout is damaged, refused, has no image for this machine or several, or is larger than the limits.
    pub fn of_layout(&self, layout: &Path, limits: ImportLimits) -> Result<ImportedRoot, ImportError> {
        let image = Image::choose(layout, None)?;
        let name = format!("sha256-{}", image.digest.hex());
        let target = self.folder.join(&name);
        if let Some(unpacked) = ImportedRoot::open(&target)? {
            return Ok(unpacked);
        }
        let staging = self.stage()?;
        let budget = Budget::new(limits);
        let files = make(staging.path().join(FILES))?;
        let source = Source::Path(layout.to_owned());
        let digest = image.digest.to_string();
        let (description, _) = import::unpack_image(layout, &source, Some(&digest), &files, &budget)?;
        match self.complete(&staging, &name, description)? {
            Some(root) => Ok(root),
            // Another process was faster.
            None => ImportedRoot::open(&target)?.ok_or_else(|| {
                ImportError::new(format!("{} is in the way of an unpacked image", target.display()))
                    .with_remedy("remove that folder")
            }),
        }
    }

    /// Returns all imported roots by their names.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<ImportedRoot>, ImportError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ImportError::at(&self.folder, &error)),
        };
        // A damaged one is not usable, and is removed by its name.
        let open = |entry: fs::DirEntry| ImportedRoot::open(&entry.path()).ok().flatten();
        let mut all: Vec<ImportedRoot> = entries.flatten().filter_map(open).collect();
        all.retain(|root| !root.name.starts_with('.'));
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Removes an imported root. Machines that run with it lose their files.
    ///
    /// # Errors
    /// There is none with this name, or it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), ImportError> {
        check_name(name)?;
        let folder = self.folder.join(name);
        if !folder.join(DESCRIPTION).is_file() {
            return Err(ImportError::new(format!("there is no imported root {name} in {}", self.folder.display()))
                .with_remedy("`switchtower machine root list` prints their names"));
        }
        let staging = self.stage()?;
        fs::rename(&folder, staging.path().join("removed")).map_err(|error| ImportError::at(&folder, &error))?;
        let path = staging.path().to_owned();
        drop(staging);
        if path.exists() {
            return Err(ImportError::new(format!("{} could not be removed completely", path.display()))
                .with_remedy("remove it as the user who imported it"));
        }
        Ok(())
    }

    /// Makes a folder for what is not complete yet, and removes those of processes that ended before they had completed theirs.
    fn stage(&self) -> Result<PrivateFolder, ImportError> {
        let failed = |error: io::Error| ImportError::at(&self.folder, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(failed)?;
        PrivateFolder::sweep(&self.folder, STAGING);
        PrivateFolder::create(&self.folder, STAGING).map_err(failed)
    }

    /// Gives a complete root its name, at once. `None`: there is one with this name.
    fn complete(
        &self,
        staging: &PrivateFolder,
        name: &str,
        description: Description,
    ) -> Result<Option<ImportedRoot>, ImportError> {
        let complete = make(staging.path().join("complete"))?;
        let failed = |error: io::Error| ImportError::at(&complete, &error);
        fs::rename(staging.path().join(FILES), complete.join(FILES)).map_err(failed)?;
        let text = serde_json::to_vec_pretty(&description).map_err(ImportError::new)?;
        fs::write(complete.join(DESCRIPTION), text).map_err(failed)?;
        let folder = self.folder.join(name);
        match rustix::fs::renameat_with(
            rustix::fs::CWD,
            &complete,
            rustix::fs::CWD,
            &folder,
            rustix::fs::RenameFlags::NOREPLACE,
        ) {
            Ok(()) => Ok(Some(ImportedRoot { name: name.to_owned(), folder, description })),
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY) => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }
}

/// Makes a folder that only this user enters: the files of a root are of many owners, and some may be written by all.
fn make(path: PathBuf) -> Result<PathBuf, ImportError> {
    let mode = if path.ends_with(FILES) { 0o755 } else { 0o700 };
    DirBuilder::new().mode(mode).create(&path).map_err(|error| ImportError::at(&path, &error))?;
    Ok(path)
}

/// Returns the name of a source's file or folder, without the ends of archives.
fn default_name(source: &Source) -> Result<String, ImportError> {
    let unnamed = || ImportError::new("the root needs a name").with_remedy("add --name NAME");
    let Source::Path(path) = source else { return Err(unnamed()) };
    let path = path.canonicalize().map_err(|error| ImportError::at(path, &error))?;
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(unnamed)?.to_lowercase();
    let ends = [".gz", ".zst", ".tgz", ".tar", ".oci"];
    let name = ends.iter().fold(name.as_str(), |name, end| name.strip_suffix(end).unwrap_or(name));
    Ok(name.to_owned())
}

/// Checks the name of a root, which is one part of a path.
fn check_name(name: &str) -> Result<(), ImportError> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    if starts_well && name.len() <= MAX_NAME && name.bytes().all(is_allowed) {
        return Ok(());
    }
    let reason = format!(
        "{name:?} is not the name of a root: at most {MAX_NAME} of a-z, 0-9, `.`, `_` and `-`, a letter or digit first"
    );
    Err(ImportError::new(reason).with_remedy("take another --name"))
}
