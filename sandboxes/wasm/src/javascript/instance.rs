//! An instance of the engine: made for one program or as a kernel, and dropped.

use std::time::Duration;

use serde_json::json;
use switchtower_contract::{
    Cell, CellOutcome, Content, Escalation, Exit, Failure, Fault, KernelOptions, Language, Limits, Outcome, Program,
};
use switchtower_typescript::{Imports, Prepared, ProgramForm, Translated};
use switchtower_worker::output::SendEvent;
use wasmtime::{Engine, InstancePre, Linker, Module, Store, UpdateDeadline};

use super::arguments::{Reply, Values};
use super::exports::Exports;
use super::host::{self, Host};
use super::snapshot::{ENTRY, SCRATCH};
use crate::engine::Images;
use crate::instance::{MAX_INTERNAL_OUTPUT, outcome, stopped, thread_cpu_time};
use crate::run::{Cancel, Run};

const HOME: &str = switchtower_contract::python::HOME;

/// The linked image.
pub(crate) struct Image(InstancePre<Host>);

impl Image {
    pub(crate) fn link(engine: &Engine, module: &Module) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        host::link(&mut linker)?;
        Ok(Self(linker.instantiate_pre(module)?))
    }
}

/// An instance of the engine.
pub(crate) struct Instance {
    store: Store<Host>,
    language: Language,
}

/// Code as the engine gets it.
struct Source {
    prepared: Prepared,
    translated: Option<Translated>,
}

impl Instance {
    pub(crate) fn fresh(images: &Images, language: Language) -> wasmtime::Result<Self> {
        let mut store = Store::new(&images.engine, Host::new());
        store.limiter(|host| host);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            store.data().run.tick()?;
            Ok(UpdateDeadline::Continue(1))
        });
        let instance = images.javascript.0.instantiate(&mut store)?;
        let mut address = |name: &str| {
            let global = instance.get_global(&mut store, name).map(|global| global.get(&mut store));
            global.and_then(|value| value.i32()).ok_or_else(|| wasmtime::Error::msg("the image has no address"))
        };
        let (entry, scratch) = (address(ENTRY)?, address(SCRATCH)?);
        let exports = Exports::of(&instance, &mut store)?;
        let host = store.data_mut();
        (host.exports, host.entry, host.scratch) = (Some(exports), entry, scratch);
        Ok(Self { store, language })
    }

    /// Translates and prepares code; an error is the failure of the program.
    fn read(
        &self,
        source: &str,
        name: &str,
        imports: Imports,
        prepare: fn(&str) -> Prepared,
    ) -> Result<Source, Failure> {
        if self.language != Language::TypeScript {
            return Ok(Source { prepared: prepare(source), translated: None });
        }
        match switchtower_typescript::to_javascript(source, imports) {
            Ok(translated) => Ok(Source { prepared: prepare(&translated.code), translated: Some(translated) }),
            Err(error) => {
                let line = source.lines().nth(error.line as usize - 1).unwrap_or_default();
                let mark = " ".repeat(error.column as usize - 1);
                let at = format!("{name}:{}\n{line}\n{mark}^\n", error.line);
                Err(Failure {
                    name: "SyntaxError".to_owned(),
                    traceback: format!("{at}\nSyntaxError: {}", error.message),
                    value: error.message,
                    line: Some(error.line),
                })
            }
        }
    }

    /// Calls a function of the prelude with texts. Returns its exit code; `None` after an error that nobody caught.
    fn enter(&mut self, function: &str, given: &[&str]) -> wasmtime::Result<Option<i32>> {
        let mut values = Values::new(&mut self.store)?;
        let given = given.iter().map(|text| values.new_text(text)).collect::<wasmtime::Result<Vec<_>>>()?;
        let entry = values.store.data().entry;
        match values.call(entry, function, &given)? {
            Some(code) => {
                let code = values.number(code)? as i32;
                Ok((code >= 0).then_some(code))
            }
            None => {
                let text = values.exception_text()?;
                let (name, value) = text.split_once(": ").unwrap_or(("Error", &text));
                let failure =
                    Failure { name: name.to_owned(), value: value.to_owned(), traceback: text.clone(), line: None };
                values.store.data_mut().failure = Some(failure);
                Ok(None)
            }
        }
    }

    fn place(&mut self, path: &str, content: &Content) -> wasmtime::Result<()> {
        let mut values = Values::new(&mut self.store)?;
        let (kind, bytes): (&str, &[u8]) = match content {
            Content::File(bytes) => ("file", bytes),
            Content::Folder => ("folder", &[]),
            Content::Removed => ("removed", &[]),
        };
        let given = [values.new_text(path)?, values.new_text(kind)?, values.reply(Reply::Bytes(bytes.to_vec()))?];
        let entry = values.store.data().entry;
        if values.call(entry, "place", &given)?.is_none() {
            values.exception_text()?;
        }
        given.into_iter().try_for_each(|value| values.release(value))
    }

    fn outcome(
        &mut self,
        ended: wasmtime::Result<Option<i32>>,
        limits: &Limits,
        cpu: Duration,
    ) -> Result<Outcome, Fault> {
        let failure = self.store.data_mut().failure.take();
        let host = self.store.data();
        let denied = host.memory.was_denied();
        let exit = match ended {
            Ok(Some(code)) => Exit::Finished(code),
            Ok(None) => {
                let is_memory = |failure: &Failure| failure.name == "InternalError" && failure.value == "out of memory";
                let out_of_memory = denied && failure.as_ref().is_none_or(is_memory);
                host.run.lock().fail(failure.unwrap_or_else(|| Failure {
                    name: "InternalError".to_owned(),
                    value: "out of memory".to_owned(),
                    traceback: "InternalError: out of memory".to_owned(),
                    line: None,
                }));
                if out_of_memory { Exit::OutOfMemory } else { Exit::Raised }
            }
            Err(error) => stopped(&error, denied, limits)?,
        };
        Ok(outcome(&mut host.run.lock(), &host.memory, exit, cpu))
    }

    fn begin(&mut self, name: &str, translated: Option<Translated>) {
        self.store.set_epoch_deadline(1);
        let host = self.store.data_mut();
        host.failure = None;
        host.changes.clear();
        if let Some(translated) = translated {
            host.translations.insert(name.to_owned(), translated);
        }
    }
}

/// Returns what the prelude needs to know of code, beside its text.
fn description(source: &str, prepared: &Prepared, name: &str) -> serde_json::Value {
    let edits: Vec<_> = prepared
        .edits
        .iter()
        .map(|edit| json!({ "line": edit.line, "column": edit.column, "width": edit.width }))
        .collect();
    json!({
        "source": source, "edits": edits, "filename": name, "form": prepared.form.name(), "hasValue": prepared.has_value,
    })
}

impl crate::instance::Instance for Instance {
    fn run(
        &mut self,
        images: &Images,
        program: &Program,
        limits: &Limits,
        send: SendEvent,
        cancel: Cancel,
    ) -> Result<Outcome, Fault> {
        let cpu = thread_cpu_time();
        self.store.data_mut().memory.begin(limits.memory);
        *self.store.data().run.lock() = Run::for_program(program, limits, send, cancel);
        let typescript = self.language == Language::TypeScript;
        let name = format!("{HOME}/program.{}", if typescript { "ts" } else { "js" });
        let read = self.read(&program.source, &name, Imports::Used, switchtower_typescript::program);
        let source = match read {
            Ok(source) => source,
            Err(failure) => {
                self.store.data_mut().failure = Some(failure);
                return self.outcome(Ok(None), limits, cpu);
            }
        };
        self.begin(&name, source.translated);
        let mut given = description(&program.source, &source.prepared, &name);
        given["argv"] = json!(["/usr/bin/node", name]);
        given["module"] = json!(source.prepared.form == ProgramForm::Module);
        let ended = {
            let _ticking = images.ticking();
            let files = program.files.iter();
            files
                .map(|file| self.place(&file.path, &Content::File(file.content.clone().into())))
                .collect::<wasmtime::Result<Vec<()>>>()
                .and_then(|_| self.enter("program", &[&source.prepared.code, &given.to_string()]))
        };
        self.outcome(ended, limits, cpu)
    }

    fn cell(
        &mut self,
        images: &Images,
        options: &KernelOptions,
        cell: &Cell,
        limits: &Limits,
        send: SendEvent,
        cancel: Cancel,
    ) -> Result<CellOutcome, Fault> {
        let cpu = thread_cpu_time();
        self.store.data_mut().memory.go_on(limits.memory);
        {
            let mut run = self.store.data().run.lock();
            *run = Run::for_cell(&run, options, cell, limits, send, cancel);
        }
        let name = format!("{HOME}/cell-{}.js", cell.number);
        let read = self.read(&cell.source, &name, Imports::All, switchtower_typescript::cell);
        let ended = match read {
            Err(failure) => {
                self.store.data_mut().failure = Some(failure);
                Ok(None)
            }
            Ok(source) => {
                self.begin(&name, source.translated);
                let mut given = description(&cell.source, &source.prepared, &name);
                given["environment"] = json!(cell.env);
                given["folder"] = json!(options.folder);
                given["hasStdin"] = json!(cell.stdin.is_some());
                let _ticking = images.ticking();
                cell.changes
                    .iter()
                    .map(|change| self.place(&change.path, &change.content))
                    .collect::<wasmtime::Result<Vec<()>>>()
                    .and_then(|_| self.enter("cell", &[&source.prepared.code, &given.to_string()]))
            }
        };
        let alive = ended.is_ok();
        let outcome = self.outcome(ended, limits, cpu)?;
        let changes = std::mem::take(&mut self.store.data_mut().changes);
        // The channel of the cell is closed, and its inputs are dropped.
        let tape = std::mem::replace(&mut *self.store.data().run.lock(), Run::without_program()).tape();
        Ok(CellOutcome { outcome, changes, tape, alive })
    }

    fn own(
        &mut self,
        images: &Images,
        code: &str,
        most: Duration,
        send: SendEvent,
        cancel: Cancel,
    ) -> Result<(), Fault> {
        let limits = Limits { wall: most, memory: 0, output: MAX_INTERNAL_OUTPUT, escalation: Escalation::Never };
        self.store.data_mut().memory.go_on(limits.memory);
        *self.store.data().run.lock() = Run::for_program(&Program::new(self.language, ""), &limits, send, cancel);
        self.begin("", None);
        let ended = {
            let _ticking = images.ticking();
            self.enter("internal", &[code])
        };
        let mut run = std::mem::replace(&mut *self.store.data().run.lock(), Run::without_program());
        run.output.flush();
        match ended {
            Ok(Some(_)) if !run.output.is_truncated() => Ok(()),
            Ok(Some(_)) => Err(Fault::Unavailable { reason: "internal code printed too much".to_owned() }),
            Ok(None) => {
                let failure = self.store.data_mut().failure.take();
                let reason = failure.map_or_else(String::new, |raised| format!("{}: {}", raised.name, raised.value));
                Err(Fault::Unavailable { reason })
            }
            Err(error) => Err(Fault::Lost { reason: format!("{error:#}") }),
        }
    }
}
