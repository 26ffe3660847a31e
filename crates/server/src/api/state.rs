//! What all handlers of the native API share.

use std::fmt;
use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::Request;
use serde_json::{Value, json};
use switchtower_contract::Language;
use switchtower_core::error;
use switchtower_core::memory::Charge;
use switchtower_core::request::{Caller, RequestLimits};
use switchtower_core::router::Router;
use switchtower_core::session::{Session, Sessions};

use super::known_sessions::KnownSessions;
use crate::service::ServerTls;
use crate::service::body::BodyReader;
use crate::service::body_limits::BodyKind;
use crate::service::config::Config;
use crate::service::json_body;
use crate::service::keys::{AdminKey, ApiKeys};
use crate::service::problem::{Problem, ProblemKind};

/// Optional parts of the API, besides the router and its settings.
#[derive(Clone, Default)]
pub struct AppState {
    pub request_limits: RequestLimits,
    /// Whether an E2B key is configured.
    pub e2b_key: bool,
    /// The sessions of all clients, those of the E2B API included. Without them the paths under `/v1/sessions` answer
    /// 404.
    pub sessions: Option<Sessions>,
    /// The certificate, if the server has one.
    pub tls: Option<ServerTls>,
    /// The languages for each of which `/ready` waits until a tier that is up runs it.
    pub required_languages: Vec<Language>,
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState")
            .field("request_limits", &self.request_limits)
            .field("e2b_key", &self.e2b_key)
            .finish_non_exhaustive()
    }
}

pub(super) struct ApiState {
    pub(super) router: Arc<Router>,
    pub(super) config: Config,
    pub(super) keys: ApiKeys,
    pub(super) admin_key: AdminKey,
    pub(super) request_limits: RequestLimits,
    pub(super) e2b_key: bool,
    pub(super) tls: Option<ServerTls>,
    pub(super) required_languages: Vec<Language>,
    pub(super) known_sessions: KnownSessions,
    bodies: BodyReader,
    sessions: Option<Sessions>,
}

impl ApiState {
    pub(super) fn new(router: Arc<Router>, config: &Config, app: AppState) -> Self {
        let AppState { request_limits, e2b_key, sessions, tls, required_languages } = app;
        Self {
            router,
            config: config.clone(),
            keys: ApiKeys::new(&config.keys, &config.offline_keys),
            admin_key: AdminKey::new(config.admin_key.as_deref()),
            bodies: BodyReader::new(config, &request_limits, sessions.as_ref()),
            known_sessions: KnownSessions::default(),
            request_limits,
            e2b_key,
            tls,
            required_languages,
            sessions,
        }
    }

    pub(super) fn bodies(&self) -> &BodyReader {
        &self.bodies
    }

    /// Returns a request's body as JSON, and its charge, to be kept until the request is answered.
    pub(super) async fn read_json(
        &self,
        caller: &Caller,
        kind: BodyKind,
        request: Request,
    ) -> Result<(Value, Charge), Problem> {
        json_body::read_json(&self.bodies, caller, kind, request).await
    }

    /// Returns a message of a WebSocket as JSON, and its charge, to be kept until the message is answered.
    pub(super) fn parse_message(&self, caller: &Caller, text: &str) -> Result<(Value, Charge), Problem> {
        json_body::parse_message(&self.bodies, caller, text)
    }

    pub(super) fn sessions(&self) -> Result<&Sessions, Problem> {
        self.sessions.as_ref().ok_or_else(|| Problem::new(ProblemKind::NotFound, "this server has no sessions"))
    }

    /// Returns a session of this caller.
    ///
    /// # Errors
    /// `Gone`: the session has ended. `NotFound`: the caller never had one of this id.
    pub(super) fn session(&self, caller: &Caller, id: &str) -> Result<Arc<Session>, Problem> {
        if let Some(session) = self.sessions()?.find(caller, id) {
            self.known_sessions.record(caller, id);
            return Ok(session);
        }
        Err(if self.known_sessions.contains(caller, id) {
            Problem::new(error::Kind::Gone, format!("the session {id} has ended"))
        } else {
            Problem::new(ProblemKind::NotFound, format!("there is no session {id}"))
        })
    }

    /// Returns the body as JSON; an absent body is an empty object.
    pub(super) async fn read_optional_json(
        &self,
        caller: &Caller,
        kind: BodyKind,
        request: Request,
    ) -> Result<Value, Problem> {
        if request.body().is_end_stream() {
            return Ok(json!({}));
        }
        // Parts of the body that are stored are charged by their owners.
        let (body, _charge) = self.read_json(caller, kind, request).await?;
        Ok(body)
    }
}
