//! Changes to the files of a machine.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;
use switchtower_contract::{Change, Content, Fault};

use crate::client::{InitClient, Refused};
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

fn refusal(path: &str, refused: &Refused) -> Fault {
    Fault::Refused { reason: format!("{path}: {}", refused.message), retry_after: None }
}
