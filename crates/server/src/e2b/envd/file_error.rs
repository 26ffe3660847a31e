//! Errors of the session's files, in the forms of envd.

use axum::http::StatusCode;
use axum::response::Response;
use switchtower_core::error::Kind;
use switchtower_core::session::files::{FileError, PathUse};
use switchtower_e2b_wire::connect::{self, Code};
use switchtower_e2b_wire::errors;

use super::super::response;

/// Returns the kind of the refusal. `None`: the path does not exist, which is no refusal.
fn kind(error: &FileError) -> Option<Kind> {
    match error {
        FileError::NotFound(_) | FileError::Outside { path_use: PathUse::Read, .. } => None,
        FileError::Outside { path_use: PathUse::Write, .. } => Some(Kind::NoTier),
        FileError::AlreadyExists(_) | FileError::IsFolder(_) | FileError::NotFolder(_) | FileError::Invalid(_) => {
            Some(Kind::Invalid)
        }
        FileError::Full { .. } | FileError::TooMany { .. } | FileError::NoSpace(_) => Some(Kind::NoSpace),
        FileError::Moved => Some(Kind::Unavailable),
    }
}

/// Returns the answer of `/files`.
pub(super) fn file_response(error: &FileError) -> Response {
    let status = match error {
        // As for a folder that the user may not write to. A status of 500 would look like a failure of the server.
        FileError::Outside { path_use: PathUse::Write, .. } => StatusCode::FORBIDDEN,
        error => kind(error).map_or(StatusCode::NOT_FOUND, response::envd_status_of),
    };
    errors::api(status, &error.to_string())
}

/// Returns the answer of a remote call.
pub(super) fn connect_error(error: &FileError) -> connect::Error {
    let code = match (error, kind(error)) {
        // The protocol has a code for it; `/files` does not tell it from other invalid paths.
        (FileError::AlreadyExists(_), _) => Code::AlreadyExists,
        (_, None) => Code::NotFound,
        (_, Some(kind)) => connect_code(kind),
    };
    connect::Error::new(code, error.to_string())
}

/// Returns the code of this kind in envd's remote calls.
pub(super) fn connect_code(kind: Kind) -> Code {
    Code::from_name(kind.class().e2b.connect).unwrap_or(Code::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_of_refusals_is_known() {
        for kind in Kind::ALL {
            assert!(Code::from_name(kind.class().e2b.connect).is_some(), "{kind:?}");
        }
    }

    #[test]
    fn files_that_move_are_not_answered_as_a_sandbox_that_is_gone() {
        let status = file_response(&FileError::Moved).status();
        assert!(!matches!(status.as_u16(), 502 | 503) && status.is_server_error(), "{status}");
    }
}
