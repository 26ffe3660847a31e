//! Changes to the files of a machine.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use switchtower_contract::{Change, Content, Fault};

use crate::assets;
use crate::channel::Channel;
use crate::client::{InitClient, Refused, lost};
use crate::language::USER;

/// Makes these changes, in order.
pub(crate) async fn apply(client: &InitClient, changes: &[Change]) -> Result<(), Fault> {
    for change in changes {
        let done = match &change.content {
            Content::File(content) => write(client, &change.path, content.clone()).await?,
            Content::Folder => make_folder(client, &change.path).await?,
            Content::Removed => {
                let request = json!({ "path": change.path });
                let removed = client.rpc("/filesystem.Filesystem/Remove", &request).await?;
                removed.map(drop).or_else(|refused| if refused.status.as_u16() == 404 { Ok(()) } else { Err(refused) })
            }
        };
        done.map_err(|refused| refusal(&change.path, &refused))?;
    }
    Ok(())
}

/// Makes a folder with those above it. An existing one is left as it is.
pub(crate) async fn make_folder(client: &InitClient, path: &str) -> Result<Result<(), Refused>, Fault> {
    let request = json!({ "path": path });
    let made = client.rpc("/filesystem.Filesystem/MakeDir", &request).await?;
    Ok(made.map(drop).or_else(|refused| if refused.status.as_u16() == 409 { Ok(()) } else { Err(refused) }))
}

async fn write(client: &InitClient, path: &str, content: Bytes) -> Result<Result<(), Refused>, Fault> {
    Ok(client.write_file(path, USER, content, &[]).await?.map(drop))
}

/// Writes a file with its metadata.
pub(crate) async fn write_with(
    client: &InitClient,
    path: &str,
    content: Bytes,
    metadata: &BTreeMap<String, String>,
) -> Result<(), Fault> {
    let headers: Vec<(String, String)> =
        metadata.iter().map(|(name, value)| (format!("X-Metadata-{name}"), value.clone())).collect();
    let written = client.write_file(path, USER, content, &headers).await?;
    written.map(drop).map_err(|refused| refusal(path, &refused))
}

/// Folders in which users keep files.
const USERS_FOLDERS: [&str; 8] = ["/home/user", "/root", "/tmp", "/code", "/opt", "/srv", "/mnt", "/var/tmp"];
/// Most entries that are exported.
const MAX_ENTRIES: usize = 10_000;
/// Levels of folders that are listed.
const MAX_DEPTH: u32 = 64;

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    size: Value,
}

impl Entry {
    /// Returns its size. The JSON form of 64-bit numbers is text.
    fn bytes(&self) -> u64 {
        self.size.as_u64().or_else(|| self.size.as_str()?.parse().ok()).unwrap_or(0)
    }
}

/// Returns the files of users as changes, folders before what is in them. Links are left out.
pub(crate) async fn export(client: &InitClient, max_bytes: u64) -> Result<Vec<Change>, Fault> {
    let too_much = |what: &str| Fault::Refused { reason: format!("its files are more than {what}"), retry_after: None };
    let mut changes = Vec::new();
    let mut left = max_bytes;
    for folder in USERS_FOLDERS {
        let request = json!({ "path": folder, "depth": MAX_DEPTH });
        // The root of an own file system may not have all of them.
        let Ok(answer) = client.rpc("/filesystem.Filesystem/ListDir", &request).await? else { continue };
        let mut entries = serde_json::from_slice::<Listing>(&answer).map_err(lost)?.entries;
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        for entry in entries {
            if changes.len() >= MAX_ENTRIES {
                return Err(too_much(&format!("{MAX_ENTRIES}")));
            }
            match entry.kind.as_str() {
                "FILE_TYPE_DIRECTORY" => changes.push(Change { path: entry.path, content: Content::Folder }),
                "FILE_TYPE_FILE" => {
                    left = left.checked_sub(entry.bytes()).ok_or_else(|| too_much(&format!("{max_bytes} bytes")))?;
                    // Not larger than it was listed, and a little more for one that grows.
                    let most = usize::try_from(entry.bytes().saturating_add(1 << 20)).unwrap_or(usize::MAX);
                    let content = client.read_file(&entry.path, most).await?;
                    let content = content.map_err(|refused| refusal(&entry.path, &refused))?;
                    changes.push(Change { path: entry.path, content: Content::File(content) });
                }
                _ => {}
            }
        }
    }
    Ok(changes)
}

/// Returns whether a process runs that a client, a cell or a program has started.
pub(crate) async fn has_processes(client: &InitClient) -> Result<bool, Fault> {
    let answer = client.rpc("/process.Process/List", &json!({})).await?;
    let answer = answer.map_err(|refused| refusal("the list of processes", &refused))?;
    let listed: Value = serde_json::from_slice(&answer).map_err(lost)?;
    if listed["processes"].as_array().is_some_and(|processes| !processes.is_empty()) {
        return Ok(true);
    }
    // What a cell has left running is known to nobody else.
    let program = format!("{}/init", assets::FOLDER);
    let (_, printed) = Channel::run_as_root(client, &program, &["processes"]).await?;
    let number: u64 = printed.trim().parse().map_err(|_| lost(format!("it counts {printed:?} processes")))?;
    Ok(number > 0)
}

fn refusal(path: &str, refused: &Refused) -> Fault {
    Fault::Refused { reason: format!("{path}: {}", refused.message), retry_after: None }
}
