//! Checks the layers of this crate: the APIs are built on [`service`](crate::service), and no API imports another.

use std::fs;
use std::path::{Path, PathBuf};

/// A layer, and the layers that it must not import.
const FORBIDDEN: [(&str, &[&str]); 3] = [("service", &["api", "e2b"]), ("api", &["e2b"]), ("e2b", &["api"])];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn apis_import_the_service_layer_and_never_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (layer, forbidden) in FORBIDDEN {
        for path in sources(&root.join(layer)) {
            let text = fs::read_to_string(&path).unwrap();
            for other in forbidden {
                assert!(!text.contains(&format!("crate::{other}")), "{} imports {other}", path.display());
            }
        }
    }
}
