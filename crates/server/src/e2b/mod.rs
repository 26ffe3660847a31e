//! The door that E2B's clients know: the control plane, the code interpreter and envd, on one port beside the native door.
//!
//! A request that names a sandbox, by its headers or by a host like `49999-ID.domain`, is for the data plane of that
//! sandbox; all others go by their path. A signed link to a file says by its signature whose it is.

mod access;
mod control;
pub mod debug;
mod envd;
mod forward;
mod interpreter;
mod link_failures;
mod plane;
mod response;
mod signed_link;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use switchtower_core::request::Ceilings;
use switchtower_core::session::Sessions;
use tower::ServiceExt as _;

use crate::service::Config;
use crate::service::body::BodyReader;
use crate::service::keys::ApiKeys;

/// What the door is made of.
struct Parts {
    sessions: Sessions,
    keys: ApiKeys,
    bodies: BodyReader,
}

/// What every handler gets.
#[derive(Clone)]
struct Door {
    parts: Arc<Parts>,
    watchers: Arc<envd::Watchers>,
    /// Wrong links to files.
    failures: Arc<link_failures::LinkFailures>,
}

/// The door before the native one, which gets what is not for E2B. Both have the same keys and the same patience.
pub fn app(native: Router, sessions: Sessions, config: &Config, ceilings: &Ceilings) -> Router {
    let bodies = BodyReader::new(config, ceilings, Some(&sessions));
    let parts = Parts { sessions, keys: ApiKeys::new(&config.keys), bodies };
    let door = Door { parts: Arc::new(parts), watchers: Arc::default(), failures: Arc::default() };
    let by_path = control::routes(&door).fallback_service(native);
    Router::new().fallback(pass).with_state((door, by_path))
}

async fn pass(State((door, by_path)): State<(Door, Router)>, request: Request) -> Response {
    let address = match plane::Address::of(request.headers()) {
        Some(address) => Ok(Some(address)),
        None => plane::Address::of_link(&door, &request),
    };
    let address = match address {
        Ok(address) => address,
        Err(refused) => return *refused,
    };
    if let Some(address) = address {
        return plane::call(&door, address, request).await.unwrap_or_else(|refused| *refused);
    }
    match by_path.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
