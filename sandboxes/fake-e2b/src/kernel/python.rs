//! A kernel that is a Python process: it behaves as ipykernel does, as far as clients and agents' programs see.
//!
//! A driver in the process reads orders on its standard input and answers on its standard output, one JSON text a
//! line; the program's own streams are pipes that the driver reads. What it does not do: languages other than Python,
//! charts out of matplotlib figures, rich help, most magics.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep_until};

use super::{After, Cell, Kernel};
use crate::jail::{Group, Jail};
use crate::line::{self, Lines};

/// The driver: one program, in parts.
const DRIVER: &str = concat!(
    include_str!("driver/wire.py"),
    include_str!("driver/streams.py"),
    include_str!("driver/display.py"),
    include_str!("driver/traceback.py"),
    include_str!("driver/magic.py"),
    include_str!("driver/imports.py"),
    include_str!("driver/paths.py"),
    include_str!("driver/shell.py"),
);
/// Reads as much of a driver as its argument says, so that it does not stand in the list of processes.
const BOOT: &str = "import os, sys, types
driver = types.ModuleType('_switchtower_kernel')
sys.modules[driver.__name__] = driver
source, length = b'', int(sys.argv[1])
while len(source) < length:
    source += os.read(0, length - len(source))
exec(compile(source, '<kernel>', 'exec'), driver.__dict__)
driver.main()";
/// Longest that a program may take to heed an interrupt.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) struct PythonKernel {
    jail: Arc<Jail>,
    cwd: String,
    modules: serde_json::Value,
    process: Option<Process>,
}

/// A driver that waits for orders, or runs a cell.
struct Process {
    child: Group,
    orders: ChildStdin,
    said: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl PythonKernel {
    pub(crate) fn new(jail: Arc<Jail>, cwd: &str, modules: Option<&std::collections::BTreeSet<String>>) -> Self {
        Self { jail, cwd: cwd.to_owned(), modules: json!(modules), process: None }
    }

    async fn start(&self) -> std::io::Result<Process> {
        let python = self.jail.python().await;
        let args = ["-c".to_owned(), BOOT.to_owned(), DRIVER.len().to_string()];
        let mut command =
            self.jail.command(Path::new(&python), &args, &self.cwd, &std::collections::BTreeMap::new()).await;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Group(command.spawn()?);
        let gone = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let mut orders = child.0.stdin.take().ok_or_else(gone)?;
        let mut said = BufReader::new(child.0.stdout.take().ok_or_else(gone)?).lines();
        let sandbox = json!({"modules": self.modules, "root": self.jail.root_outside()});
        let greeting = async {
            orders.write_all(format!("{DRIVER}{sandbox}\n").as_bytes()).await?;
            said.next_line().await
        };
        match greeting.await {
            Ok(Some(line)) if line == "ready" => {}
            _ => return Err(std::io::Error::other(format!("{} is no Python that runs here", python.display()))),
        }
        Ok(Process { child, orders, said })
    }

    /// The living process, or a new one.
    async fn process(&mut self) -> std::io::Result<&mut Process> {
        let lives = self.process.as_mut().is_some_and(|process| matches!(process.child.0.try_wait(), Ok(None)));
        let process = match self.process.take() {
            Some(process) if lives => process,
            _ => self.start().await?,
        };
        Ok(self.process.insert(process))
    }
}

impl Process {
    async fn order(&mut self, order: &serde_json::Value) -> std::io::Result<()> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await
    }

    async fn run(&mut self, cell: &Cell, lines: &Lines) -> std::io::Result<After> {
        self.order(&json!({"run": cell.code, "env": cell.env})).await?;
        let mut until: Option<Instant> = None;
        loop {
            let said = tokio::select! {
                said = self.said.next_line() => said?,
                () = lines.closed(), if until.is_none() => {
                    until = Some(Instant::now() + GRACE);
                    self.order(&json!({"interrupt": true})).await?;
                    continue;
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    self.child.end().await;
                    return Ok(After::Dead);
                }
            };
            match said {
                Some(line) if line == "done" => return Ok(After::Idle),
                // The program asked for its interpreter's end.
                Some(line) if line == "left" => {
                    self.child.end().await;
                    return Ok(After::Idle);
                }
                Some(line) if until.is_none() => lines.send_text(line).await,
                Some(_) => {}
                None => return Ok(After::Dead),
            }
        }
    }
}

#[async_trait]
impl Kernel for PythonKernel {
    async fn run(&mut self, cell: &Cell, lines: &Lines) -> After {
        let after = match self.process().await {
            // A line that breaks is an interpreter that died.
            Ok(process) => Ok(process.run(cell, lines).await.unwrap_or(After::Dead)),
            Err(e) => Err(e),
        };
        match after {
            Ok(After::Idle) => After::Idle,
            Ok(ended) => {
                self.process = None;
                ended
            }
            Err(e) => {
                self.process = None;
                lines.send(&line::error("KernelError", &format!("the kernel does not start: {e}"), "")).await;
                After::Idle
            }
        }
    }
}
