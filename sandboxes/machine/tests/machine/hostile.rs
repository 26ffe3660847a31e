//! Hostile programs and scripts, as both users of a machine: nothing gets out, and the host and other machines live on.
//!
//! A program says in its first lines what is expected of it: `prints:` a text, `ends:` `killed` or `any` where it does not exit
//! by itself, `then: wedged` where its machine may run no further commands. A line that begins with `ESCAPED` is a failure. `gvisor:` says
//! what differs there: then only the host and other machines are looked at.

use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt as _;

use crate::harness::{OpenMachine, Tested, all_runtimes};

/// Programs at once.
const AT_ONCE: usize = 3;
const USERS: [&str; 2] = ["user", "root"];
/// Where a program is in its machine.
const PROGRAM: &str = "/var/tmp/program";
/// The programs that are tried in the other local tiers too, where they are there.
const SHARED: &str = "SWITCHTOWER_HOSTILE_PROGRAMS";

/// What another machine listens with.
const LISTEN: &str = "import socket, time
one, other = socket.socket(), socket.socket(socket.AF_UNIX)
one.bind(('', 5555))
other.bind('\\0neighbour')
one.listen()
other.listen()
print('listens', flush=True)
time.sleep(3600)
";

/// A program and what is expected.
struct Case {
    name: String,
    text: String,
    line: String,
    prints: Vec<String>,
    ends: String,
    is_wedged: bool,
    /// What is different in gVisor.
    in_gvisor: Option<String>,
}

/// What programs look for outside of their machine.
struct Canary {
    port: std::net::TcpListener,
    socket: UnixListener,
    mark: PathBuf,
    env: BTreeMap<String, String>,
}

impl Canary {
    fn new() -> Self {
        static CANARIES: AtomicU32 = AtomicU32::new(0);
        let number = CANARIES.fetch_add(1, Ordering::Relaxed);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("switchtower-canary-{}-{number}", std::process::id());
        let socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        port.set_nonblocking(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mark = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        std::fs::write(&mark, "kept").unwrap();
        let env = [
            ("HOST_PORT", port.local_addr().unwrap().port().to_string()),
            ("HOST_SOCKET", name),
            ("HOST_MARK", mark.display().to_string()),
            ("HOST_PROCESS", std::process::id().to_string()),
        ];
        Self { port, socket, mark, env: env.map(|(name, value)| (name.to_owned(), value)).into() }
    }

    fn check(&self, case: &str) {
        assert!(self.port.accept().is_err(), "{case}: it reached a port of the host");
        assert!(self.socket.accept().is_err(), "{case}: it reached a socket of the host");
        assert_eq!(std::fs::read_to_string(&self.mark).unwrap(), "kept", "{case}: it changed a file of the host");
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let _removed = std::fs::remove_file(&self.mark);
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machine/hostile");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (for_python, for_shell) = (read("prelude.py"), read("prelude.sh"));
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| !name.starts_with("prelude")).collect();
    names.sort_unstable();
    let of = |name: String| {
        let text = read(&name);
        let head: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("# ")).collect();
        let all = |key: &str| -> Vec<String> {
            head.iter().filter_map(|line| line.strip_prefix(key)).map(|it| it.trim().to_owned()).collect()
        };
        let (prelude, program) = if name.ends_with(".py") { (&for_python, "python3") } else { (&for_shell, "bash") };
        Case {
            prints: all("prints:"),
            ends: all("ends:").pop().unwrap_or_else(|| "exit status 0".to_owned()),
            is_wedged: !all("then:").is_empty(),
            in_gvisor: all("gvisor:").pop(),
            line: format!("exec {program} {PROGRAM}"),
            text: format!("{prelude}\n{text}"),
            name,
        }
    };
    names.into_iter().map(of).collect()
}

/// Returns the programs of the folder that a variable names; none, with a message, without it.
fn shared_cases() -> Vec<Case> {
    let Some(folder) = std::env::var_os(SHARED).map(PathBuf::from).filter(|folder| folder.is_dir()) else {
        eprintln!("skipped: the hostile programs of other tiers; {SHARED} names their folder");
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "py"));
    paths.sort_unstable();
    let of = |path: PathBuf| {
        // The first process of the machine takes the place of those that start programs there.
        let text = std::fs::read_to_string(&path).unwrap().replace("@ZYGOTE@", "1").replace("@PARENT@", "1");
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // Some run for ever.
        let line = format!("exec timeout -k 1 5 python3 {PROGRAM}");
        Case { name, text, line, prints: Vec::new(), ends: "any".to_owned(), is_wedged: true, in_gvisor: None }
    };
    paths.into_iter().map(of).collect()
}

/// Runs one program. Returns what is wrong.
async fn try_case(tested: &Tested, case: &Case, user: &str, canary: &Canary, other: &OpenMachine) -> Vec<String> {
    let open = tested.open().await;
    assert_eq!(open.write(user, PROGRAM, case.text.clone()).await, 200, "{}", case.name);
    let run = open.command_with(user, &case.line, &canary.env).await;
    let what = format!("{} as {user} in {}", case.name, tested.runtime);
    let mut wrong = Vec::new();
    canary.check(&what);
    if let Err(run) = other.answers().await {
        wrong.push(format!("{what}: another machine does not answer: {run:?}"));
    }
    if let ("runsc", Some(why)) = (tested.runtime, &case.in_gvisor) {
        println!("{what}: not compared, because {why}");
        return wrong;
    }
    let printed: String = run.printed.chars().take(3000).collect();
    if printed.lines().any(|line| line.contains("ESCAPED")) {
        wrong.push(format!("{what}: it got out: {printed}"));
    }
    for text in case.prints.iter().filter(|text| !run.printed.contains(text.as_str())) {
        wrong.push(format!("{what}: it does not print {text:?}, but ended with {:?}: {printed}", run.end));
    }
    if case.ends != "any" && !run.end.contains(&case.ends) {
        wrong.push(format!("{what}: it ended with {:?}: {printed}", run.end));
    }
    // Also where nothing can be written any more.
    let status = open.write("user", "/tmp/after", "x").await;
    if !case.is_wedged && !matches!(status, 200 | 507) {
        wrong.push(format!("{what}: its machine answers {status} afterwards"));
    }
    wrong
}

/// Runs all programs as both users.
async fn try_all(cases: Vec<Case>) {
    let canary = Canary::new();
    for tested in all_runtimes().await {
        let other = tested.open().await;
        other.write("user", "/tmp/listen.py", LISTEN).await;
        let line =
            "setsid python3 /tmp/listen.py > /tmp/log 2>&1 & until grep -q listens /tmp/log; do sleep 0.01; done";
        let run = other.command("user", line).await;
        assert!(run.end.contains("exit status 0"), "{run:?}");
        let runs = cases.iter().flat_map(|case| USERS.map(|user| (case, user)));
        let tried = futures_util::stream::iter(runs).map(|(case, user)| try_case(tested, case, user, &canary, &other));
        let wrong: Vec<Vec<String>> = tried.buffer_unordered(AT_ONCE).collect().await;
        let wrong = wrong.concat();
        assert!(wrong.is_empty(), "{} failures:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_programs_stay_in_their_machine() {
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    try_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hostile_programs_of_other_tiers_stay_in_their_machine() {
    try_all(shared_cases()).await;
}
