//! Root file systems of local machines: imports them from image layouts, archives and folders, and keeps what it has unpacked.
//!
//! # What is trusted, and what is not
//!
//! An archive or image may be hostile. Whatever it contains, nothing outside of the target folder is written, removed or read:
//! every path is resolved by the kernel below the open target folder, as if that were `/` (`RESOLVE_IN_ROOT` of openat2(2)), so
//! that links of the archive itself lead to places inside of it. Paths with `..` are refused. Device nodes, sockets and
//! pipes are left out, set-user-id and set-group-id bits of files are taken away, and no extended attributes are kept. The bytes,
//! the number of files, the depth of folders, the size of headers and of documents are bounded. Every blob of an image is held
//! against its SHA-256 before anything of it is unpacked.
//!
//! Signatures of images are not checked: the digest of a manifest says what was unpacked, not who made it.
#![cfg(target_os = "linux")]

mod archive;
mod compression;
mod config;
mod docker;
mod error;
mod folder;
mod import;
mod inside;
mod layer;
mod layout;
mod limits;
mod root;
mod store;
mod tree;

pub use error::ImportError;
pub use import::Source;
pub use inside::{exists as exists_inside, read as read_inside};
pub use limits::{ImportLimits, ImportReport};
pub use root::RootFileSystem;
pub use store::{Description, ImportedRoot, Roots};
