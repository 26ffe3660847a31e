//! A scripted backend with kernels, for tests of sessions. Its cells are in a small language, one statement per line:
//!
//! `x = 3`, `x = TIER` (`wasm`, `native` or `e2b`, by the kind of backend), `x += 1`, `x` (a result), `print TEXT`,
//! `env NAME`, `input`, `read PATH`, `write PATH TEXT`, `sleep SECONDS`, `work SECONDS` (sleeps and counts as processor
//! time), `raise NAME: TEXT`, `import MODULE` (machines have every module, native kernels have pandas), `exit` (the
//! interpreter ends itself), `die` (the kernel is lost) and `die once` (lost only the first time in this backend). A
//! statement may be written as a call, `print("a")`, where the analysis has to read the cell as Python.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use switchtower_contract::{
    Backend, Body, Cell, CellOutcome, Change, Content, Effects, Escalation, Event, Events, Exit, Failure, Fault,
    InterpreterId, Isolation, Kernel, KernelOptions, Kernels, Language, Languages, Limits, Location, Machine,
    Maintenance, Modules, Need, NetworkPolicy, Offer, Outcome, Program, Sandbox, Spec, Tape, Upgraded, Usage,
};
use tokio::time::{Instant, sleep, timeout};

type Shared = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// The backend. Clones share their state, so a test can keep one for inspection.
#[derive(Clone)]
pub(crate) struct ScriptedKernels {
    kind: Kind,
    language: Language,
    state: Arc<BackendState>,
}

/// The kind of a backend's kernels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Local, rebuilt by replay.
    Replayable,
    /// Local, not replayable; they survive an interrupt.
    Native,
    /// On a machine of a cloud.
    Machine,
    /// On a machine of this host, without the internet.
    LocalMachine,
}

impl Kind {
    fn is_machine(self) -> bool {
        matches!(self, Self::Machine | Self::LocalMachine)
    }
}

#[derive(Default)]
struct BackendState {
    /// Kernels opened so far.
    opened: AtomicU32,
    /// Running cells.
    running: AtomicU32,
    /// Live kernels.
    kernels: AtomicU32,
    /// Live sandboxes.
    sandboxes: AtomicU32,
    deaths: AtomicU32,
    log: Mutex<Vec<String>>,
    behaviour: Mutex<Behaviour>,
}

/// How the backend behaves from now on.
#[derive(Clone, Default)]
pub(crate) struct Behaviour {
    /// The fault of every attempt to open a sandbox or a local kernel.
    pub(crate) open_fault: Option<Fault>,
    /// How long a machine takes to apply changes of files.
    pub(crate) apply_time: Duration,
    /// The number of next sandboxes that turn out to be gone when a kernel is opened in them.
    pub(crate) missing_sandboxes: u32,
    /// A process of a client runs on every machine.
    pub(crate) has_processes: bool,
    /// Tapes are incomplete: the cell read more than a tape holds.
    pub(crate) incomplete_tapes: bool,
    /// A cell ignores an interrupt, so that its kernel is lost with it.
    pub(crate) ignores_interrupts: bool,
}

impl BackendState {
    fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }
}

impl ScriptedKernels {
    fn new(kind: Kind) -> Self {
        Self { kind, language: Language::Python, state: Arc::default() }
    }

    /// Returns it with this language instead of Python.
    pub(crate) fn with_language(self, language: Language) -> Self {
        Self { language, ..self }
    }

    /// A backend whose kernels are local and replayable, each with files of its own.
    pub(crate) fn replayable() -> Self {
        Self::new(Kind::Replayable)
    }

    /// A backend whose kernels are local and not replayable: no tape is recorded.
    pub(crate) fn native() -> Self {
        Self::new(Kind::Native)
    }

    /// A backend whose sandboxes are machines. The kernels of a machine share its files.
    pub(crate) fn machines() -> Self {
        Self::new(Kind::Machine)
    }

    /// A backend whose sandboxes are machines of this host.
    pub(crate) fn local_machines() -> Self {
        Self::new(Kind::LocalMachine)
    }

    /// Returns the number of kernels opened so far.
    pub(crate) fn opened(&self) -> u32 {
        self.state.opened.load(SeqCst)
    }

    /// Returns the number of running cells.
    pub(crate) fn running(&self) -> u32 {
        self.state.running.load(SeqCst)
    }

    /// Returns the number of live kernels.
    pub(crate) fn kernels(&self) -> u32 {
        self.state.kernels.load(SeqCst)
    }

    /// Returns the number of live sandboxes.
    pub(crate) fn sandboxes(&self) -> u32 {
        self.state.sandboxes.load(SeqCst)
    }

    /// Takes the log of events since the last call: `opened` (a sandbox), `ran CELL`, `kept awake`, `asleep`,
    /// `lifetime 180`.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.log.lock().unwrap())
    }

    pub(crate) fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.state.behaviour.lock().unwrap()
    }

    fn kernel(&self, options: &KernelOptions, files: Shared) -> Box<dyn Kernel> {
        self.state.opened.fetch_add(1, SeqCst);
        self.state.kernels.fetch_add(1, SeqCst);
        let (state, names) = (self.state.clone(), BTreeMap::new());
        Box::new(ScriptedKernel { kind: self.kind, state, options: options.clone(), names, files, work: 0 })
    }
}

#[async_trait]
impl Backend for ScriptedKernels {
    fn runtime(&self) -> Arc<str> {
        "scripted kernels".into()
    }

    fn offer(&self) -> Offer {
        Offer {
            languages: Languages::only(
                self.language,
                match self.kind {
                    Kind::Replayable => Modules::named(["math"]),
                    Kind::Native | Kind::LocalMachine => Modules::named(["math", "pandas"]),
                    Kind::Machine => Modules::Any,
                },
            ),
            isolation: match self.kind {
                Kind::Replayable => Isolation::Wasm,
                Kind::Native => Isolation::Process,
                Kind::LocalMachine => Isolation::Container,
                Kind::Machine => Isolation::MicroVm,
            },
            location: if self.kind == Kind::Machine { Location::Remote } else { Location::Local },
            machine: self.kind.is_machine(),
            internet: self.kind == Kind::Machine,
            observes: self.kind == Kind::Replayable,
            replayable: self.kind == Kind::Replayable,
            effectful: self.kind == Kind::Machine,
            price_per_second: None,
            max_memory: 512 << 20,
            max_wall: Duration::from_secs(3600),
        }
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        if let Some(fault) = self.behaviour().open_fault.clone() {
            return Err(fault);
        }
        self.state.note("opened");
        if !spec.network.is_open() {
            self.state.note(format!("network {}", spec.network.deny_out.join(" ")));
        }
        self.state.sandboxes.fetch_add(1, SeqCst);
        Ok(Box::new(ScriptedSandbox { backend: self.clone(), files: Shared::default() }))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        (!self.kind.is_machine()).then_some(self as &dyn Kernels)
    }
}

#[async_trait]
impl Kernels for ScriptedKernels {
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        Fault::check_language(language, |given| given == self.language)?;
        if let Some(fault) = self.behaviour().open_fault.clone() {
            return Err(fault);
        }
        Ok(self.kernel(options, Shared::default()))
    }
}

struct ScriptedSandbox {
    backend: ScriptedKernels,
    files: Shared,
}

#[async_trait]
impl Sandbox for ScriptedSandbox {
    async fn run(&mut self, _: &Program, _: &Limits, _: &Events) -> Result<Outcome, Fault> {
        Err(Fault::Unavailable { reason: "this backend runs cells only".to_owned() })
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn maintain(&mut self, how: Maintenance) -> Result<(), Fault> {
        self.backend.state.note(if how == Maintenance::Asleep { "asleep" } else { "kept awake" });
        Ok(())
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        None
    }

    fn machine(&self) -> Option<Arc<dyn Machine>> {
        Some(Arc::new(ScriptedMachine { backend: self.backend.clone(), files: self.files.clone() }))
    }
}

impl Drop for ScriptedSandbox {
    fn drop(&mut self) {
        self.backend.state.sandboxes.fetch_sub(1, SeqCst);
    }
}

struct ScriptedMachine {
    backend: ScriptedKernels,
    files: Shared,
}

#[async_trait]
impl Kernels for ScriptedMachine {
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        Fault::check_language(language, |given| given == self.backend.language)?;
        let mut behaviour = self.backend.behaviour();
        if behaviour.missing_sandboxes > 0 {
            behaviour.missing_sandboxes -= 1;
            return Err(Fault::Unavailable { reason: "it is gone".to_owned() });
        }
        drop(behaviour);
        Ok(self.backend.kernel(options, self.files.clone()))
    }
}

#[async_trait]
impl Machine for ScriptedMachine {
    /// Answers `/files?path=…`, for paths without escapes, and `CreateWatcher`; every other request gets a description of itself.
    async fn call(&self, port: u16, request: Request<Bytes>) -> Result<Response<Body>, Fault> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.query().and_then(|query| query.strip_prefix("path=")).unwrap_or_default();
        let (status, answer) = match (parts.uri.path(), &parts.method) {
            ("/files", &Method::GET) => match self.files.lock().unwrap().get(path) {
                Some(content) => (StatusCode::OK, Bytes::from(content.clone())),
                None => (StatusCode::NOT_FOUND, Bytes::new()),
            },
            ("/files", _) => {
                self.files.lock().unwrap().insert(path.to_owned(), body.to_vec());
                (StatusCode::OK, json!([{ "path": path }]).to_string().into())
            }
            ("/filesystem.Filesystem/CreateWatcher", _) => {
                (StatusCode::OK, json!({ "watcherId": "remote" }).to_string().into())
            }
            _ => {
                let headers: BTreeMap<_, _> =
                    parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
                let echo = json!({
                    "port": port, "method": parts.method.as_str(), "uri": parts.uri.to_string(), "headers": headers,
                    "body": String::from_utf8_lossy(&body),
                });
                (StatusCode::OK, echo.to_string().into())
            }
        };
        let mut response = Response::new(Box::pin(stream::iter([Ok(answer)])) as Body);
        *response.status_mut() = status;
        response.headers_mut().insert("x-answered-by", "machine".parse().unwrap());
        Ok(response)
    }

    /// Changes the protocol and returns every byte, except for paths that begin with `/page`, which have none.
    async fn upgrade(&self, port: u16, request: Request<Bytes>) -> Result<Upgraded, Fault> {
        if request.uri().path().starts_with("/page") {
            return self.call(port, request).await.map(Upgraded::Refused);
        }
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in request.headers() {
            head.headers_mut().insert(format!("x-{name}").parse::<HeaderName>().unwrap(), value.clone());
        }
        let (ours, theirs) = tokio::io::duplex(1024);
        let (mut from, mut to) = tokio::io::split(theirs);
        tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
        Ok(Upgraded::Switched(head, Box::new(ours)))
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), Fault> {
        let apply_time = self.backend.behaviour().apply_time;
        sleep(apply_time).await;
        apply(&self.files, changes);
        Ok(())
    }

    async fn write_with(&self, path: &str, content: Bytes, metadata: &BTreeMap<String, String>) -> Result<bool, Fault> {
        for (key, value) in metadata {
            self.backend.state.note(format!("{path} {key}: {value}"));
        }
        self.files.lock().unwrap().insert(path.to_owned(), content.to_vec());
        Ok(true)
    }

    async fn export_files(&self, _max_bytes: u64) -> Result<Vec<Change>, Fault> {
        let files = self.files.lock().unwrap().clone();
        Ok(files.into_iter().map(|(path, content)| Change { path, content: Content::File(content.into()) }).collect())
    }

    async fn has_processes(&self) -> Result<bool, Fault> {
        Ok(self.backend.behaviour().has_processes)
    }

    async fn set_network(&self, network: &NetworkPolicy) -> Result<(), Fault> {
        self.backend.state.note(format!("network {}", network.deny_out.join(" ")));
        Ok(())
    }

    async fn ensure_lifetime(&self, time: Duration) -> Result<(), Fault> {
        self.backend.state.note(format!("lifetime {}", time.as_secs()));
        Ok(())
    }
}

fn apply(files: &Shared, changes: &[Change]) {
    let mut files = files.lock().unwrap();
    for change in changes {
        match &change.content {
            Content::File(content) => drop(files.insert(change.path.clone(), content.to_vec())),
            Content::Folder => {}
            Content::Removed => drop(files.remove(&change.path)),
        }
    }
}

struct ScriptedKernel {
    kind: Kind,
    state: Arc<BackendState>,
    options: KernelOptions,
    names: BTreeMap<String, String>,
    files: Shared,
    /// Seconds of processor time of the running cell.
    work: u64,
}

impl Drop for ScriptedKernel {
    fn drop(&mut self) {
        self.state.kernels.fetch_sub(1, SeqCst);
    }
}

/// Why a cell ended before its last statement.
enum Stop {
    Raised(Failure, Option<Need>),
    Exit,
    Fault(Fault),
}

#[async_trait]
impl Kernel for ScriptedKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        let _running = RunningCell::new(self.state.clone());
        if !cell.source.is_empty() {
            self.state.note(format!("ran {}", cell.source.replace('\n', "; ")));
        }
        self.work = 0;
        apply(&self.files, &cell.changes);
        let (began, mut changes) = (Instant::now(), Vec::new());
        let run = timeout(limits.wall, self.statements(cell, limits, events, &mut changes)).await;
        let (exit, unmet_need) = match run {
            Ok(Ok(())) => (Exit::Finished(0), None),
            Ok(Err(Stop::Raised(failure, unmet_need))) => {
                events.send(Event::Error(failure)).await;
                (Exit::Raised, unmet_need)
            }
            Ok(Err(Stop::Exit)) => (Exit::Killed, None),
            Ok(Err(Stop::Fault(fault))) => return Err(fault),
            Err(_) if limits.escalation == Escalation::OnNeed => {
                return Err(Fault::Unsupported(Need::Time(limits.wall)));
            }
            Err(_) => (Exit::TimedOut, None),
        };
        let (wall, cpu) = (began.elapsed(), Duration::from_secs(self.work));
        let usage = Usage { wall, cpu, memory: 1 << 20, ..Usage::default() };
        let outcome = Outcome { exit, observed: Some(Effects::NONE), truncated: false, usage, unmet_need };
        let own_end = matches!(exit, Exit::Finished(_) | Exit::Raised);
        let Behaviour { incomplete_tapes, ignores_interrupts, .. } = self.state.behaviour.lock().unwrap().clone();
        let alive = own_end || self.kind == Kind::Native && exit == Exit::TimedOut && !ignores_interrupts;
        let tape = (self.kind == Kind::Replayable).then(|| Tape { incomplete: incomplete_tapes, ..Tape::default() });
        Ok(CellOutcome { outcome, changes, tape, alive })
    }

    /// Runs the two internal programs of the host: to export the state of a kernel, and to restore one.
    async fn run_internal(&mut self, code: &str, _: Duration) -> Result<String, Fault> {
        let Some((_, given)) = code.rsplit_once(".restore.restore(") else { return Ok(json!(self.names).to_string()) };
        let given = serde_json::Deserializer::from_str(given).into_iter::<String>().next();
        let mut given = given.unwrap().unwrap();
        if given.starts_with('/') {
            given = String::from_utf8(self.files.lock().unwrap()[&given].clone()).unwrap();
        }
        let given: Value = serde_json::from_str(&given).unwrap();
        Ok(self.restore(&given).await.to_string())
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        self.names.clear();
        Ok(())
    }

    fn survives_interrupt(&self) -> bool {
        self.kind != Kind::Replayable && !self.state.behaviour.lock().unwrap().ignores_interrupts
    }
}

impl ScriptedKernel {
    /// Runs the cells again and compares the value of every name with the exported one.
    async fn restore(&mut self, given: &Value) -> Value {
        let cells = given["cells"].as_array().unwrap();
        let limits = Limits { wall: Duration::MAX, memory: 0, output: 0, escalation: Escalation::Never };
        for given_cell in cells {
            let change = |change: &Value| Change {
                path: change["path"].as_str().unwrap().to_owned(),
                content: match change["content"].as_str() {
                    Some(content) => Content::File(STANDARD.decode(content).unwrap().into()),
                    None if change["folder"] == true => Content::Folder,
                    None => Content::Removed,
                },
            };
            let cell = Cell {
                source: given_cell["code"].as_str().unwrap().to_owned(),
                changes: given_cell["changes"].as_array().unwrap().iter().map(change).collect(),
                ..Cell::default()
            };
            apply(&self.files, &cell.changes);
            if given_cell["incomplete"] == true {
                continue;
            }
            self.state.note(format!("ran {}", cell.source.replace('\n', "; ")));
            let (events, mut output) = Events::channel();
            let run = async {
                let _ = self.statements(&cell, &limits, &events, &mut Vec::new()).await;
                drop(events);
            };
            tokio::join!(run, async { while output.recv().await.is_some() {} });
        }
        let mut exported = given["state"].as_object().unwrap().iter();
        match exported.find(|(name, value)| self.names.get(*name).map(String::as_str) != value.as_str()) {
            None => json!({ "ok": true, "ms": 1 }),
            Some((name, _)) => {
                let (sets, adds) = (format!("{name} ="), format!("{name} +="));
                let names = |line: &str| line.starts_with(&sets) || line.starts_with(&adds);
                let set = cells.iter().rfind(|cell| cell["code"].as_str().unwrap().lines().any(names)).unwrap();
                json!({
                    "ok": false, "cell": set["number"], "name": name, "reason": "it came out different there", "ms": 1,
                })
            }
        }
    }

    async fn statements(
        &mut self,
        cell: &Cell,
        limits: &Limits,
        events: &Events,
        changes: &mut Vec<Change>,
    ) -> Result<(), Stop> {
        for (line, statement) in (1..).zip(cell.source.lines()) {
            let raised = |name: &str, value: &str| {
                let traceback = format!("line {line}\n{name}: {value}\n");
                Failure { name: name.to_owned(), value: value.to_owned(), traceback, line: Some(line) }
            };
            let raise = |name: &str, value: &str| Err(Stop::Raised(raised(name, value), None));
            let call = statement.split_once('(').and_then(|(word, rest)| Some((word, rest.strip_suffix(')')?)));
            let (word, rest) = call
                .map(|(word, given)| (word, given.trim_matches('"')))
                .or_else(|| statement.split_once(' '))
                .unwrap_or((statement, ""));
            match (word, rest) {
                ("sleep", seconds) => sleep(Duration::from_secs(seconds.parse().unwrap())).await,
                ("work", seconds) => {
                    self.work += seconds.parse::<u64>().unwrap();
                    sleep(Duration::from_secs(self.work)).await;
                }
                ("raise", what) => {
                    let (name, value) = what.split_once(": ").unwrap();
                    return raise(name, value);
                }
                ("import", _) if self.kind == Kind::Machine => {}
                ("import", "pandas") if self.kind == Kind::Native => {}
                ("import", module) if limits.escalation == Escalation::OnNeed => {
                    return Err(Stop::Fault(Fault::Unsupported(Need::Module(module.to_owned()))));
                }
                ("import", module) => {
                    let failure = raised("ModuleNotFoundError", &format!("No module named '{module}'"));
                    return Err(Stop::Raised(failure, Some(Need::Module(module.to_owned()))));
                }
                ("exit", _) => return Err(Stop::Exit),
                ("die", "once") if self.state.deaths.fetch_add(1, SeqCst) > 0 => {}
                ("die", _) => return Err(Stop::Fault(Fault::Lost { reason: "it died".to_owned() })),
                ("print", text) => drop(events.send(Event::Stdout(format!("{text}\n"))).await),
                ("env", name) => {
                    let value = cell.env.get(name).or_else(|| self.options.env.get(name));
                    events.send(Event::Stdout(format!("{}\n", value.map_or("-", |value| value)))).await;
                }
                ("input", _) => {
                    let Some(input) = &cell.stdin else { return raise("EOFError", "there is no input") };
                    events.send(Event::Stdout(input.clone())).await;
                }
                ("read", path) => {
                    let found = self.files.lock().unwrap().get(path).cloned();
                    let Some(content) = found else { return raise("FileNotFoundError", path) };
                    events.send(Event::Stdout(String::from_utf8(content).unwrap())).await;
                }
                ("write", what) => {
                    let (path, text) = what.split_once(' ').unwrap();
                    let change =
                        Change { path: path.to_owned(), content: Content::File(text.as_bytes().to_vec().into()) };
                    apply(&self.files, std::slice::from_ref(&change));
                    changes.push(change);
                }
                (name, "= TIER") => {
                    let tier = match self.kind {
                        Kind::Replayable => "wasm",
                        Kind::Native => "native",
                        Kind::Machine => "e2b",
                        Kind::LocalMachine => "machine",
                    };
                    self.names.insert(name.to_owned(), tier.to_owned());
                }
                (name, rest) if rest.starts_with("= ") => {
                    self.names.insert(name.to_owned(), rest.trim_start_matches("= ").to_owned());
                }
                (name, rest) if rest.starts_with("+= ") => {
                    let Some(value) = self.names.get_mut(name) else { return raise("NameError", name) };
                    let more: u64 = rest.trim_start_matches("+= ").parse().unwrap();
                    *value = (value.parse::<u64>().unwrap() + more).to_string();
                }
                (name, _) => {
                    let Some(value) = self.names.get(name) else { return raise("NameError", name) };
                    let data = [("text/plain".to_owned(), value.clone())].into();
                    events.send(Event::Result { data, main: true }).await;
                }
            }
        }
        Ok(())
    }
}

/// Counts a running cell until it is dropped.
struct RunningCell(Arc<BackendState>);

impl RunningCell {
    fn new(state: Arc<BackendState>) -> Self {
        state.running.fetch_add(1, SeqCst);
        Self(state)
    }
}

impl Drop for RunningCell {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}
