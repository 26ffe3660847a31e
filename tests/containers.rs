//! The profile `containers`: the service with a container for each language that Switchtower stands in for, with its own examples.

use std::fs;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::server::{Server, switchtower};

const READY: &str = "All executor containers are ready";

/// A program of each language that asks for a name: code, language.
const GREETINGS: [(&str, &str); 3] = [
    ("name = input(\"Enter your name: \")\nprint(f\"Hello, {name}!\")", "python"),
    (
        "process.stdout.write('Enter your name: ');\nconst name = readline();\nconsole.log(`Hello, ${name}!`);",
        "javascript",
    ),
    (
        "#include <iostream>\n#include <string>\nint main() {\n  std::string name;\n  std::cout << \"Enter your name: \";\n  \
         std::cin >> name;\n  std::cout << \"Hello, \" << name << \"!\" << std::endl;\n}",
        "cpp",
    ),
];

/// A server with the profile, once it is ready.
struct TestServer {
    server: Server,
    executors: String,
}

impl TestServer {
    /// Starts a server. `None`, with a message, where machines cannot be started.
    async fn start() -> Option<Self> {
        let variables = [("SWITCHTOWER_MACHINE_ENABLED", "true"), ("SWITCHTOWER_EXECUTORS_LISTEN", "127.0.0.1:0")];
        let server = Server::start_with_flags(&variables, &["--workers", "1", "--profile", "containers"]).await;
        let line = server.wait_for_line(&[READY, "no tier runs cpp"]).await;
        if !line.contains(READY) {
            assert!(std::env::var_os("CI").is_none(), "CI must test machines: {}", server.log());
            eprintln!("skipped: {line}");
            return None;
        }
        let executors = executors(&server).await;
        Some(Self { server, executors })
    }

    async fn open(&self, path: &str) -> Socket {
        let stream = TcpStream::connect(&self.executors).await.unwrap();
        Socket(client_async(format!("ws://{}{path}", self.executors), stream).await.unwrap().0)
    }

    async fn execute(&self, body: Value) -> Value {
        let (status, answer) = self.server.call("POST", "/api/code/execute", None, body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Ends the server and returns its log.
    fn stop(self) -> String {
        self.server.signal("-TERM");
        self.server.wait_for_log()
    }
}

/// Returns the address of the executors' protocol.
async fn executors(server: &Server) -> String {
    let line = server.wait_for_line(&["ws://"]).await;
    line.split("ws://").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

/// A connection of the executors' protocol.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Returns the next answer; at the end how the connection was closed.
    async fn next(&mut self) -> Result<Value, Option<CloseCode>> {
        loop {
            match timeout(Duration::from_secs(60), self.0.next()).await.expect("an answer comes") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.next().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_run_in_three_languages_over_http_and_over_executors() {
    let Some(server) = TestServer::start().await else { return };
    let (status, ready) = server.server.call("GET", "/ready", None, Value::Null).await;
    assert_eq!((status, &ready["ready"]), (200, &json!(true)));
    assert_eq!(ready["languages"], json!({ "python": true, "javascript": true, "cpp": true }));
    for (code, language) in GREETINGS {
        let answer = server.execute(json!({ "code": code, "language": language, "input": "Alice" })).await;
        let data = &answer["data"];
        assert_eq!((&answer["success"], &data["error"]), (&json!(true), &json!(false)), "{language}: {answer}");
        assert_eq!(data["output"], "Enter your name: Hello, Alice!", "{language}");
        let time = data["executionTime"].as_str().unwrap();
        assert!(time.ends_with(" ms") && time != "0.00 ms", "{time}");
        // Without input the prompt comes all the same.
        let answer = server.execute(json!({ "code": code, "language": language })).await;
        let output = answer["data"]["output"].as_str().unwrap();
        assert!(output.starts_with("Enter your name: "), "{language}: {output}");

        let mut socket = server.open(&format!("/{language}")).await;
        for name in ["Alice", "Bob"] {
            let answer = socket.ask(json!({ "code": code, "input": name })).await;
            let output = format!("Enter your name: Hello, {name}!");
            assert_eq!(answer, json!({ "status": "success", "output": output, "error": "" }), "{language}");
        }
        let mut any = server.open("/").await;
        let answer = any.ask(json!({ "code": code, "input": "Carol", "language": language })).await;
        assert_eq!(answer["output"], "Enter your name: Hello, Carol!", "{language}");
    }
    let mut cpp = server.open("/cpp").await;
    let answer = cpp.ask(json!({ "code": "int main() { return x; }" })).await;
    assert_eq!((&answer["status"], &answer["output"]), (&json!("error"), &json!("")));
    assert!(answer["error"].as_str().unwrap().contains("'x' was not declared"), "{answer}");
    let unknown = json!({ "code": "puts 1", "language": "ruby" });
    let (status, problem) = server.server.call("POST", "/api/code/execute", None, unknown).await;
    assert_eq!((status, &problem["field"]), (422, &json!("language")));
    let log = server.stop();
    assert_eq!(log.matches(READY).count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_containers_are_in_force_and_nothing_passes_from_one_execution_to_the_next() {
    let Some(server) = TestServer::start().await else { return };
    let hoards = [
        ("python", "held = []\nwhile True:\n    held.append(bytearray(4 << 20))"),
        ("javascript", "const held = [];\nfor (;;) held.push(new Uint8Array(4 << 20).fill(1));"),
        (
            "cpp",
            "int main() { for (;;) { volatile char* held = new char[4 << 20]; for (int at = 0; at < 4 << 20; at += 4096) held[at] = 1; } }",
        ),
    ];
    for (language, code) in hoards {
        let mut socket = server.open(&format!("/{language}")).await;
        let answer = socket.ask(json!({ "code": code })).await;
        assert_eq!(answer["status"], "error", "{language}: {answer}");
        assert!(answer["error"].as_str().unwrap().to_lowercase().contains("memory"), "{language}: {answer}");
        let body = json!({ "code": code, "language": language, "cache": "bypass" });
        let (_, answer) = server.server.call("POST", "/v1/execute", None, body).await;
        assert_eq!(answer["exit"], "out_of_memory", "{language}: {answer}");
    }
    let too_long = json!({ "code": "1", "timeout_ms": 30_001 });
    let (status, problem) = server.server.call("POST", "/v1/execute", None, too_long).await;
    assert_eq!((status, &problem["field"]), (422, &json!("timeout_ms")));
    match processor_share(server.server.child.id()) {
        None => {
            assert!(std::env::var_os("CI").is_none(), "CI must test control groups");
            eprintln!("skipped: machines have no control groups here");
        }
        Some(share) => assert_eq!(share, 0.5),
    }

    // Files, the user, and the network: the server itself listens on this host.
    let leave = "#include <fstream>\nint main() { std::ofstream(\"/home/user/left\") << 1; std::ofstream(\"/tmp/left\") << 1; }";
    let port = server.server.origin.rsplit(':').next().unwrap();
    let look = "#include <fstream>\n#include <iostream>\n#include <unistd.h>\n#include <arpa/inet.h>\n\
        bool reaches(const char* host, int port) {\n  sockaddr_in to{};\n  to.sin_family = AF_INET;\n  to.sin_port = htons(port);\n  \
        inet_pton(AF_INET, host, &to.sin_addr);\n  return connect(socket(AF_INET, SOCK_STREAM, 0), (sockaddr*)&to, sizeof to) == 0;\n}\n\
        int main() {\n  std::cout << std::ifstream(\"/home/user/left\").good() << std::ifstream(\"/tmp/left\").good();\n  \
        std::cout << (getuid() == 0) << reaches(\"1.1.1.1\", 53) << reaches(\"127.0.0.1\", PORT);\n}";
    let look = look.replace("PORT", port);
    let mut socket = server.open("/cpp").await;
    assert_eq!(socket.ask(json!({ "code": leave })).await["status"], "success");
    for _ in 0..2 {
        assert_eq!(socket.ask(json!({ "code": look })).await["output"], "00000");
    }
    let mut socket = server.open("/python").await;
    let leave = "import builtins\nbuiltins.left = 1\nopen('/tmp/left', 'w').write('1')";
    assert_eq!(socket.ask(json!({ "code": leave })).await["status"], "success");
    let look = "import builtins, os\nprint(hasattr(builtins, 'left'), os.path.exists('/tmp/left'))";
    assert_eq!(socket.ask(json!({ "code": look })).await["output"], "False False");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_program_end_closes_connections_and_leaves_no_machine() {
    let Some(server) = TestServer::start().await else { return };
    let id = server.server.child.id();
    assert!(!machines(id).is_empty(), "machines are up");
    let (mut busy, mut idle) = (server.open("/cpp").await, server.open("/python").await);
    let code = "#include <cstdio>\n#include <unistd.h>\nint main() { puts(\"begun\"); sleep(2); puts(\"done\"); }";
    busy.send(json!({ "code": code })).await;
    let running = async {
        loop {
            let (_, health) = server.server.call("GET", "/health", None, Value::Null).await;
            let tiers = health["tiers"].as_array().unwrap();
            if tiers.iter().any(|tier| tier["tier"] == "machine" && tier["running"] == 1) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(60), running).await.unwrap();
    server.server.signal("-TERM");
    assert_eq!(idle.next().await, Err(Some(CloseCode::Away)));
    assert_eq!(busy.next().await.unwrap(), json!({ "status": "success", "output": "begun\ndone", "error": "" }));
    assert_eq!(busy.next().await, Err(Some(CloseCode::Away)));
    let before = machines(id);
    let mut server = server.server;
    let status = tokio::task::spawn_blocking(move || server.child.wait().unwrap()).await.unwrap();
    assert!(status.success(), "{status}");
    let left: Vec<u32> = before.into_iter().filter(|process| is_running(*process)).collect();
    assert_eq!(left, [0; 0], "processes of machines");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_without_a_tier_is_named_and_keeps_the_server_from_being_ready() {
    let server = Server::start_with(None, &[("SWITCHTOWER_EXECUTORS_LISTEN", "127.0.0.1:0")]).await;
    server.wait_for_line(&["no tier runs cpp: set machine.enabled to true"]).await;
    let (health, _) = server.call("GET", "/health", None, Value::Null).await;
    let (status, ready) = server.call("GET", "/ready", None, Value::Null).await;
    assert_eq!((health, status, &ready["ready"]), (200, 503, &json!(false)));
    assert_eq!(ready["languages"], json!({ "python": true, "javascript": true, "cpp": false }));
    server.signal("-TERM");
    let log = server.wait_for_log();
    assert!(!log.contains(READY), "{log}");
}

#[tokio::test]
async fn a_port_of_executors_that_is_in_use_ends_the_start_with_a_message() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let start = |variables: &[(&str, &str)]| {
        let mut command = switchtower(None);
        command.args(["serve", "--port", "0"]).envs(variables.iter().copied());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, message) = start(&[("SWITCHTOWER_EXECUTORS_LISTEN", &address)]);
    assert_eq!(code, Some(125), "{message}");
    assert!(message.contains(&format!("cannot listen on {address} for executors")), "{message}");
    let (code, message) = start(&[("SWITCHTOWER_EXECUTORS_LISTEN", "0.0.0.0:0")]);
    assert!(code == Some(2) && message.contains("a key is required: set http.keys"), "{code:?} {message}");
}

/// Returns the processes of this one's machines: all below its children, but for its own workers.
fn machines(server: u32) -> Vec<u32> {
    let mut found: Vec<u32> =
        children(server).into_iter().filter(|process| command(*process).contains("launch")).collect();
    let mut next = 0;
    while next < found.len() {
        let below = children(found[next]);
        found.extend(below);
        next += 1;
    }
    found
}

fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for thread in fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
        let listed = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.extend(listed.split_whitespace().filter_map(|process| process.parse::<u32>().ok()));
    }
    found
}

fn command(process: u32) -> String {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

fn is_running(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

/// Returns the processors' worth of time of the control groups of a server's machines, which is the same for all; `None` where
/// they have no limit.
fn processor_share(server: u32) -> Option<f64> {
    let shares: Vec<f64> = machines(server).into_iter().filter_map(share_of).collect();
    let first = *shares.first()?;
    assert!(shares.iter().all(|share| *share == first), "{shares:?}");
    Some(first)
}

/// Returns the limit of the control group of a process, in either version of control groups.
fn share_of(process: u32) -> Option<f64> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let read = |file: &str| fs::read_to_string(format!("/sys/fs/cgroup/{controllers}{path}/{file}")).ok();
        let limit = match controllers {
            "" => read("cpu.max")?,
            _ if controllers.split(',').any(|controller| controller == "cpu") => {
                format!("{} {}", read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?)
            }
            _ => return None,
        };
        // Without a limit the quota is `max`, or -1.
        let (quota, period) = limit.trim().split_once(' ')?;
        let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
        (quota > 0.0).then(|| quota / period)
    })
}
