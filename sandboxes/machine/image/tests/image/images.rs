//! Images: layouts, and the older form of `docker save`.

use std::fs;

use serde_json::json;
use switchtower_machine_image::{RootFileSystem, Source};

use crate::harness::{Item, LIMITS, Layout, Place, architectures, archive, digest, file, folder, gzip, link, text};

fn import(
    place: &Place,
    source: impl Into<std::path::PathBuf>,
) -> Result<switchtower_machine_image::ImportedRoot, String> {
    let imported = place.roots.import(&Source::Path(source.into()), Some("root"), None, LIMITS);
    imported.map(|(root, _)| root).map_err(|error| error.to_string())
}

/// Returns layers whose upper ones remove files of lower ones.
fn layers() -> Vec<Vec<Item>> {
    let lower = vec![
        folder("etc/"),
        file("etc/old", "old"),
        file("etc/kept", "kept"),
        folder("opt/"),
        file("opt/lower", "lower"),
        folder("opt/deep/"),
        file("opt/deep/lower", "lower"),
        folder("usr/"),
        folder("usr/lib/"),
        link("lib", "usr/lib"),
    ];
    // A whiteout counts for lower layers alone, wherever in the layer it is.
    let middle = vec![
        file("etc/.wh.old", ""),
        file("opt/upper", "upper"),
        file("opt/deep/.wh.lower", ""),
        file("opt/.wh..wh..opq", ""),
        folder("opt/deep/"),
        file("lib/library", "library"),
        file("etc/new", "new"),
        file("etc/.wh.new", ""),
        file("etc/.wh.never", ""),
    ];
    let upper = vec![file("etc/kept", "changed"), file(".wh..wh.plnk", "")];
    vec![lower, middle, upper]
}

fn check_layers(root: &switchtower_machine_image::ImportedRoot) {
    let found = |path: &str| text(root, path);
    assert_eq!((found("etc/old"), found("etc/kept").as_deref()), (None, Some("changed")));
    assert_eq!(found("etc/new").as_deref(), Some("new"));
    assert_eq!((found("opt/lower"), found("opt/upper").as_deref()), (None, Some("upper")));
    assert!(root.folder.join("rootfs/opt/deep").is_dir() && found("opt/deep/lower").is_none());
    assert_eq!(found("usr/lib/library").as_deref(), Some("library"));
    assert!(!root.folder.join("rootfs/.wh..wh.plnk").exists());
}

#[test]
fn the_image_for_this_machine_is_unpacked_layer_by_layer() {
    let place = Place::new();
    let layout = Layout::new(place.path("layout"));
    let (here, other) = architectures();
    let bytes: Vec<Vec<u8>> = layers().iter().map(|items| archive(items)).collect();
    let all = [("", bytes[0].clone()), ("+gzip", gzip(&bytes[1])), ("+zstd", zstd::encode_all(&*bytes[2], 1).unwrap())];
    let env = ["PATH=/opt/bin:/usr/bin", "PYTHON_VERSION=3.14.1", "HOME=/elsewhere"];
    let mut own = layout.image(here, &env, &all);
    own["platform"] = json!({ "architecture": here, "os": "linux" });
    let mut foreign = layout.image(other, &[], &all[..1]);
    foreign["platform"] = json!({ "architecture": other, "os": "linux" });
    let mut attestation = layout.image("unknown", &[], &[]);
    attestation["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    // An index in the index, as `docker buildx` writes it.
    let inner = layout.inner_index(&[foreign, attestation, own.clone()]);
    layout.index(&[inner]);
    let root = import(&place, &layout.0).unwrap();
    check_layers(&root);
    assert_eq!(root.description.digest.as_deref(), own["digest"].as_str());
    let used = RootFileSystem::unpacked(&root.folder).unwrap().unwrap();
    assert_eq!(used.folder, root.folder.join("rootfs"));
    let env: Vec<&str> = used.env.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(env, ["PATH", "PYTHON_VERSION"]);
}

#[test]
fn a_layout_in_the_settings_is_unpacked_once() {
    let place = Place::new();
    let layout = Layout::new(place.path("layout"));
    let bytes = gzip(&archive(&layers()[0]));
    // Without a platform in the index, as `skopeo copy` writes it.
    layout.index(&[layout.image(architectures().0, &[], &[("+gzip", bytes.clone())])]);
    assert_eq!(RootFileSystem::unpacked(&layout.0).unwrap(), None);
    let first = RootFileSystem::prepare(&layout.0, Some(&place.roots), LIMITS).unwrap();
    assert_eq!(fs::read_to_string(first.folder.join("etc/kept")).unwrap(), "kept");
    fs::remove_file(layout.path(&digest(&bytes))).unwrap();
    assert_eq!(RootFileSystem::prepare(&layout.0, Some(&place.roots), LIMITS).unwrap(), first);
    assert_eq!(place.imported().len(), 1);
    let error = RootFileSystem::prepare(&layout.0, None, LIMITS).unwrap_err();
    assert!(error.remedy.unwrap().contains("machine.roots_folder"));
}

#[test]
fn a_blob_that_has_not_its_digest_is_refused_before_anything_of_it_is_unpacked() {
    for (nth, name) in ["layer", "config", "manifest"].into_iter().enumerate() {
        let place = Place::new();
        let layout = Layout::new(place.path("layout"));
        let bytes = archive(&layers()[0]);
        let image = layout.image(architectures().0, &[], &[("", bytes.clone())]);
        layout.index(std::slice::from_ref(&image));
        let manifest = image["digest"].as_str().unwrap().to_owned();
        let document: serde_json::Value = serde_json::from_slice(&fs::read(layout.path(&manifest)).unwrap()).unwrap();
        let config = document["config"]["digest"].as_str().unwrap().to_owned();
        let damaged = [digest(&bytes), config, manifest][nth].clone();
        let mut content = fs::read(layout.path(&damaged)).unwrap();
        content.push(b' ');
        fs::write(layout.path(&damaged), content).unwrap();
        let why = import(&place, &layout.0).unwrap_err();
        assert!(why.contains("is damaged: its digest is") && why.contains(&damaged), "{name}: {why}");
        assert_eq!(place.imported(), [""; 0]);
    }
}

#[test]
fn an_image_that_does_not_fit_is_refused_with_those_that_are_there() {
    let place = Place::new();
    let layout = Layout::new(place.path("layout"));
    let (here, other) = architectures();
    let name = |mut image: serde_json::Value, name: &str| {
        image["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        image
    };
    let layer = |text: &str| vec![("", archive(&[folder("etc/"), file("etc/name", text)]))];
    let foreign = name(layout.image(other, &[], &layer("foreign")), "example:foreign");
    layout.index(std::slice::from_ref(&foreign));
    let why = import(&place, &layout.0).unwrap_err();
    assert!(why.contains(&format!("no image for linux/{here}; its images: example:foreign (linux/{other})")), "{why}");
    let [one, two] = ["one", "two"].map(|text| name(layout.image(here, &[], &layer(text)), &format!("example:{text}")));
    layout.index(&[one, two, foreign]);
    let why = import(&place, &layout.0).unwrap_err();
    assert!(why.contains("has 2 images") && why.contains("example:one") && why.contains("example:two"), "{why}");
    let source = Source::Path(layout.0.clone());
    let (root, _) = place.roots.import(&source, Some("root"), Some("example:two"), LIMITS).unwrap();
    assert_eq!(text(&root, "etc/name").as_deref(), Some("two"));
    let encrypted = layout.image(here, &[], &[("+gzip+encrypted", archive(&layers()[0]))]);
    layout.index(&[encrypted]);
    let error = place.roots.import(&source, Some("other"), None, LIMITS).unwrap_err();
    assert!(error.reason.contains("+gzip+encrypted") && error.remedy.unwrap().contains("skopeo copy"));
}

/// Returns an archive of a folder's files.
fn archive_of(folder: &std::path::Path) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", folder).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn the_archive_of_a_layout_is_its_image() {
    let place = Place::new();
    let layout = Layout::new(place.path("layout"));
    let all: Vec<(&str, Vec<u8>)> = layers().iter().map(|items| ("+gzip", gzip(&archive(items)))).collect();
    layout.index(&[layout.image(architectures().0, &[], &all)]);
    fs::write(place.path("image.tar"), archive_of(&layout.0)).unwrap();
    let root = import(&place, place.path("image.tar")).unwrap();
    check_layers(&root);
    assert_eq!(place.imported(), ["root"], "the archive's own files are not left");
}

#[test]
fn the_older_archive_of_docker_save_is_its_image_if_its_layers_have_their_digests() {
    for damaged in [false, true] {
        let place = Place::new();
        let saved = place.path("saved");
        let (mut paths, mut digests) = (Vec::new(), Vec::new());
        for (number, items) in layers().iter().enumerate() {
            let bytes = archive(items);
            let path = format!("{number}/layer.tar");
            fs::create_dir_all(saved.join(number.to_string())).unwrap();
            fs::write(saved.join(&path), &bytes).unwrap();
            digests.push(if damaged { digest(b"other") } else { digest(&bytes) });
            paths.push(path);
        }
        let config = json!({
            "architecture": architectures().0, "os": "linux", "config": { "Env": ["A=1"] },
            "rootfs": { "type": "layers", "diff_ids": digests },
        });
        fs::write(saved.join("config.json"), config.to_string()).unwrap();
        let manifest = json!([{ "Config": "config.json", "RepoTags": ["example:latest"], "Layers": paths }]);
        fs::write(saved.join("manifest.json"), manifest.to_string()).unwrap();
        fs::write(place.path("image.tar"), archive_of(&saved)).unwrap();
        match import(&place, place.path("image.tar")) {
            Ok(root) => {
                assert!(!damaged);
                check_layers(&root);
                assert_eq!(root.description.env, [("A".to_owned(), "1".to_owned())]);
            }
            Err(why) => assert!(damaged && why.contains("is damaged: its digest is"), "{why}"),
        }
    }
}
