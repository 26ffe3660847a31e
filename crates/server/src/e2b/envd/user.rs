//! The user that a call to envd acts as. Without a machine it decides where relative paths start; all files belong to
//! `user`.

use axum::extract::Query;
use axum::http::header;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use switchtower_contract::python::HOME;

/// A user of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum User {
    /// `user`, also where a call names none.
    Default,
    Root,
    /// One that only a machine can have.
    Other(String),
}

#[derive(Deserialize, Default)]
struct UserQuery {
    username: Option<String>,
}

impl User {
    /// Returns the user that a call names: in its query for `/files`, with HTTP basic authentication otherwise.
    pub(super) fn of(parts: &Parts) -> Self {
        let in_query = || Query::<UserQuery>::try_from_uri(&parts.uri).ok()?.0.username;
        let name = if parts.uri.path() == "/files" { in_query() } else { basic_user(parts) };
        match name.as_deref() {
            None | Some("" | "user") => Self::Default,
            Some("root") => Self::Root,
            Some(other) => Self::Other(other.to_owned()),
        }
    }

    /// Returns the folder in which its relative paths start.
    pub(super) fn home(&self) -> &'static str {
        match self {
            Self::Default | Self::Other(_) => HOME,
            Self::Root => "/root",
        }
    }
}

/// Returns the message for a user that does not exist in a session without a machine.
pub(super) fn unknown_user(name: &str) -> String {
    format!("user {name:?} does not exist: use \"user\" or \"root\"")
}

fn basic_user(parts: &Parts) -> Option<String> {
    let shown = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(shown.strip_prefix("Basic ")?.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    Some(text.split(':').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_user_is_named_in_the_query_of_files_and_by_basic_authentication_elsewhere() {
        let user = |uri: &str, shown: &str| {
            let shown = format!("Basic {}", STANDARD.encode(shown));
            User::of(&Request::get(uri).header("authorization", shown).body(()).unwrap().into_parts().0)
        };
        assert_eq!(user("/files?path=a&username=root", "user:"), User::Root);
        assert_eq!(user("/files?path=a", "root:"), User::Default);
        assert_eq!(user("/filesystem.Filesystem/Stat?username=root", "user:"), User::Default);
        assert_eq!(user("/filesystem.Filesystem/Stat", "root:x"), User::Root);
        assert_eq!(user("/filesystem.Filesystem/Stat", ""), User::Default);
        assert_eq!(user("/filesystem.Filesystem/Stat", "ada:"), User::Other("ada".to_owned()));
        assert_eq!((User::Root.home(), User::Default.home()), ("/root", HOME));
    }
}
