//! A new sandbox.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::control::{enter, lasts, sandbox_body};
use super::refusal::{self, api};
use crate::fake::Fake;
use crate::faults::Kind;
use crate::fleet::Held;
use crate::latency::Act;
use crate::sandbox::{Sandbox, Wish};
use crate::settings::{Settings, Template};

/// What clients send; the rest of it changes nothing here.
#[derive(Deserialize)]
struct Body {
    #[serde(rename = "templateID")]
    template: String,
    timeout: Option<u64>,
    metadata: Option<BTreeMap<String, String>>,
    #[serde(rename = "envVars")]
    env: Option<BTreeMap<String, String>>,
    #[serde(rename = "autoPause")]
    auto_pause: Option<bool>,
}

/// Where no time-out was given: the old path.
const SHORT: u64 = 15;
/// Where no time-out was given: the new path.
pub(super) const LONG: u64 = 300;

pub(super) async fn short(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    asked(fake, headers, body, SHORT).await
}

pub(super) async fn long(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    asked(fake, headers, body, LONG).await
}

async fn asked(fake: Fake, headers: HeaderMap, body: Bytes, otherwise: u64) -> Response {
    if let Err(refused) = enter(&fake, &headers) {
        return *refused;
    }
    let of = fake.clone();
    // As with the real one, a client that leaves does not stop its creation: it is the client's to find it again.
    let created = tokio::spawn(async move { create(&of, &body, otherwise).await }).await;
    match created {
        Ok(Ok(held)) => (StatusCode::CREATED, Json(sandbox_body(&held))).into_response(),
        Ok(Err(refused)) => {
            fake.parts.fleet.count(|counts| counts.create_refused += 1);
            *refused
        }
        Err(_) => api(StatusCode::INTERNAL_SERVER_ERROR, "Failed to create sandbox"),
    }
}

async fn create(fake: &Fake, body: &[u8], otherwise: u64) -> Result<Held, Box<Response>> {
    let parts = &fake.parts;
    let bad = |e| Box::new(api(StatusCode::BAD_REQUEST, &format!("Error when parsing request: {e}")));
    let body: Body = serde_json::from_slice(body).map_err(bad)?;
    let mut template = template(&parts.settings, &body.template)?;
    let lifetime = lasts(fake, body.timeout.unwrap_or(otherwise))?;
    let rates = &parts.settings.rates;
    parts.fleet.may_create().map_err(|refusal| refusal::refused(refusal, rates))?;
    parts.fleet.room().map_err(|refusal| refusal::refused(refusal, rates))?;
    fail(fake).await?;
    let in_flight = parts.creating.fetch_add(1, Ordering::Relaxed) + 1;
    fake.pass(Act::Create { in_flight }).await;
    parts.creating.fetch_sub(1, Ordering::Relaxed);
    if parts.faults.strikes(Kind::TagWrong, &parts.chance) {
        template.tag.push_str("-stale");
    }
    let wish = Wish {
        template: body.template,
        metadata: body.metadata.unwrap_or_default(),
        env: body.env.unwrap_or_default(),
        auto_pause: body.auto_pause.unwrap_or_default(),
    };
    let sandbox = Sandbox::new(wish, &template, &parts.kind, parts.wall, &parts.chance)
        .map_err(|e| Box::new(api(StatusCode::INTERNAL_SERVER_ERROR, &format!("Failed to place sandbox: {e}"))))?;
    parts.fleet.add(sandbox, lifetime).map_err(|refusal| Box::new(refusal::refused(refusal, rates)))
}

async fn fail(fake: &Fake) -> Result<(), Box<Response>> {
    let (faults, chance) = (&fake.parts.faults, &fake.parts.chance);
    let delay: Duration = faults.delay(Kind::CreateSlow, chance);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if faults.strikes(Kind::Create429, chance) {
        let response = api(StatusCode::TOO_MANY_REQUESTS, refusal::RATE);
        return Err(Box::new(refusal::limited(response, None, &fake.parts.settings.rates)));
    }
    if faults.strikes(Kind::Create500, chance) {
        return Err(Box::new(api(StatusCode::INTERNAL_SERVER_ERROR, "Failed to place sandbox")));
    }
    if faults.strikes(Kind::Create503, chance) {
        let body = serde_json::json!({
            "code": 503, "message": "No sandbox capacity is available right now, please try again later",
            "error_code": "sandbox_capacity_unavailable",
        });
        return Err(Box::new((StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()));
    }
    Ok(())
}

/// The template of this name, with or without a tag behind a colon and a namespace before a slash.
fn template(settings: &Settings, name: &str) -> Result<Template, Box<Response>> {
    let (base, tag) = name.split_once(':').map_or((name, None), |(base, tag)| (base, Some(tag)));
    if settings.templates.is_empty() {
        return Ok(Template { tag: tag.unwrap_or("default").to_owned(), modules: None });
    }
    let bare = base.rsplit('/').next().unwrap_or(base);
    let known = [name, base, bare].into_iter().find_map(|name| settings.templates.get_key_value(name));
    let not_found = |message: String| Err(Box::new(api(StatusCode::NOT_FOUND, &message)));
    match (known, tag) {
        (None, _) => not_found(format!("template '{base}' not found")),
        (Some((known, template)), Some(tag)) if known != name && template.tag != tag => {
            not_found(format!("tag '{tag}' does not exist for template '{base}'"))
        }
        (Some((_, template)), _) => Ok(template.clone()),
    }
}
