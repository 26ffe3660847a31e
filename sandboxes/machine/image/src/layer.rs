//! Blobs of an image, held against their digests before they are used.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::Path;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::archive::{self, Kind};
use crate::compression::decompress;
use crate::error::ImportError;
use crate::inside;
use crate::limits::{Budget, Counted};
use crate::tree::Tree;

/// Most bytes of a document.
const MAX_DOCUMENT: u64 = 4 << 20;
/// Most layers of an image; Docker allows 127.
pub(crate) const MAX_LAYERS: usize = 512;
const BUFFER: usize = 256 << 10;

/// A SHA-256 digest in lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest(String);

impl Digest {
    /// Reads a digest such as `sha256:e3b0…`.
    ///
    /// # Errors
    /// It is malformed, or of another algorithm.
    pub(crate) fn parse(text: &str) -> Result<Self, ImportError> {
        let hex = text
            .strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        let hex =
            hex.ok_or_else(|| ImportError::new(format!("{text:?} is not the digest of a blob: sha256 is read")))?;
        Ok(Self(hex.to_owned()))
    }

    /// Returns the hexadecimal digits.
    pub(crate) fn hex(&self) -> &str {
        &self.0
    }

    /// Returns the digest of what a reader has, and how many bytes that is.
    pub(crate) fn of(mut reader: impl Read) -> io::Result<(Self, u64)> {
        let (mut hasher, mut buffer, mut bytes) = (Sha256::new(), vec![0; BUFFER], 0);
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                let hex = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
                return Ok((Self(hex), bytes));
            }
            hasher.update(&buffer[..count]);
            bytes += count as u64;
        }
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "sha256:{}", self.0)
    }
}

/// Reads a document in JSON below a folder.
///
/// # Errors
/// It cannot be read, is too large, does not have the digest, or is malformed.
pub(crate) fn document<T: DeserializeOwned>(
    folder: &Path,
    path: &Path,
    digest: Option<&Digest>,
) -> Result<T, ImportError> {
    let shown = folder.join(path);
    let text = inside::read(folder, path, MAX_DOCUMENT).map_err(|error| ImportError::at(&shown, &error))?;
    if let Some(digest) = digest {
        let (found, _) = Digest::of(&*text).map_err(|error| ImportError::at(&shown, &error))?;
        check(&shown, digest, &found)?;
    }
    serde_json::from_slice(&text).map_err(|error| ImportError::new(format!("{}: {error}", shown.display())))
}

fn check(path: &Path, expected: &Digest, found: &Digest) -> Result<(), ImportError> {
    if expected == found {
        return Ok(());
    }
    let reason = format!("{} is damaged: its digest is {found} in place of {expected}", path.display());
    Err(ImportError::new(reason).with_remedy("get the image again"))
}

/// Of which bytes of a layer a digest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DigestOf {
    Blob,
    /// The archive before compression.
    Archive,
}

/// Unpacks a layer onto those below, if it has the digest.
///
/// # Errors
/// It cannot be read, does not have the digest, is damaged, refused, or larger than the limits.
pub(crate) fn unpack(
    folder: &Path,
    path: &Path,
    digest: (&Digest, DigestOf),
    tree: &mut Tree,
    budget: &Rc<Budget>,
) -> Result<(), ImportError> {
    let shown = folder.join(path);
    let failed = |error: io::Error| budget.explain(|| ImportError::at(&shown, &error));
    let mut file: File = inside::open_file(folder, path).map_err(failed)?;
    let found = match digest.1 {
        DigestOf::Blob => Digest::of(&mut file),
        DigestOf::Archive => {
            budget.begin_pass();
            Digest::of(Counted::new(decompress(&mut file)?, budget))
        }
    };
    check(&shown, digest.0, &found.map_err(failed)?.0)?;
    let of_layer =
        |error: ImportError| ImportError { reason: format!("{}: {}", shown.display(), error.reason), ..error };
    file.rewind().map_err(failed)?;
    archive::apply_whiteouts(&mut file, tree, budget).map_err(of_layer)?;
    file.rewind().map_err(failed)?;
    archive::unpack(&mut file, Kind::Layer, tree, budget).map_err(of_layer)?;
    Ok(())
}
