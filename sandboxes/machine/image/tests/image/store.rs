//! The imported roots of a user.

use std::fs;

use switchtower_machine_image::{RootFileSystem, Source};

use crate::harness::{LIMITS, Place, archive, file, folder};

#[test]
fn an_import_that_was_interrupted_leaves_nothing_behind_the_next_one() {
    let place = Place::new();
    // What a killed process leaves.
    fs::create_dir_all(place.path("roots/.staging-killed/rootfs/etc")).unwrap();
    assert!(place.roots.list().unwrap().is_empty());
    place.import(&archive(&[folder("etc/")])).unwrap();
    assert_eq!(place.imported(), ["root"]);
}

#[test]
fn imported_roots_have_names_of_their_own_and_are_removed_by_them() {
    let place = Place::new();
    let bytes = archive(&[folder("etc/"), file("etc/file", "1")]);
    let (root, _) = place.import(&bytes).unwrap();
    let taken = place.import(&bytes).unwrap_err();
    assert!(taken.reason.contains("there is a root root already") && taken.remedy.unwrap().contains("remove root"));
    assert_eq!(place.roots.list().unwrap(), [root]);
    let source = Source::Path(place.path("archive.tar"));
    for name in ["", "..", ".hidden", "a/b", "Upper", "-x", &"n".repeat(81)] {
        let error = place.roots.import(&source, Some(name), None, LIMITS).unwrap_err();
        assert!(error.reason.contains("is not the name of a root"), "{error}");
        assert!(place.roots.remove(name).is_err());
    }
    // What is in the folder and no imported root is not removed.
    fs::create_dir(place.path("roots/other")).unwrap();
    assert!(place.roots.remove("other").unwrap_err().reason.contains("there is no imported root other"));
    let (named, _) = place.roots.import(&source, None, None, LIMITS).unwrap();
    assert_eq!(named.name, "archive");
    for name in ["root", "archive"] {
        place.roots.remove(name).unwrap();
    }
    assert_eq!(place.imported(), ["other"]);
}

#[test]
fn a_root_in_the_settings_that_is_none_is_refused_with_what_to_do() {
    let place = Place::new();
    let missing = RootFileSystem::unpacked(&place.path("missing")).unwrap_err();
    assert!(missing.reason.contains("is not a folder") && missing.remedy.unwrap().contains("machine root import"));
    fs::write(place.path("root.tar"), "").unwrap();
    let file = RootFileSystem::unpacked(&place.path("root.tar")).unwrap_err();
    assert!(file.remedy.unwrap().contains("root.tar` unpacks an archive"));
    let plain = RootFileSystem::unpacked(&place.path("outside")).unwrap().unwrap();
    assert_eq!((plain.folder, plain.env.len()), (place.path("outside"), 0));
}
