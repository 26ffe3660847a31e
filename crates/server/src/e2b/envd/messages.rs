//! The messages of `filesystem.Filesystem`.

use serde::Deserialize;

/// The fields of all messages together; each method reads its own.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct FilesystemMessage {
    pub(super) path: String,
    pub(super) depth: u32,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) recursive: bool,
    #[serde(rename = "watcherId")]
    pub(super) watcher: String,
}
