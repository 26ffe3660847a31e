//! The API for E2B's clients: the control plane, the code interpreter and envd, on one port with the native API.
//!
//! A request that names a sandbox, by its headers or by a host like `49999-ID.domain`, is for the data plane of that
//! sandbox; all others are routed by their path. A signed link to a file may name no sandbox: it is found by the
//! signature.
//!
//! Modules import downward: `data_plane` and `control` the services `envd` and `interpreter`, these `forward`, `tunnel` and
//! `sandbox_handle`, these `access`, `signed_link` and `debug`, these `state`, `response`, `domain` and `address`.

mod access;
mod address;
mod caller;
mod control;
mod data_plane;
pub mod debug;
mod domain;
mod envd;
mod forward;
mod interpreter;
mod link_failures;
mod recent_sandboxes;
mod response;
mod sandbox_handle;
mod signed_link;
mod state;
mod tunnel;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use switchtower_core::request::RequestLimits;
use switchtower_core::session::Sessions;
use tower::ServiceExt as _;

use self::address::{Address, ENVD_PORT, control_path};
use self::envd::Watchers;
use self::signed_link::SignedLink;
use self::state::E2bState;
use crate::service::Config;
use crate::service::body::BodyReader;
use crate::service::keys::ApiKeys;

#[derive(Clone)]
struct Dispatcher {
    state: Arc<E2bState>,
    watchers: Arc<Watchers>,
    by_path: Router,
}

/// Returns the E2B API combined with `native`, which handles every request that is not for E2B. Both have the same
/// keys, limits and time-outs.
pub fn app(native: Router, sessions: Sessions, config: &Config, request_limits: &RequestLimits) -> Router {
    let bodies = BodyReader::new(config, request_limits, Some(&sessions));
    let state = Arc::new(E2bState {
        sessions,
        keys: ApiKeys::new(&config.keys, &config.offline_keys),
        domain: config.domain.clone(),
        allows_open_interpreters: config.allows_open_interpreters(),
        public_ports: config.public_ports,
        bodies,
        recent_sandboxes: Default::default(),
        link_failures: Default::default(),
    });
    let by_path = control::routes(&state).fallback_service(native);
    Router::new().fallback(dispatch).with_state(Dispatcher { state, watchers: Arc::default(), by_path })
}

async fn dispatch(State(dispatcher): State<Dispatcher>, request: Request) -> Response {
    let Dispatcher { state, watchers, by_path } = dispatcher;
    let address = match Address::of(request.headers()) {
        // Some versions of the SDK name the sandbox in the headers of calls to the control plane, too.
        Some(address) if address.port == Some(ENVD_PORT) && control_path(request.uri().path()).is_some() => None,
        Some(address) => Some(address),
        None if SignedLink::is_for_file(&request) => match SignedLink::find(&state, &request) {
            Ok(address) => Some(address),
            Err(refusal) => return *refusal,
        },
        None => None,
    };
    if let Some(address) = address {
        return data_plane::handle(&state, &watchers, address, request).await.unwrap_or_else(|refusal| *refusal);
    }
    match by_path.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
