//! Machines for the tests: one backend for each runtime, where this host can start machines with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::Request;
use serde_json::{Value, json};
use switchtower_contract::{
    Backend, Event, Events, Fault, Language, Limits, Machine, Outcome, Output, Program, Sandbox, Spec,
};
use switchtower_machine::{Config, Machines, RuntimeChoice};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

/// The container runtimes that are tested where they are installed.
const RUNTIMES: [&str; 3] = ["runc", "crun", "runsc"];
/// Names the folder of a process of its own.
const SCRATCH: &str = "SWITCHTOWER_TEST_MACHINES";
/// The longest time of one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// The machines of one runtime.
#[derive(Clone)]
pub(crate) struct Tested {
    pub(crate) runtime: &'static str,
    pub(crate) machines: Arc<Machines>,
}

/// Returns the machines of each runtime, with a message for each that cannot start them.
pub(crate) async fn all_runtimes() -> &'static [Tested] {
    static ALL: OnceCell<Vec<Tested>> = OnceCell::const_new();
    let start = async || {
        let mut all: Vec<Tested> = built_in().await.into_iter().collect();
        for runtime in RUNTIMES {
            let config = Config { runtime: choice(runtime), ..config() };
            match started(config).await {
                Ok(machines) => all.push(Tested { runtime, machines }),
                Err(error) => eprintln!("skipped: machines of {runtime}: {error}"),
            }
        }
        all
    };
    ALL.get_or_init(start).await
}

/// Returns machines of each way to reach them: by a listening socket and, where gVisor is installed, by a connection.
pub(crate) async fn each_way() -> Vec<Tested> {
    let all = all_runtimes().await.iter();
    all.filter(|tested| matches!(tested.runtime, "built-in" | "runsc")).cloned().collect()
}

/// Returns the setting for a runtime.
pub(crate) fn choice(name: &str) -> RuntimeChoice {
    if name == "built-in" { RuntimeChoice::BuiltIn } else { RuntimeChoice::Program(name.into()) }
}

/// Returns the machines of the built-in runtime. `None`, with a message, where they cannot be started.
pub(crate) async fn built_in() -> Option<Tested> {
    static BUILT_IN: OnceCell<Option<Tested>> = OnceCell::const_new();
    let start = async || match started(config()).await {
        Ok(machines) => Some(Tested { runtime: "built-in", machines }),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "CI must test machines: {error}");
            eprintln!("skipped: machines cannot be started here: {error}");
            None
        }
    };
    BUILT_IN.get_or_init(start).await.clone()
}

pub(crate) async fn started(config: Config) -> Result<Arc<Machines>, String> {
    let machines = Arc::new(Machines::new(config).map_err(|error| error.to_string())?);
    machines.ensure_started().await.map_err(|error| error.to_string())?;
    Ok(machines)
}

/// Returns small limits, which tests reach soon.
pub(crate) fn config() -> Config {
    let scratch = std::env::var_os(SCRATCH).map_or_else(own_scratch, PathBuf::from);
    Config { scratch, memory: 256 << 20, disk: 200 << 20, inodes: 20_000, processes: 300, ..Config::default() }
}

fn own_scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("machines")
}

/// Returns the command that runs an ignored test in a process of its own, with machines in this folder. `before`: the command
/// that starts it.
pub(crate) fn other_process(test: &str, scratch: &Path, before: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words = before.iter().copied().map(std::ffi::OsString::from).chain([program.into_os_string()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", test, "--ignored", "--nocapture", "--test-threads", "1"]);
    command.env(SCRATCH, scratch).env_remove("CI").stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

/// Returns the processes of this host whose command line has this text.
pub(crate) fn processes_with(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |number: &u32| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
    };
    numbers.filter(|number| *number != std::process::id()).filter(has).collect()
}

/// Waits until a condition holds. Returns whether it does in time.
pub(crate) async fn comes_true(condition: impl Fn() -> bool) -> bool {
    let until = Instant::now() + COMMAND_TIMEOUT;
    while !condition() {
        if Instant::now() > until {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// An open machine.
pub(crate) struct OpenMachine {
    /// The machine ends with it.
    pub(crate) sandbox: Box<dyn Sandbox>,
    pub(crate) machine: Arc<dyn Machine>,
}

/// How a command ended and what it printed.
#[derive(Debug, Default)]
pub(crate) struct CommandRun {
    /// Such as `exit status 0` or `signal: killed`; nothing if the connection broke off.
    pub(crate) end: String,
    /// At most 1 MiB.
    pub(crate) printed: String,
}

impl Tested {
    pub(crate) async fn open(&self) -> OpenMachine {
        let sandbox = self.machines.open(&Spec::new(Language::Bash)).await.unwrap();
        let machine = sandbox.machine().unwrap();
        OpenMachine { sandbox, machine }
    }
}

impl OpenMachine {
    /// Runs a command line of the shell to its end.
    pub(crate) async fn command(&self, user: &str, line: &str) -> CommandRun {
        self.command_with(user, line, &BTreeMap::new()).await
    }

    pub(crate) async fn command_with(&self, user: &str, line: &str, env: &BTreeMap<String, String>) -> CommandRun {
        let mut run = CommandRun::default();
        // What was printed before the time is over counts.
        let _late = timeout(COMMAND_TIMEOUT, self.follow(user, line, env, &mut run)).await;
        run
    }

    /// Starts a process by the message of the protocol, and waits for its end.
    pub(crate) async fn process(&self, user: &str, message: &Value) -> CommandRun {
        let mut run = CommandRun::default();
        let _late = timeout(COMMAND_TIMEOUT, self.follow_process(user, message, &mut run)).await;
        run
    }

    async fn follow(&self, user: &str, line: &str, env: &BTreeMap<String, String>, run: &mut CommandRun) {
        let message = json!({ "process": { "cmd": "/bin/bash", "args": ["-c", line], "envs": env } });
        self.follow_process(user, &message, run).await;
    }

    async fn follow_process(&self, user: &str, message: &Value, run: &mut CommandRun) {
        let message = message.to_string();
        let mut body = BytesMut::from(&[0][..]);
        body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend_from_slice(message.as_bytes());
        let request = Request::post("/process.Process/Start")
            .header("content-type", "application/connect+json")
            .header("authorization", format!("Basic {}", BASE64.encode(format!("{user}:"))))
            .body(body.freeze())
            .unwrap();
        let answer = match self.machine.call(49983, request).await {
            Ok(answer) => answer,
            Err(fault) => {
                run.end = format!("{fault:?}");
                return;
            }
        };
        let mut body = answer.into_body();
        let mut buffer = BytesMut::new();
        while let Some(Ok(piece)) = body.next().await {
            buffer.extend_from_slice(&piece);
            while buffer.len() >= 5 {
                let length = u32::from_be_bytes(buffer[1..5].try_into().unwrap()) as usize;
                if buffer.len() < 5 + length {
                    break;
                }
                let frame = buffer.split_to(5 + length);
                let message: Value = serde_json::from_slice(&frame[5..]).unwrap_or_default();
                for stream in ["stdout", "stderr"] {
                    let data = message["event"]["data"][stream].as_str().unwrap_or_default();
                    if run.printed.len() < 1 << 20 {
                        run.printed.push_str(&String::from_utf8_lossy(&BASE64.decode(data).unwrap()));
                    }
                }
                if let Some(error) = message["error"].as_object() {
                    run.end = format!("{error:?}");
                }
                if let Some(status) = message["event"]["end"]["status"].as_str() {
                    status.clone_into(&mut run.end);
                }
            }
        }
    }

    /// Calls the file service. Returns the status and the body, of at most 16 MiB; the status 0 where it does not answer.
    pub(crate) async fn files(&self, request: Request<Bytes>) -> (u16, Vec<u8>) {
        let called = timeout(COMMAND_TIMEOUT, async {
            let answer = match self.machine.call(49983, request).await {
                Ok(answer) => answer,
                Err(fault) => return (0, format!("{fault:?}").into()),
            };
            let (status, mut body, mut content) = (answer.status().as_u16(), answer.into_body(), Vec::new());
            while let Some(Ok(piece)) = body.next().await
                && content.len() < 16 << 20
            {
                content.extend_from_slice(&piece);
            }
            (status, content)
        });
        called.await.unwrap_or_default()
    }

    pub(crate) async fn write(&self, user: &str, path: &str, content: impl Into<Bytes>) -> u16 {
        let uri = format!("/files?path={path}&username={user}");
        let request = Request::post(uri).header("content-type", "application/octet-stream").body(content.into());
        self.files(request.unwrap()).await.0
    }

    /// Checks that commands run. Returns what happened instead.
    pub(crate) async fn answers(&self) -> Result<(), CommandRun> {
        let run = self.command("user", "echo it answers").await;
        if run.printed == "it answers\n" { Ok(()) } else { Err(run) }
    }
}

/// Runs a program in a machine of its own.
pub(crate) async fn run(machines: &Machines, program: &Program, wall: Duration) -> (Result<Outcome, Fault>, Output) {
    run_within(machines, program, &Limits { wall, memory: 512 << 20, ..Limits::default() }).await
}

/// Runs a program within limits, and collects its output.
pub(crate) async fn run_within(
    machines: &Machines,
    program: &Program,
    limits: &Limits,
) -> (Result<Outcome, Fault>, Output) {
    let mut sandbox = machines.open(&Spec::new(program.language)).await.unwrap();
    let (events, mut from) = Events::channel();
    let collect = async {
        let mut output = Output::default();
        while let Some(event) = from.recv().await {
            let _: &Event = &event;
            output.push(event);
        }
        output
    };
    let run = async {
        let events = events;
        sandbox.run(program, limits, &events).await
    };
    tokio::join!(run, collect)
}
