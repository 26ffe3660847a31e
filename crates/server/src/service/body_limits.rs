//! The maximum sizes of bodies, in one table for all routes.
//!
//! A body is read only after its request has been authenticated, up to the limit of its route, and is charged to the
//! caller while it arrives and until the request is answered. Before authentication no more of it is read than arrives
//! together with the head: 64 KiB at most.

use switchtower_core::request::RequestLimits;

/// What a body is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// `POST /v1/execute`, `/v1/batch`, `/v1/explain`, `/api/code/execute`, `/v1/sessions/{id}/execute`; `POST
    /// /execute` of a sandbox's interpreter.
    Program,
    /// A message of the executors' protocol.
    Executor,
    /// `POST /v1/sessions`.
    Session,
    /// `POST /v1/sessions/{id}/contexts`; every other route of a sandbox's interpreter.
    Context,
    /// `PUT /v1/sessions/{id}/files`.
    File,
    /// `POST /sandboxes`, `/v2/sandboxes` and all below them.
    Control,
    /// Every route of a sandbox's envd that has no kind of its own below.
    Message,
    /// `POST /process.Process/…` of a sandbox's envd: a command with its variables, a piece of its standard input.
    Process,
    /// `POST /files` of a sandbox's envd that cannot be promoted to a machine.
    LocalUpload,
    /// `POST /files` of a sandbox's envd that has a machine or can be promoted to one.
    Upload,
    /// Any other port of a sandbox.
    Port,
}

/// The settings that the limits are derived from.
#[derive(Debug, Clone)]
pub(crate) struct BodyLimits {
    pub(crate) request_limits: RequestLimits,
    /// Bytes of files that one local session may hold.
    pub(crate) session_files: u64,
}

/// Maximum number of values in one JSON body: each takes more memory than its text has bytes.
pub(crate) const MAX_JSON_VALUES: u64 = 200_000;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl BodyLimits {
    /// Returns the maximum bytes of such a body. Escapes and base64 make a body larger than its content, so the limit
    /// is twice the sum of the limits of its parts; each part is checked against its own limit afterwards.
    pub(crate) fn bytes(&self, kind: BodyKind) -> u64 {
        let RequestLimits { code, stdin, files, env, .. } = self.request_limits;
        match kind {
            BodyKind::Program => {
                let parts = code.saturating_add(stdin).saturating_add(files).saturating_add(env);
                parts.saturating_mul(2).saturating_add(64 * KIB)
            }
            BodyKind::Executor => code.saturating_add(stdin).saturating_mul(2).saturating_add(64 * KIB),
            BodyKind::Session => env.saturating_mul(4).saturating_add(64 * KIB),
            BodyKind::Context => 64 * KIB,
            BodyKind::File => self.session_files,
            BodyKind::Control | BodyKind::Message => MIB,
            BodyKind::Process => 32 * MIB,
            // 1 MiB for what a form has around its files.
            BodyKind::LocalUpload => self.session_files.saturating_add(MIB).min(256 * MIB),
            BodyKind::Upload | BodyKind::Port => 256 * MIB,
        }
    }
}

impl BodyKind {
    /// Whether this server parses it as JSON.
    pub(crate) fn is_json(self) -> bool {
        match self {
            Self::Program | Self::Executor | Self::Session | Self::Context | Self::Control | Self::Message => true,
            Self::File | Self::Process | Self::LocalUpload | Self::Upload | Self::Port => false,
        }
    }
}
