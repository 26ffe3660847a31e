//! Kernels for tests: a backend that keeps them, of a toy language, a statement a line:
//!
//! `x = 3`, `x = PLACE` (here, native or there), `x += 1`, `x`, `print TEXT`, `env NAME`, `input`, `read PATH`,
//! `write PATH TEXT`, `sleep SECONDS`, `work SECONDS` (it costs processor time), `raise NAME: TEXT`, `import MODULE`
//! (only machines have any; native kernels have pandas), `exit` (the interpreter destroys itself), `die` (the kernel
//! is lost) and `die once` (lost where nobody died so before). Also written as calls, `print("a")`, so that a cell is
//! Python to whoever reads it before it runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use switchtower_contract::{
    Backend, Body, Cell, CellOutcome, Change, Content, Effects, Escalation, Event, Events, Exit, Failure, Fault,
    InterpreterId, Isolation, Kernel, KernelOptions, Kernels, Language, Limits, Location, Machine, Maintenance,
    Modules, Need, Offer, Outcome, Program, Sandbox, Spec, Tape, Usage,
};
use tokio::time::{Instant, sleep, timeout};

type Shared = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// The backend. Clones are the same backend, so a test keeps one to look at.
#[derive(Clone)]
pub(crate) struct Toy {
    kind: Kind,
    seen: Arc<Seen>,
}

/// What its kernels are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Made again from their cells.
    Here,
    /// Made again from nothing; they outlive a cell that is broken off.
    Native,
    /// On a machine.
    There,
}

#[derive(Default)]
struct Seen {
    /// Kernels that were opened.
    opened: AtomicU32,
    /// Cells that run now.
    running: AtomicU32,
    /// Kernels that live.
    kernels: AtomicU32,
    /// Sandboxes that live.
    sandboxes: AtomicU32,
    deaths: AtomicU32,
    log: Mutex<Vec<String>>,
    mood: Mutex<Mood>,
}

/// How it behaves from now on.
#[derive(Clone, Default)]
pub(crate) struct Mood {
    /// No sandbox is opened, for this reason.
    pub(crate) refuses: Option<Fault>,
    /// How long a machine takes for files that are brought to it.
    pub(crate) applying: Duration,
    /// So many of its sandboxes turn out to be gone when a kernel is asked of them.
    pub(crate) vanished: u32,
    /// What the world answers is more than is kept.
    pub(crate) tears: bool,
    /// A cell that is broken off does not heed that, and its kernel goes with it.
    pub(crate) heedless: bool,
}

impl Seen {
    fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }
}

impl Toy {
    /// Keeps kernels, each with files of its own.
    pub(crate) fn here() -> Self {
        Self { kind: Kind::Here, seen: Arc::default() }
    }

    /// The same, but nobody keeps what the world answers to their cells.
    pub(crate) fn native() -> Self {
        Self { kind: Kind::Native, seen: Arc::default() }
    }

    /// Its sandboxes are machines: their kernels share their files.
    pub(crate) fn machines() -> Self {
        Self { kind: Kind::There, seen: Arc::default() }
    }

    pub(crate) fn opened(&self) -> u32 {
        self.seen.opened.load(SeqCst)
    }

    pub(crate) fn running(&self) -> u32 {
        self.seen.running.load(SeqCst)
    }

    /// Kernels that live.
    pub(crate) fn kernels(&self) -> u32 {
        self.seen.kernels.load(SeqCst)
    }

    /// Sandboxes that live.
    pub(crate) fn sandboxes(&self) -> u32 {
        self.seen.sandboxes.load(SeqCst)
    }

    /// What was done with it since this was asked last: `opened` (a sandbox), `ran CELL`, `awake`, `asleep`, `lasts
    /// 180`.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.log.lock().unwrap())
    }

    pub(crate) fn mood(&self) -> MutexGuard<'_, Mood> {
        self.seen.mood.lock().unwrap()
    }

    fn kernel(&self, opening: &KernelOptions, files: Shared) -> Box<dyn Kernel> {
        self.seen.opened.fetch_add(1, SeqCst);
        self.seen.kernels.fetch_add(1, SeqCst);
        let (seen, names) = (self.seen.clone(), BTreeMap::new());
        Box::new(ToyKernel { kind: self.kind, seen, opening: opening.clone(), names, files, work: 0 })
    }
}

#[async_trait]
impl Backend for Toy {
    fn runtime(&self) -> Arc<str> {
        "toy".into()
    }

    fn offer(&self) -> Offer {
        Offer {
            languages: vec![Language::Python],
            modules: match self.kind {
                Kind::Here => Modules::named(["math"]),
                Kind::Native => Modules::named(["math", "pandas"]),
                Kind::There => Modules::Any,
            },
            isolation: match self.kind {
                Kind::Here => Isolation::Wasm,
                Kind::Native => Isolation::Process,
                Kind::There => Isolation::MicroVm,
            },
            location: if self.kind == Kind::There { Location::Remote } else { Location::Local },
            machine: self.kind == Kind::There,
            observes: self.kind == Kind::Here,
            replayable: self.kind == Kind::Here,
            effectful: self.kind == Kind::There,
            price_per_second: None,
            max_memory: 512 << 20,
            max_wall: Duration::from_secs(3600),
        }
    }

    async fn open(&self, _: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        if let Some(fault) = self.mood().refuses.clone() {
            return Err(fault);
        }
        self.seen.note("opened");
        self.seen.sandboxes.fetch_add(1, SeqCst);
        Ok(Box::new(ToySandbox { toy: self.clone(), files: Shared::default() }))
    }

    fn kernels(&self) -> Option<&dyn Kernels> {
        (self.kind != Kind::There).then_some(self as &dyn Kernels)
    }
}

#[async_trait]
impl Kernels for Toy {
    async fn open_kernel(&self, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        if let Some(fault) = self.mood().refuses.clone() {
            return Err(fault);
        }
        Ok(self.kernel(options, Shared::default()))
    }
}

struct ToySandbox {
    toy: Toy,
    files: Shared,
}

#[async_trait]
impl Sandbox for ToySandbox {
    async fn run(&mut self, _: &Program, _: &Limits, _: &Events) -> Result<Outcome, Fault> {
        Err(Fault::Unavailable { reason: "a toy runs cells only".to_owned() })
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn maintain(&mut self, how: Maintenance) -> Result<(), Fault> {
        self.toy.seen.note(if how == Maintenance::Asleep { "asleep" } else { "awake" });
        Ok(())
    }

    fn interpreter(&self) -> Option<InterpreterId> {
        None
    }

    fn machine(&self) -> Option<Arc<dyn Machine>> {
        Some(Arc::new(ToyMachine { toy: self.toy.clone(), files: self.files.clone() }))
    }
}

impl Drop for ToySandbox {
    fn drop(&mut self) {
        self.toy.seen.sandboxes.fetch_sub(1, SeqCst);
    }
}

struct ToyMachine {
    toy: Toy,
    files: Shared,
}

#[async_trait]
impl Kernels for ToyMachine {
    async fn open_kernel(&self, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        let mut mood = self.toy.mood();
        if mood.vanished > 0 {
            mood.vanished -= 1;
            return Err(Fault::Unavailable { reason: "it is gone".to_owned() });
        }
        drop(mood);
        Ok(self.toy.kernel(options, self.files.clone()))
    }
}

#[async_trait]
impl Machine for ToyMachine {
    /// Its daemon has `/files?path=…`, for paths that need no escapes. All else is answered by what was asked.
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
                (StatusCode::OK, json!({ "watcherId": "there" }).to_string().into())
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
        response.headers_mut().insert("x-toy", "machine".parse().unwrap());
        Ok(response)
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), Fault> {
        let takes = self.toy.mood().applying;
        sleep(takes).await;
        apply(&self.files, changes);
        Ok(())
    }

    async fn ensure_lifetime(&self, time: Duration) -> Result<(), Fault> {
        self.toy.seen.note(format!("lasts {}", time.as_secs()));
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

struct ToyKernel {
    kind: Kind,
    seen: Arc<Seen>,
    opening: KernelOptions,
    names: BTreeMap<String, String>,
    files: Shared,
    /// Seconds of processor time of the cell that runs.
    work: u64,
}

impl Drop for ToyKernel {
    fn drop(&mut self) {
        self.seen.kernels.fetch_sub(1, SeqCst);
    }
}

/// How a statement did not go well.
enum Stop {
    Raised(Failure, Option<Need>),
    Exit,
    Fault(Fault),
}

#[async_trait]
impl Kernel for ToyKernel {
    async fn run(&mut self, cell: &Cell, limits: &Limits, events: &Events) -> Result<CellOutcome, Fault> {
        let _counted = Counted::new(self.seen.clone());
        if !cell.source.is_empty() {
            self.seen.note(format!("ran {}", cell.source.replace('\n', "; ")));
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
        let Mood { tears: torn, heedless, .. } = self.seen.mood.lock().unwrap().clone();
        let alive = own_end || self.kind == Kind::Native && exit == Exit::TimedOut && !heedless;
        let tape = (self.kind == Kind::Here).then(|| Tape { incomplete: torn, ..Tape::default() });
        Ok(CellOutcome { outcome, changes, tape, alive })
    }

    /// It knows the two things that the host runs in kernels: to export the state, and to restore one.
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
        self.kind != Kind::Here && !self.seen.mood.lock().unwrap().heedless
    }
}

impl ToyKernel {
    /// Runs the cells again and compares every name with what it was.
    async fn restore(&mut self, given: &Value) -> Value {
        let cells = given["cells"].as_array().unwrap();
        let limits = Limits { wall: Duration::MAX, memory: 0, output: 0, escalation: Escalation::Never };
        for told in cells {
            let change = |change: &Value| Change {
                path: change["path"].as_str().unwrap().to_owned(),
                content: match change["content"].as_str() {
                    Some(content) => Content::File(STANDARD.decode(content).unwrap().into()),
                    None if change["folder"] == true => Content::Folder,
                    None => Content::Removed,
                },
            };
            let cell = Cell {
                source: told["code"].as_str().unwrap().to_owned(),
                changes: told["changes"].as_array().unwrap().iter().map(change).collect(),
                ..Cell::default()
            };
            apply(&self.files, &cell.changes);
            if told["incomplete"] == true {
                continue;
            }
            self.seen.note(format!("ran {}", cell.source.replace('\n', "; ")));
            let (events, mut said) = Events::channel();
            let run = async {
                let _ = self.statements(&cell, &limits, &events, &mut Vec::new()).await;
                drop(events);
            };
            tokio::join!(run, async { while said.recv().await.is_some() {} });
        }
        let mut told = given["state"].as_object().unwrap().iter();
        match told.find(|(name, value)| self.names.get(*name).map(String::as_str) != value.as_str()) {
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
                ("import", _) if self.kind == Kind::There => {}
                ("import", "pandas") if self.kind == Kind::Native => {}
                ("import", module) if limits.escalation == Escalation::OnNeed => {
                    return Err(Stop::Fault(Fault::Unsupported(Need::Module(module.to_owned()))));
                }
                ("import", module) => {
                    let failure = raised("ModuleNotFoundError", &format!("No module named '{module}'"));
                    return Err(Stop::Raised(failure, Some(Need::Module(module.to_owned()))));
                }
                ("exit", _) => return Err(Stop::Exit),
                ("die", "once") if self.seen.deaths.fetch_add(1, SeqCst) > 0 => {}
                ("die", _) => return Err(Stop::Fault(Fault::Lost { reason: "it died".to_owned() })),
                ("print", text) => drop(events.send(Event::Stdout(format!("{text}\n"))).await),
                ("env", name) => {
                    let value = cell.env.get(name).or_else(|| self.opening.env.get(name));
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
                (name, "= PLACE") => {
                    let place = match self.kind {
                        Kind::Here => "here",
                        Kind::Native => "native",
                        Kind::There => "there",
                    };
                    self.names.insert(name.to_owned(), place.to_owned());
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

/// A cell that runs.
struct Counted(Arc<Seen>);

impl Counted {
    fn new(seen: Arc<Seen>) -> Self {
        seen.running.fetch_add(1, SeqCst);
        Self(seen)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}
