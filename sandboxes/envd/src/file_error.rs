//! Why a call about files failed, and what it answers.

use std::io;

use axum::http::StatusCode;
use axum::response::Response;
use rustix::io::Errno;
use switchtower_e2b_wire::connect::{self, Code};
use switchtower_e2b_wire::errors;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("path '{0}' does not exist")]
    NotFound(String),
    #[error("path already exists: {0}")]
    Exists(String),
    #[error("path is a directory: {0}")]
    IsFolder(String),
    #[error("path is not a directory: {0}")]
    NotFolder(String),
    #[error("permission denied: {0}")]
    Denied(String),
    #[error("too many symbolic links: {0}")]
    Links(String),
    /// The message is E2B's.
    #[error("not enough disk space available")]
    Full,
    /// As `Full`, for a request of as many bytes.
    #[error("attempted to write {0} bytes: not enough disk space available")]
    FullFor(u64),
    /// More than a bound of this daemon allows.
    #[error("{0}")]
    TooMany(String),
    /// The call itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The user that a call names does not exist.
    #[error("{0}")]
    UnknownUser(String),
    #[error("{0}")]
    Other(String),
}

impl FileError {
    /// Returns the error of a system call about this path.
    pub(crate) fn of(error: &io::Error, path: &str) -> Self {
        let path = path.to_owned();
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => Self::NotFound(path),
            Some(Errno::EXIST | Errno::NOTEMPTY) => Self::Exists(path),
            Some(Errno::ISDIR) => Self::IsFolder(path),
            Some(Errno::NOTDIR) => Self::NotFolder(path),
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Self::Denied(path),
            Some(Errno::LOOP) => Self::Links(path),
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Self::Full,
            Some(Errno::NAMETOOLONG | Errno::INVAL) => Self::Invalid(format!("{path}: {error}")),
            _ => Self::Other(format!("{path}: {error}")),
        }
    }

    /// Returns the answer of `/files`.
    pub(crate) fn response(&self) -> Response {
        let status = match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Exists(_)
            | Self::IsFolder(_)
            | Self::NotFolder(_)
            | Self::Links(_)
            | Self::TooMany(_)
            | Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::UnknownUser(_) => StatusCode::UNAUTHORIZED,
            Self::Full | Self::FullFor(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Other(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        errors::api(status, &self.to_string())
    }
}

impl From<FileError> for connect::Error {
    fn from(error: FileError) -> Self {
        let code = match &error {
            FileError::NotFound(_) => Code::NotFound,
            FileError::Exists(_) => Code::AlreadyExists,
            FileError::IsFolder(_) | FileError::NotFolder(_) | FileError::Invalid(_) => Code::InvalidArgument,
            FileError::Denied(_) => Code::PermissionDenied,
            FileError::UnknownUser(_) => Code::Unauthenticated,
            FileError::Links(_) => Code::FailedPrecondition,
            FileError::Full | FileError::FullFor(_) | FileError::TooMany(_) => Code::ResourceExhausted,
            FileError::Other(_) => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}
