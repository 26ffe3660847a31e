//! envd's `/files`: whole files in and out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::refusal::{api, token};
use super::{multipart, plane};
use crate::disk::{HOME, Trouble, absolute};
use crate::fake::Fake;
use crate::faults::Kind;
use crate::latency::Act;
use crate::sandbox::Sandbox;

#[derive(Deserialize)]
pub(super) struct Asked {
    path: Option<String>,
    username: Option<String>,
    signature: Option<String>,
    signature_expiration: Option<i64>,
}

impl Asked {
    /// A link that the owner of the token has signed is as good as the token.
    fn is_signed(&self, fake: &Fake, sandbox: &Sandbox, operation: &str) -> bool {
        let Some(signature) = &self.signature else { return false };
        let (path, user) = (self.path.as_deref().unwrap_or_default(), self.username.as_deref().unwrap_or_default());
        let mut signed = format!("{path}:{operation}:{user}:{}", sandbox.token);
        if let Some(until) = self.signature_expiration {
            if until < fake.parts.wall.unix() {
                return false;
            }
            signed.push_str(&format!(":{until}"));
        }
        *signature == format!("v1_{}", STANDARD_NO_PAD.encode(Sha256::digest(signed)))
    }
}

fn reached(
    fake: &Fake,
    headers: &HeaderMap,
    asked: &Asked,
    operation: &str,
) -> Result<std::sync::Arc<Sandbox>, Box<Response>> {
    let sandbox = plane::sandbox(fake, headers)?;
    if !plane::has_token(&sandbox, headers) && !asked.is_signed(fake, &sandbox, operation) {
        return Err(Box::new(token()));
    }
    if fake.parts.faults.strikes(Kind::Files500, &fake.parts.chance) {
        return Err(Box::new(api(StatusCode::INTERNAL_SERVER_ERROR, "error opening file: as asked for")));
    }
    Ok(sandbox)
}

fn trouble(trouble: &Trouble) -> Response {
    let status = match trouble {
        Trouble::NotFound(_) => StatusCode::NOT_FOUND,
        Trouble::Exists(_) | Trouble::IsDir(_) | Trouble::NotDir(_) => StatusCode::BAD_REQUEST,
        Trouble::Denied(_) | Trouble::Other(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    api(status, &trouble.to_string())
}

pub(super) async fn read(State(fake): State<Fake>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    fake.pass(Act::Other).await;
    let sandbox = match reached(&fake, &headers, &asked, "read") {
        Ok(sandbox) => sandbox,
        Err(refused) => return *refused,
    };
    fake.parts.fleet.count(|counts| counts.file_reads += 1);
    match sandbox.disk.read(&absolute(asked.path.as_deref().unwrap_or_default(), HOME)) {
        Ok(content) => ([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response(),
        Err(e) => trouble(&e),
    }
}

pub(super) async fn write(
    State(fake): State<Fake>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    fake.pass(Act::Other).await;
    let sandbox = match reached(&fake, &headers, &asked, "write") {
        Ok(sandbox) => sandbox,
        Err(refused) => return *refused,
    };
    match written(&fake, &sandbox, &asked, &headers, &body) {
        Ok(all) => Json(all).into_response(),
        Err(refused) => *refused,
    }
}

fn written(
    fake: &Fake,
    sandbox: &Sandbox,
    asked: &Asked,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<Value>, Box<Response>> {
    let bad = |message: &str| Box::new(api(StatusCode::BAD_REQUEST, message));
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(bad("this stand-in takes no compressed uploads"));
    }
    let whole = || multipart::Part { field: "file".to_owned(), filename: String::new(), content: body };
    let parts = if content_type.starts_with("application/octet-stream") {
        vec![whole()]
    } else {
        multipart::parts(content_type, body).ok_or_else(|| bad("error parsing multipart form"))?
    };
    let files: Vec<_> = parts.into_iter().filter(|part| part.field == "file").collect();
    if files.is_empty() {
        return Err(bad("no files to upload"));
    }
    let mut told = Vec::new();
    for file in files {
        let name = asked.path.as_deref().unwrap_or(&file.filename);
        if name.is_empty() {
            return Err(bad("path is required"));
        }
        let entry = sandbox.disk.write(&absolute(name, HOME), file.content).map_err(|e| trouble(&e))?;
        fake.parts.fleet.count(|counts| counts.file_writes += 1);
        told.push(json!({"path": entry.path, "name": entry.name(), "type": "file"}));
    }
    Ok(told)
}
