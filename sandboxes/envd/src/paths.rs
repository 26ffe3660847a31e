//! Paths of a machine: absolute, without `.` and `..`.

use crate::file_error::FileError;

/// Maximum length of an absolute path, in bytes: the limit of Linux.
const MAX_PATH_BYTES: usize = 4095;

/// Returns the absolute form of a path. Relative paths and `~` start in the user's home folder, and no path leaves the root.
///
/// # Errors
/// `Invalid`: it has a NUL, names the home folder of another user, or is longer than Linux allows.
pub(crate) fn absolute(path: &str, home: &str) -> Result<String, FileError> {
    let invalid = |why: &str| Err(FileError::Invalid(format!("path {path:?} {why}")));
    if path.contains('\0') {
        return invalid("has a NUL in it");
    }
    let (start, rest) = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (home, rest),
        Some(_) => return invalid("names the home folder of a user: write its absolute path"),
        None if path.starts_with('/') => ("", path),
        None => (home, path),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in start.split('/').chain(rest.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let absolute = format!("/{}", parts.join("/"));
    if absolute.len() > MAX_PATH_BYTES { invalid("is too long") } else { Ok(absolute) }
}

/// Returns the folder of an absolute path.
pub(crate) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// Returns the last name of a path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Returns the path of a name in a folder.
pub(crate) fn join(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_absolute_form() {
        for (path, form) in [
            ("", "/home/user"),
            ("x", "/home/user/x"),
            ("./a/../b//c/", "/home/user/b/c"),
            ("/tmp/../../etc", "/etc"),
            ("~/x", "/home/user/x"),
            ("~", "/home/user"),
            ("/", "/"),
        ] {
            assert_eq!(absolute(path, "/home/user").unwrap(), form);
        }
        for odd in ["~root/x".to_owned(), "a\0b".to_owned(), "a/".repeat(2100)] {
            assert!(matches!(absolute(&odd, "/home/user"), Err(FileError::Invalid(_))));
        }
        assert_eq!(
            (parent("/a"), parent("/a/b"), join("/", "a"), join("/a", "b")),
            ("/", "/a", "/a".into(), "/a/b".into())
        );
    }
}
