//! Archives and image layouts for the tests, and a folder that imports must not change.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use switchtower_machine_image::{ImportError, ImportLimits, ImportReport, ImportedRoot, Roots, Source};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Small limits.
pub(crate) const LIMITS: ImportLimits = ImportLimits { bytes: 8 << 20, files: 2000 };

/// One entry of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) kind: EntryType,
    pub(crate) path: String,
    pub(crate) mode: u32,
    /// The content of a file, the target of a link.
    pub(crate) text: String,
    pub(crate) owner: (u64, u64),
}

pub(crate) fn item(kind: EntryType, path: &str, mode: u32, text: &str) -> Item {
    Item { kind, path: path.to_owned(), mode, text: text.to_owned(), owner: (0, 0) }
}

pub(crate) fn folder(path: &str) -> Item {
    item(EntryType::Directory, path, 0o755, "")
}

pub(crate) fn file(path: &str, text: &str) -> Item {
    item(EntryType::Regular, path, 0o644, text)
}

pub(crate) fn link(path: &str, target: &str) -> Item {
    item(EntryType::Symlink, path, 0o777, target)
}

pub(crate) fn hard_link(path: &str, target: &str) -> Item {
    item(EntryType::Link, path, 0o644, target)
}

/// Returns an archive with these entries, whose paths are written as they are.
pub(crate) fn archive(items: &[Item]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for item in items {
        let mut header = Header::new_gnu();
        header.set_entry_type(item.kind);
        let is_link = matches!(item.kind, EntryType::Symlink | EntryType::Link);
        let raw = header.as_gnu_mut().unwrap();
        let bytes = item.path.as_bytes();
        raw.name[..bytes.len().min(100)].copy_from_slice(&bytes[..bytes.len().min(100)]);
        if is_link {
            raw.linkname[..item.text.len()].copy_from_slice(item.text.as_bytes());
        }
        let content =
            if matches!(item.kind, EntryType::Regular | EntryType::XHeader) { item.text.as_bytes() } else { b"" };
        header.set_size(content.len() as u64);
        header.set_mode(item.mode);
        header.set_uid(item.owner.0);
        header.set_gid(item.owner.1);
        header.set_mtime(1_000_000_000);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Returns the processor of this machine in the words of images, and one that it is not.
pub(crate) fn architectures() -> (&'static str, &'static str) {
    if cfg!(target_arch = "aarch64") { ("arm64", "amd64") } else { ("amd64", "arm64") }
}

/// An image layout.
pub(crate) struct Layout(pub(crate) PathBuf);

impl Layout {
    pub(crate) fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self(folder)
    }

    pub(crate) fn blob(&self, bytes: &[u8]) -> (String, usize) {
        let digest = digest(bytes);
        fs::write(self.path(&digest), bytes).unwrap();
        (digest, bytes.len())
    }

    pub(crate) fn path(&self, digest: &str) -> PathBuf {
        self.0.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
    }

    fn descriptor(&self, kind: &str, bytes: &[u8]) -> Value {
        let (digest, size) = self.blob(bytes);
        json!({ "mediaType": kind, "digest": digest, "size": size })
    }

    /// Adds an image. Returns the descriptor of its manifest.
    pub(crate) fn image(&self, architecture: &str, env: &[&str], layers: &[(&str, Vec<u8>)]) -> Value {
        let config = json!({ "architecture": architecture, "os": "linux", "config": { "Env": env } });
        let config = self.descriptor("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let layers: Vec<Value> =
            layers.iter().map(|(end, bytes)| self.descriptor(&format!("{LAYER}{end}"), bytes)).collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        self.descriptor(MANIFEST, manifest.to_string().as_bytes())
    }

    /// Adds an index of images.
    pub(crate) fn inner_index(&self, manifests: &[Value]) -> Value {
        self.descriptor(INDEX, json!({ "schemaVersion": 2, "manifests": manifests }).to_string().as_bytes())
    }

    pub(crate) fn index(&self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.0.join("index.json"), index.to_string()).unwrap();
    }
}

/// A folder for imports, with others around it that they must not change.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) roots: Roots,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir_all(outside.join("kept")).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        fs::write(outside.join("kept/file"), "kept").unwrap();
        let roots = Roots::new(folder.path().join("roots"));
        Self { folder, roots }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Imports an archive.
    pub(crate) fn import(&self, archive: &[u8]) -> Result<(ImportedRoot, ImportReport), ImportError> {
        let path = self.path("archive.tar");
        fs::write(&path, archive).unwrap();
        self.roots.import(&Source::Path(path), Some("root"), None, LIMITS)
    }

    /// Returns everything outside of the imports: paths with contents, owners, permissions and numbers of links.
    pub(crate) fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut all = contents(&self.path("outside"));
        let names = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        all.extend(names.map(|path| (path, String::new())));
        all
    }

    /// Returns the names in the folder of imports.
    pub(crate) fn imported(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("roots")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Returns what is below a folder, without following links.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        let text = if found.is_file() {
            fs::read_to_string(&path).unwrap()
        } else if found.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else {
            String::new()
        };
        let described = format!("{:o} {} {} {} {text}", found.mode(), found.uid(), found.gid(), found.nlink());
        if found.is_dir() {
            all.extend(contents(&path));
        }
        all.insert(path, described);
    }
    all
}

/// Returns the text of a file of an imported root.
pub(crate) fn text(root: &ImportedRoot, path: &str) -> Option<String> {
    fs::read_to_string(root.folder.join("rootfs").join(path)).ok()
}
