//! The promises of the jail, in both profiles, for root and for a user. Each case runs in a process of its own, which becomes
//! a zygote; the result of a check in one of its children comes back as text on descriptor 3.
#![allow(unsafe_code, reason = "what an intruder would do")]
#![cfg_attr(not(target_os = "linux"), allow(unused))]

use std::ffi::{CStr, CString, c_char};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use switchtower_jail::{Fork, ForkedProcess, Jail, JailConfig, JailError, JailProfile, ProcessEnd};

switchtower_jail::interpose!();

const NOBODY: u32 = 65534;
const THREADS: u64 = 12;
const DESCRIPTORS: u64 = 40;
const MB: usize = 1 << 20;
/// Megabytes and threads of all children together, where a group can be made.
const ALL_MEMORY: usize = 96;
const ALL_THREADS: usize = 100;

/// What a child sends whose check passed.
const PASSED: &str = "passed";

type Case = fn(&TestZygote) -> Result<(), String>;

const CASES: &[(&str, Case)] = &[
    ("every_layer_is_reported_with_its_status", layers),
    ("nothing_but_libraries_and_packages_can_be_read", reading),
    ("nothing_but_the_private_folders_can_be_written", writing),
    ("private_folders_are_removed_with_their_child", privacy),
    ("there_is_no_socket_but_a_pair", sockets),
    ("a_child_starts_threads_and_nothing_else", starting),
    ("a_child_can_signal_itself_and_no_other_process", signals),
    ("forbidden_calls_kill_the_child", deadly),
    ("hidden_calls_fail_as_absent", absent),
    ("a_limit_of_threads_is_enforced_or_reported", threads),
    ("a_limit_of_private_files_is_enforced_or_reported", scratch),
    ("the_parent_can_count_what_a_child_writes_to_files", counted),
    ("the_parent_can_change_the_limit_of_memory", memory),
    ("a_cgroup_limits_all_children_together_and_spares_the_zygote", together),
    ("a_child_has_only_the_first_four_descriptors", descriptors),
    ("a_child_can_load_libraries_of_packages_and_in_the_full_profile_no_others", code),
    ("memory_that_children_would_share_is_refused", shared),
    ("libraries_find_the_private_folders_under_their_usual_paths", translation),
    ("files_outside_keep_their_modes_and_lengths", metadata),
    ("the_parent_sees_how_a_child_ended", ending),
    ("children_end_with_their_zygote", orphans),
];

/// A zygote in its jail.
struct TestZygote {
    jail: Jail,
    config: JailConfig,
    /// A folder that can be read.
    site: PathBuf,
    /// A file of this user's that programs must not touch.
    outside: PathBuf,
}

/// The result of a child.
struct Run {
    result: Result<(), String>,
    end: ProcessEnd,
}

impl TestZygote {
    fn fork(&self) -> Fork {
        // SAFETY: this process has one thread and no interpreter that must be told of forks.
        unsafe { self.jail.fork() }.expect("a fork")
    }

    /// Forks a child that runs this check in its jail. Returns the child and the pipe that its result comes through.
    fn start(&self, check: impl FnOnce() -> Result<(), String>) -> (ForkedProcess, OwnedFd) {
        let (from, to) = pipe();
        match self.fork() {
            Fork::Parent(child) => (child, from),
            Fork::Child => {
                // SAFETY: the calls take numbers.
                unsafe { libc::dup2(to.as_raw_fd(), 3) };
                let result = self.jail.enter_child().map_err(|e| e.to_string()).and_then(|()| check());
                // SAFETY: the descriptor is this child's; it ends at once.
                unsafe {
                    let mut to = fs::File::from_raw_fd(3);
                    let _ = to.write_all(result.err().unwrap_or_else(|| PASSED.into()).as_bytes());
                    libc::_exit(0)
                }
            }
        }
    }

    fn wait(&self, mut child: ForkedProcess, from: OwnedFd) -> Run {
        let mut text = String::new();
        fs::File::from(from).read_to_string(&mut text).expect("the result of a child");
        wait_for(&child);
        let end = child.ended().expect("a child that was not reaped").expect("it has ended");
        Run { result: if text == PASSED { Ok(()) } else { Err(text) }, end }
    }

    fn in_child(&self, check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let (child, from) = self.start(check);
        let run = self.wait(child, from);
        run.result.map_err(|e| format!("{e} ({})", run.end.status))
    }

    fn full(&self) -> bool {
        self.jail.profile() == JailProfile::Full
    }
}

fn wait_for(child: &ForkedProcess) {
    let mut waited = libc::pollfd { fd: child.pidfd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one entry that outlives the call.
    unsafe { libc::poll(&raw mut waited, 1, -1) };
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two numbers, and the descriptors are new.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

fn must(what: bool, name: &str) -> Result<(), String> {
    if what { Ok(()) } else { Err(format!("{name}: {}", std::io::Error::last_os_error())) }
}

/// A system call that is to be refused with this error.
fn refused(name: &str, result: i64, error: i32) -> Result<(), String> {
    let found = std::io::Error::last_os_error();
    if result == -1 && found.raw_os_error() == Some(error) { Ok(()) } else { Err(format!("{name}: {result}, {found}")) }
}

fn text<T>(what: &str, result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|e| format!("{what}: {e}"))
}

fn layers(zygote: &TestZygote) -> Result<(), String> {
    let layers = zygote.jail.layers();
    let in_force = |name: &str| layers.iter().any(|layer| layer.name == name && layer.status.is_ok());
    let always = ["seccomp", "landlock", "resource limits", "no new privileges", "not traceable"];
    must(always.iter().all(|name| in_force(name)), &format!("{layers:?}"))?;
    let full = ["user namespace", "pid namespace", "network namespace", "file tree", "limit of threads"];
    must(
        full.iter().all(|name| in_force(name) == zygote.full() || *name == "limit of threads"),
        &format!("{layers:?}"),
    )?;
    must(layers.iter().all(|layer| layer.status != Err(String::new())), "a layer that is not in force has a reason")
}

fn reading(zygote: &TestZygote) -> Result<(), String> {
    let outside = zygote.outside.clone();
    zygote.in_child(|| {
        // By the system call itself: the interposed functions of libc are no protection.
        for path in
            [c"/etc/passwd", c"/etc/shadow", c"/proc/self/environ", c"/proc/1/environ", c"/proc/cpuinfo", c"/sys"]
        {
            // SAFETY: the path ends with a zero.
            let opened = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDONLY) };
            must(opened == -1, &path.to_string_lossy())?;
        }
        for path in ["/root", "/home", "/var", "/proc", "/sys", "/dev/shm"] {
            must(fs::read_dir(path).map_or(0, Iterator::count) < 2, path)?;
        }
        must(fs::read(&outside).is_err(), "a file of the user's")?;
        text("a package", fs::read(zygote.site.join("module.py")))?;
        text("a library", fs::read_dir("/usr/lib"))?;
        text("/dev/urandom", fs::File::open("/dev/urandom"))?;
        text("/dev/null", fs::write("/dev/null", "x"))
    })
}

fn writing(zygote: &TestZygote) -> Result<(), String> {
    let (outside, full) = (zygote.outside.clone(), zygote.full());
    zygote.in_child(|| {
        let folders = ["/", "/home", "/usr/lib", "/etc", "/dev", "/dev/shm", "/var/tmp", "/proc"].map(Path::new);
        for folder in folders.into_iter().chain([zygote.site.as_path()]) {
            must(fs::write(folder.join("canary"), "x").is_err(), &folder.display().to_string())?;
            must(fs::create_dir(folder.join("canaries")).is_err(), &folder.display().to_string())?;
        }
        must(fs::OpenOptions::new().append(true).open(zygote.site.join("module.py")).is_err(), "a package")?;
        must(fs::remove_file(zygote.site.join("module.py")).is_err(), "removing a package")?;
        must(fs::hard_link(zygote.site.join("module.py"), "/tmp/module.py").is_err(), "linking a package")?;
        // In the full profile this makes another file, of the child's own; the driver looks at the real one.
        must(fs::write(&outside, "x").is_err() || full, "a file of the user's")?;
        text("a link", std::os::unix::fs::symlink("/etc/passwd", "/tmp/passwd"))?;
        must(fs::read("/tmp/passwd").is_err(), "a link to the outside")
    })
}

fn privacy(zygote: &TestZygote) -> Result<(), String> {
    let write = || {
        must(text("/tmp", fs::read_dir("/tmp"))?.count() <= 1, "an empty /tmp")?;
        must(text("/home/user", fs::read_dir("/home/user"))?.count() == 0, "an empty /home/user")?;
        text("/tmp/a", fs::write("/tmp/a", "x"))?;
        text("a relative path", fs::write("a", "x"))?;
        text("/home/user/a", fs::read("/home/user/a"))?;
        text("a folder", fs::create_dir_all("/tmp/deep/er"))?;
        must(std::env::current_dir().is_ok_and(|d| d == Path::new("/home/user")), "the working directory")
    };
    let (first, from) = zygote.start(write);
    let first = zygote.wait(first, from);
    first.result?;
    // The first is still held, so its folder is there, and not the second's.
    zygote.in_child(write)?;
    if let Some(own) = zygote.jail.private_folder() {
        let left = text("the scratch folder", fs::read_dir(own))?.count();
        must(left == 1, "only the zygote's own folder is left")?;
    }
    Ok(())
}

fn sockets(zygote: &TestZygote) -> Result<(), String> {
    // SAFETY: the calls take numbers and a pointer to two of them.
    zygote.in_child(|| unsafe {
        let families =
            [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK, libc::AF_VSOCK, libc::AF_PACKET];
        for family in families {
            for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_RAW] {
                refused("socket", libc::socket(family, kind, 0).into(), libc::EPERM)?;
            }
        }
        let mut ends = [0; 2];
        must(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) == 0, "socketpair")
    })
}

fn starting(zygote: &TestZygote) -> Result<(), String> {
    zygote.in_child(|| {
        must(std::thread::spawn(|| 5).join().is_ok_and(|five| five == 5), "a thread")?;
        must(Command::new("/usr/bin/true").status().is_err(), "a command")?;
        // SAFETY: children would end at once; the other calls take numbers and strings that end with a zero.
        unsafe {
            match libc::fork() {
                -1 => {}
                0 => libc::_exit(0),
                child => return Err(format!("forked {child}")),
            }
            let share = libc::CLONE_VM | libc::CLONE_FILES;
            refused("clone", libc::syscall(libc::SYS_clone, share, 0, 0, 0, 0), libc::EPERM)?;
            let newuser = libc::CLONE_NEWUSER | libc::CLONE_THREAD;
            refused("clone", libc::syscall(libc::SYS_clone, newuser, 0, 0, 0, 0), libc::EPERM)?;
            let none = std::ptr::null::<*const c_char>();
            refused("execve", libc::execve(c"/usr/bin/true".as_ptr(), none, none).into(), libc::EPERM)
        }
    })
}

fn signals(zygote: &TestZygote) -> Result<(), String> {
    static RECEIVED: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);
    extern "C" fn on_signal(signal: libc::c_int) {
        RECEIVED.store(signal, std::sync::atomic::Ordering::Relaxed);
    }
    let parent = std::process::id() as i32;
    // SAFETY: the handler stores a number; the calls take numbers and null pointers.
    zygote.in_child(|| unsafe {
        libc::signal(libc::SIGUSR1, on_signal as *const () as libc::sighandler_t);
        must(libc::raise(libc::SIGUSR1) == 0, "raise")?;
        must(RECEIVED.load(std::sync::atomic::Ordering::Relaxed) == libc::SIGUSR1, "its own signal")?;
        must(libc::gettid() == libc::getpid(), "its number")?;
        for other in [parent, 0, -1, libc::getpid() + 1] {
            refused("kill", libc::kill(other, libc::SIGKILL).into(), libc::EPERM)?;
        }
        let none = std::ptr::null::<libc::siginfo_t>();
        refused("sigqueue", libc::syscall(libc::SYS_rt_sigqueueinfo, parent, libc::SIGKILL, none), libc::EPERM)?;
        refused("tkill", libc::syscall(libc::SYS_tkill, parent, libc::SIGKILL), libc::EPERM)?;
        refused("pidfd_open", libc::syscall(libc::SYS_pidfd_open, parent, 0), libc::EPERM)
    })
}

fn deadly(zygote: &TestZygote) -> Result<(), String> {
    let calls = [libc::SYS_ptrace, libc::SYS_mount, libc::SYS_bpf, libc::SYS_unshare, libc::SYS_io_uring_setup];
    for call in calls {
        // SAFETY: the call ends the process whatever its arguments.
        let (child, from) = zygote.start(|| Err(format!("lives: {}", unsafe { libc::syscall(call, 0, 0, 0, 0, 0) })));
        let run = zygote.wait(child, from);
        must(run.end.status.signal() == Some(libc::SIGSYS), &format!("{call}: {:?}, {}", run.result, run.end.status))?;
    }
    Ok(())
}

fn absent(zygote: &TestZygote) -> Result<(), String> {
    // SAFETY: the calls get null pointers and strings that end with a zero.
    zygote.in_child(|| unsafe {
        refused("clone3", libc::syscall(libc::SYS_clone3, 0, 0), libc::ENOSYS)?;
        let listed = libc::listxattr(c"/tmp".as_ptr(), std::ptr::null_mut(), 0);
        refused("listxattr", listed as i64, libc::ENOTSUP)?;
        #[cfg(target_arch = "x86_64")]
        must(libc::syscall(0x4000_0000 + libc::SYS_getpid) == -1, "x32")?;
        refused("personality", libc::syscall(libc::SYS_personality, 0x0040_0000), libc::EPERM)?;
        refused("seccomp", libc::syscall(libc::SYS_seccomp, 0, 0, 0), libc::EPERM)?;
        refused("memfd", libc::syscall(libc::SYS_memfd_create, c"x".as_ptr(), 0), libc::EPERM)
    })
}

/// Starts up to `most` threads that wait, until one cannot be started. Returns their number.
fn start_threads(most: usize) -> usize {
    let small = || std::thread::Builder::new().stack_size(64 << 10);
    (0..most)
        .take_while(|_| {
            small()
                .spawn(|| {
                    loop {
                        std::thread::park();
                    }
                })
                .is_ok()
        })
        .count()
}

fn threads(zygote: &TestZygote) -> Result<(), String> {
    let (ready, is_ready) = pipe();
    let (child, _from) = zygote.start(|| {
        let started = start_threads(4 * THREADS as usize);
        // Standard output is a pipe to the driver.
        println!("{started}");
        // SAFETY: the call takes no argument.
        unsafe { libc::pause() };
        Ok(())
    });
    drop((ready, is_ready));
    let mut seen = 0;
    if zygote.full() {
        // The kernel counts the threads of each child separately: another child still has its own.
        zygote.in_child(|| {
            let started = start_threads(4 * THREADS as usize) as u64;
            must(started == THREADS - 1, &format!("{started} threads were started"))
        })?;
    } else {
        while seen <= THREADS {
            seen = child.threads().ok_or("threads are not seen")?;
            std::thread::yield_now();
        }
        zygote.in_child(|| must(start_threads(2) == 2, "another child's threads"))?;
    }
    Ok(())
}

fn scratch(zygote: &TestZygote) -> Result<(), String> {
    let limit = zygote.config.scratch_bytes;
    let most = zygote.config.scratch_entries;
    let bytes = move || (0..limit as usize / MB + 2).try_for_each(|i| fs::write(format!("/tmp/{i}"), vec![1; MB]));
    let entries = move || (0..most + 20).try_for_each(|i| fs::write(format!("/home/user/{i}"), ""));
    if zygote.full() {
        let full = |result: std::io::Result<()>| match result {
            Err(e) if e.kind() == std::io::ErrorKind::StorageFull => Ok(()),
            other => Err(format!("{other:?}")),
        };
        zygote.in_child(|| full(bytes()))?;
        zygote.in_child(|| full(entries()))?;
        // Both folders are one.
        return zygote.in_child(|| {
            text("half", fs::write("/tmp/half", vec![1; limit as usize / 2]))?;
            full(fs::write("/home/user/half", vec![1; limit as usize / 2 + MB]))
        });
    }
    for attack in [&bytes as &dyn Fn() -> std::io::Result<()>, &entries, &|| {
        fs::create_dir_all("/tmp/hidden").and_then(|()| fs::write("/tmp/hidden/a", "x"))?;
        // SAFETY: the string ends with a zero.
        unsafe { libc::mkdir(c"/tmp/unreadable".as_ptr(), 0o300) };
        Ok(())
    }] {
        let (child, from) = zygote.start(|| text("writing", attack()));
        let mut result = String::new();
        text("the result", fs::File::from(from).read_to_string(&mut result))?;
        let (bytes, entries) = child.folder_used().ok_or("no count")?;
        must(bytes > limit || entries > most, &format!("{bytes} bytes, {entries} entries, {result}"))?;
    }
    zygote.in_child(|| {
        refused(
            "a file larger than all",
            fs::File::create("/tmp/large").map_or(-1, |file| {
                // SAFETY: the call takes numbers.
                unsafe { libc::ftruncate(file.as_raw_fd(), limit as i64 + 1).into() }
            }),
            libc::EFBIG,
        )?;
        let hidden = libc::O_TMPFILE | libc::O_RDWR;
        // SAFETY: the string ends with a zero.
        refused("a file without a name", unsafe { libc::open(c"/tmp".as_ptr(), hidden, 0o600) }.into(), libc::EPERM)
    })
}

fn counted(zygote: &TestZygote) -> Result<(), String> {
    // The child reads a byte on its standard input for each step.
    let (steps, step_writer) = pipe();
    // SAFETY: the call takes numbers.
    unsafe { libc::dup2(steps.as_raw_fd(), 0) };
    let (mut child, from) = zygote.start(|| {
        let next = || text("a step", std::io::stdin().read_exact(&mut [0]));
        let report = || {
            // SAFETY: the descriptor is the child's.
            must(unsafe { libc::write(3, c"x".as_ptr().cast(), 1) } == 1, "a report")
        };
        report()?;
        next()?;
        text("a file", fs::write("/home/user/one", vec![1; 3 * MB]))?;
        text("a file", fs::write("/tmp/two", vec![1; 2 * MB]))?;
        report()?;
        next()?;
        text("no file", fs::remove_file("/home/user/one"))?;
        report()?;
        next()
    });
    let (mut step_writer, mut from) = (fs::File::from(step_writer), fs::File::from(from));
    let used = |child: &ForkedProcess| child.file_bytes().ok_or("its files are not counted");
    for (step, expected) in [(0, 0), (1, 5), (2, 2)] {
        let mut byte = [0; 1];
        text("a report", from.read_exact(&mut byte))?;
        let megabytes = used(&child)? / MB as u64;
        must(byte == *b"x" && megabytes == expected, &format!("step {step}: {megabytes} MB"))?;
        text("a step", step_writer.write_all(b"x"))?;
    }
    wait_for(&child);
    // Its process has ended, and its files are still counted.
    must(used(&child)? / MB as u64 == 2, "the count after its end")?;
    child.release_files();
    must(child.file_bytes().is_some() != zygote.full(), "the count after its files were released")
}

fn map(bytes: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: unused memory, which is never accessed.
    unsafe { libc::mmap(std::ptr::null_mut(), bytes, writable, flags, -1, 0) != libc::MAP_FAILED }
}

fn memory(zygote: &TestZygote) -> Result<(), String> {
    // The child reads a byte on its standard input for each step.
    let (steps, step_writer) = pipe();
    // SAFETY: the call takes numbers.
    unsafe { libc::dup2(steps.as_raw_fd(), 0) };
    let (child, from) = zygote.start(|| {
        let next = || text("a step", std::io::stdin().read_exact(&mut [0]));
        next()?;
        must(map(16 * MB), "16 MB")?;
        must(!map(128 * MB), "128 MB beyond the limit")?;
        fs::File::create("/tmp/first").map_err(|e| e.to_string())?;
        // SAFETY: the descriptor is the child's.
        let written = unsafe { libc::write(3, c"x".as_ptr().cast(), 1) };
        must(written == 1, "a report")?;
        next()?;
        must(map(128 * MB), "128 MB after the limit was raised")
    });
    let mut step_writer = fs::File::from(step_writer);
    let mut from = fs::File::from(from);
    text("limit", child.limit(64 * MB as u64, Some(5)))?;
    text("a step", step_writer.write_all(b"x"))?;
    let mut first = [0; 1];
    text("a report", from.read_exact(&mut first))?;
    if first != *b"x" {
        let mut rest = String::new();
        text("the result", from.read_to_string(&mut rest))?;
        return Err(rest);
    }
    text("limit", child.limit(256 * MB as u64, None))?;
    text("a step", step_writer.write_all(b"x"))?;
    zygote.wait(child, from.into()).result
}

fn together(zygote: &TestZygote) -> Result<(), String> {
    let layers = zygote.jail.layers();
    let group = layers.iter().find(|layer| layer.name == "cgroup").ok_or("the cgroup is not reported")?;
    if let Err(why) = &group.status {
        println!("left out: no control group can be made here: {why}");
        return must(!why.is_empty(), "a reason");
    }
    let (steps, step_writer) = pipe();
    // SAFETY: the call takes numbers.
    unsafe { libc::dup2(steps.as_raw_fd(), 0) };
    let start = || {
        zygote.start(|| {
            // SAFETY: the pointer is to one byte.
            unsafe { libc::read(0, [0_u8].as_mut_ptr().cast(), 1) };
            let hoard = vec![1_u8; ALL_MEMORY / 4 * MB];
            // SAFETY: the call takes no argument.
            unsafe { libc::pause() };
            Err(format!("{} bytes and no end", hoard.len()))
        })
    };
    let mut children: Vec<_> = (0..4).map(|_| start()).collect();
    // More than any child will have: without a priority of its own, the kernel would kill this process first.
    let hoard = vec![1_u8; ALL_MEMORY / 3 * MB];
    text("the steps", fs::File::from(step_writer).write_all(&[1; 4]))?;
    let mut waited: Vec<_> = children
        .iter()
        .map(|(child, _)| libc::pollfd { fd: child.pidfd().as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    // SAFETY: the pointer is to as many entries as is said.
    unsafe { libc::poll(waited.as_mut_ptr(), waited.len() as libc::nfds_t, 20_000) };
    let ended = children.iter_mut().filter_map(|(child, _)| child.ended().ok().flatten()).map(|end| end.status);
    let signals: Vec<_> = ended.map(|status| status.signal()).collect();
    must(!signals.is_empty() && signals.iter().all(|signal| *signal == Some(libc::SIGKILL)), &format!("{signals:?}"))?;
    drop((children, hoard));
    zygote.in_child(|| Ok(()))?;

    let mut crowd = Vec::new();
    for _ in 0..2 * ALL_THREADS {
        // SAFETY: this process has one thread; the child waits for its end.
        match unsafe { zygote.jail.fork() } {
            Ok(Fork::Parent(child)) => crowd.push(child),
            // SAFETY: the calls take a number or nothing.
            Ok(Fork::Child) => unsafe {
                libc::pause();
                libc::_exit(0)
            },
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    must(crowd.len() == ALL_THREADS - 1, &format!("{} children", crowd.len()))
}

fn descriptors(zygote: &TestZygote) -> Result<(), String> {
    let _many: Vec<_> = (0..60).map(|_| pipe()).collect();
    // SAFETY: the calls take numbers.
    zygote.in_child(|| unsafe {
        for descriptor in 4..200 {
            refused("a descriptor", libc::fcntl(descriptor, libc::F_GETFD).into(), libc::EBADF)?;
        }
        let opened = (0..100).take_while(|_| libc::dup(3) != -1).count() as u64;
        must(opened == DESCRIPTORS - 4, &format!("{opened} more descriptors"))
    })
}

fn code(zygote: &TestZygote) -> Result<(), String> {
    let library = zygote.site.join("path_calls.so");
    let full = zygote.full();
    zygote.in_child(|| {
        if !library.exists() {
            return Ok(());
        }
        must(!load(&library).is_null(), "a package's library")?;
        text("copying", fs::copy(&library, "/tmp/copy.so"))?;
        must(!full || load(Path::new("/tmp/copy.so")).is_null(), "a library that the program wrote")
    })
}

fn shared(zygote: &TestZygote) -> Result<(), String> {
    must(zygote.jail.check_no_shared_memory().is_ok(), &format!("{:?}", zygote.jail.check_no_shared_memory()))?;
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: unused memory, which is never accessed.
    let made = unsafe { libc::mmap(std::ptr::null_mut(), 4096, writable, flags, -1, 0) };
    must(made != libc::MAP_FAILED, "shared memory")?;
    must(zygote.jail.check_no_shared_memory().is_err(), "shared memory is found")
}

fn load(library: &Path) -> *mut libc::c_void {
    let path = CString::new(library.to_str().expect("a path in UTF-8")).expect("a path without a zero");
    // SAFETY: the path ends with a zero; what is loaded is ours and starts nothing.
    unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) }
}

fn translation(zygote: &TestZygote) -> Result<(), String> {
    let library = zygote.site.join("path_calls.so");
    if !library.exists() {
        println!("no C compiler: left out");
        return Ok(());
    }
    zygote.in_child(|| {
        let library = load(&library);
        must(!library.is_null(), "the library")?;
        // SAFETY: the function has this type, and its result is null or ends with a zero.
        unsafe {
            let guest = libc::dlsym(library, c"check_paths".as_ptr());
            must(!guest.is_null(), "its function")?;
            let guest: extern "C" fn() -> *const c_char = std::mem::transmute(guest);
            let wrong = guest();
            if wrong.is_null() { Ok(()) } else { Err(CStr::from_ptr(wrong).to_string_lossy().into_owned()) }
        }
    })
}

fn metadata(zygote: &TestZygote) -> Result<(), String> {
    let outside = CString::new(zygote.outside.to_str().expect("a path in UTF-8")).expect("a path without a zero");
    let package = CString::new(zygote.site.join("module.py").to_str().expect("a path")).expect("a path without a zero");
    // SAFETY: all strings end with a zero.
    zygote.in_child(|| unsafe {
        for path in [outside.as_ptr(), package.as_ptr()] {
            let at = libc::AT_FDCWD;
            must(libc::syscall(libc::SYS_fchmodat, at, path, 0o777) == -1, "a mode")?;
            must(libc::syscall(libc::SYS_truncate, path, 0) == -1, "a length")?;
            must(libc::syscall(libc::SYS_utimensat, at, path, 0, 0) == -1, "a time")?;
            must(libc::syscall(libc::SYS_fchownat, at, path, 1, 1, 0) == -1, "an owner")?;
            must(libc::syscall(libc::SYS_openat, at, path, libc::O_RDONLY | libc::O_TRUNC) == -1, "truncation")?;
            must(libc::syscall(libc::SYS_unlinkat, at, path, 0) == -1, "removal")?;
            must(libc::syscall(libc::SYS_renameat, at, path, at, c"/tmp/x".as_ptr()) == -1, "a move")?;
        }
        text("/tmp/a", fs::write("/tmp/a", "x"))?;
        text("a mode of its own file", fs::set_permissions("/tmp/a", fs::Permissions::from_mode(0o600)))
    })
}

fn ending(zygote: &TestZygote) -> Result<(), String> {
    let (mut child, from) = zygote.start(|| {
        loop {
            std::hint::spin_loop();
        }
    });
    while text("cpu", child.cpu())?.as_millis() < 20 {
        must(text("end", child.ended())?.is_none(), "it still runs")?;
    }
    text("signal", child.signal(libc::SIGKILL))?;
    wait_for(&child);
    let end = text("end", child.ended())?.ok_or("no end")?;
    must(end.status.signal() == Some(libc::SIGKILL), &end.status.to_string())?;
    must(end.cpu.as_millis() >= 20 && end.peak > 0, &format!("{end:?}"))?;
    must(child.ended().is_err() && child.signal(0).is_err() && child.limit(0, None).is_err(), "it ends only once")?;
    drop(from);
    // SAFETY: the call takes a number.
    let (child, from) = zygote.start(|| unsafe { libc::_exit(7) });
    must(zygote.wait(child, from).end.status.code() == Some(7), "an exit code")?;
    // Its other threads run on after the first has ended, until it is dropped.
    let (child, from) = zygote.start(|| {
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
        // SAFETY: the call ends this thread alone.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        Ok(())
    });
    let pid = child.pid;
    drop(child);
    let mut rest = Vec::new();
    text("the end of its output", fs::File::from(from).read_to_end(&mut rest))?;
    // SAFETY: the signal is none.
    must(unsafe { libc::kill(pid, 0) } == -1, "its process has ended")
}

fn orphans(zygote: &TestZygote) -> Result<(), String> {
    // The driver reads standard output until all processes have closed it.
    let (child, from) = zygote.start(|| {
        // SAFETY: the calls take numbers and pointers to a byte and to an entry that is none.
        unsafe {
            libc::write(3, c"x".as_ptr().cast(), 1);
            let mut none = libc::pollfd { fd: -1, events: 0, revents: 0 };
            libc::poll(&raw mut none, 1, 10_000);
        }
        println!("a child outlived its zygote");
        Ok(())
    });
    // It is in its jail before this process ends.
    let mut from = fs::File::from(from);
    text("a report", from.read_exact(&mut [0]))?;
    std::mem::forget((child, from));
    Ok(())
}

// The driver.

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, profile, base] = arguments.as_slice()
        && flag == "--case"
    {
        return run_case(name, profile, Path::new(base));
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let selected = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            CASES.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    // SAFETY: the call takes no argument.
    let root = unsafe { libc::geteuid() } == 0;
    let users: &[User] = if root { &[User::Current, User::Nobody, User::Powerless] } else { &[User::Current] };
    let mut failed = 0;
    for (name, _) in CASES.iter().filter(|(name, _)| selected(name)) {
        for user in users {
            // The kernel maps root only for a process with capabilities.
            let profiles: &[&str] = if *user == User::Powerless { &["reduced"] } else { &["full", "reduced"] };
            for profile in profiles {
                failed += u32::from(!drive(name, profile, *user));
            }
        }
    }
    ExitCode::from(u8::from(failed > 0))
}

/// The user that runs a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    /// The user that runs the tests.
    Current,
    Nobody,
    /// Root without capabilities, as in some containers.
    Powerless,
}

/// Runs a case in a process of its own, with folders of its own. Reports a profile that is not available here as left out.
fn drive(name: &str, profile: &str, user: User) -> bool {
    let base = std::env::temp_dir().join(format!("switchtower-jail-test-{}-{profile}", std::process::id()));
    let id = (user == User::Nobody).then_some(NOBODY);
    make_folders(&base, id).expect("folders for a test");
    let mut command = Command::new(std::env::current_exe().expect("a path of this executable"));
    command.args(["--case", name, profile]).arg(&base).stdin(Stdio::null());
    if let Some(id) = id {
        command.uid(id).gid(id);
    }
    if user == User::Powerless {
        // SAFETY: the calls take numbers.
        let drops = || unsafe {
            (0..64)
                .take_while(|capability| libc::prctl(libc::PR_CAPBSET_DROP, *capability, 0, 0, 0) == 0)
                .for_each(drop);
            Ok(())
        };
        // SAFETY: it allocates nothing.
        unsafe { command.pre_exec(drops) };
    }
    let output = command.output().expect("a process");
    let who = match user {
        User::Current => "",
        User::Nobody => ", nobody",
        User::Powerless => ", root without capabilities",
    };
    let verdict = match output.status.code() {
        Some(0) if output.stdout.starts_with(b"left out") => "ok, in part",
        Some(0) if output.stdout.is_empty() || name.starts_with("a_") => "ok",
        Some(77) => "left out: the profile is not available here",
        _ => "FAILED",
    };
    println!("test {name} ({profile}{who}) ... {verdict}");
    if verdict != "ok" {
        println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    // The kernel takes a moment to end killed processes, and then their groups can be removed.
    let swept = (0..100_000).any(|_| {
        std::thread::yield_now();
        switchtower_jail::sweep_cgroups(Some(std::process::id())) == 0
    });
    let outside = fs::read_to_string(base.join("outside")).unwrap_or_default();
    // What an earlier zygote left is removed by the next one.
    let left = base.join("scratch").join(ABANDONED);
    let cleared = profile == "full" || verdict.starts_with("left out") || !left.exists();
    if !cleared {
        println!("{} still exists", left.display());
    }
    fs::remove_dir_all(&base).expect("the folders can be removed");
    verdict != "FAILED" && outside == "secret" && swept && cleared
}

/// The folder of a zygote that was killed.
const ABANDONED: &str = "zygote-left";

fn make_folders(base: &Path, user: Option<u32>) -> std::io::Result<()> {
    let site = base.join("site");
    fs::create_dir_all(&site)?;
    fs::create_dir(base.join("scratch"))?;
    fs::write(site.join("module.py"), "x = 1\n")?;
    fs::write(base.join("outside"), "secret")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/path_calls.c");
    let _ = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(site.join("path_calls.so")).arg(source).status();
    let left = base.join("scratch").join(ABANDONED);
    fs::create_dir_all(left.join("1/home"))?;
    fs::write(left.join("1/home/file"), "left")?;
    let current = [base.to_owned(), site.clone(), base.join("scratch"), site.join("module.py"), base.join("outside")];
    let abandoned = [left.clone(), left.join("1"), left.join("1/home"), left.join("1/home/file")];
    for path in current.into_iter().chain(abandoned) {
        std::os::unix::fs::chown(path, user, user)?;
    }
    Ok(())
}

fn run_case(name: &str, profile: &str, base: &Path) -> ExitCode {
    let Some((_, case)) = CASES.iter().find(|(known, _)| *known == name) else { return ExitCode::FAILURE };
    let site = base.join("site");
    let config = JailConfig {
        profile: Some(if profile == "full" { JailProfile::Full } else { JailProfile::Reduced }),
        readable: vec![site.clone()],
        scratch: base.join("scratch"),
        scratch_bytes: 8 * MB as u64,
        scratch_entries: 200,
        threads: THREADS,
        descriptors: DESCRIPTORS,
        memory_total: Some((ALL_MEMORY * MB) as u64),
        threads_total: Some(ALL_THREADS as u64),
    };
    let jail = match Jail::enter(&config) {
        Ok(jail) => jail,
        Err(JailError { layer, why }) => {
            eprintln!("{layer}: {why}");
            let missing = ["namespaces", "user namespace", "landlock"].contains(&layer.as_str());
            return if missing { ExitCode::from(77) } else { ExitCode::FAILURE };
        }
    };
    let zygote = TestZygote { jail, config, site, outside: base.join("outside") };
    match case(&zygote) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
