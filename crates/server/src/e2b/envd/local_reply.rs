//! How a call to a sandbox without a machine ends.

use axum::response::Response;
use switchtower_core::session::files::{FileError, PathUse};

use super::super::sandbox_handle::SandboxHandle;

pub(super) enum LocalReply {
    Response(Response),
    /// The call needs a machine; the text names what for.
    NeedsMachine(String),
    /// The session is moving to a machine, or has moved, and its files with it. The response is for a move that does not end.
    Moved(Response),
}

/// Returns the reply for a path outside the session's own folders, which only a machine may have.
///
/// # Errors
/// `Outside`: the session cannot be promoted to a machine.
pub(super) fn reply_for_machine_path(
    sandbox: &SandboxHandle,
    path: &str,
    path_use: PathUse,
) -> Result<LocalReply, FileError> {
    if sandbox.session.can_promote() {
        Ok(LocalReply::NeedsMachine(format!("the file {path}")))
    } else {
        Err(FileError::Outside { path: path.to_owned(), path_use, remedy: sandbox.session.machine_remedy() })
    }
}
