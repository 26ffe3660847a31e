//! Archives of files: of a whole root file system, or of one layer of an image.

use std::io::{self, Read};
use std::rc::Rc;

use tar::{Archive, Entry, EntryType};

use crate::compression::decompress;
use crate::error::ImportError;
use crate::limits::{Budget, Counted};
use crate::tree::{EntryPath, Meta, Tree};

/// The beginning of the names by which a layer removes files of lower ones, as the image specification of OCI has it.
const WHITEOUT: &[u8] = b".wh.";
/// The rest of the name by which a layer removes all that lower ones have in a folder.
const OPAQUE: &[u8] = b".wh..opq";
/// The rest of other names that begin twice like a whiteout: they are notes of a file system and no files.
const NOTE: &[u8] = b".wh.";

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The files of a root: every name is a file's.
    Root,
    /// A layer of an image, with whiteouts for files of lower ones.
    Layer,
}

/// Unpacks an archive to a tree. Returns the number of its entries.
///
/// # Errors
/// It is damaged, refused, or larger than the limits.
pub(crate) fn unpack(reader: impl Read, kind: Kind, tree: &mut Tree, budget: &Rc<Budget>) -> Result<u64, ImportError> {
    for_each(reader, budget, |entry| {
        check_not_sparse(entry)?;
        let Some(path) = EntryPath::parse(&entry.path_bytes())? else { return Ok(()) };
        if kind == Kind::Layer && path.name.starts_with(WHITEOUT) {
            return Ok(());
        }
        add(entry, &path, tree)
    })
}

/// Removes from a tree what a layer has whiteouts for. It comes before the layer's own files, to which whiteouts do not apply.
///
/// # Errors
/// It is damaged, refused, or larger than the limits.
pub(crate) fn apply_whiteouts(reader: impl Read, tree: &mut Tree, budget: &Rc<Budget>) -> Result<u64, ImportError> {
    for_each(reader, budget, |entry| {
        let Some(path) = EntryPath::parse(&entry.path_bytes())? else { return Ok(()) };
        match path.name.strip_prefix(WHITEOUT) {
            None => Ok(()),
            Some(OPAQUE) => tree.empty_folder_of(&path),
            Some(note) if note.starts_with(NOTE) => Ok(()),
            Some(b"" | b"." | b"..") => Err(io::Error::other("a whiteout without a name is refused")),
            Some(name) => tree.remove(&path.sibling(name)),
        }
    })
}

/// Calls a function with each entry, after which its content is read to its end.
fn for_each<'a>(
    reader: impl Read + 'a,
    budget: &Rc<Budget>,
    mut act: impl FnMut(&mut Entry<'_, Counted<Box<dyn Read + 'a>>>) -> io::Result<()>,
) -> Result<u64, ImportError> {
    budget.begin_pass();
    let mut archive = Archive::new(Counted::new(decompress(reader)?, budget));
    let mut count = 0;
    let damaged =
        |error: io::Error| budget.explain(|| ImportError::new(format!("the archive is damaged, or is none: {error}")));
    let mut entries = archive.entries().map_err(damaged)?;
    loop {
        // Long names and extended headers are read to memory.
        budget.expect_headers();
        let Some(entry) = entries.next() else { return Ok(count) };
        let mut entry = entry.map_err(damaged)?;
        count += 1;
        budget.expect_content();
        let acted = act(&mut entry);
        acted.map_err(|error| {
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            budget.explain(|| ImportError::new(format!("{path:?} cannot be unpacked: {error}")))
        })?;
        io::copy(&mut entry, &mut io::sink()).map_err(damaged)?;
    }
}

/// Checks that an entry is no sparse file in the format of POSIX, as GNU tar writes it with `--sparse --format=posix`: its name and its
/// content stand for others, which the headers `GNU.sparse` describe.
fn check_not_sparse<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<()> {
    let Some(headers) = entry.pax_extensions()? else { return Ok(()) };
    for header in headers {
        if header?.key_bytes().starts_with(b"GNU.sparse.") {
            return Err(io::Error::other(
                "sparse files in the format of POSIX are not read: make the archive with --format=gnu, or without --sparse",
            ));
        }
    }
    Ok(())
}

fn add<R: Read>(entry: &mut Entry<'_, R>, path: &EntryPath, tree: &mut Tree) -> io::Result<()> {
    let header = entry.header();
    let meta = Meta {
        user: header.uid()?,
        group: header.gid()?,
        mode: header.mode()?,
        modified: header.mtime().unwrap_or_default(),
    };
    match header.entry_type() {
        EntryType::Directory => tree.add_folder(path, meta),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => tree.add_file(path, meta, entry),
        EntryType::Symlink => {
            let target = entry.link_name_bytes().ok_or_else(|| io::Error::other("a link without a target"))?;
            tree.add_link(path, &target, meta)
        }
        EntryType::Link => {
            let target = entry.link_name_bytes().ok_or_else(|| io::Error::other("a hard link without a target"))?;
            let target = EntryPath::parse(&target)?.ok_or_else(|| io::Error::other("a hard link to the root"))?;
            tree.add_hard_link(path, &target)
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo => {
            tree.report.special_files += 1;
            Ok(())
        }
        // A comment for the whole archive, as `git archive` writes one.
        EntryType::XGlobalHeader => Ok(()),
        other => Err(io::Error::other(format!("entries of the type {:?} are not known", char::from(other.as_byte())))),
    }
}
