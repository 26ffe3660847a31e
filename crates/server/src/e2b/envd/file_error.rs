//! Errors of the session's files in the form of the Connect protocol.

use switchtower_core::session::files::FileError;
use switchtower_e2b_wire::connect::{Code, Error};

pub(super) fn connect_error(error: &FileError) -> Error {
    let code = match error {
        FileError::NotFound(_) => Code::NotFound,
        FileError::AlreadyExists(_) => Code::AlreadyExists,
        FileError::IsFolder(_) | FileError::NotFolder(_) | FileError::Invalid(_) => Code::InvalidArgument,
        FileError::NoSpace(_) => Code::ResourceExhausted,
        FileError::Full { .. } | FileError::Moved => Code::Internal,
    };
    Error::new(code, error.to_string())
}
