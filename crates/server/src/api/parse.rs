//! Parses the JSON bodies of the API.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use switchtower_contract::{File, Isolation, Language, NetworkPolicy, Program, Randomness};
use switchtower_core::request::{CacheMode, Caller, Invalid, Priority, Request, RequestLimits};
use switchtower_core::route::TierName;
use switchtower_core::session::{self, AtEnd, ExecuteCell};

use super::fields::Fields;
use crate::service::problem::Problem;

/// Every field of `POST /v1/execute` and `POST /v1/explain`.
pub const FIELDS: [&str; 14] = [
    "code",
    "language",
    "stdin",
    "files",
    "env",
    "timeout_ms",
    "memory_mb",
    "user",
    "priority",
    "tier",
    "isolation",
    "cache",
    "deterministic",
    "seed",
];

/// Every field of a file in a request.
pub const FILE_FIELDS: [&str; 3] = ["path", "content", "base64"];

/// Every field of `POST /api/code/execute`, and of a message of the executors' protocol.
pub const LEGACY_FIELDS: [&str; 3] = ["code", "language", "input"];

/// Every field of `POST /v1/sessions`.
pub const SESSION_FIELDS: [&str; 3] = ["idle_ms", "env", "metadata"];

/// Every field of `POST /v1/sessions/{id}/execute`.
pub const CELL_FIELDS: [&str; 7] = ["code", "context", "language", "env", "stdin", "timeout_ms", "files"];

/// Every field of `POST /v1/sessions/{id}/contexts`.
pub const CONTEXT_FIELDS: [&str; 2] = ["language", "folder"];

/// The template that the E2B API reports for a session that the native API has created.
const TEMPLATE: &str = "base";

/// Minimum of `idle_ms`.
pub const MIN_IDLE: Duration = Duration::from_secs(1);

/// Parses a request in the native form. A `user` in the body replaces that of the caller, who holds the key.
pub(super) fn request(body: Value, request_limits: &RequestLimits, caller: Caller) -> Result<Request, Problem> {
    let mut fields = Fields::of_body(body, &FIELDS)?;
    let program = Program {
        language: language(&mut fields)?,
        source: fields.required_text("code")?,
        stdin: fields.text("stdin")?,
        files: files(&mut fields)?,
        env: fields.texts("env")?.map(|pairs| pairs.into_iter().collect()),
        randomness: randomness(&mut fields)?,
    };
    let mut request = Request::new(program, request_limits)?;
    request.caller = match fields.text("user")? {
        Some(user) => Caller { user: user.into(), ..caller },
        None => caller,
    };
    request.priority = fields.named("priority", Priority::NAMES)?.unwrap_or_default();
    request.tier = fields.text("tier")?.filter(|name| name != "auto").map(|name| TierName::from(name.as_str()));
    request.isolation = fields.named("isolation", &Isolation::ALL.map(Isolation::name))?;
    request.cache = fields.named("cache", CacheMode::NAMES)?.unwrap_or_default();
    if let Some(millis) = fields.number("timeout_ms")? {
        request.timeout = Duration::from_millis(millis);
    }
    if let Some(megabytes) = fields.number("memory_mb")? {
        request.memory = Some(megabytes.saturating_mul(1 << 20));
    }
    Ok(request.checked(request_limits)?)
}

/// Parses a request in the form of the service that this one replaces. `choose` reads its language.
pub(super) fn legacy_request(
    body: Value,
    request_limits: &RequestLimits,
    caller: Caller,
    choose: impl FnOnce(&mut Fields) -> Result<Language, Problem>,
) -> Result<Request, Problem> {
    let mut fields = Fields::of_body(body, &LEGACY_FIELDS)?;
    let language = choose(&mut fields)?;
    let stdin = fields.text("input")?;
    let program = Program { stdin, ..Program::new(language, fields.required_text("code")?) };
    Ok(Request { caller, ..Request::new(program, request_limits)? })
}

/// Parses a new session. Its time-out is `idle_ms`, which restarts with each use.
pub(super) fn session(
    body: Value,
    request_limits: &RequestLimits,
    config: &session::Config,
) -> Result<session::CreateSession, Problem> {
    let mut fields = Fields::of_body(body, &SESSION_FIELDS)?;
    let timeout = match fields.number("idle_ms")?.map(Duration::from_millis) {
        Some(idle) if idle < MIN_IDLE || idle > config.max_lifetime => {
            let allowed = format!("between {} and {}", MIN_IDLE.as_millis(), config.max_lifetime.as_millis());
            return Err(Invalid::new("idle_ms", allowed).into());
        }
        Some(idle) => idle,
        None => config.idle_timeout.min(config.max_lifetime),
    };
    let env = env(&mut fields)?;
    Request::new(Program { env: Some(env.clone()), ..Program::new(Language::default(), "") }, request_limits)?;
    let metadata: BTreeMap<_, _> = fields.texts("metadata")?.unwrap_or_default().into_iter().collect();
    let size = metadata.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum::<u64>();
    if size > request_limits.env {
        return Err(Invalid::new("metadata", format!("at most {} bytes, this has {size}", request_limits.env)).into());
    }
    Ok(session::CreateSession {
        template: TEMPLATE.to_owned(),
        timeout,
        metadata,
        env,
        at_end: AtEnd::Kill,
        auto_resume: false,
        network: NetworkPolicy::OPEN,
        public_ports: false,
        open_interpreter: false,
    })
}

/// Parses a cell, and the files to write before it.
pub(super) fn cell(body: Value, request_limits: &RequestLimits) -> Result<(ExecuteCell, Vec<File>), Problem> {
    let mut fields = Fields::of_body(body, &CELL_FIELDS)?;
    let language = optional_language(&mut fields)?;
    let program = Program {
        stdin: fields.text("stdin")?,
        files: files(&mut fields)?,
        env: Some(env(&mut fields)?),
        ..Program::new(language.unwrap_or_default(), fields.required_text("code")?)
    };
    let context = fields.text("context")?;
    if let (Some(_), Some(_)) = (&context, language) {
        return Err(Problem::field("language", "a context has its language: leave one of both out"));
    }
    let timeout = fields.number("timeout_ms")?.map(Duration::from_millis);
    let mut request = Request::new(program, request_limits)?;
    request.timeout = timeout.unwrap_or(request_limits.default_timeout);
    let Request { program, timeout, .. } = request.checked(request_limits)?;
    let Program { source, stdin, env, files, .. } = program;
    Ok((ExecuteCell { context, language, source, env: env.unwrap_or_default(), stdin, timeout: Some(timeout) }, files))
}

/// Parses a new context: its language, and its folder, if one is named.
pub(super) fn context(body: Value) -> Result<(Language, Option<String>), Problem> {
    let mut fields = Fields::of_body(body, &CONTEXT_FIELDS)?;
    Ok((language(&mut fields)?, fields.text("folder")?))
}

fn env(fields: &mut Fields) -> Result<BTreeMap<String, String>, Problem> {
    Ok(fields.texts("env")?.unwrap_or_default().into_iter().collect())
}

/// Parses the language of a program; without one it is Python.
pub(super) fn language(fields: &mut Fields) -> Result<Language, Problem> {
    Ok(optional_language(fields)?.unwrap_or_default())
}

/// Parses a language, by its name or another usual one, such as `js`.
fn optional_language(fields: &mut Fields) -> Result<Option<Language>, Problem> {
    fields.named("language", &Language::names())
}

fn randomness(fields: &mut Fields) -> Result<Randomness, Problem> {
    let seed = fields.number("seed")?;
    match (fields.flag("deterministic")?.unwrap_or(false), seed) {
        (true, seed) => Ok(Randomness::Seeded(seed.unwrap_or(0))),
        (false, None) => Ok(Randomness::Fresh),
        (false, Some(_)) => Err(Problem::field("seed", "a seed needs \"deterministic\": true")),
    }
}

fn files(fields: &mut Fields) -> Result<Vec<File>, Problem> {
    fields.objects("files", &FILE_FIELDS)?.into_iter().map(file).collect()
}

fn file(mut fields: Fields) -> Result<File, Problem> {
    let path = fields.required_text("path")?;
    let content = match (fields.text("content")?, fields.text("base64")?) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(encoded)) => STANDARD.decode(encoded).map_err(|wrong| {
            let field = fields.path("base64");
            let detail = format!("{field} is not standard base64 with padding: {wrong}");
            Problem::field(field, detail)
        })?,
        (Some(_), Some(_)) | (None, None) => {
            let field = fields.path("content");
            return Err(Problem::field(field, "a file has either content or base64"));
        }
    };
    Ok(File { path, content })
}
