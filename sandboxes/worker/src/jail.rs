//! The jail of a worker: limits what the process can do if a program breaks out of its WebAssembly engine.
//!
//! A worker has no environment, its sockets, no file and no other thread when it enters; afterwards it can compute,
//! allocate memory, use its sockets and start threads. The layers are independent, and each may be missing on some
//! kernels: [`enter`] returns which are in force. No layer protects against bugs of the kernel in the remaining system
//! calls, or against timing side channels.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use serde::{Deserialize, Serialize};

use crate::parent::ParentProcess;

/// One layer of the jail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub name: String,
    /// `Err`: the layer is not in force, with the reason.
    pub status: Result<(), String>,
}

impl Layer {
    fn new(name: &str, status: Result<(), impl ToString>) -> Self {
        Self { name: name.to_owned(), status: status.map_err(|e| e.to_string()) }
    }
}

/// The user and group of nobody, where the worker is started by root.
const NOBODY: u32 = 65534;
/// Most descriptors of a worker: its standard three, a few of its engine and its connections to the parent.
const DESCRIPTORS: u64 = 32 + crate::descriptors::MAX_PER_MESSAGE as u64;

/// Enters the jail. Call it from the only thread of the process, when everything is open that will be needed.
///
/// # Errors
/// The jail allowed something that it must refuse, or the parent has ended: the process must not run programs.
pub fn enter(parent: ParentProcess) -> io::Result<Vec<Layer>> {
    let own_user = drop_root();
    // The change of user has cleared what was set before.
    parent.bind()?;
    let layers = vec![
        Layer::new("no new privileges", rustix::thread::set_no_new_privs(true)),
        Layer::new("resource limits", limit_resources()),
        Layer::new("own user", own_user),
        Layer::new("dies with its parent", Ok::<_, io::Error>(())),
        Layer::new("not traceable", set_dumpable_behavior(DumpableBehavior::NotDumpable)),
        Layer::new("landlock", landlock_everything()),
        Layer::new("seccomp", filter_calls()),
    ];
    canaries(&layers)?;
    Ok(layers)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn limit_resources() -> io::Result<()> {
    for (resource, max) in [
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(max), maximum: Some(max) })?;
    }
    Ok(())
}

#[allow(unsafe_code, reason = "libc changes the ids of all threads; rustix has only the calls for one thread")]
fn drop_root() -> io::Result<()> {
    // SAFETY: none of these takes a pointer but setgroups, whose length is zero.
    unsafe {
        if libc::geteuid() != 0 {
            return Ok(());
        }
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(NOBODY, NOBODY, NOBODY))?;
        check(libc::setresuid(NOBODY, NOBODY, NOBODY))
    }
}

/// Forbids all files, network ports and signals to other processes.
fn landlock_everything() -> Result<(), String> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
    };
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|e| e.to_string())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err("this kernel has no Landlock".into()),
    }
}

/// Refuses every system call that is not listed.
fn filter_calls() -> Result<(), String> {
    use seccompiler::{SeccompAction, apply_filter};

    // glibc falls back to clone, whose flags a filter can see, when clone3 does not exist.
    let no_clone3 =
        filter([(libc::SYS_clone3, vec![])].into(), SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))?;
    apply_filter(&no_clone3).map_err(|e| e.to_string())?;
    let allowed = filter(allowed_calls()?, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)?;
    apply_filter(&allowed).map_err(|e| e.to_string())
}

type Rules = std::collections::BTreeMap<i64, Vec<seccompiler::SeccompRule>>;

fn filter(
    rules: Rules,
    otherwise: seccompiler::SeccompAction,
    matched: seccompiler::SeccompAction,
) -> Result<seccompiler::BpfProgram, String> {
    let arch = std::env::consts::ARCH.try_into().map_err(|e| format!("{e:?}"))?;
    seccompiler::SeccompFilter::new(rules, otherwise, matched, arch)
        .and_then(TryInto::try_into)
        .map_err(|e| e.to_string())
}

/// Returns the allowed calls: for computing, memory, threads, and the sockets.
fn allowed_calls() -> Result<Rules, String> {
    use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

    let only = |argument, mask: u64, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|e| e.to_string())
    };
    let mut rules: Rules = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
        libc::SYS_close,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getrandom,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_membarrier,
        libc::SYS_ppoll,
        // The other filter, whose error takes precedence, answers this one.
        libc::SYS_clone3,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_poll, Vec::new());
    // Memory that is not executable: all machine code is mapped before.
    let executable = libc::PROT_EXEC as u64;
    rules.insert(libc::SYS_mmap, vec![only(2, executable, 0)?]);
    rules.insert(libc::SYS_mprotect, vec![only(2, executable, 0)?]);
    // Threads of this process, no other process.
    let thread = (libc::CLONE_THREAD | libc::CLONE_VM) as u64;
    rules.insert(libc::SYS_clone, vec![only(0, thread, thread)?]);
    // A thread's name, a mapping's name.
    let (name, mapping) = (libc::PR_SET_NAME as u64, libc::PR_SET_VMA as u64);
    rules.insert(libc::SYS_prctl, vec![only(0, u64::MAX, name)?, only(0, u64::MAX, mapping)?]);
    // PAGEMAP_SCAN of linux/fs.h: the engine asks which pages a program wrote, on a descriptor that it holds already.
    rules.insert(libc::SYS_ioctl, vec![only(1, 0xffff_ffff, 0xc060_6610)?]);
    Ok(rules)
}

/// Tries what the layers in force must refuse, by the same system calls that an intruder would make.
#[allow(unsafe_code, reason = "the canaries make the system calls that the jail is to refuse")]
fn canaries(layers: &[Layer]) -> io::Result<()> {
    let in_force = |name: &str| layers.iter().any(|layer| layer.name == name && layer.status.is_ok());
    let escaped = |what: &str| Err(io::Error::other(format!("the jail does not hold: it allowed {what}")));
    if (in_force("landlock") || in_force("seccomp")) && std::fs::File::open("/etc/passwd").is_ok() {
        return escaped("a file to be opened");
    }
    if !in_force("seccomp") {
        return Ok(());
    }
    // SAFETY: each call is given plain numbers or null pointers, and is expected to be refused; a child that came of
    // the fork would end at once.
    unsafe {
        if libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) != -1 {
            return escaped("a socket");
        }
        match libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) {
            -1 => {}
            0 => libc::_exit(0),
            _ => return escaped("another process"),
        }
        if libc::kill(libc::getpid(), 0) != -1 {
            return escaped("a signal");
        }
        if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) != -1 {
            return escaped("tracing");
        }
        let code = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if code != libc::MAP_FAILED {
            return escaped("new machine code");
        }
    }
    Ok(())
}
