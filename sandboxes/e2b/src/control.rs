//! The control plane: sandboxes are made, looked at, paused, woken and ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::address::Address;
use crate::cause::{Call, Cause, Trouble};
use crate::key::Key;
use crate::limits::{Kind, Limits};
use crate::transport::Transport;
use crate::wire::{Ask, parsed};

/// Longest that E2B may take to create or to wake a sandbox: its SDKs wait as long.
const SLOW: Duration = Duration::from_secs(60);
/// Longest that any other call may take.
const QUICK: Duration = Duration::from_secs(15);
/// Times that a call is made again at once where E2B failed.
const REPEATS: u32 = 1;
/// Pages of a list that are read; E2B gives 100 sandboxes a page.
const PAGES: usize = 100;

/// Calls to an account.
pub(crate) struct Control {
    transport: Arc<dyn Transport>,
    address: Address,
    key: Key,
    limits: Arc<Limits>,
    /// The service has only the paths of before 2026.
    old: AtomicBool,
}

/// What a sandbox is made with.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) template: &'a str,
    pub(crate) lifetime: Duration,
    pub(crate) metadata: &'a BTreeMap<String, String>,
    pub(crate) internet: bool,
}

/// How to reach a sandbox that runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Made {
    #[serde(rename = "sandboxID")]
    pub(crate) id: String,
    #[serde(rename = "envdAccessToken")]
    pub(crate) token: Option<String>,
    #[serde(rename = "trafficAccessToken")]
    pub(crate) traffic: Option<String>,
    pub(crate) domain: Option<String>,
}

/// A template as its name leads to it.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "templateID")]
    template: String,
}

/// A tag of a template.
#[derive(Deserialize)]
struct Tag {
    tag: String,
}

/// The service says nothing of templates, or not of this one: it belongs to another team, which may have shared it.
fn is_silent(trouble: &Trouble) -> bool {
    trouble.cause == Cause::NoPath || trouble.status == Some(403)
}

/// A sandbox as E2B tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    #[serde(rename = "sandboxID")]
    pub(crate) id: String,
    /// `running` or `paused`.
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    /// When E2B ends it; of one that is paused, when it was paused.
    #[serde(default)]
    end_at: Option<String>,
}

impl Listed {
    /// When it ends, or was paused; none where the service does not tell.
    pub(crate) fn ends(&self) -> Option<SystemTime> {
        let time: jiff::Timestamp = self.end_at.as_deref()?.parse().ok()?;
        Some(time.into())
    }
}

impl Control {
    pub(crate) fn new(transport: Arc<dyn Transport>, address: Address, key: Key, limits: Arc<Limits>) -> Self {
        Self { transport, address, key, limits, old: AtomicBool::new(false) }
    }

    pub(crate) async fn create(&self, wanted: &Wanted<'_>) -> Result<Made, Trouble> {
        let body = json!({
            "templateID": wanted.template,
            "timeout": wanted.lifetime.as_secs(),
            "metadata": wanted.metadata,
            "allow_internet_access": wanted.internet,
            "autoPause": false,
            "secure": true,
        });
        self.either(Call::Create, "/v2/sandboxes", "/sandboxes", &body, SLOW, Kind::Creation).await
    }

    /// Wakes a paused sandbox, or finds it awake; it then lives at least so long.
    pub(crate) async fn connect(&self, id: &str, lifetime: Duration) -> Result<Made, Trouble> {
        let body = json!({ "timeout": lifetime.as_secs() });
        let (new, old) = (format!("/v2/sandboxes/{id}/connect"), format!("/sandboxes/{id}/connect"));
        self.either(Call::Control, &new, &old, &body, SLOW, Kind::Lifecycle).await
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Listed, Trouble> {
        let (_, body) = self.call(Method::GET, &format!("/sandboxes/{id}"), None).await?;
        parsed(&body)
    }

    /// Looks whether a template is there that this key may use: `name`, an id, either with `:tag`. A service that does not
    /// know the question counts as one that has it.
    pub(crate) async fn find_template(&self, template: &str) -> Result<(), Trouble> {
        let (name, tag) = template.split_once(':').map_or((template, None), |(name, tag)| (name, Some(tag)));
        let missing = |message: String| Trouble {
            cause: Cause::Template,
            status: Some(404),
            message,
            retry_after: None,
            may_have_run: false,
        };
        // By its name; else by its id.
        let id = match self.call(Method::GET, &format!("/templates/aliases/{}", encoded(name)), None).await {
            Ok((_, body)) => parsed::<Named>(&body).map_or_else(|_| name.to_owned(), |named| named.template),
            Err(trouble) if trouble.cause == Cause::Gone => {
                match self.call(Method::GET, &format!("/templates/{}", encoded(name)), None).await {
                    Ok(_) => name.to_owned(),
                    Err(trouble) if trouble.cause == Cause::Gone || trouble.status == Some(400) => {
                        return Err(missing(format!("template '{name}' not found")));
                    }
                    Err(trouble) if is_silent(&trouble) => return Ok(()),
                    Err(trouble) => return Err(trouble),
                }
            }
            Err(trouble) if is_silent(&trouble) => return Ok(()),
            Err(trouble) => return Err(trouble),
        };
        let Some(tag) = tag else { return Ok(()) };
        let tags = self.call(Method::GET, &format!("/templates/{}/tags", encoded(&id)), None).await;
        let tags: Vec<Tag> = match tags {
            // In another form than we know, it tells nothing.
            Ok((_, body)) => match parsed(&body) {
                Ok(tags) => tags,
                Err(_) => return Ok(()),
            },
            Err(trouble) if is_silent(&trouble) || trouble.cause == Cause::Gone => return Ok(()),
            Err(trouble) => return Err(trouble),
        };
        // A build's own id pins that build, and is among no tags.
        let pins = tag.len() == 36 && tag.bytes().filter(|byte| *byte == b'-').count() == 4;
        if pins || tags.iter().any(|known| known.tag == tag) {
            return Ok(());
        }
        Err(missing(format!("tag '{tag}' does not exist for template '{name}'")))
    }

    /// Every sandbox with this metadata, paused ones too.
    pub(crate) async fn list(&self, metadata: &[(&str, &str)]) -> Result<Vec<Listed>, Trouble> {
        let pairs: Vec<String> = metadata.iter().map(|(k, v)| format!("{}={}", encoded(k), encoded(v))).collect();
        // A query in a query: the pairs are encoded once more as the value of `metadata`.
        let filter = format!("metadata={}&state=running,paused&limit=100", encoded(&pairs.join("&")));
        let (mut all, mut token) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let next = token.take().map_or_else(String::new, |token| format!("&nextToken={}", encoded(&token)));
            let (headers, body) = self.call(Method::GET, &format!("/v2/sandboxes?{filter}{next}"), None).await?;
            all.extend(parsed::<Vec<Listed>>(&body)?);
            token = headers.get("x-next-token").and_then(|token| token.to_str().ok()).map(str::to_owned);
            if token.as_deref().is_none_or(str::is_empty) {
                break;
            }
        }
        // The service may be one that does not filter.
        all.retain(|listed: &Listed| metadata.iter().all(|(k, v)| listed.metadata.get(*k).is_some_and(|has| has == v)));
        Ok(all)
    }

    /// It lives so long from now.
    pub(crate) async fn set_timeout(&self, id: &str, lifetime: Duration) -> Result<(), Trouble> {
        let body = json!({ "timeout": lifetime.as_secs() });
        self.call(Method::POST, &format!("/sandboxes/{id}/timeout"), Some(&body)).await.map(drop)
    }

    /// It sleeps: nothing in it runs, and nothing is billed. True where it did already.
    pub(crate) async fn pause(&self, id: &str) -> Result<(), Trouble> {
        match self.call(Method::POST, &format!("/sandboxes/{id}/pause"), Some(&json!({}))).await {
            Err(trouble) if trouble.cause == Cause::Transition => Ok(()),
            done => done.map(drop),
        }
    }

    /// It is gone afterwards, whether it was there or not.
    pub(crate) async fn kill(&self, id: &str) -> Result<(), Trouble> {
        match self.call(Method::DELETE, &format!("/sandboxes/{id}"), None).await {
            Err(trouble) if trouble.cause == Cause::Gone => Ok(()),
            done => done.map(drop),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(HeaderMap, Bytes), Trouble> {
        let mut repeats = REPEATS;
        loop {
            let right = self.limits.lifecycle().await?;
            let ask = self.ask(Call::Control, method.clone(), path, QUICK);
            let ask = if let Some(body) = body { ask.json(body) } else { ask };
            let answered = ask.whole(self.transport.as_ref()).await;
            drop(right);
            match self.told(Kind::Lifecycle, answered) {
                // Every one of these may be made twice.
                Err(trouble) if repeats > 0 && trouble.cause == Cause::Server => repeats -= 1,
                done => return done,
            }
        }
    }

    /// A call whose path has a newer and an older form.
    async fn either(
        &self,
        call: Call,
        new: &str,
        old: &str,
        body: &serde_json::Value,
        deadline: Duration,
        kind: Kind,
    ) -> Result<Made, Trouble> {
        if !self.old.load(Ordering::Relaxed) {
            let _right = self.limits.lifecycle().await?;
            let asked = self.ask(call, Method::POST, new, deadline).json(body).read(self.transport.as_ref()).await;
            match asked {
                Err(trouble) if trouble.cause == Cause::NoPath => {}
                asked => return self.told(kind, asked),
            }
        }
        let _right = self.limits.lifecycle().await?;
        let made = self.ask(call, Method::POST, old, deadline).json(body).read(self.transport.as_ref()).await;
        if made.is_ok() {
            self.old.store(true, Ordering::Relaxed);
        }
        self.told(kind, made)
    }

    fn ask(&self, call: Call, method: Method, path: &str, deadline: Duration) -> Ask {
        Ask::new(call, method, format!("{}{path}", self.address.api()), deadline)
            .header(HeaderName::from_static("x-api-key"), self.key.header())
    }

    fn told<T>(&self, kind: Kind, asked: Result<T, Trouble>) -> Result<T, Trouble> {
        self.limits.hears(kind, asked.as_ref().err());
        // An answer may repeat what it was asked with.
        asked.map_err(|trouble| Trouble { message: self.key.masked(&trouble.message), ..trouble })
    }
}

/// Percent-encoded, for a query.
pub(crate) fn encoded(text: &str) -> String {
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
