//! Archives that try to leave their folder: nothing outside of it changes, whatever they contain.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use proptest::prelude::*;
use switchtower_machine_image::Source;
use tar::EntryType;

use crate::harness::{
    Item, LIMITS, Layout, Place, architectures, archive, contents, file, folder, gzip, hard_link, item, link, text,
};

/// The beginning of every archive, so that what follows decides.
fn start() -> Vec<Item> {
    vec![folder("usr/"), file("usr/file", "own")]
}

/// Imports an archive that begins like every root. Returns what was imported, or why it is refused.
fn import(place: &Place, items: &[Item]) -> Result<String, String> {
    let before = place.outside();
    let imported = place.import(&archive(&[start(), items.to_vec()].concat()));
    let mut after = place.outside();
    after.retain(|path, _| {
        before.contains_key(path) || !["archive.tar", "roots"].map(|name| place.path(name)).contains(path)
    });
    assert_eq!(before, after, "{items:?}");
    match imported {
        Ok((root, _)) => Ok(format!("{:?}", contents(&root.folder.join("rootfs")))),
        Err(error) => {
            assert_eq!(place.imported(), [""; 0], "nothing is left of {items:?}");
            Err(error.to_string())
        }
    }
}

#[test]
fn paths_with_parents_are_refused() {
    for path in ["../outside/secret", "usr/../../outside/secret", "/../outside/secret", ".."] {
        let place = Place::new();
        let why = import(&place, &[file(path, "hostile")]).unwrap_err();
        assert!(why.contains("a path with `..` is refused"), "{why}");
        let why = import(&place, &[hard_link("usr/stolen", path)]).unwrap_err();
        assert!(why.contains("a path with `..` is refused"), "{why}");
    }
}

#[test]
fn links_of_the_archive_lead_to_places_in_it() {
    let place = Place::new();
    let outside = place.path("outside").display().to_string();
    let depth = "../".repeat(12);
    for target in [outside.clone(), format!("{depth}{}", outside.trim_start_matches('/'))] {
        let place = Place::new();
        // The link leads to nothing in the root: a file through it is refused.
        let why = import(&place, &[link("usr/way", &target), file("usr/way/secret", "hostile")]).unwrap_err();
        assert!(why.contains("is a link to nothing"), "{why}");
        // It leads to a folder of the root.
        let place = Place::new();
        let inside = &outside[1..];
        import(&place, &[folder(inside), link("usr/way", &target), file("usr/way/secret", "own")]).unwrap();
        let path = place.path("roots/root/rootfs").join(inside).join("secret");
        assert_eq!(fs::read_to_string(path).unwrap(), "own");
    }
    // A file in the place of a link replaces it, and is not written through it.
    let target = format!("{outside}/secret");
    import(&place, &[link("usr/secret", &target), file("usr/secret", "own")]).unwrap();
    assert_eq!(fs::read_to_string(place.path("roots/root/rootfs/usr/secret")).unwrap(), "own");
}

#[test]
fn hard_links_share_files_of_the_root_alone() {
    let place = Place::new();
    let secret = place.path("outside/secret").display().to_string();
    assert!(import(&place, &[hard_link("usr/stolen", &secret)]).unwrap_err().contains("usr/stolen"));
    let way =
        [link("usr/way", &place.path("outside").display().to_string()), hard_link("usr/stolen", "usr/way/secret")];
    assert!(import(&place, &way).unwrap_err().contains("usr/stolen"));
    assert!(import(&place, &[hard_link("usr/stolen", "usr")]).unwrap_err().contains("a hard link to a folder"));
    // A hard link to a link is one to the link.
    import(&place, &[link("usr/way", &secret), hard_link("usr/stolen", "usr/way"), file("usr/stolen", "own")]).unwrap();
    let root = place.roots.list().unwrap().remove(0);
    assert_eq!(text(&root, "usr/stolen").as_deref(), Some("own"));
}

#[test]
fn the_folder_above_a_file_may_be_replaced_meanwhile() {
    let place = Place::new();
    let outside = place.path("outside").display().to_string();
    let items = [folder("usr/a"), file("usr/a/one", "1"), link("usr/a", &outside), file("usr/a/secret", "hostile")];
    assert!(import(&place, &items).unwrap_err().contains("is a link to nothing"));
    let items = [folder("usr/a"), file("usr/a/one", "1"), file("usr/a", "file"), file("usr/a/two", "2")];
    assert!(import(&place, &items).unwrap_err().contains("usr/a/two"));
}

#[test]
fn folders_that_links_make_deeper_than_any_path_are_refused() {
    let chain = vec!["d"; 20].join("/");
    let mut items = vec![folder(&format!("usr/{chain}")), link("usr/l0", &chain)];
    for number in 1..20 {
        // Each link leads 20 folders deeper than the one before it, by a short path.
        items.push(folder(&format!("usr/l{}/{chain}", number - 1)));
        items.push(link(&format!("usr/l{number}"), &format!("l{}/{chain}", number - 1)));
    }
    let why = import(&Place::new(), &items).unwrap_err();
    assert!(why.contains("a folder is deeper than 200 folders"), "{why}");
}

/// Returns a layout whose image has these layers.
fn layout(place: &Place, layers: &[Vec<Item>]) -> std::path::PathBuf {
    let layout = Layout::new(place.path("layout"));
    let layers: Vec<(&str, Vec<u8>)> = layers.iter().map(|items| ("+gzip", gzip(&archive(items)))).collect();
    let image = layout.image(architectures().0, &[], &layers);
    layout.index(&[image]);
    layout.0
}

#[test]
fn whiteouts_remove_nothing_outside_of_the_root() {
    for hostile in [".wh...", ".wh..", ".wh.", "usr/.wh...", "usr/way/.wh.secret", "usr/way/.wh..wh..opq"] {
        let place = Place::new();
        let outside = place.path("outside").display().to_string();
        let layers = [[start(), vec![link("usr/way", &outside)]].concat(), vec![file(hostile, "")]];
        let source = layout(&place, &layers);
        let before = contents(&place.path("outside"));
        let imported = place.roots.import(&Source::Path(source), Some("root"), None, LIMITS);
        assert_eq!(before, contents(&place.path("outside")), "{hostile}");
        match imported {
            Ok((root, _)) => assert_eq!(text(&root, "usr/file").as_deref(), Some("own"), "{hostile}"),
            Err(error) => assert!(error.reason.contains("a whiteout without a name"), "{hostile}: {error}"),
        }
    }
}

/// Returns the parts that paths and targets are made of.
fn part() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "usr",
        "a",
        "b",
        "way",
        "..",
        ".",
        "",
        "file",
        ".wh.a",
        ".wh.way",
        ".wh..wh..opq",
        ".wh...",
        ".wh.",
        "outside",
        "secret",
    ])
}

fn any_item(outside: String) -> impl Strategy<Value = Item> {
    let path = prop::collection::vec(part(), 1..4).prop_map(|parts| parts.join("/"));
    let kind = prop::sample::select(vec![
        EntryType::Directory,
        EntryType::Regular,
        EntryType::Regular,
        EntryType::Symlink,
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Fifo,
    ]);
    let target = prop_oneof![
        prop::collection::vec(part(), 1..4).prop_map(|parts| parts.join("/")),
        Just(outside.clone()),
        Just(format!("{outside}/secret")),
        Just("../../../outside".to_owned()),
        Just("../../../../outside/secret".to_owned()),
    ];
    let absolute = prop::bool::weighted(0.2);
    (path, kind, 0_u32..0o10000, target, absolute).prop_map(|(path, kind, mode, target, absolute)| {
        let path = if absolute { format!("/{path}") } else { path };
        let text = if kind == EntryType::Regular { "hostile".to_owned() } else { target };
        item(kind, &path, mode, &text)
    })
}

/// Imports by both ways, and checks that only the root has changed, that nothing is left of a refused import, and that an imported root
/// has no special files and no rights to gain.
fn check(place: &Place, source: Source) {
    let before = place.outside();
    let imported = place.roots.import(&source, Some("root"), None, LIMITS);
    let mut after = place.outside();
    after.remove(&place.path("roots"));
    let mut before = before;
    before.remove(&place.path("roots"));
    assert_eq!(before, after);
    let Ok((root, _)) = imported else {
        assert_eq!(place.imported(), [""; 0]);
        return;
    };
    let mut waiting = vec![root.folder.join("rootfs")];
    while let Some(here) = waiting.pop() {
        for entry in fs::read_dir(here).unwrap().flatten() {
            let found = fs::symlink_metadata(entry.path()).unwrap();
            let kind = found.file_type();
            assert!(!kind.is_char_device() && !kind.is_block_device() && !kind.is_fifo() && !kind.is_socket());
            assert!(kind.is_dir() || kind.is_symlink() || found.mode() & 0o6000 == 0, "{:?}", entry.path());
            if kind.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    place.roots.remove("root").unwrap();
    assert_eq!(place.imported(), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_archive_changes_anything_outside_of_its_root(seed in prop::collection::vec(any_item("/OUTSIDE".to_owned()), 1..14)) {
        let place = Place::new();
        let outside = place.path("outside").display().to_string();
        let items: Vec<Item> =
            seed.into_iter().map(|item| Item { text: item.text.replace("/OUTSIDE", &outside), ..item }).collect();
        let bytes = archive(&[start(), items.clone()].concat());
        fs::write(place.path("archive.tar"), bytes).unwrap();
        check(&place, Source::Path(place.path("archive.tar")));
        // The same in layers, where names may be whiteouts.
        let (lower, upper) = items.split_at(items.len() / 2);
        let source = layout(&place, &[start(), lower.to_vec(), upper.to_vec()]);
        check(&place, Source::Path(source));
    }

    #[test]
    fn no_bytes_make_an_import_panic(mut noise in prop::collection::vec(any::<(u16, u8)>(), 0..40), cut in any::<u16>()) {
        let place = Place::new();
        let mut bytes = archive(&[start(), vec![link("usr/l", "file"), hard_link("usr/h", "usr/file")]].concat());
        for (at, value) in noise.drain(..) {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - usize::from(cut) % bytes.len());
        fs::write(place.path("archive.tar"), bytes).unwrap();
        check(&place, Source::Path(place.path("archive.tar")));
    }
}
