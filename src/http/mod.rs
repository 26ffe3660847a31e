//! The native door: JSON and event streams over HTTP.
//!
//! [`app`] is the whole door as a function: it needs no port. [`serve`] puts it behind a listener and drains it at the end.

mod admin;
mod answer;
mod asked;
mod batch;
mod body;
mod config;
mod execute;
mod explain;
mod fields;
mod health;
mod keys;
mod openapi;
mod patient;
mod problem;
mod serve;
mod starting;
mod stream;

use std::sync::Arc;

use axum::Router as Routes;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub use asked::{FIELDS, FILE_FIELDS, LEGACY_FIELDS};
pub use batch::BATCH_FIELDS;
pub use config::Config;
pub use openapi::DOCUMENT;
pub use problem::{Kind, Problem};
pub use serve::{Drained, serve};
pub use starting::{Opening, starting};

pub(crate) use answer::{Body, millis};
pub(crate) use explain::explained;

use crate::request::Ceilings;
use crate::router::Router;
use keys::{AdminKey, Keys};

/// What the door knows of the house around it.
#[derive(Debug, Clone, Default)]
pub struct House {
    pub ceilings: Ceilings,
    /// An E2B key is there. Only its presence is looked at.
    pub e2b_key: bool,
}

/// What every handler gets.
#[derive(Clone)]
struct Door(Arc<Parts>);

impl Parts {
    /// A request's body as JSON, no larger than what one request may hold, in the time that a client has for it.
    async fn body(&self, request: Request) -> Result<serde_json::Value, Problem> {
        body::json(request, asked::largest_body(&self.house.ceilings), self.config.patience).await
    }
}

struct Parts {
    router: Arc<Router>,
    config: Config,
    keys: Keys,
    admin: AdminKey,
    house: House,
}

/// Every path of the door, and what may be asked there. `/v1/openapi.json` describes exactly these.
pub const PATHS: [(&str, &str); 13] = [
    ("post", "/v1/execute"),
    ("post", "/v1/batch"),
    ("post", "/v1/explain"),
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
];

/// The door.
pub fn app(router: Arc<Router>, config: &Config, house: House) -> Routes {
    let keys = Keys::new(&config.keys);
    let admin = AdminKey::new(config.admin_key.as_deref());
    let door = Door(Arc::new(Parts { router, config: config.clone(), keys, admin, house }));
    let guarded = Routes::new()
        .route("/v1/execute", post(execute::native))
        .route("/v1/batch", post(batch::batch))
        .route("/v1/explain", post(explain::explain))
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
        .route_layer(from_fn_with_state(door.clone(), admin::admit));
    guarded.merge(open).merge(operators).method_not_allowed_fallback(other_method).fallback(other_path).with_state(door)
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
    let paths: Vec<&str> = PATHS.iter().map(|(_, path)| *path).collect();
    Problem::new(Kind::NotFound, format!("there is nothing at {}", uri.path())).with("allowed", paths)
}

async fn other_method(method: Method, uri: Uri) -> Problem {
    let is = |path: &str| {
        let (pattern, path) = (path.split('/'), uri.path().split('/'));
        pattern.clone().count() == path.clone().count()
            && pattern.zip(path).all(|(one, other)| one == other || one.starts_with('{'))
    };
    let allowed = PATHS.iter().find(|(_, path)| is(path)).map_or("", |(method, _)| *method);
    let allowed = if allowed == "get" { "GET, HEAD" } else { "POST" };
    Problem::new(Kind::MethodNotAllowed, format!("{} has no {method}", uri.path()))
        .with("allowed", allowed)
        .allow(allowed)
}
