//! A kernel that follows a script: no language, no process, all waiting on tokio's clock.
//!
//! Code with lines that begin with `#:` is a script of the contract's scripted backend; other code prints what the
//! settings say. `kill` and too much memory end the kernel, a backend's `fault` breaks the connection off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use switchtower_contract::scripted::{Scripted, Settings as Script};
use switchtower_contract::{
    Backend, Bundle, Event, Events, Exit, File, Language, Limits, Modules, Outcome, Program, Sandbox, Spec,
};

use super::{After, Cell, Kernel};
use crate::disk::Memory;
use crate::line::{self, Lines};
use crate::settings::Template;
use crate::wall::Wall;

/// Beyond any time-out of a sandbox.
const FOREVER: Duration = Duration::from_secs(1 << 31);

pub(crate) struct ScriptedKernel {
    backend: Scripted,
    sandbox: Option<Box<dyn Sandbox>>,
    unscripted: Arc<dyn Fn(&str) -> String + Send + Sync>,
    wall: Wall,
    disk: Arc<Memory>,
    env: BTreeMap<String, String>,
    count: u64,
}

/// The backend of a stand-in's scripted kernels.
pub(crate) fn backend(seed: u64, template: &Template) -> Scripted {
    let mut settings = Script::default();
    settings.offer.effectful = true;
    settings.offer.observes = false;
    settings.offer.modules = match &template.modules {
        None => Modules::Any,
        Some(names) => Modules::named(names.iter().cloned()),
    };
    Scripted::new(seed, settings)
}

impl ScriptedKernel {
    pub(crate) fn new(
        backend: Scripted,
        unscripted: Arc<dyn Fn(&str) -> String + Send + Sync>,
        wall: Wall,
        disk: Arc<Memory>,
        env: BTreeMap<String, String>,
    ) -> Self {
        Self { backend, sandbox: None, unscripted, wall, disk, env, count: 0 }
    }

    async fn play(&mut self, cell: &Cell, lines: &Lines) -> After {
        if self.sandbox.is_none() {
            match self.backend.open(&Spec::new(Language::Python)).await {
                Ok(sandbox) => self.sandbox = Some(sandbox),
                Err(_) => return After::Lost,
            }
        }
        let Some(sandbox) = &mut self.sandbox else { return After::Lost };
        let mut program = Program::python(cell.code.as_str());
        program.env = Some(self.env.iter().chain(&cell.env).map(|(k, v)| (k.clone(), v.clone())).collect());
        program.files = self.disk.files().into_iter().map(|(path, content)| File { path, content }).collect();
        let limits = Limits { wall: FOREVER, memory: 2 << 30, output: u64::MAX, ..Limits::default() };
        let (events, mut from) = Events::channel();
        let wall = self.wall;
        let running = async {
            let ended = sandbox.run(&program, &limits, &events).await;
            drop(events);
            ended
        };
        let telling = async {
            while let Some(event) = from.recv().await {
                if let Some(line) = told(event, &wall) {
                    lines.send(&line).await;
                }
            }
        };
        let (ended, ()) = tokio::join!(running, telling);
        match ended {
            Ok(outcome) => after(&outcome, lines, &wall).await,
            Err(_) => After::Lost,
        }
    }
}

#[async_trait]
impl Kernel for ScriptedKernel {
    async fn run(&mut self, cell: &Cell, lines: &Lines) -> After {
        self.count += 1;
        lines.send(&line::count(self.count)).await;
        let scripted = cell.code.lines().any(|line| line.trim_start().starts_with("#:"));
        if !scripted {
            let text = (self.unscripted)(&cell.code);
            if !text.is_empty() {
                lines.send(&line::stdout(&text, &self.wall.offset())).await;
            }
            return After::Idle;
        }
        let left = lines.clone();
        tokio::select! {
            after = self.play(cell, lines) => after,
            // Dropping the run ends the program and keeps the sandbox's variables: what an interrupt does.
            () = left.closed() => After::Idle,
        }
    }
}

async fn after(outcome: &Outcome, lines: &Lines, wall: &Wall) -> After {
    match outcome.exit {
        Exit::Finished(0) | Exit::Raised | Exit::TimedOut => After::Idle,
        Exit::Finished(code) => {
            let warning = "UserWarning: To exit: use 'exit', 'quit', or Ctrl-D.\n";
            lines.send(&line::stderr(warning, &wall.offset())).await;
            let value = code.to_string();
            let traceback =
                format!("An exception has occurred, use %tb to see the full traceback.\n\nSystemExit: {value}\n");
            lines.send(&line::error("SystemExit", &value, &traceback)).await;
            After::Idle
        }
        Exit::OutOfMemory | Exit::Killed => After::Dead,
    }
}

fn told(event: Event, wall: &Wall) -> Option<Value> {
    Some(match event {
        Event::Stdout(text) => line::stdout(&text, &wall.offset()),
        Event::Stderr(text) => line::stderr(&text, &wall.offset()),
        Event::Error(failure) => line::error(&failure.name, &failure.value, &failure.traceback),
        Event::Result { data, main } => result(data, main),
        Event::Restart => return None,
    })
}

fn result(data: Bundle, main: bool) -> Value {
    let mut line = Map::new();
    line.insert("type".to_owned(), "result".into());
    let mut extra = Map::new();
    for (mime, value) in data {
        match mime.as_str() {
            "text/plain" => line.insert("text".to_owned(), value.into()),
            "text/html" => line.insert("html".to_owned(), value.into()),
            "text/markdown" => line.insert("markdown".to_owned(), value.into()),
            "image/png" => line.insert("png".to_owned(), value.into()),
            _ => extra.insert(mime, value.into()),
        };
    }
    line.insert("extra".to_owned(), extra.into());
    line.insert("is_main_result".to_owned(), json!(main));
    line.into()
}
