//! The paths that are translated, and the real folders behind them.
#![allow(unsafe_code, reason = "a map that libc's functions read without a lock, and their strings")]

use std::ffi::{CStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::system_paths::{HOME, TMP};

/// The real folders of translated paths.
pub(crate) struct PathMap {
    home: Vec<u8>,
    tmp: Vec<u8>,
    /// A path that does not exist.
    missing: Vec<u8>,
    /// Real folders below the translated paths, which are not translated.
    untranslated: Vec<Vec<u8>>,
}

/// Null while paths are not translated. What it points to is never freed.
static MAP: AtomicPtr<PathMap> = AtomicPtr::new(std::ptr::null_mut());

/// Starts to translate paths into `folder`, except for those in `untranslated`.
pub(crate) fn start(folder: &Path, untranslated: &[PathBuf]) {
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let map = PathMap {
        home: bytes(&folder.join("home")),
        tmp: bytes(&folder.join("tmp")),
        missing: bytes(&folder.join("missing")),
        untranslated: untranslated.iter().map(|path| bytes(path)).collect(),
    };
    MAP.store(Box::into_raw(Box::new(map)), Ordering::Release);
}

/// Returns the map, if paths are translated in this process.
pub(crate) fn current() -> Option<&'static PathMap> {
    // SAFETY: it is null, or a map that is never changed or freed.
    unsafe { MAP.load(Ordering::Acquire).as_ref() }
}

/// Returns the rest of a path in a folder: nothing, or a slash and more.
fn within<'a>(path: &'a [u8], folder: &[u8]) -> Option<&'a [u8]> {
    path.strip_prefix(folder).filter(|rest| rest.is_empty() || rest[0] == b'/')
}

impl PathMap {
    /// Returns the real folder of a program's path, and the rest of the path.
    pub(crate) fn to_real<'a>(&self, path: &'a [u8]) -> Option<(&[u8], &'a [u8])> {
        if self.untranslated.iter().any(|untranslated| within(path, untranslated).is_some()) {
            return None;
        }
        let places = [(TMP, &self.tmp), (HOME, &self.home), ("/proc", &self.missing), ("/sys", &self.missing)];
        places.into_iter().find_map(|(place, real)| Some((real.as_slice(), within(path, place.as_bytes())?)))
    }

    /// Returns the folder that a program sees for a real path, and the rest of the path.
    pub(crate) fn to_program<'a>(&self, path: &'a [u8]) -> Option<(&'static [u8], &'a [u8])> {
        let (tmp, home) = (within(path, &self.tmp), within(path, &self.home));
        tmp.map(|rest| (TMP.as_bytes(), rest)).or_else(|| home.map(|rest| (HOME.as_bytes(), rest)))
    }

    /// Translates a real path to the program's in place; leaves it where the result would be longer.
    pub(crate) unsafe fn to_program_in_place(&self, text: *mut c_char) {
        // SAFETY: the caller's string, which ends with a zero; what is written is no longer than what was there.
        unsafe {
            let length = CStr::from_ptr(text).count_bytes();
            let path = std::slice::from_raw_parts(text.cast::<u8>(), length);
            let Some((folder, rest)) = self.to_program(path) else { return };
            if folder.len() + rest.len() <= length {
                // With the zero.
                std::ptr::copy(rest.as_ptr(), text.cast::<u8>().add(folder.len()), rest.len() + 1);
                std::ptr::copy_nonoverlapping(folder.as_ptr(), text.cast(), folder.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> PathMap {
        PathMap {
            home: b"/tmp/x/7/home".into(),
            tmp: b"/tmp/x/7/tmp".into(),
            missing: b"/tmp/x/7/no".into(),
            untranslated: vec![b"/tmp/site".into(), b"/tmp/x".into()],
        }
    }

    fn to_real(path: &str) -> String {
        let map = map();
        let found = map.to_real(path.as_bytes()).map(|(folder, rest)| [folder, rest].concat());
        String::from_utf8(found.unwrap_or_else(|| path.into())).unwrap()
    }

    #[test]
    fn only_private_paths_are_translated() {
        for (path, real) in [
            ("/tmp", "/tmp/x/7/tmp"),
            ("/tmp/a/b", "/tmp/x/7/tmp/a/b"),
            ("/home/user/data.csv", "/tmp/x/7/home/data.csv"),
            ("/proc/self/maps", "/tmp/x/7/no/self/maps"),
            ("/tmpfile", "/tmpfile"),
            ("/home/users", "/home/users"),
            ("/tmp/site/numpy", "/tmp/site/numpy"),
            ("/tmp/x/7/tmp/a", "/tmp/x/7/tmp/a"),
            ("tmp/a", "tmp/a"),
        ] {
            assert_eq!(to_real(path), real);
        }
    }

    #[test]
    fn a_real_path_is_translated_to_the_programs() {
        for (real, named) in [("/tmp/x/7/home/a", "/home/user/a"), ("/tmp/x/7/tmp", "/tmp"), ("/usr/lib", "/usr/lib")] {
            let mut text = std::ffi::CString::new(real).unwrap().into_bytes_with_nul();
            // SAFETY: the string ends with a zero and is ours to write.
            unsafe { map().to_program_in_place(text.as_mut_ptr().cast()) };
            assert_eq!(CStr::from_bytes_until_nul(&text).unwrap().to_str().unwrap(), named);
        }
    }
}
