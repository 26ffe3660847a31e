//! Archives and folders of a root file system.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use switchtower_machine_image::Source;
use tar::EntryType;

use crate::harness::{Item, LIMITS, Place, archive, file, folder, gzip, hard_link, item, link, text};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn the_archive_of_a_container_becomes_a_root_with_its_links_times_and_owners() {
    let place = Place::new();
    let items = [
        folder("etc/"),
        Item { owner: (0, 42), mode: 0o640, ..file("etc/shadow", "root:*") },
        folder("usr/"),
        folder("usr/bin/"),
        link("bin", "usr/bin"),
        item(EntryType::Regular, "usr/bin/perl", 0o755, "perl"),
        hard_link("usr/bin/perl5", "usr/bin/perl"),
        // Through the link above, as in a system whose /bin has moved to /usr/bin.
        file("bin/sh", "sh"),
        item(EntryType::Directory, "tmp", 0o1777, ""),
        item(EntryType::Regular, "usr/bin/su", 0o4755, "su"),
        item(EntryType::Char, "dev/null", 0o666, ""),
        item(EntryType::Fifo, "run/pipe", 0o666, ""),
        Item { owner: (70_000, 0), ..file("etc/far", "") },
    ];
    for bytes in [archive(&items), gzip(&archive(&items)), zstd::encode_all(&*archive(&items), 1).unwrap()] {
        let (root, report) = place.import(&bytes).unwrap();
        let files = root.folder.join("rootfs");
        assert_eq!(text(&root, "usr/bin/sh").as_deref(), Some("sh"));
        let found = |path: &str| fs::symlink_metadata(files.join(path)).unwrap();
        assert_eq!((found("usr/bin/perl").nlink(), found("usr/bin/perl").mtime()), (2, 1_000_000_000));
        assert_eq!(found("tmp").mode() & 0o7777, 0o1777);
        assert_eq!(found("usr/bin/su").mode() & 0o7777, 0o755);
        assert!(!files.join("dev/null").exists() && !files.join("run/pipe").exists());
        assert_eq!((report.special_files, report.set_id_files), (2, 1));
        if is_root() {
            assert_eq!((found("etc/shadow").gid(), found("etc/shadow").mode() & 0o777), (42, 0o640));
            // Machines do not have that id.
            assert_eq!((found("etc/far").uid(), report.other_owners), (65534, 1));
        } else {
            assert_eq!(found("etc/shadow").mode() & 0o777, 0o644);
        }
        // Other users of the host do not enter it, whatever its files allow.
        assert_eq!(fs::metadata(&root.folder).unwrap().mode() & 0o777, 0o700);
        place.roots.remove("root").unwrap();
    }
}

#[test]
fn a_folder_is_copied_with_its_links_and_without_its_special_files() {
    let place = Place::new();
    let source = place.path("unpacked");
    fs::create_dir_all(source.join("usr/bin")).unwrap();
    fs::write(source.join("usr/bin/git"), "git").unwrap();
    fs::hard_link(source.join("usr/bin/git"), source.join("usr/bin/git-add")).unwrap();
    symlink("usr/bin", source.join("bin")).unwrap();
    symlink(place.path("outside/secret"), source.join("secret")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    let (root, report) = place.roots.import(&Source::Path(source), None, None, LIMITS).unwrap();
    assert_eq!(root.name, "unpacked");
    assert_eq!(text(&root, "bin/git-add").as_deref(), Some("git"));
    assert_eq!(fs::metadata(root.folder.join("rootfs/usr/bin/git")).unwrap().nlink(), 2);
    // The link is copied, and not what it leads to.
    assert!(fs::symlink_metadata(root.folder.join("rootfs/secret")).unwrap().is_symlink());
    assert_eq!(report.special_files, 1);
}

#[test]
fn what_is_no_root_file_system_is_refused_with_what_to_do() {
    let place = Place::new();
    let below = archive(&[folder("debian/"), folder("debian/usr/"), file("debian/usr/file", "")]);
    for (bytes, reason, remedy) in [
        (below, "it has none of bin, etc", "tar -C FOLDER -cf root.tar ."),
        (archive(&[]), "no files", ""),
        (b"\xfd7zXZ\0".to_vec(), "compressed with xz", "xz -d"),
        (vec![7; 4096], "the archive is damaged, or is none", ""),
        (sparse(), "sparse files in the format of POSIX are not read", ""),
        (archive(&[item(EntryType::new(b'V'), "usr", 0, "")]), "entries of the type 'V' are not known", ""),
    ] {
        let error = place.import(&bytes).unwrap_err();
        assert!(error.reason.contains(reason), "{error:?}");
        assert!(error.remedy.clone().unwrap_or_default().contains(remedy), "{error:?}");
        assert_eq!(place.imported(), [""; 0], "nothing is left");
    }
}

/// Returns an archive with a file as GNU tar writes one with `--sparse --format=posix`: the content begins with a map.
fn sparse() -> Vec<u8> {
    let headers = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n";
    archive(&[item(EntryType::XHeader, "PaxHeaders/file", 0o644, headers), file("GNUSparseFile.0/file", "0\n")])
}

#[test]
fn control_characters_of_names_in_an_archive_do_not_reach_the_terminal() {
    let mut bytes = archive(&[file("\x1b[31mred\x07", "")]);
    // The sum of the header's bytes, which the error is about.
    bytes[148..156].fill(0xff);
    let reason = Place::new().import(&bytes).unwrap_err().reason;
    assert!(reason.contains("red") && !reason.chars().any(|c| c.is_control() && c != '\n'), "{reason:?}");
}

#[test]
fn the_files_of_an_import_by_another_user_than_root_are_readable_for_all_users_of_machines() {
    if is_root() {
        eprintln!("skipped: this test is for other users than root");
        return;
    }
    let place = Place::new();
    let items = [item(EntryType::Directory, "etc", 0o700, ""), item(EntryType::Regular, "etc/key", 0o600, "")];
    let (root, _) = place.import(&archive(&items)).unwrap();
    let mode = |path: &str| fs::metadata(root.folder.join("rootfs").join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("etc"), mode("etc/key")), (0o755, 0o644));
}
