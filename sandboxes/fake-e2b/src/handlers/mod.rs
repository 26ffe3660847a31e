//! The three planes on one port: who is asked is told by the path, which sandbox by headers.

mod connect;
mod control;
mod create;
mod files;
mod filesystem;
mod interpreter;
mod multipart;
mod own;
mod plane;
mod process;
mod refusal;
mod templates;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post};

use crate::fake::Fake;

/// Bytes of a body that are taken: an upload, at most.
const BODY: usize = 256 << 20;

pub(crate) fn app(fake: Fake) -> Router {
    Router::new()
        .route("/sandboxes", get(control::list_running).post(create::short))
        .route("/v2/sandboxes", get(control::list).post(create::long))
        .route("/sandboxes/{id}", get(control::get).delete(control::kill))
        .route("/sandboxes/{id}/timeout", post(control::set_timeout))
        .route("/sandboxes/{id}/refreshes", post(control::refresh))
        .route("/sandboxes/{id}/pause", post(control::pause))
        .route("/sandboxes/{id}/resume", post(control::resume))
        .route("/sandboxes/{id}/connect", post(control::connect))
        .route("/v2/sandboxes/{id}/connect", post(control::connect))
        .route("/sandboxes/{id}/metrics", get(control::metrics))
        .route("/templates/aliases/{name}", get(templates::by_name))
        .route("/templates/{id}", get(templates::by_id))
        .route("/templates/{id}/tags", get(templates::tags))
        .route("/health", get(plane::health))
        .route("/envs", get(plane::envs))
        .route("/metrics", get(plane::metrics))
        .route("/init", post(plane::init))
        .route("/execute", post(interpreter::execute))
        .route("/contexts", get(interpreter::contexts).post(interpreter::create_context))
        .route("/contexts/{id}", axum::routing::delete(interpreter::remove_context))
        .route("/contexts/{id}/restart", post(interpreter::restart_context))
        .route("/files", get(files::read).post(files::write))
        .route("/process.Process/{method}", post(process::call))
        .route("/filesystem.Filesystem/{method}", post(filesystem::call))
        .route("/fake/counts", get(own::counts))
        .route("/fake/faults", post(own::faults))
        .route("/fake/reset-counts", post(own::reset_counts))
        .fallback(any(refusal::no_such_path))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(fake)
}
