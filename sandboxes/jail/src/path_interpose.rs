//! Translates `/tmp` and `/home/user` to private folders in the reduced profile, which has no mounts.
//!
//! An executable that calls [`interpose!`](crate::interpose) replaces libc's functions that take paths, for itself and for
//! every library that it loads. It must export its symbols (`-rdynamic`). This is a convenience and no protection: direct
//! system calls see the real paths, which Landlock restricts.
//!
//! `/proc` and `/sys` are translated to a folder that does not exist, as they are missing in the full profile: libraries that
//! see them expect to be able to read them. Changes of modes and times of files, which Landlock does not cover and seccomp
//! refuses, report success for every existing path and do nothing.
#![allow(unsafe_code, reason = "functions of C, with C's pointers")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::{observation, path_map};

/// The longest path that is translated, in bytes with its terminating zero.
const MAX_PATH: usize = 4096;
/// A buffer for a translated path.
#[doc(hidden)]
pub type PathBuffer = [MaybeUninit<u8>; MAX_PATH];

/// Returns the real path of a program's path, in `buffer` where it is translated.
fn to_real(path: *const c_char, buffer: &mut PathBuffer) -> *const c_char {
    if path.is_null() {
        return path;
    }
    // SAFETY: C's functions take strings that end with a zero.
    let text = unsafe { CStr::from_ptr(path) }.to_bytes();
    observation::record_path(text);
    let Some(map) = path_map::current() else { return path };
    let Some((folder, rest)) = map.to_real(text) else { return path };
    let parts = [folder, rest, b"\0"];
    if parts.iter().map(|part| part.len()).sum::<usize>() > MAX_PATH {
        return path;
    }
    let bytes = parts.into_iter().flatten();
    buffer.iter_mut().zip(bytes).for_each(|(place, byte)| {
        place.write(*byte);
    });
    buffer.as_ptr().cast()
}

/// An argument of one of libc's functions. Strings are translated; those that are no paths do not begin like a translated one.
#[doc(hidden)]
pub trait Argument: Copy {
    fn to_real(self, _room: &mut PathBuffer) -> Self {
        self
    }
}

impl Argument for *const c_char {
    fn to_real(self, buffer: &mut PathBuffer) -> Self {
        to_real(self, buffer)
    }
}

macro_rules! untranslated {
    ($($kind:ty)*) => { $(impl Argument for $kind {})* };
}
untranslated!(c_int u32 u64 usize i64);
impl<T> Argument for *mut T {}

/// A result of one of libc's functions.
#[doc(hidden)]
pub trait CReturn {
    /// Returns the value that reports an error in `errno`.
    fn failed() -> Self;
}

impl CReturn for c_int {
    fn failed() -> Self {
        -1
    }
}

impl CReturn for isize {
    fn failed() -> Self {
        -1
    }
}

impl<T> CReturn for *mut T {
    fn failed() -> Self {
        std::ptr::null_mut()
    }
}

/// libc's own function behind an interposed one.
#[doc(hidden)]
pub struct LibcFunction {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl LibcFunction {
    pub const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Returns its address; null and `errno` where this libc does not have it.
    pub fn find(&self) -> *mut c_void {
        let found = self.found.load(Ordering::Relaxed);
        if !found.is_null() {
            return found;
        }
        // SAFETY: the name ends with a zero; errno is this thread's.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            // SAFETY: errno is this thread's.
            unsafe { *libc::__errno_location() = libc::ENOSYS };
        }
        self.found.store(found, Ordering::Relaxed);
        found
    }
}

/// Translates a path that libc returned to the program's.
///
/// # Safety
/// It is null, or ends with a zero and may be written.
#[doc(hidden)]
pub unsafe fn to_program_path(text: *mut c_char) -> *mut c_char {
    if let Some(map) = path_map::current().filter(|_| !text.is_null()) {
        // SAFETY: as the caller promises.
        unsafe { map.to_program_in_place(text) };
    }
    text
}

/// readlinkat(2), whose result has no terminating zero.
///
/// # Safety
/// As readlinkat(2).
#[doc(hidden)]
pub unsafe fn read_link(folder: c_int, path: *const c_char, into: *mut c_char, size: usize) -> isize {
    let (mut buffer, mut target) = ([MaybeUninit::uninit(); MAX_PATH], [0_u8; MAX_PATH]);
    let path = to_real(path, &mut buffer);
    // SAFETY: the buffers are as long as is said.
    unsafe {
        let Some(map) = path_map::current() else {
            return libc::syscall(libc::SYS_readlinkat, folder, path, into, size) as isize;
        };
        let read = libc::syscall(libc::SYS_readlinkat, folder, path, target.as_mut_ptr(), MAX_PATH);
        if read == -1 {
            return -1;
        }
        let target = &target[..read as usize];
        let (named, rest) = map.to_program(target).unwrap_or((b"", target));
        let parts = named.iter().chain(rest).take(size);
        parts.enumerate().map(|(i, byte)| into.add(i).write(*byte as c_char)).count() as isize
    }
}

/// Returns whether paths are translated in this process. Then chmod(2) and the like report success and do nothing.
#[doc(hidden)]
#[must_use]
pub fn is_mapped() -> bool {
    path_map::current().is_some()
}

/// Returns the result of a call that does nothing: 0 if the path exists, else -1 and `errno`.
///
/// # Safety
/// As faccessat(2).
#[doc(hidden)]
pub unsafe fn reachable(folder: c_int, path: *const c_char) -> c_int {
    if path.is_null() {
        return 0;
    }
    let mut buffer = [MaybeUninit::uninit(); MAX_PATH];
    // SAFETY: as the caller promises.
    unsafe { libc::syscall(libc::SYS_faccessat, folder, to_real(path, &mut buffer), libc::F_OK) as c_int }
}

/// truncate(2) by ftruncate(2): the Landlock of old kernels does not cover the former.
///
/// # Safety
/// As truncate(2).
#[doc(hidden)]
pub unsafe fn truncate(path: *const c_char, length: i64) -> c_int {
    let mut buffer = [MaybeUninit::uninit(); MAX_PATH];
    // SAFETY: as the caller promises.
    unsafe {
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        let file = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, to_real(path, &mut buffer), flags, 0) as c_int;
        if file == -1 {
            return -1;
        }
        let result = libc::ftruncate(file, length);
        let error = *libc::__errno_location();
        libc::close(file);
        *libc::__errno_location() = error;
        result
    }
}

/// Replaces libc's functions that take paths, and those for clocks, random numbers and the host. Call it once, at the root of
/// the executable; see [`path_interpose`](crate::path_interpose) and [`observation`](crate::observation).
#[macro_export]
macro_rules! interpose {
    () => {
        #[allow(unsafe_code, unreachable_pub, clippy::missing_safety_doc, reason = "each is libc's, and as safe")]
        mod interposed {
            use std::ffi::{c_char, c_int, c_void};
            type Path = *const c_char;
            type Out = *mut c_void;

            $crate::forwarded! {
                open(a: Path, b: c_int, c: u32) -> c_int;
                open64(a: Path, b: c_int, c: u32) -> c_int;
                __open_2(a: Path, b: c_int) -> c_int;
                __open64_2(a: Path, b: c_int) -> c_int;
                openat(a: c_int, b: Path, c: c_int, d: u32) -> c_int;
                openat64(a: c_int, b: Path, c: c_int, d: u32) -> c_int;
                __openat_2(a: c_int, b: Path, c: c_int) -> c_int;
                __openat64_2(a: c_int, b: Path, c: c_int) -> c_int;
                creat(a: Path, b: u32) -> c_int;
                creat64(a: Path, b: u32) -> c_int;
                fopen(a: Path, b: Path) -> Out;
                fopen64(a: Path, b: Path) -> Out;
                freopen(a: Path, b: Path, c: Out) -> Out;
                freopen64(a: Path, b: Path, c: Out) -> Out;
                opendir(a: Path) -> Out;
                stat(a: Path, b: Out) -> c_int;
                stat64(a: Path, b: Out) -> c_int;
                lstat(a: Path, b: Out) -> c_int;
                lstat64(a: Path, b: Out) -> c_int;
                fstatat(a: c_int, b: Path, c: Out, d: c_int) -> c_int;
                fstatat64(a: c_int, b: Path, c: Out, d: c_int) -> c_int;
                __xstat(a: c_int, b: Path, c: Out) -> c_int;
                __xstat64(a: c_int, b: Path, c: Out) -> c_int;
                __lxstat(a: c_int, b: Path, c: Out) -> c_int;
                __lxstat64(a: c_int, b: Path, c: Out) -> c_int;
                __fxstatat(a: c_int, b: c_int, c: Path, d: Out, e: c_int) -> c_int;
                __fxstatat64(a: c_int, b: c_int, c: Path, d: Out, e: c_int) -> c_int;
                statx(a: c_int, b: Path, c: c_int, d: u32, e: Out) -> c_int;
                statfs(a: Path, b: Out) -> c_int;
                statfs64(a: Path, b: Out) -> c_int;
                statvfs(a: Path, b: Out) -> c_int;
                statvfs64(a: Path, b: Out) -> c_int;
                access(a: Path, b: c_int) -> c_int;
                eaccess(a: Path, b: c_int) -> c_int;
                euidaccess(a: Path, b: c_int) -> c_int;
                faccessat(a: c_int, b: Path, c: c_int, d: c_int) -> c_int;
                mkdir(a: Path, b: u32) -> c_int;
                mkdirat(a: c_int, b: Path, c: u32) -> c_int;
                rmdir(a: Path) -> c_int;
                unlink(a: Path) -> c_int;
                unlinkat(a: c_int, b: Path, c: c_int) -> c_int;
                remove(a: Path) -> c_int;
                rename(a: Path, b: Path) -> c_int;
                renameat(a: c_int, b: Path, c: c_int, d: Path) -> c_int;
                renameat2(a: c_int, b: Path, c: c_int, d: Path, e: u32) -> c_int;
                link(a: Path, b: Path) -> c_int;
                linkat(a: c_int, b: Path, c: c_int, d: Path, e: c_int) -> c_int;
                symlink(a: Path, b: Path) -> c_int;
                symlinkat(a: Path, b: c_int, c: Path) -> c_int;
                mkfifo(a: Path, b: u32) -> c_int;
                mkfifoat(a: c_int, b: Path, c: u32) -> c_int;
                mknod(a: Path, b: u32, c: u64) -> c_int;
                mknodat(a: c_int, b: Path, c: u32, d: u64) -> c_int;
                chdir(a: Path) -> c_int;
            }

            // Results are paths.
            $crate::forwarded! {
                getcwd(a: *mut c_char, b: usize) -> *mut c_char => $crate::path_interpose::to_program_path;
                __getcwd_chk(a: *mut c_char, b: usize, c: usize) -> *mut c_char => $crate::path_interpose::to_program_path;
                get_current_dir_name() -> *mut c_char => $crate::path_interpose::to_program_path;
                realpath(a: Path, b: *mut c_char) -> *mut c_char => $crate::path_interpose::to_program_path;
                __realpath_chk(a: Path, b: *mut c_char, c: usize) -> *mut c_char => $crate::path_interpose::to_program_path;
                canonicalize_file_name(a: Path) -> *mut c_char => $crate::path_interpose::to_program_path;
            }

            // Report success and do nothing in the reduced profile.
            $crate::forwarded! {
                chmod(a: Path, b: u32) -> c_int, pretend_success at (libc::AT_FDCWD, a);
                fchmod(a: c_int, b: u32) -> c_int, pretend_success at (libc::AT_FDCWD, std::ptr::null());
                fchmodat(a: c_int, b: Path, c: u32, d: c_int) -> c_int, pretend_success at (a, b);
                utime(a: Path, b: Out) -> c_int, pretend_success at (libc::AT_FDCWD, a);
                utimes(a: Path, b: Out) -> c_int, pretend_success at (libc::AT_FDCWD, a);
                lutimes(a: Path, b: Out) -> c_int, pretend_success at (libc::AT_FDCWD, a);
                futimes(a: c_int, b: Out) -> c_int, pretend_success at (libc::AT_FDCWD, std::ptr::null());
                futimens(a: c_int, b: Out) -> c_int, pretend_success at (libc::AT_FDCWD, std::ptr::null());
                utimensat(a: c_int, b: Path, c: Out, d: c_int) -> c_int, pretend_success at (a, b);
            }

            // Nondeterministic functions.
            $crate::forwarded! {
                clock_gettime(a: c_int, b: Out) -> c_int, observe Clock unless a == libc::CLOCK_MONOTONIC;
                gettimeofday(a: Out, b: Out) -> c_int, observe Clock;
                time(a: Out) -> isize, observe Clock;
                timespec_get(a: Out, b: c_int) -> c_int, observe Clock;
                clock() -> isize, observe Clock;
                times(a: Out) -> isize, observe Clock;
                getrusage(a: c_int, b: Out) -> c_int, observe Clock;
                getrandom(a: Out, b: usize, c: u32) -> isize, observe Randomness;
                getentropy(a: Out, b: usize) -> c_int, observe Randomness;
                getpid() -> c_int, observe Identity;
                getppid() -> c_int, observe Identity;
                gethostname(a: *mut c_char, b: usize) -> c_int, observe Identity;
                uname(a: Out) -> c_int, observe Identity;
                sysinfo(a: Out) -> c_int, observe Identity;
                getloadavg(a: Out, b: c_int) -> c_int, observe Identity;
                sched_getaffinity(a: c_int, b: usize, c: Out) -> c_int, observe Identity;
                sched_getcpu() -> c_int, observe Identity;
                sysconf(a: c_int) -> isize, observe Identity unless !$crate::observation::describes_hardware(a);
            }

            use $crate::libc;

            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn readlink(path: Path, into: *mut c_char, size: usize) -> isize {
                unsafe { $crate::path_interpose::read_link(libc::AT_FDCWD, path, into, size) }
            }
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn __readlink_chk(path: Path, into: *mut c_char, size: usize, _: usize) -> isize {
                unsafe { $crate::path_interpose::read_link(libc::AT_FDCWD, path, into, size) }
            }
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn readlinkat(at: c_int, path: Path, into: *mut c_char, size: usize) -> isize {
                unsafe { $crate::path_interpose::read_link(at, path, into, size) }
            }
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn __readlinkat_chk(
                at: c_int,
                path: Path,
                into: *mut c_char,
                size: usize,
                _: usize,
            ) -> isize {
                unsafe { $crate::path_interpose::read_link(at, path, into, size) }
            }
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn truncate(path: Path, length: i64) -> c_int {
                unsafe { $crate::path_interpose::truncate(path, length) }
            }
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn truncate64(path: Path, length: i64) -> c_int {
                unsafe { $crate::path_interpose::truncate(path, length) }
            }
        }
    };
}

/// Interposed functions of libc, which call libc's with translated arguments.
#[doc(hidden)]
#[macro_export]
macro_rules! forwarded {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $result:ty
        $(=> $back:path)?
        $(, pretend_success at ($at:expr, $path:expr))?
        $(, observe $observed:ident $(unless $unless:expr)?)?;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $kind),*) -> $result {
            static REAL: $crate::path_interpose::LibcFunction =
                $crate::path_interpose::LibcFunction::new(match std::ffi::CStr::from_bytes_with_nul(
                    concat!(stringify!($name), "\0").as_bytes(),
                ) {
                    Ok(name) => name,
                    Err(_) => panic!("a name has no zero in it"),
                });
            $(if $crate::path_interpose::is_mapped() {
                return unsafe { $crate::path_interpose::reachable($at, $path) };
            })?
            $($(if !($unless))? {
                $crate::observation::record($crate::observation::Observation::$observed);
            })?
            let real = REAL.find();
            if real.is_null() {
                return <$result as $crate::path_interpose::CReturn>::failed();
            }
            let real: unsafe extern "C" fn($($kind),*) -> $result = unsafe { std::mem::transmute(real) };
            $(
                let mut buffer: $crate::path_interpose::PathBuffer = [std::mem::MaybeUninit::uninit(); _];
                let $arg = $crate::path_interpose::Argument::to_real($arg, &mut buffer);
            )*
            let result = unsafe { real($($arg),*) };
            $(let result = unsafe { $back(result) };)?
            result
        }
    )*};
}
