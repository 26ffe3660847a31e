//! The expected end of each hostile program. What matters beside the end: nothing of [`LOOT`] is printed, the next program
//! runs, and nothing is left.

/// The expectations of a program.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Its possible ends in the full profile, separated by `|`.
    pub(super) full: &'static str,
    /// Its possible ends in the reduced profile.
    pub(super) reduced: &'static str,
    /// What it prints, or shows as a value.
    pub(super) says: &'static [&'static str],
}

const fn it(name: &'static str, end: &'static str, says: &'static [&'static str]) -> Case {
    Case { name, full: end, reduced: end, says }
}

impl Case {
    const fn reduced(self, end: &'static str) -> Self {
        Self { reduced: end, ..self }
    }
}

/// What a program would print that had broken out.
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
    it("01_fork_bomb", "finished", &["fork stopped after 0 [Errno 1]"]),
    it("02_subprocess", "finished", &["PermissionError"]),
    // The count is of threads that stand at once.
    it("03_thread_bomb", "finished", &["can't start new thread"]),
    it("04_ptrace", "killed", &[]),
    it("05_proc_environ", "finished", &["/proc/1/environ", "'HOME', 'LANG'"]),
    it("06_sockets", "finished", &["Network is unreachable"]),
    it("07_loopback", "finished", &["URLError", "OSError"]),
    // In the reduced profile the listing of / in the last line is refused.
    it("08_read_secrets", "finished", &["/etc/shadow", "/root/.ssh/id_rsa No such"]).reduced("raised PermissionError"),
    it("09_write_host", "finished", &["WROTE /tmp/x"]),
    it("10_signal_parent", "finished", &["-1 Operation not permitted"]),
    it("11_mem_hog", "out_of_memory MemoryError", &[]),
    it("12_mem_hog_touch_mmap", "finished", &["MB MemoryError"]),
    // Memory as a file is refused, and what the program says of that is its own mistake. Without a file system of its
    // own its files are counted from outside.
    it("13_tmpfs_memory", "raised NameError", &[]).reduced("killed"),
    it("14_inode_flood", "finished", &[]).reduced("killed"),
    it("15_output_flood", "timed_out", &["AAAA"]),
    it("16_stderr_flood_fd", "timed_out", &["BBBB"]),
    it("17_ignore_sigterm_loop", "timed_out", &[]),
    it("18_sleep_forever", "timed_out", &[]),
    it("19_io_uring", "killed", &[]),
    it("20_keyctl", "killed", &[]),
    it("21_bpf", "killed", &[]),
    it("22_mount", "killed", &[]),
    it("23_clock_settime", "killed", &[]),
    it("24_unshare", "killed", &[]),
    it("25_userfaultfd", "killed", &[]),
    it("26_process_vm_readv", "killed", &[]),
    it("27_pidfd_open", "finished", &["-1 errno 1"]),
    it("28_setns", "killed", &[]),
    it("29_perf", "killed", &[]),
    it("30_x32_getpid", "finished", &["-1 errno 1"]),
    it("31_open_by_handle", "killed", &[]),
    it("32_seccomp_prctl", "finished", &["-1 errno 1"]),
    it("33_setuid", "finished", &["-1 errno 1"]),
    it("34_personality", "finished", &["-1 errno 1"]),
    it("35_prlimit_raise", "finished", &["-1 errno 1"]),
    // Not refused but absent: the C library then takes the older call, which a filter can look into.
    it("36_clone3", "finished", &["-1 errno 38"]),
    it("37_clone_vm_nothread", "finished", &["-1 errno 1"]),
    it("40_os_exit", "finished", &["bye"]),
    // A child that closes its socket is not read any more, and nothing else happens.
    it("41_close_result_fd", "finished", &[]),
    // What no child says ends it.
    it("42_forge_result", "killed", &[]),
    it("43_forge_and_exit", "killed", &[]),
    it("44_result_fd_flood", "killed", &[]),
    it("45_deep_json", "killed", &[]),
    // No daemon; the thread that is waited for ends with the time.
    it("46_daemon", "timed_out", &["non-daemon thread left"]),
    it("47_settrace", "finished", &["\"5\""]),
    // Unwinding all of it may take longer than there is time.
    it("48_recursion", "timed_out|out_of_memory MemoryError", &[]),
    it("49_c_recursion", "killed", &[]),
    it("50_null_deref", "killed", &[]),
    it("51_huge_int", "timed_out", &[]),
    it("52_regex_redos", "timed_out", &[]),
    it("53_repr_bomb", "out_of_memory MemoryError", &[]),
    it("54_exc_str_bomb", "timed_out", &[]),
    // Memory may be run, since libraries make code; what that can ask of the system is what Python can.
    it("55_shellcode_fork", "finished", &["raw fork -> -1"]),
    it("56_int80", "killed", &[]),
    it("57_fd_exhaust", "finished", &["Too many open files"]),
    it("58_fd_scan", "finished", &["1 0o10000; 2 0o10000; 3 0o140000"]),
    it("59_sigsegv_stdout_kept", "killed", &["before crash"]),
    it("60_so_drop", "finished", &["/tmp/evil.so: "]),
    it("61_random_same", "finished", &["0."]),
    it("62_symlink_escape", "finished", &["Operation not permitted"]),
    it("answer_orders", "finished", &["nobody heard"]),
    it("climb", "finished", &["held"]),
    it("crossed_streams", "killed", &["one\none\none"]),
    it("deep_folders", "timed_out|finished", &[]).reduced("killed|finished"),
    it("endless_report", "timed_out", &[]),
    it("execute_memory", "finished", &["refused"]),
    it("exhaust_threads", "finished", &["refused RuntimeError True"]),
    it("half_a_report", "timed_out", &[]),
    // It depends on chance which allocation fails: in Python it is an exception, in the worker's code the end.
    it("huge_result", "killed|out_of_memory MemoryError", &["MemoryError"]),
    it("load_library", "finished", &["refused", "no fork"]),
    it("many_results", "timed_out", &["number"]),
    it("never_leave", "timed_out", &["leaving"]),
    it("pass_descriptors", "killed", &[]),
    it("proc_descriptors", "finished", &["refused"]),
    it("proc_memory", "finished", &["refused"]),
    it("race_of_links", "finished", &["held"]),
    it("raw_calls", "finished", &["none passed"]),
    it("shared_memory", "finished", &["none made"]),
    it("signal_everybody", "finished", &["none sent"]),
    // A full file system of its own is a fault of the bus; without one it may be over before its files are counted.
    it("sparse_files", "killed", &["refused True"]).reduced("killed|finished"),
    // A child that reads its own confirmations waits for them.
    it("steal_answers", "timed_out", &[]),
    // The first process of a namespace cannot be stopped by itself.
    it("stop_itself", "finished", &["before"]).reduced("timed_out"),
    it("threads_kept", "timed_out", &["left"]),
    it("threads_left", "finished", &["left"]),
    it("timer_storm", "timed_out", &[]),
    it("wild_memory", "killed", &[]),
];
