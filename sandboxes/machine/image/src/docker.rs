//! Archives as `docker save` wrote them before it wrote image layouts: `manifest.json`, a configuration, and an archive for each layer.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Deserialize;

use crate::config::ImageConfig;
use crate::error::ImportError;
use crate::inside;
use crate::layer::{self, Digest, DigestOf, MAX_LAYERS, document};
use crate::limits::Budget;
use crate::tree::Tree;

const MANIFEST: &str = "manifest.json";

#[derive(Debug, Deserialize)]
struct Saved {
    #[serde(rename = "Config")]
    config: PathBuf,
    #[serde(default, rename = "RepoTags")]
    names: Option<Vec<String>>,
    #[serde(rename = "Layers")]
    layers: Vec<PathBuf>,
}

/// A saved image.
pub(crate) struct SavedImage {
    folder: PathBuf,
    /// Of its configuration, which has those of its layers.
    pub(crate) digest: Digest,
    layers: Vec<PathBuf>,
    pub(crate) config: ImageConfig,
}

/// Returns whether a folder has the files of saved images.
pub(crate) fn is_saved(folder: &Path) -> bool {
    document::<Vec<Saved>>(folder, Path::new(MANIFEST), None).is_ok_and(|all| {
        let has = |image: &Saved| inside::exists(folder, &image.config);
        !all.is_empty() && all.iter().all(has)
    })
}

impl SavedImage {
    /// Chooses an image. `wanted`: its name, where there are several.
    ///
    /// # Errors
    /// The files are damaged, or there is no such image or several.
    pub(crate) fn choose(folder: &Path, wanted: Option<&str>) -> Result<Self, ImportError> {
        let all: Vec<Saved> = document(folder, Path::new(MANIFEST), None)?;
        let names = |image: &Saved| image.names.clone().unwrap_or_default();
        let listed = all.iter().flat_map(names).take(20).collect::<Vec<_>>().join(", ");
        let mut fitting =
            all.into_iter().filter(|image| wanted.is_none_or(|wanted| names(image).iter().any(|name| name == wanted)));
        let (image, other) = (fitting.next(), fitting.next());
        let Some(image) = image.filter(|_| other.is_none()) else {
            return Err(ImportError::new(format!(
                "the archive has several images, or not the one that is named: {listed}"
            ))
            .with_remedy("name one: `switchtower machine root import ARCHIVE --image NAME`"));
        };
        let shown = folder.join(&image.config);
        let text = inside::open_file(folder, &image.config).map_err(|error| ImportError::at(&shown, &error))?;
        let (digest, _) = Digest::of(text).map_err(|error| ImportError::at(&shown, &error))?;
        let config: ImageConfig = document(folder, &image.config, Some(&digest))?;
        config.check_platform()?;
        let (layers, digests) = (image.layers.len(), config.rootfs.diff_ids.len());
        if layers != digests || layers > MAX_LAYERS {
            return Err(ImportError::new(format!("the image has {layers} layers, and digests of {digests}")));
        }
        Ok(Self { folder: folder.to_owned(), digest, layers: image.layers, config })
    }

    /// Unpacks its layers, the lowest first.
    ///
    /// # Errors
    /// A layer is missing, damaged, refused, or larger than the limits.
    pub(crate) fn unpack(&self, tree: &mut Tree, budget: &Rc<Budget>) -> Result<(), ImportError> {
        for (path, digest) in self.layers.iter().zip(&self.config.rootfs.diff_ids) {
            let digest = Digest::parse(digest)?;
            layer::unpack(&self.folder, path, (&digest, DigestOf::Archive), tree, budget)?;
        }
        Ok(())
    }
}
