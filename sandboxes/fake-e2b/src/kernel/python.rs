//! A kernel that is a Python process. It behaves as ipykernel does, as far as clients and agents' programs can see.
//!
//! It runs cells of Bash, too, in a shell that the driver starts. Limits: no charts from matplotlib figures, no rich help, few magics.
//!
//! A driver in the process reads [requests](DriverRequest) on its standard input and writes [answers](DriverAnswer) to
//! its standard output. The program's own streams are pipes that the driver reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_e2b_wire::rows;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep_until};

use super::messages::{DriverAnswer, DriverRequest};
use super::{CellCode, ContextKernel, KernelState, Language};
use crate::namespace::{Namespace, ProcessGroup};
use crate::row_stream::RowSender;

/// The parts of the driver, with the modules that they are run as: those that kernels of Switchtower have too, then the
/// driver's own, which is one program in several files.
const DRIVER: [(&str, &str); 6] = [
    ("_switchtower_kernel.paths", include_str!("../../../python/shared/_switchtower/paths.py")),
    ("_switchtower_kernel.failure", include_str!("../../../python/shared/_switchtower/failure.py")),
    ("_switchtower_kernel.tracebacks", include_str!("../../../python/shared/_switchtower/tracebacks.py")),
    ("_switchtower_kernel.pretty", include_str!("../../../python/shared/_switchtower/pretty.py")),
    ("_switchtower_kernel.json_values", include_str!("../../../python/shared/_switchtower/json_values.py")),
    (
        "_switchtower_kernel",
        concat!(
            include_str!("driver/wire.py"),
            include_str!("driver/streams.py"),
            include_str!("driver/display.py"),
            include_str!("driver/traceback.py"),
            include_str!("driver/magic.py"),
            include_str!("driver/imports.py"),
            include_str!("driver/paths.py"),
            include_str!("driver/bash.py"),
            include_str!("driver/shell.py"),
        ),
    ),
];
/// Reads the modules of a driver, each as many bytes as its argument says, so that the list of processes does not show the
/// driver. The file name is one of those that tracebacks leave out.
const BOOTSTRAP: &str = "import os, sys, types
for part in sys.argv[1:]:
    name, length = part.split(':')
    source = b''
    while len(source) < int(length):
        source += os.read(0, int(length) - len(source))
    driver = sys.modules[name] = types.ModuleType(name)
    driver.__package__ = '_switchtower_kernel'
    exec(compile(source, '/switchtower/' + name, 'exec'), driver.__dict__)
driver.main()";
/// Longest that a program may take to react to an interrupt.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct PythonKernel {
    namespace: Arc<Namespace>,
    cwd: String,
    modules: Option<BTreeSet<String>>,
    language: Language,
    process: Option<Process>,
}

/// A driver that waits for a request, or runs a cell.
struct Process {
    group: ProcessGroup,
    requests: ChildStdin,
    answers: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl PythonKernel {
    pub(crate) fn new(
        namespace: Arc<Namespace>,
        cwd: &str,
        modules: Option<&BTreeSet<String>>,
        language: Language,
    ) -> Self {
        Self { namespace, cwd: cwd.to_owned(), modules: modules.cloned(), language, process: None }
    }

    async fn start(&self) -> std::io::Result<Process> {
        let python = self.namespace.python().await;
        let parts = DRIVER.iter().map(|(name, source)| format!("{name}:{}", source.len()));
        let args: Vec<String> = ["-c".to_owned(), BOOTSTRAP.to_owned()].into_iter().chain(parts).collect();
        let mut command = self.namespace.command(Path::new(&python), &args, &self.cwd, &BTreeMap::new(), false).await;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut group = ProcessGroup(command.spawn()?);
        let no_pipe = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let mut requests = group.0.stdin.take().ok_or_else(no_pipe)?;
        let mut answers = BufReader::new(group.0.stdout.take().ok_or_else(no_pipe)?).lines();
        let (modules, root) = (self.modules.as_ref(), self.namespace.root_on_host());
        let setup = DriverRequest::Setup { modules, root, language: self.language.name() }.line()?;
        let first_answer = async {
            for (_, source) in DRIVER {
                requests.write_all(source.as_bytes()).await?;
            }
            requests.write_all(setup.as_bytes()).await?;
            answers.next_line().await?.map(|line| DriverAnswer::parse(&line)).transpose()
        };
        match first_answer.await {
            Ok(Some(DriverAnswer::Ready {})) => {}
            _ => return Err(std::io::Error::other(format!("{} is not a Python that runs here", python.display()))),
        }
        Ok(Process { group, requests, answers })
    }

    /// Returns the process, started anew where it has ended.
    async fn process(&mut self) -> std::io::Result<&mut Process> {
        let is_alive = self.process.as_mut().is_some_and(|process| matches!(process.group.0.try_wait(), Ok(None)));
        let process = match self.process.take() {
            Some(process) if is_alive => process,
            _ => self.start().await?,
        };
        Ok(self.process.insert(process))
    }
}

impl Process {
    async fn request(&mut self, request: &DriverRequest<'_>) -> std::io::Result<()> {
        self.requests.write_all(request.line()?.as_bytes()).await
    }

    async fn run(&mut self, cell: &CellCode, rows: &RowSender) -> std::io::Result<KernelState> {
        self.request(&DriverRequest::Run { code: &cell.code, env: &cell.env }).await?;
        let mut interrupted_until: Option<Instant> = None;
        loop {
            let answer = tokio::select! {
                biased;
                () = rows.closed(), if interrupted_until.is_none() => {
                    interrupted_until = Some(Instant::now() + INTERRUPT_TIMEOUT);
                    self.request(&DriverRequest::Interrupt {}).await?;
                    continue;
                }
                () = sleep_until(interrupted_until.unwrap_or_else(Instant::now)), if interrupted_until.is_some() => {
                    self.group.end().await;
                    return Ok(KernelState::Dead);
                }
                answer = self.answers.next_line() => answer?,
            };
            let Some(line) = answer else { return Ok(KernelState::Dead) };
            match DriverAnswer::parse(&line)? {
                DriverAnswer::Done {} => return Ok(KernelState::Idle),
                DriverAnswer::Row { row } if interrupted_until.is_none() => rows.send_encoded(row).await,
                DriverAnswer::Row { .. } => {}
                DriverAnswer::Ready {} => {
                    return Err(std::io::Error::other("the driver is ready in the middle of a cell"));
                }
            }
        }
    }
}

#[async_trait]
impl ContextKernel for PythonKernel {
    async fn run(&mut self, cell: &CellCode, rows: &RowSender) -> KernelState {
        let state = match self.process().await {
            // A pipe breaks when the interpreter dies; an answer that is none of the driver's is treated alike.
            Ok(process) => Ok(process.run(cell, rows).await.unwrap_or(KernelState::Dead)),
            Err(e) => Err(e),
        };
        match state {
            Ok(KernelState::Idle) => KernelState::Idle,
            Ok(ended) => {
                self.process = None;
                ended
            }
            Err(e) => {
                self.process = None;
                rows.send(&rows::error("KernelError", &format!("the kernel does not start: {e}"), "")).await;
                KernelState::Idle
            }
        }
    }
}
