//! Which process this is, and whether another one still lives: what the metadata of cloud sandboxes is compared by.
//!
//! A process calls itself by the boot of its machine, its pid namespace, its number in it, the moment of its start and a
//! number drawn by chance. In the same boot and namespace `/proc` tells exactly whether it lives: a zombie does not. A
//! process of another container, or from before the machine started anew, has another `/proc`. It is looked up by a file
//! that each process locks for its life, in the state folder: the kernel gives the lock back however a process ends. Where
//! the folder is not shared, nothing is known of it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use switchtower_e2b::Liveness;

/// What a process is told apart by. Its text goes into the account, so it names nothing of the machine but numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    boot: String,
    namespace: String,
    number: u32,
    /// In the kernel's ticks after the boot; the same number is used again later.
    start: String,
    chance: String,
}

/// This process as others know it.
pub(super) struct ThisProcess {
    name: Name,
    proc: PathBuf,
    /// Where processes lock their files; none where there is no such folder.
    locks: Option<PathBuf>,
    /// Held until the process ends.
    _lock: Option<Lock>,
}

/// The locked file of this process. Dropped, it is gone.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that stays says the same: nobody holds it.
        let _ = fs::remove_file(&self.path);
    }
}

/// The folder of the locked files.
const LOCKS: &str = "processes";
/// Age after which a file that no process holds is removed: every server that must know that its process ended knows it by then.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600);

impl ThisProcess {
    /// `state` is the folder in which this user's servers keep what outlives them; `chance` is a number that no other
    /// process draws; `now` is what the files there are dated by.
    pub(super) fn new(state: Option<PathBuf>, chance: u64, now: SystemTime) -> Self {
        if let Some(folder) = &state {
            forget(&folder.join(LOCKS), now);
        }
        Self::of(Path::new("/proc"), state, chance)
    }

    fn of(proc: &Path, state: Option<PathBuf>, chance: u64) -> Self {
        let read = |path: &str| fs::read_to_string(proc.join(path)).unwrap_or_default();
        let boot: String = read("sys/kernel/random/boot_id").chars().filter(char::is_ascii_hexdigit).collect();
        let namespace = fs::read_link(proc.join("self/ns/pid")).unwrap_or_default();
        let namespace: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        // As this `/proc` numbers it, for the others are looked up in it too.
        let stat = Stat::parse(&read("self/stat"));
        let (number, start) = stat.map_or((0, String::new()), |stat| (stat.number, stat.start));
        let name = Name { boot, namespace, number, start, chance: format!("{chance:016x}") };
        let locks = state.map(|folder| folder.join(LOCKS));
        let lock = locks.as_deref().and_then(|folder| lock(folder, &name.text()).ok());
        Self { name, proc: proc.to_owned(), locks, _lock: lock }
    }

    /// What this process calls itself.
    pub(super) fn text(&self) -> String {
        self.name.text()
    }

    /// Whether the process lives that called itself so.
    pub(super) fn liveness(&self, process: &str) -> Liveness {
        let Some(other) = Name::parse(process) else { return Liveness::Unknown };
        let own = &self.name;
        let comparable = !own.boot.is_empty() && !own.namespace.is_empty() && !own.start.is_empty();
        if comparable && (&other.boot, &other.namespace) == (&own.boot, &own.namespace) {
            return self.look(&other);
        }
        self.locks.as_deref().map_or(Liveness::Unknown, |folder| locked(&folder.join(process)))
    }

    /// By what `/proc` says.
    fn look(&self, other: &Name) -> Liveness {
        match fs::read_to_string(self.proc.join(other.number.to_string()).join("stat")) {
            Ok(stat) => match Stat::parse(&stat) {
                // Its number belongs to another process by now, or it has ended and only its parent has not looked.
                Some(stat) if stat.start != other.start || stat.has_ended => Liveness::Dead,
                Some(_) => Liveness::Alive,
                None => Liveness::Unknown,
            },
            // `/proc` may hide the processes of other users, but not that there is one.
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
    /// It is a zombie, or about to be none.
    has_ended: bool,
}

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        // The name stands in parentheses and may hold anything, so the fields are counted behind it.
        let (head, rest) = line.rsplit_once(')')?;
        let number = head.split_whitespace().next()?.parse().ok()?;
        let mut fields = rest.split_whitespace();
        let has_ended = matches!(fields.next()?, "Z" | "X" | "x");
        Some(Self { number, start: fields.nth(18)?.to_owned(), has_ended })
    }
}

/// Whether there is a process of this number; none where that cannot be asked.
fn exists(number: u32) -> Option<bool> {
    let number = rustix::process::Pid::from_raw(i32::try_from(number).ok()?)?;
    match rustix::process::test_kill_process(number) {
        Ok(()) => Some(true),
        Err(rustix::io::Errno::PERM) => Some(true),
        Err(rustix::io::Errno::SRCH) => Some(false),
        Err(_) => None,
    }
}

/// Makes and locks the file of this process. Others see it under its name only once it is locked.
fn lock(folder: &Path, name: &str) -> std::io::Result<Lock> {
    fs::create_dir_all(folder)?;
    let (new, path) = (folder.join(format!("{name}.new")), folder.join(name));
    let file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    file.lock()?;
    fs::rename(&new, &path)?;
    Ok(Lock { path, _file: file })
}

/// Whether a process holds this file.
fn locked(path: &Path) -> Liveness {
    let Ok(file) = File::open(path) else { return Liveness::Unknown };
    // Over a network each machine may keep locks of its own, and then one that is free here says nothing.
    if !is_local(&file) {
        return Liveness::Unknown;
    }
    match file.try_lock_shared() {
        Ok(()) => Liveness::Dead,
        Err(TryLockError::WouldBlock) => Liveness::Alive,
        Err(TryLockError::Error(_)) => Liveness::Unknown,
    }
}

/// Whether this machine's kernel keeps the file's locks.
fn is_local(file: &File) -> bool {
    /// NFS, SMB in its three ages, 9P, FUSE, Ceph, AFS.
    const REMOTE: [u32; 8] =
        [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x6573_5546, 0x00c3_6400, 0x5346_414f];
    // The kernel's numbers of file systems are 32 bits wide, whatever the type of the field is here.
    rustix::fs::fstatfs(file).is_ok_and(|of| !REMOTE.contains(&((of.f_type as u64 & 0xffff_ffff) as u32)))
}

/// Removes old files that nobody holds.
fn forget(folder: &Path, now: SystemTime) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|of| of.modified()).ok().and_then(|at| now.duration_since(at).ok());
        if age.is_some_and(|age| age >= FORGOTTEN) && locked(&entry.path()) == Liveness::Dead {
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
    fn a_zombie_and_one_whose_number_was_used_again_are_dead() {
        let proc = proc("b00t", "4026");
        let here = ThisProcess::of(proc.path(), None, 7);
        assert_eq!(here.text(), "b00.4026.1.500.0000000000000007");
        let lives = |state: &str, start| {
            process(proc.path(), 77, &stat(77, state, start));
            here.liveness(&name("b00", "4026", 77, 900))
        };
        assert_eq!(lives("S", 900), Liveness::Alive);
        assert_eq!(lives("R", 900), Liveness::Alive);
        assert_eq!(lives("T", 900), Liveness::Alive, "it is stopped, and may go on");
        for state in ["Z", "X", "x"] {
            assert_eq!(lives(state, 900), Liveness::Dead, "{state}");
        }
        assert_eq!(lives("S", 901), Liveness::Dead);
        process(proc.path(), 77, "nonsense");
        assert_eq!(here.liveness(&name("b00", "4026", 77, 900)), Liveness::Unknown);
        // A number that no process has on any machine.
        assert_eq!(here.liveness(&name("b00", "4026", 0x7fff_fff0, 900)), Liveness::Dead);
        // There is one, and this `/proc` does not show it.
        assert_eq!(here.liveness(&name("b00", "4026", std::process::id(), 900)), Liveness::Unknown);
    }

    #[test]
    fn a_process_of_another_boot_or_namespace_is_looked_up_by_its_lock_and_is_unknown_without_one() {
        let (one, two, state) = (proc("aa", "1"), proc("aa", "2"), tempfile::tempdir().unwrap());
        let folder = || Some(state.path().to_owned());
        // Each is number 1 and started at the same tick: containers of one host.
        let (first, second) = (ThisProcess::of(one.path(), folder(), 1), ThisProcess::of(two.path(), folder(), 2));
        assert_eq!(second.liveness(&first.text()), Liveness::Alive);
        assert_eq!(first.liveness(&second.text()), Liveness::Alive);
        let text = first.text();
        let path = state.path().join("processes").join(&text);
        assert!(path.exists());
        // As if it had been killed: its file stays, and nobody holds it.
        drop(first);
        fs::write(&path, "").unwrap();
        assert_eq!(second.liveness(&text), Liveness::Dead);
        // Nothing is known of one that shares no folder.
        let apart = ThisProcess::of(one.path(), None, 3);
        assert_eq!(apart.liveness(&second.text()), Liveness::Unknown);
        assert_eq!(second.liveness(&apart.text()), Liveness::Unknown);
        for strange in ["", "4711-1234", "../../etc/passwd", "a.b.c.d.e.f", "aa.1.x.5.7"] {
            assert_eq!(second.liveness(strange), Liveness::Unknown, "{strange}");
        }
    }

    #[test]
    fn a_process_knows_itself_by_the_real_proc() {
        let here = ThisProcess::new(None, 9, SystemTime::UNIX_EPOCH);
        assert_eq!(here.liveness(&here.text()), Liveness::Alive);
    }

    #[test]
    fn files_that_nobody_holds_are_removed_after_a_week() {
        let (proc, state) = (proc("aa", "1"), tempfile::tempdir().unwrap());
        let here = ThisProcess::of(proc.path(), Some(state.path().to_owned()), 1);
        let folder = state.path().join("processes");
        let old = folder.join("aa.9.1.1.1");
        fs::write(&old, "").unwrap();
        let now = fs::metadata(&old).unwrap().modified().unwrap();
        forget(&folder, now);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        forget(&folder, now + FORGOTTEN + Duration::from_secs(60));
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [here.text().as_str()]);
    }
}
