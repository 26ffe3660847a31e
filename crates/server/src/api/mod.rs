//! The native door: JSON and event streams over HTTP.
//!
//! [`app`] is the whole door as a function: it needs no port. [`service::serve`](crate::service::serve) puts it behind a listener and drains it at the end.

mod admin;
mod batch;
mod execute;
mod explain;
mod fields;
mod health;
mod openapi;
mod parse;
mod response;
mod sessions;
mod stream;

use std::fmt;
use std::sync::Arc;

use axum::Router as Routes;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use switchtower_core::memory::Charge;
use switchtower_core::request::{Caller, Ceilings};
use switchtower_core::router::Router;
use switchtower_core::session::Sessions;

pub use batch::BATCH_FIELDS;
pub use explain::explained;
pub use openapi::DOCUMENT;
pub use parse::{CELL_FIELDS, CONTEXT_FIELDS, FIELDS, FILE_FIELDS, LEGACY_FIELDS, SESSION_FIELDS};
pub use response::Body;

use crate::service::body::BodyReader;
use crate::service::body_limits::BodyKind;
use crate::service::config::Config;
use crate::service::json_body;
use crate::service::keys::{AdminKey, ApiKeys};
use crate::service::problem::{Kind, Problem};

/// What the door knows of the app around it.
#[derive(Clone, Default)]
pub struct AppState {
    pub ceilings: Ceilings,
    /// An E2B key is there. Only its presence is looked at.
    pub e2b_key: bool,
    /// The sandboxes that clients keep, E2B's clients too; without them their paths are unknown ones.
    pub sessions: Option<Sessions>,
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState")
            .field("ceilings", &self.ceilings)
            .field("e2b_key", &self.e2b_key)
            .finish_non_exhaustive()
    }
}

/// What every handler gets.
#[derive(Clone)]
struct Door(Arc<Parts>);

impl Parts {
    /// A request's body as JSON, within the limit of its kind, and what is charged for it until it is answered.
    async fn body(
        &self,
        caller: &Caller,
        kind: BodyKind,
        request: Request,
    ) -> Result<(serde_json::Value, Charge), Problem> {
        json_body::read_json(&self.bodies, caller, kind, request).await
    }
}

struct Parts {
    router: Arc<Router>,
    config: Config,
    keys: ApiKeys,
    admin: AdminKey,
    app: AppState,
    opened: sessions::Opened,
    bodies: BodyReader,
}

/// Every path of the door, and what may be asked there. `/v1/openapi.json` describes exactly these.
pub const PATHS: [(&str, &str); 25] = [
    ("post", "/v1/execute"),
    ("post", "/v1/batch"),
    ("post", "/v1/explain"),
    ("get", "/v1/sessions"),
    ("post", "/v1/sessions"),
    ("get", "/v1/sessions/{id}"),
    ("delete", "/v1/sessions/{id}"),
    ("post", "/v1/sessions/{id}/execute"),
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
    ("get", "/v1/admin/tiers/{tier}/budget"),
    ("get", "/v1/admin/tiers/{tier}/usage"),
    ("post", "/v1/admin/tiers/{tier}/breaker/reset"),
    ("get", "/v1/admin/cache"),
    ("post", "/v1/admin/cache/bars/reset"),
];

/// The door.
pub fn app(router: Arc<Router>, config: &Config, app: AppState) -> Routes {
    let keys = ApiKeys::new(&config.keys);
    let admin = AdminKey::new(config.admin_key.as_deref());
    let opened = sessions::Opened::default();
    let bodies = BodyReader::new(config, &app.ceilings, app.sessions.as_ref());
    let door = Door(Arc::new(Parts { router, config: config.clone(), keys, admin, app, opened, bodies }));
    let guarded = Routes::new()
        .route("/v1/execute", post(execute::native))
        .route("/v1/batch", post(batch::batch))
        .route("/v1/explain", post(explain::explain))
        .merge(sessions::routes())
        .route("/api/code/execute", post(execute::legacy))
        .route("/metrics", get(health::prometheus))
        .route("/v1/metrics", get(health::metrics))
        .route_layer(from_fn_with_state(door.clone(), admit));
    let open = Routes::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/v1/openapi.json", get(openapi::document));
    let operators = Routes::new()
        .route("/v1/admin/tiers", get(admin::tiers))
        .route("/v1/admin/tiers/{tier}/budget", get(admin::budget))
        .route("/v1/admin/tiers/{tier}/usage", get(admin::usage))
        .route("/v1/admin/tiers/{tier}/breaker/reset", post(admin::reset))
        .route("/v1/admin/cache", get(admin::cache))
        .route("/v1/admin/cache/bars/reset", post(admin::lift))
        .route_layer(from_fn_with_state(door.clone(), admin::admit));
    let all = guarded.merge(open).merge(operators);
    all.method_not_allowed_fallback(other_method).fallback(other_path).with_state(door)
}

/// Lets in whoever shows a key, and says who that is.
async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    match door.0.keys.caller(request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn other_path(uri: Uri) -> Problem {
    let mut paths: Vec<&str> = PATHS.iter().map(|(_, path)| *path).collect();
    // Those with several methods stand together.
    paths.dedup();
    Problem::new(Kind::NotFound, format!("there is nothing at {}", uri.path())).with("allowed", paths)
}

async fn other_method(method: Method, uri: Uri) -> Problem {
    let is = |path: &str| {
        let (pattern, path) = (path.split('/'), uri.path().split('/'));
        pattern.clone().count() == path.clone().count()
            && pattern.zip(path).all(|(one, other)| one == other || one.starts_with('{'))
    };
    let methods: Vec<&str> = PATHS.iter().filter(|(_, path)| is(path)).map(|(method, _)| *method).collect();
    let allowed = match methods.as_slice() {
        ["get"] => "GET, HEAD",
        ["get", "post"] => "GET, HEAD, POST",
        ["get", "put"] => "GET, HEAD, PUT",
        ["get", "delete"] => "GET, HEAD, DELETE",
        ["delete"] => "DELETE",
        _ => "POST",
    };
    Problem::new(Kind::MethodNotAllowed, format!("{} has no {method}", uri.path()))
        .with("allowed", allowed)
        .allow(allowed)
}
