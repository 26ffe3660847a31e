//! The names in a path.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, path::ErrorKind};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::service::problem::{Problem, ProblemKind};

/// The names in the path of a request, as [`Path`]; rejections are problems.
pub(super) struct PathNames<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathNames<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::from_request_parts(parts, state).await.map(|Path(names)| Self(names)).map_err(|error| problem(&error))
    }
}

fn problem(rejection: &PathRejection) -> Problem {
    if let PathRejection::FailedToDeserializePathParams(error) = rejection
        && let ErrorKind::InvalidUtf8InPathParam { key } = error.kind()
    {
        let allowed = "UTF-8 after percent-decoding";
        return Problem::field(key, format!("{key} must be {allowed}")).with("allowed", allowed);
    }
    // A route and its handler do not fit.
    tracing::error!(error = %rejection, "the names of a path could not be read");
    Problem::new(ProblemKind::Internal, "the path could not be read")
}
