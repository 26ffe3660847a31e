//! The user that a call to envd acts as. Without a machine it decides where relative paths start; all files belong to
//! `user`.

use axum::http::header;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use switchtower_contract::python::HOME;
use switchtower_core::session::Session;

/// A user of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum User {
    /// `user`, also where a call names none.
    Default,
    Root,
    /// One that only a machine can have.
    Other(String),
}

impl User {
    /// Returns the user with a name; without one, the default.
    pub(super) fn named(name: Option<&str>) -> Self {
        match name {
            None | Some("" | "user") => Self::Default,
            Some("root") => Self::Root,
            Some(other) => Self::Other(other.to_owned()),
        }
    }

    /// Returns the user that a remote call names, with HTTP basic authentication.
    pub(super) fn of_call(parts: &Parts) -> Self {
        Self::named(basic_user(parts).as_deref())
    }

    /// Returns the folder in which its relative paths start.
    pub(super) fn home(&self) -> &'static str {
        match self {
            Self::Default | Self::Other(_) => HOME,
            Self::Root => "/root",
        }
    }

    /// Returns why it needs a machine; `None` if a session without one has it.
    ///
    /// # Errors
    /// The session cannot be promoted to a machine. The error is a message.
    pub(super) fn machine_need(&self, session: &Session) -> Result<Option<String>, String> {
        let Self::Other(name) = self else { return Ok(None) };
        if session.can_promote() {
            Ok(Some(format!("the user {name}")))
        } else {
            Err(format!("user {name:?} does not exist: use \"user\" or \"root\""))
        }
    }
}

fn basic_user(parts: &Parts) -> Option<String> {
    let shown = parts.headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = shown.split_at_checked("Basic ".len())?;
    let decoded = scheme.eq_ignore_ascii_case(b"Basic ").then(|| STANDARD.decode(encoded.trim_ascii()))?.ok()?;
    let text = String::from_utf8(decoded).ok()?;
    Some(text.split(':').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_remote_call_names_its_user_by_basic_authentication() {
        let user = |scheme: &str, shown: &str| {
            let shown = format!("{scheme}{}", STANDARD.encode(shown));
            User::of_call(
                &Request::post("/x?username=ada").header("authorization", shown).body(()).unwrap().into_parts().0,
            )
        };
        for scheme in ["Basic ", "basic ", "BASIC   "] {
            assert_eq!(user(scheme, "user:"), User::Default);
            assert_eq!(user(scheme, "root:x"), User::Root);
            assert_eq!(user(scheme, ""), User::Default);
            assert_eq!(user(scheme, "ada:"), User::Other("ada".to_owned()));
        }
        assert_eq!((user("Bearer ", "root:"), user("Basic", "root:")), (User::Default, User::Default));
        assert_eq!((User::Root.home(), User::Default.home()), ("/root", HOME));
    }
}
