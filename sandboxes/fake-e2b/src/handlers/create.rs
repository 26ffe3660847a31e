//! Creations of sandboxes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use switchtower_e2b_wire::control::{LONG_TIMEOUT_SECONDS, SHORT_TIMEOUT_SECONDS};
use switchtower_e2b_wire::errors::{RATE_LIMITED, api};

use super::errors::{Refusal, not_created, rate_limited};
use super::{api_key, lifetime, view};
use crate::fake::Fake;
use crate::faults::FaultKind;
use crate::latency::Operation;
use crate::sandbox::{NetworkRules, NewSandbox, Sandbox};
use crate::sandboxes::SandboxEntry;
use crate::settings::{Settings, Template};

/// The fields that have an effect here; the others are ignored.
#[derive(Deserialize)]
struct Body {
    #[serde(rename = "templateID")]
    template: String,
    /// Seconds.
    timeout: Option<f64>,
    metadata: Option<BTreeMap<String, String>>,
    #[serde(rename = "envVars")]
    env: Option<BTreeMap<String, String>>,
    #[serde(rename = "autoPause")]
    auto_pause: Option<bool>,
    #[serde(flatten)]
    network: NetworkRules,
}

/// `POST /sandboxes`.
pub(super) async fn with_short_timeout(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    answer(fake, headers, body, SHORT_TIMEOUT_SECONDS as f64).await
}

/// `POST /v2/sandboxes`.
pub(super) async fn with_long_timeout(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    answer(fake, headers, body, LONG_TIMEOUT_SECONDS as f64).await
}

async fn answer(fake: Fake, headers: HeaderMap, body: Bytes, default_timeout: f64) -> Response {
    if let Err(refusal) = api_key::check(&fake, &headers) {
        return refusal.into_response();
    }
    let task_fake = fake.clone();
    // As with E2B, a client that leaves does not stop its creation: it has to find and end the sandbox itself.
    let created = tokio::spawn(async move { create(&task_fake, &body, default_timeout).await }).await;
    match created {
        Ok(Ok(entry)) => (StatusCode::CREATED, Json(view::connection(&entry))).into_response(),
        Ok(Err(refusal)) => {
            fake.state.sandboxes.count(|counts| counts.create_refused += 1);
            refusal.into_response()
        }
        Err(_) => api(StatusCode::INTERNAL_SERVER_ERROR, "Failed to create sandbox"),
    }
}

async fn create(fake: &Fake, body: &[u8], default_timeout: f64) -> Result<SandboxEntry, Refusal> {
    let state = &fake.state;
    let bad = |error| api(StatusCode::BAD_REQUEST, &format!("Error when parsing request: {error}"));
    let body: Body = serde_json::from_slice(body).map_err(bad)?;
    let mut template = find_template(&state.settings, &body.template)?;
    let lifetime = lifetime::allowed(fake, body.timeout.unwrap_or(default_timeout))?;
    let rates = &state.settings.rates;
    state.sandboxes.take_creation().map_err(|error| not_created(error, rates))?;
    state.sandboxes.check_limit().map_err(|error| not_created(error, rates))?;
    apply_faults(fake).await?;
    let in_flight = state.creating.fetch_add(1, Ordering::Relaxed) + 1;
    fake.simulate_latency(Operation::Create { in_flight }).await;
    state.creating.fetch_sub(1, Ordering::Relaxed);
    if state.faults.triggers(FaultKind::TagWrong, &state.random) {
        template.tag.push_str("-stale");
    }
    let new = NewSandbox {
        template: body.template,
        metadata: body.metadata.unwrap_or_default(),
        env: body.env.unwrap_or_default(),
        auto_pause: body.auto_pause.unwrap_or_default(),
        network: body.network,
    };
    let sandbox = Sandbox::new(new, &template, &state.kernels, state.clock, &state.random)
        .map_err(|e| api(StatusCode::INTERNAL_SERVER_ERROR, &format!("Failed to place sandbox: {e}")))?;
    state.sandboxes.add(sandbox, lifetime).map_err(|error| not_created(error, rates).into())
}

async fn apply_faults(fake: &Fake) -> Result<(), Refusal> {
    let (faults, random) = (&fake.state.faults, &fake.state.random);
    let delay: Duration = faults.delay(FaultKind::CreateSlow, random);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if faults.triggers(FaultKind::Create429, random) {
        let response = api(StatusCode::TOO_MANY_REQUESTS, RATE_LIMITED);
        return Err(rate_limited(response, None, &fake.state.settings.rates).into());
    }
    if faults.triggers(FaultKind::Create500, random) {
        return Err(api(StatusCode::INTERNAL_SERVER_ERROR, "Failed to place sandbox").into());
    }
    if faults.triggers(FaultKind::Create503, random) {
        let body = serde_json::json!({
            "code": 503, "message": "No sandbox capacity is available right now, please try again later",
            "error_code": "sandbox_capacity_unavailable",
        });
        return Err((StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response().into());
    }
    Ok(())
}

/// Returns the template of this name, which may have a namespace before a slash and a tag after a colon.
fn find_template(settings: &Settings, name: &str) -> Result<Template, Refusal> {
    let (base, tag) = name.split_once(':').map_or((name, None), |(base, tag)| (base, Some(tag)));
    if settings.templates.is_empty() {
        return Ok(Template { tag: tag.unwrap_or("default").to_owned(), modules: None });
    }
    let bare = base.rsplit('/').next().unwrap_or(base);
    let known = [name, base, bare].into_iter().find_map(|name| settings.templates.get_key_value(name));
    let not_found = |message: String| Err(api(StatusCode::NOT_FOUND, &message).into());
    match (known, tag) {
        (None, _) => not_found(format!("template '{base}' not found")),
        (Some((known, template)), Some(tag)) if known != name && template.tag != tag => {
            not_found(format!("tag '{tag}' does not exist for template '{base}'"))
        }
        (Some((_, template)), _) => Ok(template.clone()),
    }
}
