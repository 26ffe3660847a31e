//! Archives that would fill the disk or the memory.

use std::io::Write as _;

use tar::{EntryType, Header};

use crate::harness::{LIMITS, Place, archive, file, folder, gzip};

/// Returns the header of an entry with this size.
fn header(kind: EntryType, path: &str, size: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(path).unwrap();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn refused(bytes: &[u8]) -> switchtower_machine_image::ImportError {
    let place = Place::new();
    let error = place.import(bytes).unwrap_err();
    assert_eq!(place.imported(), [""; 0], "nothing is left");
    error
}

#[test]
fn a_small_archive_that_becomes_large_is_refused() {
    let mut large = archive(&[folder("etc/")]);
    large.truncate(512);
    large.extend(header(EntryType::Regular, "etc/large", LIMITS.bytes + 1));
    large.resize(large.len() + LIMITS.bytes as usize + 1024, 0);
    for bytes in [gzip(&large), zstd::encode_all(&*large, 1).unwrap()] {
        assert!(bytes.len() < 100_000);
        let error = refused(&bytes);
        assert!(error.reason.contains("more than 8388608 bytes"), "{error}");
        assert!(error.remedy.unwrap().contains("--max-bytes"));
    }
}

#[test]
fn a_sparse_file_counts_with_its_holes() {
    // A hole before the last bytes, as the GNU form of sparse files writes it.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_path("etc/sparse").unwrap();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(512);
    let raw = header.as_gnu_mut().unwrap();
    let size = 1_u64 << 32;
    raw.sparse[0].offset.copy_from_slice(format!("{:011o}\0", size - 512).as_bytes());
    raw.sparse[0].numbytes.copy_from_slice(format!("{:011o}\0", 512).as_bytes());
    raw.realsize.copy_from_slice(format!("{size:011o}\0").as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(bytes.len() + 512 + 1024, 0);
    assert!(refused(&bytes).reason.contains("bytes"));
}

#[test]
fn too_many_files_are_refused_also_those_that_only_a_path_names() {
    let many: Vec<_> = (0..=LIMITS.files).map(|number| file(&format!("etc/{number}"), "")).collect();
    let error = refused(&archive(&many));
    assert!(error.reason.contains("more than 2000 files"), "{error}");
    assert!(error.remedy.unwrap().contains("--max-files"));
    let deep: Vec<_> = (0..400).map(|number| file(&format!("etc/{number}/a/b/c/d/e/f"), "")).collect();
    assert!(refused(&archive(&deep)).reason.contains("more than 2000 files"));
}

#[test]
fn headers_are_read_to_memory_up_to_a_bound() {
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let mut bytes = header(kind, "long", 4 << 20);
        bytes.resize(bytes.len() + (4 << 20), b'a');
        let error = refused(&bytes);
        assert!(error.reason.contains("a header of more than 1048576 bytes"), "{kind:?}: {error}");
    }
    // The size alone says nothing: the bytes do not follow.
    let mut bytes = header(EntryType::GNULongName, "long", 1 << 40);
    bytes.write_all(&[b'a'; 1024]).unwrap();
    refused(&bytes);
}
