//! Imports: what a source is, and how it becomes the files of a root.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::archive::{self, Kind};
use crate::docker::{self, SavedImage};
use crate::error::ImportError;
use crate::folder;
use crate::layout::{self, Image};
use crate::limits::{Budget, ImportReport};
use crate::store::Description;
use crate::tree::Tree;

/// Folders of which a root file system has at least one.
const OF_ROOTS: [&str; 6] = ["bin", "etc", "lib", "sbin", "usr", "nix"];

/// What is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An archive, an image layout, or a folder with a root file system.
    Path(PathBuf),
    /// The standard input: an archive.
    Stdin,
}

impl std::fmt::Display for Source {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(to, "{}", path.display()),
            Self::Stdin => write!(to, "standard input"),
        }
    }
}

/// Imports a source to `files`, an empty folder. `staging`: an empty folder for what is not kept. `image`: the name or digest of the image,
/// where there are several.
pub(crate) fn import(
    source: &Source,
    image: Option<&str>,
    files: &Path,
    staging: &Path,
    budget: &Rc<Budget>,
) -> Result<(Description, ImportReport), ImportError> {
    let path = match source {
        Source::Stdin => return import_archive(&mut io::stdin().lock(), source, image, files, staging, budget),
        Source::Path(path) => path,
    };
    let found = fs::metadata(path).map_err(|error| ImportError::at(path, &error))?;
    if !found.is_dir() {
        let mut file = File::open(path).map_err(|error| ImportError::at(path, &error))?;
        return import_archive(&mut file, source, image, files, staging, budget);
    }
    if is_image(path) {
        return unpack_image(path, source, image, files, budget);
    }
    refuse_image_name(image)?;
    let mut tree = open(files, budget)?;
    folder::copy(path, &mut tree, budget)?;
    let remedy = format!("name the folder whose subfolders are bin, etc, usr …, as in `{}/FOLDER`", path.display());
    check_root(files, &remedy)?;
    Ok((describe(source, None, Vec::new(), &tree.report()), tree.report()))
}

/// Unpacks an archive, which is a root file system or has the files of an image.
fn import_archive(
    reader: &mut dyn Read,
    source: &Source,
    image: Option<&str>,
    files: &Path,
    staging: &Path,
    budget: &Rc<Budget>,
) -> Result<(Description, ImportReport), ImportError> {
    let mut tree = open(files, budget)?;
    if archive::unpack(reader, Kind::Root, &mut tree, budget)? == 0 {
        return Err(ImportError::new("the archive has no files"));
    }
    if is_image(files) {
        // Only now it is known that these are no files of a root.
        let failed = |error: io::Error| ImportError::at(staging, &error);
        let unpacked = staging.join("archive");
        fs::rename(files, &unpacked).map_err(failed)?;
        fs::create_dir(files).map_err(failed)?;
        let imported = unpack_image(&unpacked, source, image, files, &budget.again());
        switchtower_worker::private_folder::remove_tree(&unpacked);
        return imported;
    }
    refuse_image_name(image)?;
    check_root(files, "make the archive of the files in the folder: `tar -C FOLDER -cf root.tar .`")?;
    Ok((describe(source, None, Vec::new(), &tree.report()), tree.report()))
}

fn is_image(folder: &Path) -> bool {
    layout::is_layout(folder) || docker::is_saved(folder)
}

/// Unpacks the layers of an image, whose files are in a folder.
pub(crate) fn unpack_image(
    folder: &Path,
    source: &Source,
    image: Option<&str>,
    files: &Path,
    budget: &Rc<Budget>,
) -> Result<(Description, ImportReport), ImportError> {
    let mut tree = open(files, budget)?;
    let (digest, env) = if layout::is_layout(folder) {
        let image = Image::choose(folder, image)?;
        image.unpack(&mut tree, budget)?;
        (image.digest.to_string(), image.config.env()?)
    } else {
        let image = SavedImage::choose(folder, image)?;
        image.unpack(&mut tree, budget)?;
        (image.digest.to_string(), image.config.env()?)
    };
    check_root(files, "choose an image that has programs")?;
    Ok((describe(source, Some(digest), env, &tree.report()), tree.report()))
}

fn open(files: &Path, budget: &Rc<Budget>) -> Result<Tree, ImportError> {
    Tree::open(files, budget).map_err(|error| ImportError::at(files, &error))
}

fn describe(source: &Source, digest: Option<String>, env: Vec<(String, String)>, report: &ImportReport) -> Description {
    Description { format: 1, source: source.to_string(), digest, env, files: report.files, bytes: report.bytes }
}

fn refuse_image_name(image: Option<&str>) -> Result<(), ImportError> {
    let Some(image) = image else { return Ok(()) };
    Err(ImportError::new(format!("there is no image {image}: the source is a root file system without images"))
        .with_remedy("leave out --image"))
}

fn check_root(files: &Path, remedy: &str) -> Result<(), ImportError> {
    if OF_ROOTS.iter().any(|name| fs::symlink_metadata(files.join(name)).is_ok()) {
        return Ok(());
    }
    let reason = format!("it is not a root file system: it has none of {}", OF_ROOTS.join(", "));
    Err(ImportError::new(reason).with_remedy(remedy))
}
