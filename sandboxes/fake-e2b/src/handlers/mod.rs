//! The endpoints of control plane, code interpreter and envd on one port. The path says which plane is called, headers
//! say which sandbox.
//!
//! A handler uses the stand-in's state, the wire (`switchtower-e2b-wire`) and the modules that are listed second here. No
//! handler uses another one.

mod admin;
mod control;
mod create;
mod envd;
mod files;
mod filesystem;
mod interpreter;
mod list;
mod process;
mod templates;

mod api_key;
mod errors;
mod lifetime;
mod target;
mod view;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, delete, get, post, put};

use crate::fake::Fake;

/// Most bytes of a body.
const MAX_BODY_BYTES: usize = 256 << 20;

pub(crate) fn app(fake: Fake) -> Router {
    Router::new()
        .route("/sandboxes", get(list::running).post(create::with_short_timeout))
        .route("/v2/sandboxes", get(list::all).post(create::with_long_timeout))
        .route("/sandboxes/{id}", get(control::get).delete(control::kill))
        .route("/sandboxes/{id}/timeout", post(control::set_timeout))
        .route("/sandboxes/{id}/refreshes", post(control::refresh))
        .route("/sandboxes/{id}/pause", post(control::pause))
        .route("/sandboxes/{id}/resume", post(control::resume))
        .route("/sandboxes/{id}/connect", post(control::connect))
        .route("/v2/sandboxes/{id}/connect", post(control::connect))
        .route("/sandboxes/{id}/network", put(control::set_network))
        .route("/sandboxes/{id}/metrics", get(control::metrics))
        .route("/templates/aliases/{name}", get(templates::by_name))
        .route("/templates/{id}", get(templates::by_id))
        .route("/templates/{id}/tags", get(templates::tags))
        .route("/health", get(envd::health))
        .route("/envs", get(envd::envs))
        .route("/metrics", get(envd::metrics))
        .route("/init", post(envd::init))
        .route("/execute", post(interpreter::execute))
        .route("/contexts", get(interpreter::contexts).post(interpreter::create_context))
        .route("/contexts/{id}", delete(interpreter::remove_context))
        .route("/contexts/{id}/restart", post(interpreter::restart_context))
        .route("/files", get(files::read).post(files::write))
        .route("/files/compose", post(files::compose))
        .route("/process.Process/{method}", post(process::call))
        .route("/filesystem.Filesystem/{method}", post(filesystem::call))
        .route("/fake/counts", get(admin::counts))
        .route("/fake/faults", post(admin::faults))
        .route("/fake/reset-counts", post(admin::reset_counts))
        .fallback(any(errors::unknown_path))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(fake)
}
