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
    #[serde(rename = "includeEntry", alias = "include_entry")]
    pub(super) include_entry: bool,
    /// Without a machine there are no network mounts, so there is nothing that it would allow.
    #[serde(rename = "allowNetworkMounts", alias = "allow_network_mounts")]
    pub(super) allow_network_mounts: bool,
    #[serde(rename = "watcherId", alias = "watcher_id")]
    pub(super) watcher: String,
}
