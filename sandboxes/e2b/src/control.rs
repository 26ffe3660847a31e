//! Calls of the control plane: sandboxes are created, looked up, paused, resumed and ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchtower_contract::NetworkPolicy;

use crate::address::Address;
use crate::error::{CallError, CallKind, Cause};
use crate::key::Key;
use crate::limits::{AccountLimits, CallClass};
use crate::request::{ApiRequest, parse_json};
use crate::transport::Transport;

/// The maximum time to create or to resume a sandbox, the same as in E2B's SDKs.
const CREATE_TIMEOUT: Duration = Duration::from_secs(60);
/// The maximum time of any other call.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The number of immediate retries when E2B fails.
const REPEATS: u32 = 1;
/// Most pages of a list that are read; a page of E2B has 100 sandboxes.
const MAX_PAGES: usize = 100;

/// Characters of a UUID as E2B writes it.
const HYPHENATED_LENGTH: usize = uuid::fmt::Hyphenated::LENGTH;

/// The control plane of one account.
pub(crate) struct ControlPlane {
    transport: Arc<dyn Transport>,
    address: Address,
    key: Key,
    limits: Arc<AccountLimits>,
    /// The service has only the paths from before 2026.
    has_old_paths: AtomicBool,
}

/// The settings of a sandbox to be created.
#[derive(Debug, Clone)]
pub(crate) struct CreateSandbox<'a> {
    pub(crate) template: &'a str,
    pub(crate) lifetime: Duration,
    pub(crate) metadata: &'a BTreeMap<String, String>,
    pub(crate) network: &'a NetworkPolicy,
}

/// How to reach a running sandbox.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SandboxAccess {
    #[serde(rename = "sandboxID")]
    pub(crate) id: String,
    #[serde(rename = "envdAccessToken")]
    pub(crate) access_token: Option<String>,
    #[serde(rename = "trafficAccessToken")]
    pub(crate) traffic_token: Option<String>,
    pub(crate) domain: Option<String>,
}

/// The template with a name.
#[derive(Deserialize)]
struct TemplateAlias {
    #[serde(rename = "templateID")]
    template: String,
}

/// A tag of a template.
#[derive(Deserialize)]
struct Tag {
    tag: String,
}

/// Returns whether the service does not list templates, or not this one: a template of another team may be shared.
fn is_unknown(error: &CallError) -> bool {
    error.cause == Cause::UnknownPath || error.status == Some(403)
}

/// A sandbox as E2B lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedSandbox {
    #[serde(rename = "sandboxID")]
    pub(crate) id: String,
    /// `running` or `paused`.
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    /// The time at which E2B ends it; of a paused sandbox, the time at which it was paused.
    #[serde(default)]
    end_at: Option<String>,
}

impl ListedSandbox {
    /// Returns the time at which it ends or was paused; `None` if the service does not send it.
    pub(crate) fn ends(&self) -> Option<SystemTime> {
        let time: jiff::Timestamp = self.end_at.as_deref()?.parse().ok()?;
        Some(time.into())
    }
}

impl ControlPlane {
    pub(crate) fn new(transport: Arc<dyn Transport>, address: Address, key: Key, limits: Arc<AccountLimits>) -> Self {
        Self { transport, address, key, limits, has_old_paths: AtomicBool::new(false) }
    }

    pub(crate) async fn create(&self, new: &CreateSandbox<'_>) -> Result<SandboxAccess, CallError> {
        let mut body = json!({
            "templateID": new.template,
            "timeout": new.lifetime.as_secs(),
            "metadata": new.metadata,
            "allow_internet_access": new.network.internet.unwrap_or(true),
            "autoPause": false,
            "secure": true,
        });
        let mut rules = outgoing(new.network);
        if new.network.private_ports {
            rules.insert("allowPublicTraffic".to_owned(), false.into());
        }
        if let Some(host) = &new.network.host {
            rules.insert("maskRequestHost".to_owned(), host.as_str().into());
        }
        if !rules.is_empty() {
            body["network"] = rules.into();
        }
        self.post_with_fallback(
            CallKind::Create,
            "/v2/sandboxes",
            "/sandboxes",
            &body,
            CREATE_TIMEOUT,
            CallClass::Creation,
        )
        .await
    }

    /// Resumes a paused sandbox, or extends the life of one that runs: it lives at least for `lifetime` from now.
    pub(crate) async fn connect(&self, id: &str, lifetime: Duration) -> Result<SandboxAccess, CallError> {
        let body = json!({ "timeout": lifetime.as_secs() });
        let (new, old) = (format!("/v2/sandboxes/{id}/connect"), format!("/sandboxes/{id}/connect"));
        self.post_with_fallback(CallKind::Control, &new, &old, &body, CREATE_TIMEOUT, CallClass::Lifecycle).await
    }

    pub(crate) async fn get(&self, id: &str) -> Result<ListedSandbox, CallError> {
        let (_, body) = self.call(Method::GET, &format!("/sandboxes/{id}"), None).await?;
        parse_json(&body)
    }

    /// Checks whether this key may use a template: a name or an id, with or without `:tag`. A service without such
    /// paths counts as one that has the template.
    pub(crate) async fn find_template(&self, template: &str) -> Result<(), CallError> {
        let (name, tag) = template.split_once(':').map_or((template, None), |(name, tag)| (name, Some(tag)));
        let missing = |message: String| CallError {
            cause: Cause::Template,
            status: Some(404),
            message,
            retry_after: None,
            may_have_run: false,
        };
        // First by name, then by id.
        let id = match self.call(Method::GET, &format!("/templates/aliases/{}", percent_encode(name)), None).await {
            Ok((_, body)) => {
                parse_json::<TemplateAlias>(&body).map_or_else(|_| name.to_owned(), |named| named.template)
            }
            Err(error) if error.cause == Cause::Gone => {
                match self.call(Method::GET, &format!("/templates/{}", percent_encode(name)), None).await {
                    Ok(_) => name.to_owned(),
                    Err(error) if error.cause == Cause::Gone || error.status == Some(400) => {
                        return Err(missing(format!("template '{name}' not found")));
                    }
                    Err(error) if is_unknown(&error) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            Err(error) if is_unknown(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(tag) = tag else { return Ok(()) };
        let tags = self.call(Method::GET, &format!("/templates/{}/tags", percent_encode(&id)), None).await;
        let tags: Vec<Tag> = match tags {
            // A response in an unknown form proves nothing.
            Ok((_, body)) => match parse_json(&body) {
                Ok(tags) => tags,
                Err(_) => return Ok(()),
            },
            Err(error) if is_unknown(&error) || error.cause == Cause::Gone => return Ok(()),
            Err(error) => return Err(error),
        };
        // A build's id names that build, and is not listed among the tags.
        let is_build_id = uuid::Uuid::try_parse(tag).is_ok() && tag.len() == HYPHENATED_LENGTH;
        if is_build_id || tags.iter().any(|known| known.tag == tag) {
            return Ok(());
        }
        Err(missing(format!("tag '{tag}' does not exist for template '{name}'")))
    }

    /// Returns every sandbox with this metadata, running and paused.
    pub(crate) async fn list(&self, metadata: &[(&str, &str)]) -> Result<Vec<ListedSandbox>, CallError> {
        let pairs: Vec<String> =
            metadata.iter().map(|(k, v)| format!("{}={}", percent_encode(k), percent_encode(v))).collect();
        // The pairs are a query of their own, encoded once more as the value of `metadata`.
        let filter = format!("metadata={}&state=running,paused&limit=100", percent_encode(&pairs.join("&")));
        let (mut all, mut token) = (Vec::new(), None::<String>);
        for _ in 0..MAX_PAGES {
            let next = token.take().map_or_else(String::new, |token| format!("&nextToken={}", percent_encode(&token)));
            let (headers, body) = self.call(Method::GET, &format!("/v2/sandboxes?{filter}{next}"), None).await?;
            all.extend(parse_json::<Vec<ListedSandbox>>(&body)?);
            token = headers.get("x-next-token").and_then(|token| token.to_str().ok()).map(str::to_owned);
            if token.as_deref().is_none_or(str::is_empty) {
                break;
            }
        }
        // Not every service filters.
        all.retain(|listed: &ListedSandbox| {
            metadata.iter().all(|(k, v)| listed.metadata.get(*k).is_some_and(|has| has == v))
        });
        Ok(all)
    }

    /// Sets how long a sandbox lives from now.
    pub(crate) async fn set_timeout(&self, id: &str, lifetime: Duration) -> Result<(), CallError> {
        let body = json!({ "timeout": lifetime.as_secs() });
        self.call(Method::POST, &format!("/sandboxes/{id}/timeout"), Some(&body)).await.map(drop)
    }

    /// Replaces what a sandbox reaches on the internet. Rules that are not sent are removed.
    pub(crate) async fn set_network(&self, id: &str, network: &NetworkPolicy) -> Result<(), CallError> {
        let mut body = outgoing(network);
        body.insert("allow_internet_access".to_owned(), network.internet.unwrap_or(true).into());
        self.call(Method::PUT, &format!("/sandboxes/{id}/network"), Some(&body.into())).await.map(drop)
    }

    /// Pauses a sandbox: nothing in it runs, and nothing is billed. Succeeds where it is paused already.
    pub(crate) async fn pause(&self, id: &str) -> Result<(), CallError> {
        match self.call(Method::POST, &format!("/sandboxes/{id}/pause"), Some(&json!({}))).await {
            Err(error) if error.cause == Cause::Transition => Ok(()),
            done => done.map(drop),
        }
    }

    /// Ends a sandbox. Succeeds where there is none.
    pub(crate) async fn kill(&self, id: &str) -> Result<(), CallError> {
        match self.call(Method::DELETE, &format!("/sandboxes/{id}"), None).await {
            Err(error) if error.cause == Cause::Gone => Ok(()),
            done => done.map(drop),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(HeaderMap, Bytes), CallError> {
        let mut repeats = REPEATS;
        loop {
            let reservation = self.limits.lifecycle().await?;
            let request = self.request(CallKind::Control, method.clone(), path, CALL_TIMEOUT);
            let request = if let Some(body) = body { request.json(body) } else { request };
            let response = request.send_and_read(self.transport.as_ref()).await;
            drop(reservation);
            match self.record(CallClass::Lifecycle, response) {
                // All of these calls are idempotent.
                Err(error) if repeats > 0 && error.cause == Cause::Server => repeats -= 1,
                done => return done,
            }
        }
    }

    /// Makes a call whose path has a newer and an older form.
    async fn post_with_fallback(
        &self,
        call: CallKind,
        new: &str,
        old: &str,
        body: &Value,
        deadline: Duration,
        class: CallClass,
    ) -> Result<SandboxAccess, CallError> {
        if !self.has_old_paths.load(Ordering::Relaxed) {
            let _reservation = self.limits.lifecycle().await?;
            let response = self.request(call, Method::POST, new, deadline).json(body);
            match response.send_and_parse(self.transport.as_ref()).await {
                Err(error) if error.cause == Cause::UnknownPath => {}
                response => return self.record(class, response),
            }
        }
        let _reservation = self.limits.lifecycle().await?;
        let request = self.request(call, Method::POST, old, deadline).json(body);
        let response = request.send_and_parse(self.transport.as_ref()).await;
        if response.is_ok() {
            self.has_old_paths.store(true, Ordering::Relaxed);
        }
        self.record(class, response)
    }

    fn request(&self, call: CallKind, method: Method, path: &str, deadline: Duration) -> ApiRequest {
        ApiRequest::new(call, method, format!("{}{path}", self.address.api()), deadline)
            .header(HeaderName::from_static("x-api-key"), self.key.header())
    }

    /// Records the outcome, and removes the key from the message of an error, which may repeat the request.
    fn record<T>(&self, class: CallClass, response: Result<T, CallError>) -> Result<T, CallError> {
        self.limits.record_outcome(class, response.as_ref().err());
        response.map_err(|error| CallError { message: self.key.mask(&error.message), ..error })
    }
}

/// Returns the rules of a policy for what a sandbox reaches.
fn outgoing(network: &NetworkPolicy) -> Map<String, Value> {
    let rules = [("allowOut", &network.allow_out), ("denyOut", &network.deny_out)];
    rules.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| (name.to_owned(), json!(list))).collect()
}

/// Returns a text percent-encoded for a query.
pub(crate) fn percent_encode(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}
