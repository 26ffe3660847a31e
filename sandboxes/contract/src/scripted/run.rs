//! One run of a script.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::random::Splitmix;
use super::script::{Directive, Script};
use super::{Files, Scripted};
use crate::events::{Event, Events};
use crate::fault::{Fault, Need};
use crate::kernel::{Change, Content};
use crate::language::Language;
use crate::limits::{Escalation, Limits};
use crate::outcome::{Effect, Effects, Exit, Failure, Outcome, Usage};
use crate::program::{Program, Randomness};
use crate::python::HOME;

pub(super) struct Run<'a> {
    backend: &'a Scripted,
    workspace: &'a mut Workspace,
    program: &'a Program,
    limits: &'a Limits,
    events: &'a Events,
    /// The rest of stdin.
    stdin: &'a str,
    /// The program's random stream, where it was given a seed.
    seeded: Option<Splitmix>,
    started: Instant,
    effects: Effects,
    /// Bytes of output that may still be printed.
    output_left: u64,
    truncated: bool,
    memory: u64,
    unmet_need: Option<Need>,
}

/// What outlasts a run: variables and files.
#[derive(Default)]
pub(super) struct Workspace {
    pub(super) variables: BTreeMap<String, String>,
    pub(super) files: Files,
    /// What the script wrote.
    pub(super) changes: Vec<Change>,
}

impl Workspace {
    pub(super) fn apply(&self, changes: &[Change]) {
        apply(&self.files, changes);
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies changes to files; scripts have no folders.
pub(super) fn apply(files: &Files, changes: &[Change]) {
    let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
    for change in changes {
        match &change.content {
            Content::File(content) => drop(files.insert(change.path.clone(), content.clone())),
            Content::Folder => {}
            Content::Removed => drop(files.remove(&change.path)),
        }
    }
}

/// Returns the absolute form of a path that may be relative to the home folder.
pub(super) fn home_path(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{HOME}/{path}") }
}

/// Why a run ends before its last directive.
enum EarlyExit {
    Exit(Exit),
    Fault(Fault),
}

impl From<Fault> for EarlyExit {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(
        backend: &'a Scripted,
        workspace: &'a mut Workspace,
        program: &'a Program,
        limits: &'a Limits,
        events: &'a Events,
    ) -> Self {
        let seeded = match program.randomness {
            Randomness::Fresh => None,
            Randomness::Seeded(seed) => Some(Splitmix::new(seed)),
        };
        Self {
            backend,
            workspace,
            program,
            limits,
            events,
            stdin: program.stdin.as_deref().unwrap_or_default(),
            seeded,
            started: Instant::now(),
            effects: Effects::NONE,
            output_left: limits.output,
            truncated: false,
            memory: 0,
            unmet_need: None,
        }
    }

    /// Runs the script to its end or to the deadline, after a delay.
    pub(super) async fn run(mut self, script: &Script, delay: Duration) -> Result<Outcome, Fault> {
        let deadline = self.started + self.limits.wall;
        let ended = tokio::time::timeout_at(deadline, self.steps(script, delay)).await;
        let exit = match ended {
            Ok(Ok(())) => Exit::Finished(0),
            Ok(Err(EarlyExit::Exit(exit))) => exit,
            Ok(Err(EarlyExit::Fault(fault))) => return Err(fault),
            Err(_) => Exit::TimedOut,
        };
        Ok(Outcome {
            exit,
            observed: self.backend.settings.offer.observes.then_some(self.effects),
            truncated: self.truncated,
            usage: Usage { wall: self.started.elapsed(), memory: self.memory, ..Usage::default() },
            unmet_need: self.unmet_need,
        })
    }

    async fn steps(&mut self, script: &Script, delay: Duration) -> Result<(), EarlyExit> {
        super::pause(delay).await;
        for step in &script.0 {
            self.step(&step.directive, step.line).await?;
        }
        Ok(())
    }

    async fn step(&mut self, directive: &Directive, line: u32) -> Result<(), EarlyExit> {
        match directive {
            Directive::Print(text) => self.print(format!("{text}\n"), Event::Stdout).await,
            Directive::Eprint(text) => self.print(format!("{text}\n"), Event::Stderr).await,
            Directive::Flood(bytes) => self.print("x".repeat(*bytes), Event::Stdout).await,
            Directive::Show(text) => {
                let data = [("text/plain".to_owned(), text.clone())].into();
                self.events.send(Event::Result { data, main: true }).await;
            }
            Directive::Sleep(time) => super::pause(*time).await,
            Directive::Raise { name, value } => return self.raise(name, value, line).await,
            Directive::Exit(code) => return Err(EarlyExit::Exit(Exit::Finished(*code))),
            Directive::Kill => return Err(EarlyExit::Exit(Exit::Killed)),
            Directive::Alloc(bytes) => return self.allocate(*bytes),
            Directive::Read => return self.read(line).await,
            Directive::Cat(path) => return self.cat(path, line).await,
            Directive::Write { path, text } => {
                let change = Change { path: home_path(path), content: Content::File(text.clone().into()) };
                self.workspace.apply(std::slice::from_ref(&change));
                self.workspace.changes.push(change);
            }
            Directive::Env(name) => return self.environment(name, line).await,
            Directive::Clock => self.read_outside(Effect::Clock).await,
            Directive::Random => self.read_outside(Effect::Randomness).await,
            Directive::Identity => self.read_outside(Effect::Identity).await,
            Directive::Set { name, value } => {
                self.workspace.variables.insert(name.clone(), value.clone());
            }
            Directive::Get(name) => match self.workspace.variables.get(name).cloned() {
                Some(value) => self.print(value + "\n", Event::Stdout).await,
                None => return self.raise("NameError", name, line).await,
            },
            Directive::Need(need) => return self.need(need, line).await,
            Directive::Touch(name) => {
                *self.backend.state().touched.entry(name.clone()).or_default() += 1;
            }
            Directive::Fault { fault, percent } => {
                if self.backend.state().random.happens(percent * 10) {
                    return Err(fault.clone().into());
                }
            }
        }
        Ok(())
    }

    /// Sends as much of the text as the limit allows.
    async fn print(&mut self, mut text: String, wrap: fn(String) -> Event) {
        let left = usize::try_from(self.output_left).unwrap_or(usize::MAX);
        if text.len() > left {
            let end = (0..=left).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            self.truncated = true;
            self.output_left = 0;
        } else {
            self.output_left -= text.len() as u64;
        }
        if !text.is_empty() {
            self.events.send(wrap(text)).await;
        }
    }

    async fn raise(&mut self, name: &str, value: &str, line: u32) -> Result<(), EarlyExit> {
        let failure = Failure {
            name: name.to_owned(),
            value: value.to_owned(),
            traceback: format!("line {line}\n{name}: {value}\n"),
            line: Some(line),
        };
        self.events.send(Event::Error(failure)).await;
        Err(EarlyExit::Exit(Exit::Raised))
    }

    fn allocate(&mut self, bytes: u64) -> Result<(), EarlyExit> {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory <= self.limits.memory {
            return Ok(());
        }
        Err(match self.limits.escalation {
            Escalation::OnNeed => Fault::Unsupported(Need::Memory(self.limits.memory)).into(),
            Escalation::Never => EarlyExit::Exit(Exit::OutOfMemory),
        })
    }

    async fn read(&mut self, line: u32) -> Result<(), EarlyExit> {
        if self.program.stdin.is_none() {
            self.effects.add(Effect::Stdin);
        }
        if self.stdin.is_empty() {
            return self.raise("EOFError", "EOF when reading a line", line).await;
        }
        let (read, rest) = self.stdin.split_once('\n').unwrap_or((self.stdin, ""));
        self.stdin = rest;
        self.print(format!("{read}\n"), Event::Stdout).await;
        Ok(())
    }

    async fn cat(&mut self, path: &str, line: u32) -> Result<(), EarlyExit> {
        let content = self.workspace.files().get(&home_path(path)).cloned();
        match content {
            Some(content) => self.print(String::from_utf8_lossy(&content).into_owned(), Event::Stdout).await,
            None => return self.raise("FileNotFoundError", path, line).await,
        }
        Ok(())
    }

    async fn environment(&mut self, name: &str, line: u32) -> Result<(), EarlyExit> {
        if self.program.env.is_none() {
            self.effects.add(Effect::Environment);
        }
        match self.program.env.as_ref().and_then(|env| env.get(name)) {
            Some(value) => self.print(format!("{value}\n"), Event::Stdout).await,
            None => return self.raise("KeyError", name, line).await,
        }
        Ok(())
    }

    async fn read_outside(&mut self, effect: Effect) {
        self.effects.add(effect);
        let answer = match (&mut self.seeded, effect) {
            (Some(seeded), _) => seeded.draw(),
            (None, Effect::Identity) => self.backend.counts().opened,
            (None, _) => self.backend.state().random.draw(),
        };
        self.print(format!("{answer}\n"), Event::Stdout).await;
    }

    async fn need(&mut self, need: &Need, line: u32) -> Result<(), EarlyExit> {
        let offer = &self.backend.settings.offer;
        let has = match need {
            Need::Module(module) => offer.languages.has_module(Language::Python, module),
            _ => offer.effectful,
        };
        if has {
            return Ok(());
        }
        if self.limits.escalation == Escalation::OnNeed {
            return Err(Fault::Unsupported(need.clone()).into());
        }
        self.unmet_need = Some(need.clone());
        match need {
            Need::Module(name) => self.raise("ModuleNotFoundError", &format!("No module named '{name}'"), line).await,
            other => self.raise("OSError", &format!("not provided: {other}"), line).await,
        }
    }
}
