//! Seccomp: the system calls of a local machine.
//!
//! A machine runs whole distributions, so that all calls are allowed but those that reach the kernel's configuration, other
//! namespaces, keys that are not in a namespace, or rarely used code of the kernel. Calls that are newer than this list fail as
//! absent.

use std::collections::BTreeMap;

use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, Gt, MaskedEq};
use seccompiler::apply_filter;

use crate::bpf::{self, Action};
use crate::seccomp::{Rules, refuse, refuse_with, rule, when};

/// The highest call number of Linux 6.18, `file_setattr`.
const NEWEST: i64 = 469;

/// `open_tree_attr`, which the C library has no name for yet.
const OPEN_TREE_ATTR: i64 = 467;

/// Refused calls.
const REFUSED: &[i64] = &[
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    OPEN_TREE_ATTR,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_open_by_handle_at,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_kcmp,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// Calls that fail as absent, so that libraries use others: clone3, whose flags a filter cannot see, and io_uring.
const ABSENT: &[i64] =
    &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Address families below that of netlink sockets that are refused: old ones, whose code in the kernel hardly anybody uses.
const OLD_FAMILIES: [i32; 12] = [
    libc::AF_AX25,
    libc::AF_IPX,
    libc::AF_APPLETALK,
    libc::AF_NETROM,
    libc::AF_BRIDGE,
    libc::AF_ATMPVC,
    libc::AF_X25,
    libc::AF_ROSE,
    libc::AF_DECnet,
    libc::AF_NETBEUI,
    libc::AF_SECURITY,
    libc::AF_KEY,
];

/// Applies the filter to this process, for good.
///
/// # Errors
/// The kernel has no seccomp, or this process may not use it.
pub fn filter_machine_calls() -> Result<(), String> {
    // As on a kernel without them: tools for users go on without the audit of the kernel where it has none, and end where it refuses them.
    let families = refuse_with(refused_families()?, libc::EAFNOSUPPORT)?;
    for program in [refuse(refused_arguments()?)?, families, bpf::filter(&actions(), Action::Fail(libc::ENOSYS))?] {
        apply_filter(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn actions() -> BTreeMap<i64, Action> {
    let mut actions: BTreeMap<i64, Action> = (0..=NEWEST).map(|call| (call, Action::Allow)).collect();
    actions.extend(REFUSED.iter().map(|call| (*call, Action::Fail(libc::EPERM))));
    actions.extend(ABSENT.iter().map(|call| (*call, Action::Fail(libc::ENOSYS))));
    actions
}

fn refused_arguments() -> Result<Rules, String> {
    let mut rules = Rules::new();
    let mut clone = Vec::new();
    for namespace in [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWCGROUP,
    ] {
        clone.push(rule(vec![when(0, Dword, MaskedEq(namespace as u64), namespace as u64)?])?);
    }
    rules.insert(libc::SYS_clone, clone);
    // A terminal's input must not be written by what reads it.
    let controls = [libc::TIOCSTI, libc::TIOCLINUX];
    let controls = controls.into_iter().map(|control| rule(vec![when(1, Dword, Eq, control)?]));
    rules.insert(libc::SYS_ioctl, controls.collect::<Result<_, _>>()?);
    Ok(rules)
}

/// Returns the sockets that are refused: all but local, IPv4, IPv6 and route netlink ones. Others are code of the kernel that programs rarely
/// use.
fn refused_families() -> Result<Rules, String> {
    let mut families = vec![rule(vec![when(0, Dword, Gt, libc::AF_NETLINK as u64)?])?];
    for family in OLD_FAMILIES {
        families.push(rule(vec![when(0, Dword, Eq, family as u64)?])?);
    }
    let netlink = libc::AF_NETLINK as u64;
    families.push(rule(vec![when(0, Dword, Eq, netlink)?, when(2, Dword, Gt, libc::NETLINK_ROUTE as u64)?])?);
    // Pairs of sockets of those families reach the same code.
    Ok([(libc::SYS_socketpair, families.clone()), (libc::SYS_socket, families)].into())
}
