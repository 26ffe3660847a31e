//! The expected exit of each hostile program. In addition, nothing of [`LOOT`] is printed, the next program runs, and nothing is
//! left behind.

/// The expectations of a program.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Its possible exits in the full profile, separated by `|`.
    pub(super) full: &'static str,
    /// Its possible exits in the reduced profile.
    pub(super) reduced: &'static str,
    /// Texts in its output or its result.
    pub(super) prints: &'static [&'static str],
}

const fn case(name: &'static str, exit: &'static str, prints: &'static [&'static str]) -> Case {
    Case { name, full: exit, reduced: exit, prints }
}

impl Case {
    /// Sets another exit for the reduced profile.
    const fn reduced(self, exit: &'static str) -> Self {
        Self { reduced: exit, ..self }
    }
}

/// Texts that a program would print only after breaking out.
pub(super) const LOOT: &[&str] = &[
    "uid=0",
    "root:x:0",
    "root:*:",
    "CARGO_",
    "ESCAPED",
    "LINKED",
    "MKNOD",
    "SOCKET OK",
    "CONNECTED",
    "SENT",
    "KILLED",
    "CHMOD",
    "FORKED",
    "FORGED",
    "LOADED",
    "PASSED",
    "PATCHED",
    "MADE",
    "TAKEN",
    "GOT ",
    "LISTED",
    "READ /etc",
    "READ /var",
    "READ /run",
    "READ /site",
    "READ /py",
    "WROTE /x",
    "WROTE /usr",
    "WROTE /site",
    "WROTE /py",
    "WROTE /dev",
    "WROTE /etc",
    "WROTE /proc",
];

pub(super) const CASES: &[Case] = &[
    case("01_fork_bomb", "finished", &["fork stopped after 0 [Errno 1]"]),
    case("02_subprocess", "finished", &["PermissionError"]),
    // The limit is on threads that exist at the same time.
    case("03_thread_bomb", "finished", &["can't start new thread"]),
    case("04_ptrace", "killed", &[]),
    case("05_proc_environ", "finished", &["/proc/1/environ", "'HOME', 'LANG'"]),
    case("06_sockets", "finished", &["Network is unreachable"]),
    case("07_loopback", "finished", &["URLError", "OSError"]),
    // In the reduced profile, the listing of / in the last line is refused.
    case("08_read_secrets", "finished", &["/etc/shadow", "/root/.ssh/id_rsa No such"])
        .reduced("raised PermissionError"),
    case("09_write_host", "finished", &["WROTE /tmp/x"]),
    case("10_signal_parent", "finished", &["-1 Operation not permitted"]),
    case("11_mem_hog", "out_of_memory MemoryError", &[]),
    case("12_mem_hog_touch_mmap", "finished", &["MB MemoryError"]),
    // Files in memory are refused, and the NameError is a mistake in the program. In the reduced profile there is no private file
    // system: the files are counted from outside.
    case("13_tmpfs_memory", "raised NameError", &[]).reduced("killed"),
    case("14_inode_flood", "finished", &[]).reduced("killed"),
    case("15_output_flood", "timed_out", &["AAAA"]),
    case("16_stderr_flood_fd", "timed_out", &["BBBB"]),
    case("17_ignore_sigterm_loop", "timed_out", &[]),
    case("18_sleep_forever", "timed_out", &[]),
    case("19_io_uring", "killed", &[]),
    case("20_keyctl", "killed", &[]),
    case("21_bpf", "killed", &[]),
    case("22_mount", "killed", &[]),
    case("23_clock_settime", "killed", &[]),
    case("24_unshare", "killed", &[]),
    case("25_userfaultfd", "killed", &[]),
    case("26_process_vm_readv", "killed", &[]),
    case("27_pidfd_open", "finished", &["-1 errno 1"]),
    case("28_setns", "killed", &[]),
    case("29_perf", "killed", &[]),
    case("30_x32_getpid", "finished", &["-1 errno 1"]),
    case("31_open_by_handle", "killed", &[]),
    case("32_seccomp_prctl", "finished", &["-1 errno 1"]),
    case("33_setuid", "finished", &["-1 errno 1"]),
    case("34_personality", "finished", &["-1 errno 1"]),
    case("35_prlimit_raise", "finished", &["-1 errno 1"]),
    // Answered with ENOSYS: the C library then uses the older call, whose arguments a filter can inspect.
    case("36_clone3", "finished", &["-1 errno 38"]),
    case("37_clone_vm_nothread", "finished", &["-1 errno 1"]),
    case("40_os_exit", "finished", &["bye"]),
    // A child that closes its socket is no longer read; it has no other effect.
    case("41_close_result_fd", "finished", &[]),
    // A report that no worker sends ends the child.
    case("42_forge_result", "killed", &[]),
    case("43_forge_and_exit", "killed", &[]),
    case("44_result_fd_flood", "killed", &[]),
    case("45_deep_json", "killed", &[]),
    // A thread that is not a daemon: the interpreter waits for it until the time limit.
    case("46_daemon", "timed_out", &["non-daemon thread left"]),
    case("47_settrace", "finished", &["\"5\""]),
    // Unwinding the stack may take longer than the time limit.
    case("48_recursion", "timed_out|out_of_memory MemoryError", &[]),
    case("49_c_recursion", "killed", &[]),
    case("50_null_deref", "killed", &[]),
    case("51_huge_int", "timed_out", &[]),
    case("52_regex_redos", "timed_out", &[]),
    case("53_repr_bomb", "out_of_memory MemoryError", &[]),
    case("54_exc_str_bomb", "timed_out", &[]),
    // Executable memory is allowed, because libraries generate code; its system calls are filtered like those of Python.
    case("55_shellcode_fork", "finished", &["raw fork -> -1"]),
    case("56_int80", "killed", &[]),
    case("57_fd_exhaust", "finished", &["Too many open files"]),
    case("58_fd_scan", "finished", &["1 0o10000; 2 0o10000; 3 0o140000"]),
    case("59_sigsegv_stdout_kept", "killed", &["before crash"]),
    case("60_so_drop", "finished", &["/tmp/evil.so: "]),
    case("61_random_same", "finished", &["0."]),
    case("62_symlink_escape", "finished", &["Operation not permitted"]),
    case("answer_orders", "finished", &["nobody heard"]),
    case("climb", "finished", &["held"]),
    case("crossed_streams", "killed", &["one\none\none"]),
    case("deep_folders", "timed_out|finished", &[]).reduced("killed|finished"),
    case("endless_report", "timed_out", &[]),
    case("execute_memory", "finished", &["refused"]),
    case("exhaust_threads", "finished", &["refused RuntimeError True"]),
    case("half_a_report", "timed_out", &[]),
    // Which allocation fails is random: in Python it is an exception, in the worker's code it ends the process.
    case("huge_result", "killed|out_of_memory MemoryError", &["MemoryError"]),
    case("load_library", "finished", &["refused", "no fork"]),
    case("many_results", "timed_out", &["number"]),
    case("never_leave", "timed_out", &["leaving"]),
    case("pass_descriptors", "killed", &[]),
    case("proc_descriptors", "finished", &["refused"]),
    case("proc_memory", "finished", &["refused"]),
    case("race_of_links", "finished", &["held"]),
    case("raw_calls", "finished", &["none passed"]),
    case("shared_memory", "finished", &["none made"]),
    case("signal_everybody", "finished", &["none sent"]),
    // A write to a full private file system is a bus error; without one, the program may end before its files are counted.
    case("sparse_files", "killed", &["refused True"]).reduced("killed|finished"),
    // A child that reads its own confirmations waits for them forever.
    case("steal_answers", "timed_out", &[]),
    // The first process of a namespace cannot be stopped by itself.
    case("stop_itself", "finished", &["before"]).reduced("timed_out"),
    case("threads_kept", "timed_out", &["left"]),
    case("threads_left", "finished", &["left"]),
    case("timer_storm", "timed_out", &[]),
    case("wild_memory", "killed", &[]),
];
