//! How large a body may be, by what it is for: the one table for all routes.
//!
//! A body is read after its request has shown a key or a token, up to the limit of its route, and charged to the caller
//! while it arrives and until its request is answered. Before that no more is read of it than comes along with the
//! head: 64 KiB at most.

use switchtower_core::request::Ceilings;

/// What a body is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// `POST /v1/execute`, `/v1/batch`, `/v1/explain`, `/api/code/execute`, `/v1/sessions/{id}/execute`; `POST /execute` of
    /// a sandbox's interpreter.
    Program,
    /// `POST /v1/sessions`.
    Session,
    /// `POST /v1/sessions/{id}/contexts`; every other route of a sandbox's interpreter.
    Context,
    /// `PUT /v1/sessions/{id}/files`.
    File,
    /// `POST /sandboxes`, `/v2/sandboxes` and all below them.
    Control,
    /// Every route of a sandbox's envd but the next two.
    Message,
    /// `POST /process.Process/…` of a sandbox's envd: a command with its variables, a piece of its standard input.
    Process,
    /// `POST /files` of a sandbox's envd, while the sandbox cannot move to a machine.
    LocalUpload,
    /// `POST /files` of a sandbox's envd, where a machine can take it.
    Upload,
    /// Any other port of a sandbox.
    Port,
}

/// What limits depend on.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) ceilings: Ceilings,
    /// Bytes of files that one session may hold here.
    pub(crate) files: u64,
}

/// Most values in one JSON body: each takes more memory than it has bytes.
pub(crate) const VALUES: u64 = 200_000;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl Limits {
    /// Returns the most bytes of such a body. Escapes and base64 make a body larger than what is in it, so it has twice the
    /// room of its parts; each part is held against its own ceiling afterwards.
    pub(crate) fn bytes(&self, kind: BodyKind) -> u64 {
        let Ceilings { code, stdin, files, env, .. } = self.ceilings;
        match kind {
            BodyKind::Program => {
                let parts = code.saturating_add(stdin).saturating_add(files).saturating_add(env);
                parts.saturating_mul(2).saturating_add(64 * KIB)
            }
            BodyKind::Session => env.saturating_mul(4).saturating_add(64 * KIB),
            BodyKind::Context => 64 * KIB,
            BodyKind::File => self.files,
            BodyKind::Control | BodyKind::Message => MIB,
            BodyKind::Process => 32 * MIB,
            // What a form has around its files.
            BodyKind::LocalUpload => self.files.saturating_add(MIB).min(256 * MIB),
            BodyKind::Upload | BodyKind::Port => 256 * MIB,
        }
    }
}

impl BodyKind {
    /// Whether it is read as JSON here.
    pub(crate) fn is_json(self) -> bool {
        match self {
            Self::Program | Self::Session | Self::Context | Self::Control | Self::Message => true,
            Self::File | Self::Process | Self::LocalUpload | Self::Upload | Self::Port => false,
        }
    }
}
