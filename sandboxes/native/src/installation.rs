//! An installation: a folder with the worker, its packages and a manifest, made by `install.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use switchtower_worker::protocol;

/// The format of the manifest that this version reads.
const FORMAT: u32 = 1;
/// The command that installs the scientific tier.
const INSTALL: &str = "python3 sandboxes/native/install.py";
/// The worker executable in the folder.
const WORKER: &str = "switchtower-native";
/// The packages in the folder.
const SITE: &str = "site";

/// The manifest that `install.py` wrote.
#[derive(Debug, Clone, Deserialize)]
struct Manifest {
    format: u32,
    /// The protocol that the worker implements; none in manifests from before there were protocol versions.
    protocol: Option<u32>,
    /// The version of the worker.
    version: Option<String>,
    python: String,
    /// The prefix of the Python that is embedded.
    home: PathBuf,
    /// Folders outside the installation that a program needs to read.
    readable: Vec<PathBuf>,
    packages: BTreeMap<String, String>,
    /// Top-level names that can be imported.
    modules: BTreeSet<String>,
    /// Identifies the Python, the packages and the worker.
    digest: String,
}

/// An installation of the scientific tier.
#[derive(Debug, Clone)]
pub struct Installation {
    folder: PathBuf,
    manifest: Arc<Manifest>,
}

/// Why there is no usable installation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InstallationError {
    pub reason: String,
    /// How to fix it.
    pub remedy: String,
}

impl InstallationError {
    fn new(reason: String) -> Self {
        Self { reason, remedy: format!("`{INSTALL}` installs the scientific tier") }
    }
}

impl Installation {
    /// Finds the installation in this folder; by default in the user's data folder.
    ///
    /// # Errors
    /// There is none, it is incomplete, or its worker is of another protocol version.
    pub fn locate(folder: Option<&Path>) -> Result<Self, InstallationError> {
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => default_folder()
                .ok_or_else(|| InstallationError::new("neither HOME nor XDG_DATA_HOME is set".to_owned()))?,
        };
        let path = folder.join("manifest.json");
        let text = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                InstallationError::new(format!("it is not installed in {}", folder.display()))
            }
            _ => InstallationError::new(format!("{}: {error}", path.display())),
        })?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| InstallationError::new(format!("{} is not a valid manifest: {error}", path.display())))?;
        if manifest.format != FORMAT {
            let made = manifest.format;
            return Err(InstallationError::new(format!(
                "{} was installed by another version (format {made})",
                folder.display()
            )));
        }
        let installation = Self { folder, manifest: Arc::new(manifest) };
        let Manifest { protocol, version, .. } = &*installation.manifest;
        protocol::check(*protocol, version.as_deref()).map_err(|mismatch| {
            let remedy = installation.update();
            InstallationError { reason: format!("{}: {mismatch}: {remedy}", installation.folder.display()), remedy }
        })?;
        for needed in [installation.worker(), installation.site(), installation.manifest.home.clone()] {
            if !needed.exists() {
                return Err(InstallationError::new(format!("{} does not exist any more", needed.display())));
            }
        }
        Ok(installation)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns how to install the worker of this version in its place, as the end of a sentence.
    pub fn update(&self) -> String {
        let is_default = default_folder().is_some_and(|default| default == self.folder);
        let into = if is_default { String::new() } else { format!(" --into {}", self.folder.display()) };
        format!("`{INSTALL}{into}` installs the worker of this version")
    }

    /// Returns the version of its Python.
    pub fn python(&self) -> &str {
        &self.manifest.python
    }

    /// Returns the packages and their versions.
    pub fn packages(&self) -> &BTreeMap<String, String> {
        &self.manifest.packages
    }

    /// Returns the executable of the embedded Python.
    pub fn interpreter(&self) -> PathBuf {
        let (major, minor) = self.version();
        self.manifest.home.join(format!("bin/python{major}.{minor}"))
    }

    fn version(&self) -> (&str, &str) {
        let mut parts = self.manifest.python.split('.');
        (parts.next().unwrap_or("3"), parts.next().unwrap_or_default())
    }

    pub fn modules(&self) -> &BTreeSet<String> {
        &self.manifest.modules
    }

    pub(crate) fn digest(&self) -> &str {
        &self.manifest.digest
    }

    pub(crate) fn worker(&self) -> PathBuf {
        self.folder.join(WORKER)
    }

    pub fn site(&self) -> PathBuf {
        self.folder.join(SITE)
    }

    pub fn home(&self) -> &Path {
        &self.manifest.home
    }

    /// Returns the folders that programs may read: Python's own and the packages.
    pub(crate) fn readable(&self) -> Vec<PathBuf> {
        self.manifest.readable.iter().cloned().chain([self.site()]).collect()
    }
}

/// Returns the default folder, by the XDG base directory specification.
fn default_folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")))?;
    Some(data.join("switchtower/native"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An installation of files without content, with this in its manifest.
    fn located(protocol: &str) -> Result<Installation, InstallationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for part in [WORKER, SITE] {
            std::fs::create_dir(path.join(part)).unwrap();
        }
        let manifest = format!(
            r#"{{"format": {FORMAT}, {protocol} "python": "3.12.1", "home": {path:?}, "readable": [], "packages": {{}},
            "modules": [], "digest": "x"}}"#
        );
        std::fs::write(path.join("manifest.json"), manifest).unwrap();
        Installation::locate(Some(path))
    }

    #[test]
    fn an_installation_of_another_protocol_or_of_none_is_refused_with_the_command_that_updates_it() {
        assert!(located(&format!(r#""protocol": {}, "version": "1.2.3","#, protocol::PROTOCOL)).is_ok());
        let other = located(r#""protocol": 1000, "version": "9.9.9","#).unwrap_err();
        assert!(other.reason.contains("(version 9.9.9) uses protocol 1000, this switchtower"), "{other}");
        let before = located("").unwrap_err();
        assert!(before.reason.contains("the worker is older than protocol versions"), "{before}");
        for refused in [other, before] {
            assert!(refused.remedy.starts_with(&format!("`{INSTALL} --into ")), "{}", refused.remedy);
            assert!(refused.reason.ends_with(&refused.remedy), "{refused}");
        }
    }
}
