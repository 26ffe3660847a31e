//! The host side of one instance: the calls of the prelude and of the engine, and the record of their effects.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use switchtower_contract::{Change, Content, Effect, Failure, Need};
use switchtower_typescript::{Imports, Translated};
use switchtower_worker::output::StdStream;
use wasmtime::{Caller, Linker, ResourceLimiter};

use super::arguments::{Reply, Values};
use super::exports::{Exports, Value};
use crate::inputs::nanoseconds;
use crate::memory_use::MemoryUse;
use crate::run::Stop;
use crate::shared_run::SharedRun;

/// Most random bytes of one call.
const MAX_RANDOM: f64 = 65_536.0;
/// Most bytes of the name of an error, and of what a need is for.
const MAX_DETAIL: usize = 1 << 10;
/// Most bytes of the message of an error, and of its traceback.
const MAX_ERROR: usize = 256 << 10;
/// WASI: the call is not supported.
const NOT_SUPPORTED: i32 = 52;

/// The functions that the prelude calls.
pub(super) const FUNCTIONS: [&str; 31] = [
    "began",
    "change",
    "compile",
    "decode",
    "encode",
    "environment",
    "fail",
    "isDate",
    "isError",
    "isMap",
    "isModule",
    "isSet",
    "jobs",
    "leave",
    "memory",
    "monotonic",
    "monotonicNanoseconds",
    "need",
    "note",
    "position",
    "promiseResult",
    "promiseState",
    "proxyTarget",
    "random",
    "read",
    "show",
    "sleep",
    "translate",
    "version",
    "wall",
    "write",
];

/// The data of one instance's store.
pub(crate) struct Host {
    pub(crate) run: SharedRun,
    pub(crate) memory: MemoryUse,
    pub(super) exports: Option<Arc<Exports>>,
    pub(super) scratch: i32,
    /// The object with the functions of the prelude.
    pub(super) entry: Value,
    /// What the cell changed in files.
    pub(super) changes: Vec<Change>,
    /// The error that ended the program.
    pub(super) failure: Option<Failure>,
    /// The translations of the files that are TypeScript.
    pub(super) translations: HashMap<String, Translated>,
}

impl Host {
    pub(super) fn new() -> Self {
        let run = SharedRun::default();
        Self {
            memory: MemoryUse::new(run.clone()),
            run,
            exports: None,
            scratch: 0,
            entry: 0,
            changes: Vec::new(),
            failure: None,
            translations: HashMap::new(),
        }
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        self.memory.memory_growing(current, desired, most)
    }

    fn table_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        self.memory.table_growing(current, desired, most)
    }
}

type Store<'a> = Caller<'a, Host>;

/// Links the imports of the engine.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "host_call", call)?;
    linker.func_wrap("env", "host_interrupt", || 0)?;
    // Programs are in UTC.
    linker.func_wrap("env", "host_get_timezone_offset", |_: i32, _: i32| 0)?;
    linker.func_wrap("env", "host_promise_rejection", rejection)?;
    linker.func_wrap("env", "host_module_normalize", normalize)?;
    linker.func_wrap("env", "host_module_load", load)?;
    let wasi = "wasi_snapshot_preview1";
    linker.func_wrap(wasi, "clock_time_get", |mut store: Store<'_>, clock: i32, _: i64, at: i32| {
        let run = store.data().run.clone();
        let time = if clock == 0 { run.lock().wall_clock() } else { run.lock().monotonic() };
        write(&mut store, at, &nanoseconds(time).to_le_bytes())
    })?;
    linker.func_wrap(wasi, "random_get", |mut store: Store<'_>, at: i32, length: i32| {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0).min(MAX_RANDOM as usize)];
        store.data().run.clone().lock().random(&mut bytes);
        write(&mut store, at, &bytes)
    })?;
    linker.func_wrap(wasi, "fd_close", |_: i32| NOT_SUPPORTED)?;
    linker.func_wrap(wasi, "fd_fdstat_get", |_: i32, _: i32| NOT_SUPPORTED)?;
    linker.func_wrap(wasi, "fd_seek", |_: i32, _: i64, _: i32, _: i32| NOT_SUPPORTED)?;
    // The engine itself prints nothing that a program would look for.
    linker.func_wrap(wasi, "fd_write", |_: i32, _: i32, _: i32, _: i32| NOT_SUPPORTED)?;
    Ok(())
}

fn write(store: &mut Store<'_>, at: i32, bytes: &[u8]) -> wasmtime::Result<i32> {
    let memory = store.get_export("memory").and_then(wasmtime::Extern::into_memory);
    let memory = memory.ok_or_else(|| wasmtime::Error::msg("the engine exports no memory"))?;
    memory.write(store, at as u32 as usize, bytes)?;
    Ok(0)
}

/// Calls a function of the prelude that gives back text; `None` while an exception is pending.
fn ask(values: &mut Values<Store<'_>>, function: &str, given: &[&str]) -> wasmtime::Result<Option<String>> {
    let entry = values.store.data().entry;
    let given = given.iter().map(|text| values.new_text(text)).collect::<wasmtime::Result<Vec<Value>>>()?;
    let answer = values.call(entry, function, &given)?;
    for value in given {
        values.release(value)?;
    }
    let Some(answer) = answer else { return Ok(None) };
    let text = values.text(answer)?;
    values.release(answer)?;
    Ok(Some(text))
}

fn normalize(store: Store<'_>, base: i32, name: i32) -> wasmtime::Result<i32> {
    let mut values = Values::new(store)?;
    let (base, name) = (values.text_until_zero(base)?, values.text_until_zero(name)?);
    match ask(&mut values, "resolve", &[&base, &name])? {
        Some(found) => values.place(found.as_bytes()),
        None => Ok(0),
    }
}

fn load(store: Store<'_>, name: i32, length: i32) -> wasmtime::Result<i32> {
    let mut values = Values::new(store)?;
    let name = values.text_until_zero(name)?;
    let Some(source) = ask(&mut values, "source", &[&name])? else { return Ok(0) };
    values.write_u32(length, u32::try_from(source.len()).unwrap_or(0))?;
    values.place(source.as_bytes())
}

fn rejection(store: Store<'_>, promise: i32, reason: i32, handled: i32) -> wasmtime::Result<()> {
    let mut values = Values::new(store)?;
    let entry = values.store.data().entry;
    if entry != 0 {
        let handled = values.reply(Reply::Boolean(handled != 0))?;
        if let Some(answer) = values.call(entry, "rejection", &[promise, reason, handled])? {
            values.release(answer)?;
        }
    }
    values.release(promise)?;
    values.release(reason)
}

fn call(store: Store<'_>, name: i32, length: i32, _this: i32, count: i32, given: i32) -> wasmtime::Result<i32> {
    let mut values = Values::new(store)?;
    let name = values.text_at(name, length)?;
    let list = values.list(given, count)?;
    let reply = function(&mut values, &name, &list)?;
    values.reply(reply)
}

/// Returns the beginning of a text.
fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

/// Runs one of [`FUNCTIONS`].
fn function(values: &mut Values<Store<'_>>, name: &str, given: &[Value]) -> wasmtime::Result<Reply> {
    let run = values.store.data().run.clone();
    let undefined = values.undefined()?;
    let arg = |at: usize| given.get(at).copied().unwrap_or(undefined);
    Ok(match name {
        "write" => {
            let stream = if values.number(arg(0))? == 2.0 { StdStream::Stderr } else { StdStream::Stdout };
            let bytes = values.text_or_bytes(arg(1))?;
            run.lock().output.write(stream, &bytes);
            Reply::Undefined
        }
        "show" => {
            let data = values.text(arg(0))?;
            let main = values.is(|exports| &exports.boolean, arg(1))?;
            // A program that replaced what the prelude uses may give anything.
            if let Ok(data) = serde_json::from_str(&data) {
                run.lock().output.show(data, main);
            }
            Reply::Undefined
        }
        "monotonic" => Reply::Number(run.lock().monotonic().as_secs_f64() * 1000.0),
        "monotonicNanoseconds" => Reply::BigInt(nanoseconds(run.lock().monotonic())),
        "wall" => Reply::Number(run.lock().wall_clock().as_millis() as f64),
        "began" => Reply::Number(run.lock().began().as_millis() as f64),
        "random" => {
            let mut bytes = vec![0; values.number(arg(0))?.clamp(0.0, MAX_RANDOM) as usize];
            run.lock().random(&mut bytes);
            Reply::Bytes(bytes)
        }
        "sleep" => {
            let milliseconds = values.number(arg(0))?;
            let time = Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or(Duration::ZERO);
            run.lock().sleep(time)?;
            Reply::Undefined
        }
        "need" => {
            let detail = cut(values.text(arg(1))?, MAX_DETAIL);
            let need = match values.text(arg(0))?.as_str() {
                "files" => Need::Files(detail),
                "network" => Need::Network(detail),
                "process" => Need::Process(detail),
                "threads" => Need::Threads,
                "language" => Need::Language(detail),
                _ => Need::Module(detail),
            };
            run.lock().lack(need)?;
            Reply::Undefined
        }
        "environment" => {
            let variables: serde_json::Map<_, _> =
                run.lock().environment().into_iter().map(|(name, value)| (name, value.into())).collect();
            Reply::Text(serde_json::Value::from(variables).to_string())
        }
        "read" => Reply::Bytes(run.lock().read(usize::MAX).to_vec()),
        "note" => {
            run.lock().effects.add(Effect::Identity);
            Reply::Undefined
        }
        "leave" => return Err(Stop::Exited(values.number(arg(0))? as i32).into()),
        "jobs" => return jobs(values),
        "compile" => {
            let (code, name) = (values.text(arg(0))?, values.text(arg(1))?);
            let flags = values.number(arg(2))? as i32;
            values.eval(&code, &name, flags)?.map_or(Reply::Thrown, Reply::Value)
        }
        "fail" => {
            let name = cut(values.text(arg(0))?, MAX_DETAIL);
            let [value, traceback] = [arg(1), arg(2)].map(|text| values.text(text).map(|text| cut(text, MAX_ERROR)));
            let (value, traceback) = (value?, traceback?);
            let line = Some(values.number(arg(3))? as u32).filter(|line| *line > 0);
            values.store.data_mut().failure = Some(Failure { name, value, traceback, line });
            Reply::Undefined
        }
        "encode" => Reply::Bytes(values.text(arg(0))?.into_bytes()),
        "decode" => {
            let bytes = values.bytes(arg(0))?;
            let fatal = values.is(|exports| &exports.boolean, arg(1))?;
            match String::from_utf8(bytes) {
                Ok(text) => Reply::Text(text),
                Err(_) if fatal => Reply::Undefined,
                Err(invalid) => Reply::Text(String::from_utf8_lossy(invalid.as_bytes()).into_owned()),
            }
        }
        "translate" => {
            let (source, name) = (values.text(arg(0))?, values.text(arg(1))?);
            let answer = match switchtower_typescript::to_javascript(&source, Imports::Used) {
                Ok(translated) => {
                    let answer = serde_json::json!({ "code": translated.code });
                    values.store.data_mut().translations.insert(name, translated);
                    answer
                }
                Err(error) => serde_json::json!({ "error": error.message, "line": error.line }),
            };
            Reply::Text(answer.to_string())
        }
        "position" => {
            let name = values.text(arg(0))?;
            let (line, column) = (values.number(arg(1))? as u32, values.number(arg(2))? as u32);
            match values.store.data().translations.get(&name) {
                Some(translated) => {
                    let (line, column) = translated.source_position(line, column);
                    Reply::Text(format!("{line}:{column}"))
                }
                None => Reply::Undefined,
            }
        }
        "isModule" => Reply::Boolean(switchtower_typescript::is_module(&values.text(arg(0))?)),
        "change" => {
            let (path, kind) = (values.text(arg(0))?, values.text(arg(1))?);
            let content = match kind.as_str() {
                "folder" => Content::Folder,
                "removed" => Content::Removed,
                _ => Content::File(values.bytes(arg(2))?.into()),
            };
            values.store.data_mut().changes.push(Change { path, content });
            Reply::Undefined
        }
        "promiseState" => {
            let is_promise = values.is(|exports| &exports.is_promise, arg(0))?;
            let state = if is_promise { values.promise_state(arg(0))? } else { -1 };
            Reply::Number(f64::from(state))
        }
        "promiseResult" => Reply::Value(values.promise_result(arg(0))?),
        "isMap" => Reply::Boolean(values.is(|exports| &exports.is_map, arg(0))?),
        "isSet" => Reply::Boolean(values.is(|exports| &exports.is_set, arg(0))?),
        "isDate" => Reply::Boolean(values.is(|exports| &exports.is_date, arg(0))?),
        "isError" => Reply::Boolean(values.is(|exports| &exports.is_error, arg(0))?),
        "proxyTarget" if values.is(|exports| &exports.is_proxy, arg(0))? => Reply::Value(values.proxy_target(arg(0))?),
        "proxyTarget" => Reply::Undefined,
        "version" => Reply::Text(super::snapshot::VERSION.to_owned()),
        "memory" => Reply::Number(values.memory_size() as f64),
        _ => return Err(wasmtime::Error::msg(format!("the prelude called {name}, which the host does not have"))),
    })
}

/// Runs the jobs of promises until none is left, or one throws.
fn jobs(values: &mut Values<Store<'_>>) -> wasmtime::Result<Reply> {
    let exports = Arc::clone(&values.exports);
    let mut count = 0.0;
    while exports.is_job_pending.call(&mut values.store, ())? != 0 {
        if exports.execute_job.call(&mut values.store, ())? < 0 {
            let exception = exports.exception.call(&mut values.store, ())?;
            let thrown = exports.throw.call(&mut values.store, exception)?;
            values.release(exception)?;
            if thrown != 0 {
                values.release(thrown)?;
            }
            return Ok(Reply::Thrown);
        }
        count += 1.0;
    }
    Ok(Reply::Number(count))
}
