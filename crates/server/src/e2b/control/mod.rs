//! The control plane: creates, lists, extends, pauses and ends sandboxes.

mod create;
mod lifecycle;
mod list;
mod metrics;
mod network;
mod query;
mod request;
mod templates;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use switchtower_core::error::Kind;
use switchtower_e2b_wire::errors;

use super::caller;
use super::debug::{self, DebugPort};
use super::response;
use super::state::E2bState;
use query::{KnownQuery, RawQuery};
use request::bad_request;

pub(super) fn routes(state: &Arc<E2bState>) -> Router {
    let without_query = Router::new()
        .route("/sandboxes", post(create::create_v1))
        .route("/v2/sandboxes", post(create::create_v2))
        .route("/sandboxes/{id}", get(lifecycle::detail).delete(lifecycle::end))
        .route("/sandboxes/{id}/timeout", post(lifecycle::set_timeout))
        .route("/sandboxes/{id}/refreshes", post(lifecycle::refresh))
        .route("/sandboxes/{id}/pause", post(lifecycle::pause))
        .route("/sandboxes/{id}/resume", post(lifecycle::resume))
        .route("/sandboxes/{id}/connect", post(lifecycle::connect))
        .route("/v2/sandboxes/{id}/connect", post(lifecycle::connect))
        .route("/sandboxes/{id}/network", put(network::update))
        .route("/templates/aliases/{name}", get(templates::by_alias))
        .route("/templates/{name}/tags", get(templates::tags))
        .route_layer(from_fn(refuse_query));
    // What they refuse is refused with every query.
    let mut routes = Router::new()
        .route("/sandboxes", get(list::list_running))
        .route("/v2/sandboxes", get(list::list_all))
        .route("/sandboxes/{id}/metrics", get(metrics::of_sandbox))
        .route("/sandboxes/metrics", get(metrics::of_sandboxes))
        .route("/sandboxes/{id}/{action}", any(lifecycle::refuse_action))
        .route("/v2/sandboxes/{id}/{action}", any(lifecycle::refuse_action))
        .route("/templates/tags", any(templates::refuse))
        .route("/templates/{name}", any(templates::refuse_known))
        .route("/snapshots", get(templates::snapshots));
    for path in ["/templates", "/templates/{name}/{part}", "/templates/{name}/{part}/{build}"] {
        routes = routes.route(path, any(templates::refuse));
    }
    routes = routes.route("/templates/{name}/{part}/{build}/{action}", any(templates::refuse));
    for path in ["/v2/templates", "/v3/templates"] {
        routes = routes.route(path, any(templates::refuse)).route(&format!("{path}/{{*rest}}"), any(templates::refuse));
    }
    for path in ["/volumes", "/secrets", "/teams", "/api-keys", "/access-tokens"] {
        routes = routes.route(path, any(unsupported)).route(&format!("{path}/{{*rest}}"), any(unsupported));
    }
    routes
        .merge(without_query)
        .route_layer(from_fn_with_state(Arc::clone(state), require_key))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(state))
}

/// Answers requests to a path of E2B that this server does not implement.
async fn unsupported(uri: Uri) -> Response {
    response::permanent_of(Kind::Invalid, &format!("{} is not supported by Switchtower", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    response::permanent(StatusCode::METHOD_NOT_ALLOWED, &format!("{} has no {method}", uri.path()))
}

/// Refuses the parameters of a request to a path that has none.
async fn refuse_query(query: RawQuery, request: Request, next: Next) -> Response {
    match KnownQuery::read(&query, &[]) {
        Ok(_) => next.run(request).await,
        Err(message) => *bad_request(&message),
    }
}

/// Refuses requests without a valid key, and adds the caller to the others.
async fn require_key(State(state): State<Arc<E2bState>>, mut request: Request, next: Next) -> Response {
    let debug_port = request.extensions().get::<DebugPort>().copied();
    if debug_port.is_some() && debug::is_for_sandbox(request.uri()) {
        // Clients connect to it by its name, without having created it.
        return match debug::session(&state).await {
            Ok(session) => {
                request.extensions_mut().insert(session.caller().clone());
                next.run(request).await
            }
            Err(error) => response::refused(&error),
        };
    }
    match caller::identify(&state, request.headers(), debug_port) {
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        None => {
            let message = "Invalid API key: send a key of this server as X-API-Key";
            errors::api(StatusCode::UNAUTHORIZED, message).into_response()
        }
    }
}
