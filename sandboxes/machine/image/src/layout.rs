//! Image layouts of the Open Container Initiative: `oci-layout`, `index.json` and `blobs/sha256`, image specification 1.1.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Deserialize;

use crate::config::{ImageConfig, architecture};
use crate::error::ImportError;
use crate::layer::{self, Digest, DigestOf, MAX_LAYERS, document};
use crate::limits::Budget;
use crate::tree::Tree;

/// How deep an index may name others, and how many images all of them together.
const MAX_DEPTH: usize = 4;
const MAX_IMAGES: usize = 1000;
/// Annotations with the names of images: of the specification, and of containerd, which `docker save` writes too.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// The types of layers, without the ends that name a compression.
const LAYERS: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];
const COMPRESSIONS: [&str; 5] = ["", "+gzip", "+zstd", ".gzip", ".zstd"];

#[derive(Debug, Deserialize)]
struct Marker {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Clone, Deserialize)]
struct Descriptor {
    #[serde(default, rename = "mediaType")]
    media_type: String,
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// An image of a layout, whose manifest and configuration have their digests.
pub(crate) struct Image {
    folder: PathBuf,
    /// Of its manifest.
    pub(crate) digest: Digest,
    manifest: Manifest,
    pub(crate) config: ImageConfig,
}

/// An image that an index names.
#[derive(Debug)]
struct Candidate {
    digest: Digest,
    platform: String,
    names: BTreeSet<String>,
}

/// Returns whether a folder is an image layout.
pub(crate) fn is_layout(folder: &Path) -> bool {
    folder.join("oci-layout").is_file() && folder.join("index.json").is_file()
}

impl Image {
    /// Chooses the image for this machine. `wanted`: its name or its digest, where a layout has several.
    ///
    /// # Errors
    /// The layout is damaged, or has no such image or several.
    pub(crate) fn choose(folder: &Path, wanted: Option<&str>) -> Result<Self, ImportError> {
        let marker: Marker = document(folder, Path::new("oci-layout"), None)?;
        if !marker.version.starts_with("1.") {
            return Err(ImportError::new(format!("the image layout has the version {}: 1 is read", marker.version)));
        }
        let index: Index = document(folder, Path::new("index.json"), None)?;
        let mut all = Vec::new();
        collect(folder, &index, &BTreeSet::new(), MAX_DEPTH, &mut all)?;
        let digest = select(&all, wanted)?;
        let manifest: Manifest = document(folder, &blob(&digest), Some(&digest))?;
        let config = Digest::parse(&manifest.config.digest)?;
        let config: ImageConfig = document(folder, &blob(&config), Some(&config))?;
        config.check_platform()?;
        if manifest.layers.len() > MAX_LAYERS {
            return Err(ImportError::new(format!("the image has more than {MAX_LAYERS} layers")));
        }
        Ok(Self { folder: folder.to_owned(), digest, manifest, config })
    }

    /// Unpacks its layers, the lowest first.
    ///
    /// # Errors
    /// A layer is missing, damaged, refused, or larger than the limits.
    pub(crate) fn unpack(&self, tree: &mut Tree, budget: &Rc<Budget>) -> Result<(), ImportError> {
        for layer in &self.manifest.layers {
            check_type(&layer.media_type)?;
            let digest = Digest::parse(&layer.digest)?;
            layer::unpack(&self.folder, &blob(&digest), (&digest, DigestOf::Blob), tree, budget)?;
        }
        Ok(())
    }
}

fn check_type(media_type: &str) -> Result<(), ImportError> {
    let is_known = LAYERS
        .iter()
        .any(|layer| media_type.strip_prefix(layer).is_some_and(|compression| COMPRESSIONS.contains(&compression)));
    if is_known {
        return Ok(());
    }
    let reason = format!(
        "a layer has the type {media_type:?}: archives that are plain or compressed with gzip or zstd are read"
    );
    Err(ImportError::new(reason)
        .with_remedy("`skopeo copy --dest-compress-format gzip` writes such a copy of an image"))
}

fn blob(digest: &Digest) -> PathBuf {
    Path::new("blobs/sha256").join(digest.hex())
}

/// Collects the images of an index and of those that it names.
fn collect(
    folder: &Path,
    index: &Index,
    names: &BTreeSet<String>,
    depth: usize,
    all: &mut Vec<Candidate>,
) -> Result<(), ImportError> {
    for descriptor in &index.manifests {
        let own = descriptor.annotations.iter().flatten().filter(|(key, _)| NAMES.contains(&key.as_str()));
        let names: BTreeSet<String> = names.iter().cloned().chain(own.map(|(_, name)| name.clone())).collect();
        let kind = descriptor.media_type.as_str();
        if INDEXES.contains(&kind) {
            let depth = depth.checked_sub(1).ok_or_else(|| ImportError::new("indexes name each other too deeply"))?;
            let digest = Digest::parse(&descriptor.digest)?;
            let inner: Index = document(folder, &blob(&digest), Some(&digest))?;
            collect(folder, &inner, &names, depth, all)?;
        } else if MANIFESTS.contains(&kind) {
            let digest = Digest::parse(&descriptor.digest)?;
            if let Some(platform) = platform(folder, descriptor, &digest)? {
                all.push(Candidate { digest, platform, names });
            }
        }
        if all.len() > MAX_IMAGES {
            return Err(ImportError::new(format!("the layout names more than {MAX_IMAGES} images")));
        }
    }
    Ok(())
}

/// Returns the platform of an image; `None`: it is an attestation and not an image, or one whose files the layout leaves out.
fn platform(folder: &Path, descriptor: &Descriptor, digest: &Digest) -> Result<Option<String>, ImportError> {
    if let Some(Platform { architecture, os }) = &descriptor.platform {
        return Ok((os != "unknown").then(|| format!("{os}/{architecture}")));
    }
    if !inside_has(folder, &blob(digest)) {
        return Ok(None);
    }
    let manifest: Manifest = document(folder, &blob(digest), Some(digest))?;
    let config = Digest::parse(&manifest.config.digest)?;
    let config: ImageConfig = document(folder, &blob(&config), Some(&config))?;
    Ok(Some(format!("{}/{}", config.os, config.architecture)))
}

fn inside_has(folder: &Path, path: &Path) -> bool {
    crate::inside::exists(folder, path)
}

/// Selects the image for this machine.
fn select(all: &[Candidate], wanted: Option<&str>) -> Result<Digest, ImportError> {
    let here = format!("linux/{}", architecture());
    let is_wanted = |image: &&Candidate| {
        wanted.is_none_or(|wanted| image.names.contains(wanted) || image.digest.to_string() == wanted)
    };
    let fitting: Vec<&Candidate> = all.iter().filter(|image| image.platform == here).filter(is_wanted).collect();
    let digests: BTreeSet<&Digest> = fitting.iter().map(|image| &image.digest).collect();
    let listed = |images: &mut dyn Iterator<Item = &Candidate>| {
        let describe = |image: &Candidate| {
            let names: Vec<&str> = image.names.iter().map(String::as_str).collect();
            let names = if names.is_empty() { image.digest.to_string() } else { names.join(", ") };
            format!("{names} ({})", image.platform)
        };
        images.take(20).map(describe).collect::<Vec<_>>().join("; ")
    };
    match digests.len() {
        1 => Ok(digests.into_iter().next().cloned().unwrap_or_else(|| fitting[0].digest.clone())),
        0 => {
            let named = wanted.map_or_else(String::new, |wanted| format!(" with the name or digest {wanted}"));
            let found = if all.is_empty() { "none".to_owned() } else { listed(&mut all.iter()) };
            Err(ImportError::new(format!("the layout has no image for {here}{named}; its images: {found}")))
        }
        count => Err(ImportError::new(format!(
            "the layout has {count} images for {here}: {}",
            listed(&mut fitting.into_iter())
        ))
        .with_remedy("name one: `switchtower machine root import LAYOUT --image NAME`")),
    }
}
