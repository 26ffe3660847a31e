//! The executors' protocol: programs over WebSockets, in the form of the service that this one replaces.
//!
//! There, a container of each language ran an executor that listened at port 8765 and answered `{"code", "input"}` with
//! `{"status", "output", "error"}`. Here, one port serves all of them: the path of a connection is its language.
//!
//! A program takes the ordinary request path: keys, quota, rules, cache and records are those of `POST /api/code/execute`.

mod config;
mod message;
mod open_sockets;
mod socket;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::any;
use switchtower_contract::Language;
use switchtower_core::request::Caller;
use switchtower_core::router::Router;

pub use config::Config;

use self::message::Languages;
use self::open_sockets::OpenSockets;
use self::socket::Executor;
use super::path_names::PathNames;
use super::state::{ApiState, AppState};
use crate::service::body_limits::BodyKind;
use crate::service::config as service;
use crate::service::problem::{Problem, ProblemKind};
use crate::service::websocket;

/// What all connections share.
struct Executors {
    api: Arc<ApiState>,
    languages: Arc<Languages>,
    open: OpenSockets,
}

/// Returns the protocol as a router for a listener of its own.
pub fn app(router: Arc<Router>, http: &service::Config, config: &Config, app: AppState) -> axum::Router {
    let api = Arc::new(ApiState::new(router, http, app));
    let languages = Arc::new(Languages(config.languages.clone()));
    let executors = Executors { api: Arc::clone(&api), languages, open: OpenSockets::new(config) };
    axum::Router::new()
        .route("/", any(open_any))
        .route("/{language}", any(open_one))
        .route_layer(from_fn_with_state(api, super::require_key))
        .fallback(not_found)
        .with_state(Arc::new(executors))
}

/// `/`: each message may name its language.
async fn open_any(
    State(executors): State<Arc<Executors>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    executors.open(caller, None, request).await
}

/// `/python` and the paths of the other languages.
async fn open_one(
    State(executors): State<Arc<Executors>>,
    Extension(caller): Extension<Caller>,
    PathNames(name): PathNames<String>,
    request: Request,
) -> Result<Response, Problem> {
    let language = executors.languages.find(&name).ok_or_else(|| executors.no_executor(&format!("/{name}")))?;
    executors.open(caller, Some(language), request).await
}

async fn not_found(State(executors): State<Arc<Executors>>, uri: Uri) -> Problem {
    executors.no_executor(uri.path())
}

impl Executors {
    async fn open(&self, caller: Caller, language: Option<Language>, request: Request) -> Result<Response, Problem> {
        let max = self.api.bodies().limits.bytes(BodyKind::Executor);
        let max_message = usize::try_from(max).unwrap_or(usize::MAX);
        let (upgrade, stopping) = websocket::accept(request, max_message).await?;
        let guard = self.open.admit(&caller)?;
        let (api, languages) = (Arc::clone(&self.api), Arc::clone(&self.languages));
        let executor = Executor { api, languages, caller, language, max_message };
        Ok(upgrade.on_upgrade(async move |socket| {
            executor.serve(socket, stopping).await;
            drop(guard);
        }))
    }

    fn no_executor(&self, path: &str) -> Problem {
        let paths = self.languages.paths();
        let detail = format!("there is no executor at {path}: the paths are {}", paths.join(", "));
        Problem::new(ProblemKind::NotFound, detail).with("allowed", paths)
    }
}
