//! The self-test of a new worker: its jail must hold and its packages must work before it gets programs.

use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Exit, Fault, Limits, Outcome, Output, Program};
use switchtower_worker::Canary;

/// What a canary prints whose check passed.
const HELD: &str = "held\n";

/// Returns a canary that prints `held` where the system refuses every one of these calls. It calls the C library directly:
/// the interpreter refuses some calls itself.
fn refused(name: &'static str, calls: &[&str]) -> Canary {
    let calls = calls.iter().map(|call| format!("if libc.{call} != -1:\n    print('allowed:', {call:?})\n"));
    let source = format!(
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nnobody = (ctypes.c_char_p * 1)(None)\n{}print('held')\n",
        calls.collect::<String>()
    );
    Canary { name, program: Program::python(source), limits: limits(), passes: held }
}

fn limits() -> Limits {
    Limits { wall: Duration::from_secs(10), memory: 256 << 20, output: 64 << 10, ..Limits::default() }
}

fn exit(ended: &Result<Outcome, Fault>) -> Option<Exit> {
    ended.as_ref().ok().map(|outcome| outcome.exit)
}

fn held(ended: &Result<Outcome, Fault>, output: &Output) -> bool {
    exit(ended) == Some(Exit::Finished(0)) && output.stdout == HELD
}

fn killed(ended: &Result<Outcome, Fault>, output: &Output) -> bool {
    exit(ended) == Some(Exit::Killed) && output.stdout.is_empty() && output.results.is_empty()
}

fn timed_out(ended: &Result<Outcome, Fault>, _: &Output) -> bool {
    exit(ended) == Some(Exit::TimedOut)
}

pub(crate) fn all() -> Arc<[Canary]> {
    let program =
        |name, source: &str, passes| Canary { name, program: Program::python(source), limits: limits(), passes };
    let endless = Limits { wall: Duration::from_millis(150), ..limits() };
    Arc::new([
        refused(
            "a file of the system",
            &[
                "open(b'/etc/passwd', 0)",
                "open(b'/etc/shadow', 0)",
                "open(b'/root/.bashrc', 0)",
                "open(b'/proc/1/environ', 0)",
            ],
        ),
        refused(
            "a file outside its folders",
            &[
                "open(b'/canary', 0o101, 0o600)",
                "open(b'/etc/canary', 0o101, 0o600)",
                "open(b'/usr/lib/canary', 0o101, 0o600)",
                "open(b'/var/tmp/canary', 0o101, 0o600)",
                "open(b'/dev/shm/canary', 0o101, 0o600)",
                "mkdir(b'/canary', 0o700)",
            ],
        ),
        program(
            "files of its own",
            "for path in ('/tmp/canary', '/home/user/canary', 'beside'):\n    \
                 with open(path, 'w') as file: file.write('yes')\n    \
                 assert open(path).read() == 'yes'\nprint('held')",
            held,
        ),
        // IPv4 streams and datagrams, IPv6, Unix sockets, netlink.
        refused(
            "the network",
            &["socket(2, 1, 0)", "socket(2, 2, 0)", "socket(10, 1, 0)", "socket(1, 1, 0)", "socket(16, 3, 0)"],
        ),
        refused(
            "another process",
            &["fork()", "execv(b'/bin/true', nobody)", "execv(b'/lib64/ld-linux-x86-64.so.2', nobody)"],
        ),
        refused("a signal", &["kill(os.getppid(), 9)", "kill(-1, 9)", "kill(os.getpid() + 1, 9)", "killpg(2, 9)"]),
        program(
            "tracing",
            "import ctypes\nctypes.CDLL(None, use_errno=True).ptrace(0, 0, 0, 0)\nprint('allowed')",
            killed,
        ),
        program(
            "more memory than it has",
            "try:\n    hoard = bytearray(1 << 30)\nexcept MemoryError:\n    print('held')",
            held,
        ),
        Canary {
            name: "more time than it has",
            program: Program::python(
                "while True:\n    try:\n        while True: pass\n    except BaseException: pass\n",
            ),
            limits: endless,
            passes: timed_out,
        },
        program("a forged report", "import os\nos.write(3, b'\\xff' * 4096)\nwhile True: pass", killed),
        program(
            "the environment of its parents",
            "import os\nusual = {'HOME', 'PATH', 'LANG'}\nassert set(os.environ) <= usual, sorted(set(os.environ) - usual)\nprint('held')",
            held,
        ),
        program(
            "numpy and pandas",
            "import numpy, pandas\nassert pandas.DataFrame({'a': numpy.arange(4)}).a.sum() == 6\nprint('held')",
            held,
        ),
    ])
}
