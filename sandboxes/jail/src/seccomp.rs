//! Seccomp: the system calls that a child may make.
//!
//! Calls that only an attack makes kill the process. Some calls fail as absent (`ENOSYS`), so that libraries fall back to
//! older ones. All calls that are not listed fail with `EPERM`, and so do some listed calls with certain arguments. The
//! filter for the first three is applied last, because it forbids further filters.

use std::collections::BTreeMap;

use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{MaskedEq, Ne};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, apply_filter};

use crate::bpf::{self, Action};
use crate::config::JailProfile;

/// Refused arguments by call: a call is refused if one of its rules matches.
pub(crate) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters that are the same for every child, compiled once.
#[derive(Debug)]
pub(crate) struct SeccompFilters {
    arguments: BpfProgram,
    calls: BpfProgram,
}

impl SeccompFilters {
    pub(crate) fn new(profile: JailProfile) -> Result<Self, String> {
        let calls = bpf::filter(&actions(profile), Action::Fail(libc::EPERM))?;
        Ok(Self { arguments: refuse(refused_arguments(profile)?)?, calls })
    }

    /// Applies the filters to this process, for good.
    pub(crate) fn apply(&self) -> Result<(), String> {
        let process = u64::from(std::process::id());
        let others = || Ok::<_, String>(vec![rule(vec![when(0, Dword, Ne, process)?])?]);
        let signals = refuse([(libc::SYS_kill, others()?), (libc::SYS_tgkill, others()?)].into())?;
        for program in [&signals, &self.arguments, &self.calls] {
            apply_filter(program).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

/// Returns a filter that refuses the calls that match the rules.
pub(crate) fn refuse(rules: Rules) -> Result<BpfProgram, String> {
    refuse_with(rules, libc::EPERM)
}

/// Returns a filter by which the calls that match the rules fail with this error.
pub(crate) fn refuse_with(rules: Rules, error: i32) -> Result<BpfProgram, String> {
    let arch = std::env::consts::ARCH.try_into().map_err(|e| format!("{e:?}"))?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(error as u32), arch)
        .and_then(TryInto::try_into)
        .map_err(|e| e.to_string())
}

fn actions(profile: JailProfile) -> BTreeMap<i64, Action> {
    let in_tree = if profile == JailProfile::Full { ALLOWED_IN_TREE } else { &[] };
    [
        (ALLOWED, Action::Allow),
        (ALLOWED_OLD, Action::Allow),
        (in_tree, Action::Allow),
        (ABSENT, Action::Fail(libc::ENOSYS)),
        (UNSUPPORTED, Action::Fail(libc::ENOTSUP)),
        (FATAL, Action::Kill),
    ]
    .into_iter()
    .flat_map(|(calls, action)| calls.iter().map(move |call| (*call, action)))
    .collect()
}

pub(crate) fn when(
    argument: u8,
    length: seccompiler::SeccompCmpArgLen,
    comparison: seccompiler::SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, String> {
    SeccompCondition::new(argument, length, comparison, value).map_err(|e| e.to_string())
}

pub(crate) fn rule(all: Vec<SeccompCondition>) -> Result<SeccompRule, String> {
    SeccompRule::new(all).map_err(|e| e.to_string())
}

/// Calls that only an attack makes: they kill the process with SIGSYS, which its parent sees.
const FATAL: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// `fchmodat2(2)`, the same everywhere; libc names it for some architectures only.
const FCHMODAT2: i64 = 452;

/// Calls that fail as absent: libraries fall back to older calls, whose arguments a filter can see.
const ABSENT: &[i64] = &[libc::SYS_clone3, libc::SYS_openat2, FCHMODAT2, libc::SYS_epoll_pwait2];

/// Calls that fail as unsupported by the file system: `shutil.copy2` then copies without extended attributes.
const UNSUPPORTED: &[i64] = &[
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
];

/// Allowed calls. [`refused_arguments`] restricts some of them.
const ALLOWED: &[i64] = &[
    // Reading and writing.
    libc::SYS_openat,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_flock,
    libc::SYS_fadvise64,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    // Files and folders: Landlock and the file tree restrict which ones.
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_umask,
    // Memory. Not memfd_create, whose memory counts against no limit. Executable memory is allowed: callbacks of ctypes need it
    // (scikit-learn makes some), and a program that may call any function of libc gains no further calls by machine code.
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_msync,
    libc::SYS_membarrier,
    // Threads.
    libc::SYS_clone,
    libc::SYS_prctl,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getcpu,
    libc::SYS_getpriority,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Signals, to itself.
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_setitimer,
    libc::SYS_getitimer,
    libc::SYS_restart_syscall,
    // Time and random numbers.
    libc::SYS_gettimeofday,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_times,
    libc::SYS_getrandom,
    // Facts about the process and the host.
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
    libc::SYS_getrlimit,
    libc::SYS_prlimit64,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    // Pipes, socket pairs and polling, which asyncio needs.
    libc::SYS_pipe2,
    libc::SYS_socketpair,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_shutdown,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
];

/// Allowed older calls, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const ALLOWED_OLD: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_symlink,
    libc::SYS_link,
    libc::SYS_pipe,
    libc::SYS_dup2,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_alarm,
    libc::SYS_pause,
    libc::SYS_time,
    libc::SYS_getpgrp,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OLD: &[i64] = &[];

/// Allowed in the full profile alone: calls on paths that Landlock does not cover (truncate among them, in old kernels). There
/// everything but the child's own files is mounted read-only.
const ALLOWED_IN_TREE: &[i64] = &[
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
];

/// Returns the arguments that are refused of allowed calls.
fn refused_arguments(profile: JailProfile) -> Result<Rules, String> {
    let none_of = |argument, values: &[u64]| {
        let conditions = values.iter().map(|value| when(argument, Dword, Ne, *value));
        conditions.collect::<Result<Vec<_>, String>>().and_then(rule)
    };
    let has = |argument, bits: u64| when(argument, Qword, MaskedEq(bits), bits);
    let mut rules = Rules::new();

    // Only named pipes and regular files: no devices or sockets.
    let special = |argument| -> Result<Vec<SeccompRule>, String> {
        let kinds = [libc::S_IFCHR, libc::S_IFBLK, libc::S_IFSOCK].into_iter();
        kinds.map(|kind| rule(vec![when(argument, Dword, MaskedEq(libc::S_IFMT.into()), kind.into())?])).collect()
    };
    rules.insert(libc::SYS_mknodat, special(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_mknod, special(1)?);

    // Only threads of this process, in its own namespaces.
    let mut clone = vec![rule(vec![when(0, Qword, MaskedEq(libc::CLONE_THREAD as u64), 0)?])?];
    for namespace in [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWCGROUP,
    ] {
        clone.push(rule(vec![has(0, namespace as u64)?])?);
    }
    rules.insert(libc::SYS_clone, clone);

    rules.insert(libc::SYS_socketpair, vec![none_of(0, &[libc::AF_UNIX as u64])?]);
    // Names; and no-new-privileges, which is set again with each filter.
    let options = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA, libc::PR_SET_NO_NEW_PRIVS];
    rules.insert(libc::SYS_prctl, vec![none_of(0, &options.map(|option| option as u64))?]);
    // Reading its own limits.
    rules.insert(libc::SYS_prlimit64, vec![none_of(0, &[0])?, rule(vec![when(2, Qword, Ne, 0)?])?]);
    let controls = [libc::TCGETS, libc::TIOCGWINSZ, libc::FIONREAD, libc::FIONBIO, libc::FIOCLEX, libc::FIONCLEX];
    rules.insert(libc::SYS_ioctl, vec![none_of(1, &controls)?]);
    // Not: the owner of a descriptor's signals, leases, the size of a pipe.
    let controls = [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
        libc::F_GETLK,
        libc::F_SETLK,
        libc::F_SETLKW,
        libc::F_OFD_GETLK,
        libc::F_OFD_SETLK,
        libc::F_OFD_SETLKW,
        libc::F_GETPIPE_SZ,
    ];
    rules.insert(libc::SYS_fcntl, vec![none_of(1, &controls.map(|control| control as u64))?]);

    if profile == JailProfile::Reduced {
        rules.insert(libc::SYS_openat, hidden_writes(2)?);
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_open, hidden_writes(1)?);
    }
    Ok(rules)
}

/// Returns the flags of open(2) that are refused in the reduced profile: files without a name, which no count of a private
/// folder sees; and read-only truncation, which a Landlock without a right for truncation takes for reading. `flags` is the
/// number of the argument.
fn hidden_writes(flags: u8) -> Result<Vec<SeccompRule>, String> {
    let nameless = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;
    let (truncate, mode) = (libc::O_TRUNC as u64, libc::O_ACCMODE as u64);
    Ok(vec![
        rule(vec![when(flags, Dword, MaskedEq(nameless), nameless)?])?,
        rule(vec![when(flags, Dword, MaskedEq(truncate | mode), truncate | libc::O_RDONLY as u64)?])?,
    ])
}
