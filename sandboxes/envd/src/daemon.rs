//! The daemon: its state, and which part answers a call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use switchtower_e2b_wire::connect::{self, Code, Error};
use switchtower_e2b_wire::errors;

use crate::file_error::FileError;
use crate::folders::{FileRoot, Folders};
use crate::launcher::{Launch, Launcher};
use crate::metrics::Meter;
use crate::paths::absolute;
use crate::process::Processes;
use crate::users::{User, Users};
use crate::watch::Watchers;
use crate::{files, filesystem_service, process_service};

/// Most bytes of a call that is one message, with its frame.
const MAX_BODY_BYTES: usize = connect::MAX_MESSAGE_BYTES + 16;

/// What a daemon serves.
pub struct DaemonOptions {
    pub launcher: Arc<dyn Launcher>,
    pub root: Arc<dyn FileRoot>,
    pub users: Users,
    /// The user of calls that name none.
    pub default_user: String,
    /// Variables of the machine that every program gets, and that `/envs` shows.
    pub env: BTreeMap<String, String>,
}

/// The daemon of one machine. When it is dropped, its programs end.
pub struct Daemon {
    pub(crate) processes: Processes,
    pub(crate) folders: Folders,
    pub(crate) watchers: Watchers,
    meter: Meter,
    machine_env: BTreeMap<String, String>,
    /// Held for a few instructions.
    defaults: Mutex<Defaults>,
}

/// What `/init` sets.
#[derive(Debug, Clone)]
struct Defaults {
    user: String,
    /// Where programs and relative paths start; the home folder of the user where this is `None`.
    folder: Option<String>,
    env: BTreeMap<String, String>,
}

/// The body of `/init`. What concerns tokens and clocks is not the daemon's.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct InitRequest {
    env_vars: Option<BTreeMap<String, String>>,
    default_user: Option<String>,
    default_workdir: Option<String>,
}

impl Daemon {
    pub fn new(options: DaemonOptions) -> Self {
        let DaemonOptions { launcher, root, users, default_user, env } = options;
        Self {
            processes: Processes::new(launcher),
            folders: Folders { root, users },
            watchers: Watchers::default(),
            meter: Meter::new(),
            machine_env: env,
            defaults: Mutex::new(Defaults { user: default_user, folder: None, env: BTreeMap::new() }),
        }
    }

    fn defaults(&self) -> MutexGuard<'_, Defaults> {
        self.defaults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the variables that every program gets.
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = self.machine_env.clone();
        env.extend(self.defaults().env.clone());
        env
    }

    /// Returns a user; without a name, the default.
    pub(crate) fn user(&self, name: Option<&str>) -> Result<User, FileError> {
        let default = self.defaults().user.clone();
        let name = name.unwrap_or(&default);
        self.folders.users.named(name).ok_or_else(|| FileError::UnknownUser(format!("invalid username: '{name}'")))
    }

    /// Returns the absolute form of a path that a user names.
    pub(crate) fn absolute(&self, path: &str, user: &User) -> Result<String, FileError> {
        let folder = self.defaults().folder.clone().filter(|_| path.is_empty());
        absolute(folder.as_deref().unwrap_or(path), &user.home)
    }

    /// Returns how a program starts that a user calls: `user` without a name is the default, `cwd` without a path the default folder.
    ///
    /// # Errors
    /// `Unauthenticated`: the user does not exist. `InvalidArgument`: the folder does not exist, or a variable's name or value cannot be
    /// one.
    pub async fn launch(
        &self,
        user: Option<&str>,
        program: String,
        args: Vec<String>,
        env: &BTreeMap<String, String>,
        cwd: Option<&str>,
    ) -> Result<Launch, Error> {
        let invalid = |message: String| Error::new(Code::InvalidArgument, message);
        let user = self.user(user)?;
        let cwd = self.absolute(cwd.unwrap_or_default(), &user)?;
        let located = self.folders.root.locate(&cwd);
        let is_folder = blocking(move || Ok(located.is_dir())).await?;
        if !is_folder {
            return Err(invalid(format!("cwd '{cwd}' does not exist")));
        }
        if program.is_empty() {
            return Err(invalid("a process needs a command".to_owned()));
        }
        if args.iter().chain([&program]).any(|text| text.contains('\0')) {
            return Err(invalid("a command cannot have a NUL in it".to_owned()));
        }
        let mut all = self.env();
        all.extend(env.clone());
        let is_wrong =
            |(name, value): &(&String, &String)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
        if let Some((name, _)) = all.iter().find(is_wrong) {
            return Err(invalid(format!("{name:?} cannot be a variable")));
        }
        Ok(Launch { program, args, env: all, cwd, user, has_terminal: false })
    }

    /// Breaks the connections to all programs, which continue.
    pub fn disconnect(&self) {
        self.processes.disconnect_readers();
    }

    /// Kills all programs that callers have started.
    pub fn end(&self) {
        self.processes.end();
    }

    /// Answers a call.
    pub async fn call(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let method_of = |service: &str| path.strip_prefix(service).and_then(|rest| rest.strip_prefix('/'));
        let rpc = |answer: Result<Response, Error>| answer.unwrap_or_else(|error| error.response(&parts.headers));
        if let Some(method) = method_of("/process.Process").filter(|_| parts.method == Method::POST) {
            return rpc(process_service::call(self, method, &parts.headers, body).await);
        }
        if let Some(method) = method_of("/filesystem.Filesystem").filter(|_| parts.method == Method::POST) {
            return rpc(filesystem_service::call(self, method, &parts.headers, body).await);
        }
        let file = |answer: Result<Response, FileError>| answer.unwrap_or_else(|error| error.response());
        let no_store = [(header::CACHE_CONTROL, "no-store")];
        match (&parts.method, path) {
            (&Method::GET, "/health") => (StatusCode::NO_CONTENT, no_store).into_response(),
            (&Method::GET, "/envs") => (no_store, Json(self.env())).into_response(),
            (&Method::GET, "/metrics") => {
                let root = self.folders.root.locate("/");
                (no_store, Json(self.meter.figures(&root))).into_response()
            }
            (&Method::POST, "/init") => match self.init(body).await {
                Ok(()) => (StatusCode::NO_CONTENT, no_store).into_response(),
                Err(error) => errors::api(StatusCode::BAD_REQUEST, &error.message),
            },
            (&Method::GET, "/files") => file(files::download(self, &parts).await),
            (&Method::POST, "/files") => file(files::upload(self, &parts, body).await),
            (&Method::POST, "/files/compose") => match read_body(body).await {
                Ok(body) => file(files::compose(self, &body).await),
                Err(error) => errors::api(StatusCode::BAD_REQUEST, &error.message),
            },
            (_, "/health" | "/envs" | "/metrics" | "/init" | "/files" | "/files/compose") => {
                errors::api(StatusCode::METHOD_NOT_ALLOWED, &format!("{path} has no {}", parts.method))
            }
            _ => errors::api(StatusCode::NOT_FOUND, &format!("there is nothing at {path}")),
        }
    }

    async fn init(&self, body: Body) -> Result<(), Error> {
        let body = read_body(body).await?;
        let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
        let request: InitRequest =
            serde_json::from_slice(&body).map_err(|error| Error::new(Code::InvalidArgument, error.to_string()))?;
        let mut defaults = self.defaults();
        let is_given = |text: &String| !text.is_empty();
        defaults.env = request.env_vars.unwrap_or_else(|| std::mem::take(&mut defaults.env));
        if let Some(user) = request.default_user.filter(is_given) {
            defaults.user = user;
        }
        defaults.folder = request.default_workdir.filter(is_given).or_else(|| defaults.folder.take());
        Ok(())
    }
}

/// Returns the daemon as a service.
pub fn router(daemon: Arc<Daemon>) -> Router {
    Router::new().fallback(move |request: Request| {
        let daemon = daemon.clone();
        async move { daemon.call(request).await }
    })
}

/// Reads the body of a call that is one message.
pub(crate) async fn read_body(body: Body) -> Result<Bytes, Error> {
    axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| {
        // The body itself may have failed; both are the caller's.
        Error::new(
            Code::ResourceExhausted,
            format!("the message was not read: {error}; it may have {MAX_BODY_BYTES} bytes"),
        )
    })
}

/// Runs a call that blocks on a thread for such calls.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let ran = tokio::task::spawn_blocking(call).await;
    ran.unwrap_or_else(|error| Err(FileError::Other(format!("the call was not completed: {error}"))))
}

/// Returns the answer with these fields as text.
pub(crate) fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Returns an answer with the description of a file.
pub(crate) fn entry_answer(entry: &serde_json::Value) -> Response {
    connect::unary(&json!({ "entry": entry }))
}
