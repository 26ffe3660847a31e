//! Paths in a session: absolute, without `.` and `..`.

use super::FileError;

pub(super) use switchtower_contract::python::HOME;
/// The scratch folders.
pub(super) use switchtower_contract::python::OWN_FOLDERS as ROOTS;

/// Maximum length of an absolute path, in bytes: the limit of Linux.
pub const MAX_PATH_BYTES: usize = 4095;
/// Maximum length of a name in a path, in bytes: the limit of Linux.
pub const MAX_NAME_BYTES: usize = 255;

/// Returns the absolute form of a path. Relative paths and `~` start in the home folder.
pub(super) fn absolute(path: &str, home: &str) -> Result<String, FileError> {
    let invalid = |why: &str| Err(FileError::Invalid(format!("path {path:?} {why}")));
    if path.contains('\0') {
        return invalid("has a NUL in it");
    }
    let (start, rest) = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (home, rest),
        _ if path.starts_with('/') => ("", path),
        _ => (home, path),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in start.split('/').chain(rest.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part if part.len() > MAX_NAME_BYTES => return invalid("has a name that is too long"),
            part => parts.push(part),
        }
    }
    let absolute = format!("/{}", parts.join("/"));
    if absolute.len() > MAX_PATH_BYTES { invalid("is too long") } else { Ok(absolute) }
}

/// Returns whether a path is one of the scratch folders, or below one.
pub(super) fn is_scratch(absolute: &str) -> bool {
    ROOTS.iter().any(|root| absolute.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

pub(super) fn is_root(absolute: &str) -> bool {
    ROOTS.contains(&absolute)
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| is_scratch(parent))
}

/// Returns the folders above a path, the nearest first, up to a scratch folder.
pub(super) fn above(absolute: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(absolute), |path| parent(path)).skip(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_relative_path_starts_in_the_home_folder_and_no_path_leaves_the_root() {
        for (path, expected) in [
            ("", HOME),
            ("~", HOME),
            ("a//b/", "/home/user/a/b"),
            ("~/a", "/home/user/a"),
            ("~a", "/home/user/~a"),
            ("../../../..", "/"),
            ("/tmp/../etc/./hosts", "/etc/hosts"),
        ] {
            assert_eq!(absolute(path, HOME).unwrap(), expected, "{path}");
        }
        assert!(["a\0b", &"a".repeat(256), &"a/".repeat(3000)].iter().all(|path| absolute(path, HOME).is_err()));
        assert_eq!(absolute("~/a", "/root").unwrap(), "/root/a");
        assert!(is_scratch("/tmp") && is_scratch("/home/user/a") && !is_scratch("/tmpa") && !is_scratch("/home"));
        assert_eq!(above("/tmp/a/b").collect::<Vec<_>>(), ["/tmp/a", "/tmp"]);
    }

    proptest! {
        #[test]
        fn an_absolute_path_is_its_own_absolute_form(path in "[a.~/]{0,20}") {
            let once = absolute(&path, HOME).unwrap();
            prop_assert!(once.starts_with('/') && !once.contains("//") && !once.split('/').any(|part| part == ".."));
            prop_assert_eq!(absolute(&once, HOME).unwrap(), once);
        }
    }
}
