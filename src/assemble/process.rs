//! Identifies this process and finds out whether another one is alive, by the process names in the metadata of cloud
//! sandboxes.
//!
//! The name of a process consists of the boot id of its machine, its pid namespace, its pid in that namespace, its
//! start time and a random number. In the same boot and pid namespace, `/proc` gives an exact answer; a zombie counts
//! as dead. A process of another container, or from before a reboot, has another `/proc`. It is looked up by a file in
//! the state folder that each process keeps locked while it lives: the kernel releases the lock however the process
//! ends. Without a shared state folder the answer is [`Liveness::Unknown`].

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use switchtower_e2b::Liveness;

/// The name of a process. Its text is stored in the cloud account, so it contains numbers only, no names of the
/// machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    boot: String,
    namespace: String,
    number: u32,
    /// The start time, in kernel ticks after the boot. It distinguishes processes that had the same pid.
    start: String,
    chance: String,
}

/// The identity of this process, which other processes can check.
pub(super) struct ThisProcess {
    name: Name,
    proc: PathBuf,
    /// The folder in which processes lock their files; `None` without a state folder.
    locks: Option<PathBuf>,
    /// Held until the process ends.
    _lock: Option<Lock>,
}

/// The locked file of this process, removed on drop.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that cannot be removed means the same: no process holds its lock.
        let _ = fs::remove_file(&self.path);
    }
}

/// The name of the folder with the locked files.
const LOCKS: &str = "processes";
/// The age at which the file of a dead process is removed; by then every server has ended that process's sandboxes.
const FILE_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

impl ThisProcess {
    /// Creates and locks the file of this process in `state`, the folder in which this user's servers keep what
    /// outlives them. `chance` is a random number; `now` is compared with the dates of files to remove old ones.
    pub(super) fn new(state: Option<PathBuf>, chance: u64, now: SystemTime) -> Self {
        if let Some(folder) = &state {
            remove_old_files(&folder.join(LOCKS), now);
        }
        Self::of(Path::new("/proc"), state, chance)
    }

    fn of(proc: &Path, state: Option<PathBuf>, chance: u64) -> Self {
        let read = |path: &str| fs::read_to_string(proc.join(path)).unwrap_or_default();
        let boot: String = read("sys/kernel/random/boot_id").chars().filter(char::is_ascii_hexdigit).collect();
        let namespace = fs::read_link(proc.join("self/ns/pid")).unwrap_or_default();
        let namespace: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        // The pid as this `/proc` shows it: other processes are looked up in the same `/proc`.
        let stat = Stat::parse(&read("self/stat"));
        let (number, start) = stat.map_or((0, String::new()), |stat| (stat.number, stat.start));
        let name = Name { boot, namespace, number, start, chance: format!("{chance:016x}") };
        let locks = state.map(|folder| folder.join(LOCKS));
        let lock = locks.as_deref().and_then(|folder| lock(folder, &name.text()).ok());
        Self { name, proc: proc.to_owned(), locks, _lock: lock }
    }

    /// Returns the name of this process.
    pub(super) fn text(&self) -> String {
        self.name.text()
    }

    /// Returns whether the process with this name is alive.
    pub(super) fn liveness(&self, process: &str) -> Liveness {
        let Some(other) = Name::parse(process) else { return Liveness::Unknown };
        let own = &self.name;
        let comparable = !own.boot.is_empty() && !own.namespace.is_empty() && !own.start.is_empty();
        if comparable && (&other.boot, &other.namespace) == (&own.boot, &own.namespace) {
            return self.liveness_from_proc(&other);
        }
        self.locks.as_deref().map_or(Liveness::Unknown, |folder| liveness_from_lock(&folder.join(process)))
    }

    /// Looks up in `/proc` whether a process of the same boot and pid namespace is alive.
    fn liveness_from_proc(&self, other: &Name) -> Liveness {
        match fs::read_to_string(self.proc.join(other.number.to_string()).join("stat")) {
            Ok(stat) => match Stat::parse(&stat) {
                // The pid belongs to another process by now, or the process is a zombie.
                Some(stat) if stat.start != other.start || stat.has_ended => Liveness::Dead,
                Some(_) => Liveness::Alive,
                None => Liveness::Unknown,
            },
            // `/proc` may hide the processes of other users; a signal reveals that one exists.
            Err(error) if error.kind() == ErrorKind::NotFound => match exists(other.number) {
                Some(false) => Liveness::Dead,
                Some(true) | None => Liveness::Unknown,
            },
            Err(_) => Liveness::Unknown,
        }
    }
}

impl Name {
    fn text(&self) -> String {
        let Self { boot, namespace, number, start, chance } = self;
        format!("{boot}.{namespace}.{number}.{start}.{chance}")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(str::to_owned);
        let mut next = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let (boot, namespace, number, start, chance) = (next()?, next()?, next()?.parse().ok()?, next()?, next()?);
        parts.next().is_none().then_some(Self { boot, namespace, number, start, chance })
    }
}

/// A line of `/proc/<number>/stat`, see proc(5).
struct Stat {
    number: u32,
    start: String,
    /// Whether the process is a zombie or is being removed.
    has_ended: bool,
}

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        // The name is in parentheses and may contain any character, so the fields are counted after it.
        let (head, rest) = line.rsplit_once(')')?;
        let number = head.split_whitespace().next()?.parse().ok()?;
        let mut fields = rest.split_whitespace();
        let has_ended = matches!(fields.next()?, "Z" | "X" | "x");
        Some(Self { number, start: fields.nth(18)?.to_owned(), has_ended })
    }
}

/// Returns whether a process with this pid exists; `None` if the kernel does not answer.
fn exists(number: u32) -> Option<bool> {
    let number = rustix::process::Pid::from_raw(i32::try_from(number).ok()?)?;
    match rustix::process::test_kill_process(number) {
        Ok(()) => Some(true),
        Err(rustix::io::Errno::PERM) => Some(true),
        Err(rustix::io::Errno::SRCH) => Some(false),
        Err(_) => None,
    }
}

/// Creates and locks the file of this process. It gets its final name only once it is locked.
fn lock(folder: &Path, name: &str) -> std::io::Result<Lock> {
    fs::create_dir_all(folder)?;
    let (new, path) = (folder.join(format!("{name}.new")), folder.join(name));
    let file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    file.lock()?;
    fs::rename(&new, &path)?;
    Ok(Lock { path, _file: file })
}

/// Returns whether a process holds the lock of this file.
fn liveness_from_lock(path: &Path) -> Liveness {
    let Ok(file) = File::open(path) else { return Liveness::Unknown };
    // On a network file system each machine may have its own locks; a lock that is free here proves nothing.
    if !is_local(&file) {
        return Liveness::Unknown;
    }
    match file.try_lock_shared() {
        Ok(()) => Liveness::Dead,
        Err(TryLockError::WouldBlock) => Liveness::Alive,
        Err(TryLockError::Error(_)) => Liveness::Unknown,
    }
}

/// Returns whether the locks of this file are managed by this machine's kernel.
fn is_local(file: &File) -> bool {
    /// NFS, three versions of SMB, 9P, FUSE, Ceph, AFS.
    const REMOTE: [u32; 8] =
        [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x6573_5546, 0x00c3_6400, 0x5346_414f];
    // File system types are 32 bits wide; the type of the field depends on the platform.
    rustix::fs::fstatfs(file).is_ok_and(|of| !REMOTE.contains(&((of.f_type as u64 & 0xffff_ffff) as u32)))
}

/// Removes the files of dead processes that are older than [`FILE_MAX_AGE`].
fn remove_old_files(folder: &Path, now: SystemTime) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|of| of.modified()).ok().and_then(|at| now.duration_since(at).ok());
        if age.is_some_and(|age| age >= FILE_MAX_AGE) && liveness_from_lock(&entry.path()) == Liveness::Dead {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` with this boot and pid namespace, in which this process is number 1.
    fn proc(boot: &str, namespace: &str) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = proc.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/kernel/random/boot_id", boot);
        write("self/stat", &stat(1, "S", 500));
        fs::create_dir_all(proc.path().join("self/ns")).unwrap();
        std::os::unix::fs::symlink(format!("pid:[{namespace}]"), proc.path().join("self/ns/pid")).unwrap();
        proc
    }

    fn stat(number: u32, state: &str, start: u64) -> String {
        format!("{number} (a ) Z (name) {state} 1 {} {start} 0 0", "0 ".repeat(17).trim_end())
    }

    fn process(proc: &Path, number: u32, line: &str) {
        fs::create_dir_all(proc.join(number.to_string())).unwrap();
        fs::write(proc.join(number.to_string()).join("stat"), line).unwrap();
    }

    fn name(boot: &str, namespace: &str, number: u32, start: u64) -> String {
        format!("{boot}.{namespace}.{number}.{start}.00000000000000aa")
    }

    #[test]
    fn a_zombie_and_a_process_whose_pid_was_reused_are_dead() {
        let proc = proc("b00t", "4026");
        let here = ThisProcess::of(proc.path(), None, 7);
        assert_eq!(here.text(), "b00.4026.1.500.0000000000000007");
        let lives = |state: &str, start| {
            process(proc.path(), 77, &stat(77, state, start));
            here.liveness(&name("b00", "4026", 77, 900))
        };
        assert_eq!(lives("S", 900), Liveness::Alive);
        assert_eq!(lives("R", 900), Liveness::Alive);
        assert_eq!(lives("T", 900), Liveness::Alive, "a stopped process can continue");
        for state in ["Z", "X", "x"] {
            assert_eq!(lives(state, 900), Liveness::Dead, "{state}");
        }
        assert_eq!(lives("S", 901), Liveness::Dead);
        process(proc.path(), 77, "nonsense");
        assert_eq!(here.liveness(&name("b00", "4026", 77, 900)), Liveness::Unknown);
        // A number that no process has on any machine.
        assert_eq!(here.liveness(&name("b00", "4026", 0x7fff_fff0, 900)), Liveness::Dead);
        // A process with this pid exists, but this `/proc` does not show it.
        assert_eq!(here.liveness(&name("b00", "4026", std::process::id(), 900)), Liveness::Unknown);
    }

    #[test]
    fn a_process_of_another_boot_or_namespace_is_looked_up_by_its_lock_and_is_unknown_without_one() {
        let (one, two, state) = (proc("aa", "1"), proc("aa", "2"), tempfile::tempdir().unwrap());
        let folder = || Some(state.path().to_owned());
        // Both have pid 1 and the same start time, as containers of one host do.
        let (first, second) = (ThisProcess::of(one.path(), folder(), 1), ThisProcess::of(two.path(), folder(), 2));
        assert_eq!(second.liveness(&first.text()), Liveness::Alive);
        assert_eq!(first.liveness(&second.text()), Liveness::Alive);
        let text = first.text();
        let path = state.path().join("processes").join(&text);
        assert!(path.exists());
        // As if it had been killed: its file remains, without a lock.
        drop(first);
        fs::write(&path, "").unwrap();
        assert_eq!(second.liveness(&text), Liveness::Dead);
        // Without a shared state folder the state of the other process is unknown.
        let apart = ThisProcess::of(one.path(), None, 3);
        assert_eq!(apart.liveness(&second.text()), Liveness::Unknown);
        assert_eq!(second.liveness(&apart.text()), Liveness::Unknown);
        for strange in ["", "4711-1234", "../../etc/passwd", "a.b.c.d.e.f", "aa.1.x.5.7"] {
            assert_eq!(second.liveness(strange), Liveness::Unknown, "{strange}");
        }
    }

    #[test]
    fn a_process_finds_itself_alive_in_the_real_proc() {
        let here = ThisProcess::new(None, 9, SystemTime::UNIX_EPOCH);
        assert_eq!(here.liveness(&here.text()), Liveness::Alive);
    }

    #[test]
    fn files_without_a_lock_are_removed_after_a_week() {
        let (proc, state) = (proc("aa", "1"), tempfile::tempdir().unwrap());
        let here = ThisProcess::of(proc.path(), Some(state.path().to_owned()), 1);
        let folder = state.path().join("processes");
        let old = folder.join("aa.9.1.1.1");
        fs::write(&old, "").unwrap();
        let now = fs::metadata(&old).unwrap().modified().unwrap();
        remove_old_files(&folder, now);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        remove_old_files(&folder, now + FILE_MAX_AGE + Duration::from_secs(60));
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [here.text().as_str()]);
    }
}
