//! The native API: JSON and event streams over HTTP.
//!
//! [`app`] returns the whole API as a router, which needs no port. [`service::serve`](crate::service::serve) serves it
//! on a listener.

mod admin;
mod batch;
mod execute;
pub mod executors;
mod explain;
mod fields;
mod health;
mod known_sessions;
mod openapi;
mod parse;
mod path_names;
mod printed;
mod response;
mod sessions;
mod state;
mod stream;

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use switchtower_core::router::Router;

pub use batch::{BATCH_FIELDS, MAX_PROGRAMS};
pub use explain::explanation_view;
pub use openapi::DOCUMENT;
pub use parse::{CELL_FIELDS, CONTEXT_FIELDS, FIELDS, FILE_FIELDS, LEGACY_FIELDS, MIN_IDLE, SESSION_FIELDS};
pub use response::AnswerBody;
pub use state::AppState;

use self::state::ApiState;
use crate::service::config::Config;
use crate::service::problem::{Problem, ProblemKind};

/// Every method and path of the API. `/v1/openapi.json` describes exactly these.
pub const PATHS: [(&str, &str); 27] = [
    ("post", "/v1/execute"),
    ("post", "/v1/batch"),
    ("post", "/v1/explain"),
    ("get", "/v1/sessions"),
    ("post", "/v1/sessions"),
    ("get", "/v1/sessions/{id}"),
    ("delete", "/v1/sessions/{id}"),
    ("post", "/v1/sessions/{id}/execute"),
    ("get", "/v1/sessions/{id}/ws"),
    ("post", "/v1/sessions/{id}/contexts"),
    ("delete", "/v1/sessions/{id}/contexts/{context}"),
    ("post", "/v1/sessions/{id}/contexts/{context}/restart"),
    ("get", "/v1/sessions/{id}/files"),
    ("put", "/v1/sessions/{id}/files"),
    ("post", "/api/code/execute"),
    ("get", "/health"),
    ("get", "/ready"),
    ("get", "/metrics"),
    ("get", "/v1/metrics"),
    ("get", "/v1/openapi.json"),
    ("get", "/v1/admin/tiers"),
    ("get", "/v1/admin/pool"),
    ("get", "/v1/admin/tiers/{tier}/budget"),
    ("get", "/v1/admin/tiers/{tier}/usage"),
    ("post", "/v1/admin/tiers/{tier}/breaker/reset"),
    ("get", "/v1/admin/cache"),
    ("post", "/v1/admin/cache/bars/reset"),
];

/// Further names of paths, which the services that this one replaces had, each with the method and the path of which
/// it is another name.
pub const ALIASES: [(&str, &str, &str); 2] = [("post", "/batch", "/v1/batch"), ("get", "/metrics.json", "/v1/metrics")];

/// Returns the API.
pub fn app(router: Arc<Router>, config: &Config, app: AppState) -> axum::Router {
    let api = Arc::new(ApiState::new(router, config, app));
    let with_key = axum::Router::new()
        .route("/v1/execute", post(execute::execute))
        .route("/v1/batch", post(batch::batch))
        .route("/v1/explain", post(explain::explain))
        .merge(sessions::routes())
        .route("/api/code/execute", post(execute::execute_legacy))
        .route("/metrics", get(health::prometheus))
        .route("/v1/metrics", get(health::metrics))
        .route("/batch", post(batch::batch))
        .route("/metrics.json", get(health::metrics))
        .route_layer(from_fn(refuse_query))
        .route_layer(from_fn_with_state(Arc::clone(&api), require_key));
    let public = axum::Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/v1/openapi.json", get(openapi::document));
    let admin = axum::Router::new()
        .route("/v1/admin/tiers", get(admin::tiers))
        .route("/v1/admin/pool", get(admin::pools))
        .route("/v1/admin/tiers/{tier}/budget", get(admin::budget))
        .route("/v1/admin/tiers/{tier}/usage", get(admin::usage))
        .route("/v1/admin/tiers/{tier}/breaker/reset", post(admin::reset_breaker))
        .route("/v1/admin/cache", get(admin::cache))
        .route("/v1/admin/cache/bars/reset", post(admin::reset_bars))
        .route_layer(from_fn(refuse_query))
        .route_layer(from_fn_with_state(Arc::clone(&api), admin::require_admin_key));
    let all = with_key.merge(public).merge(admin);
    all.method_not_allowed_fallback(method_not_allowed).fallback(not_found).with_state(api)
}

/// Refuses requests without a valid key, and adds the caller to the others.
async fn require_key(State(api): State<Arc<ApiState>>, mut request: Request, next: Next) -> Response {
    match api.keys.caller(request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Refuses parameters in the query of a request that does something: their effect would be missed. Those that write files
/// read their own.
async fn refuse_query(Query(pairs): Query<Vec<(String, String)>>, request: Request, next: Next) -> Response {
    match pairs.into_iter().next() {
        Some((name, _)) if matches!(*request.method(), Method::POST | Method::DELETE) => {
            let detail = format!("there is no parameter {name}: what a request may contain is in its body");
            Problem::field(name, detail).into_response()
        }
        _ => next.run(request).await,
    }
}

async fn not_found(uri: Uri) -> Problem {
    let mut paths: Vec<&str> = PATHS.iter().map(|(_, path)| *path).collect();
    // A path with several methods is listed once.
    paths.dedup();
    Problem::new(ProblemKind::NotFound, format!("there is nothing at {}", uri.path())).with("allowed", paths)
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let matches = |path: &str| {
        let (pattern, path) = (path.split('/'), uri.path().split('/'));
        pattern.clone().count() == path.clone().count()
            && pattern.zip(path).all(|(one, other)| one == other || one.starts_with('{'))
    };
    let aliases = ALIASES.iter().map(|(method, alias, _)| (*method, *alias));
    let known = PATHS.into_iter().chain(aliases);
    let methods: Vec<&str> = known.filter(|(_, path)| matches(path)).map(|(method, _)| method).collect();
    let allowed = match methods.as_slice() {
        ["get"] => "GET, HEAD",
        ["get", "post"] => "GET, HEAD, POST",
        ["get", "put"] => "GET, HEAD, PUT",
        ["get", "delete"] => "GET, HEAD, DELETE",
        ["delete"] => "DELETE",
        _ => "POST",
    };
    Problem::new(ProblemKind::MethodNotAllowed, format!("{} has no {method}", uri.path()))
        .with("allowed", allowed)
        .allow(allowed)
}
