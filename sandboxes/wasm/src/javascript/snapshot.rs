//! The image of the engine: its memory after the prelude has run, as a module that begins there.

use std::sync::LazyLock;

use wasmtime::{Engine, Linker, Module, Store, UpdateDeadline};

use super::arguments::{Reply, Values};
use super::exports::Exports;
use super::host::{self, FUNCTIONS, Host};
use super::prelude::{BOOT, MODULES};

/// The engine, as its package has it.
const ENGINE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/quickjs.wasm"));
/// The version of the engine.
pub(super) const VERSION: &str = "0.17.0";
/// The version of what this file makes of the same inputs.
const RECIPE: &str = "1";

/// Bytes of the engine's stack that programs may use; the engine has twice as many.
const MAX_STACK: i32 = 512 << 10;
/// A gap of zeros of this length ends a segment of data.
const GAP: usize = 256;
const PAGE: usize = 64 << 10;

/// The exports of an image that name two addresses in it.
pub(super) const ENTRY: &str = "switchtower_entry";
pub(super) const SCRATCH: &str = "switchtower_scratch";

/// The hash of everything that the image is made from.
pub(crate) static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hash = blake3::Hasher::new();
    for (name, source) in [("recipe", RECIPE), ("boot", BOOT)].iter().chain(MODULES) {
        for part in [name, source] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    hash.update(ENGINE);
    hash.finalize().to_hex().to_string()
});

/// Returns the names of the modules that programs can import.
pub(crate) fn modules() -> &'static [&'static str] {
    &[
        "assert",
        "buffer",
        "console",
        "crypto",
        "events",
        "fs",
        "module",
        "os",
        "path",
        "perf_hooks",
        "process",
        "querystring",
        "readline",
        "string_decoder",
        "timers",
        "url",
        "util",
    ]
}

/// Runs the prelude and returns the module whose instances begin after it.
pub(crate) fn snapshot(engine: &Engine) -> wasmtime::Result<Vec<u8>> {
    let module = Module::new(engine, ENGINE)?;
    let mut linker = Linker::new(engine);
    host::link(&mut linker)?;
    let mut store = Store::new(engine, Host::new());
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
    let instance = linker.instantiate(&mut store, &module)?;
    let exports = Exports::of(&instance, &mut store)?;
    store.data_mut().exports = Some(exports.clone());
    instance.get_typed_func::<(), ()>(&mut store, "_initialize")?.call(&mut store, ())?;
    let failed = |why: String| wasmtime::Error::msg(format!("the prelude failed: {why}"));
    if instance.get_typed_func::<(), i32>(&mut store, "qjs_init")?.call(&mut store, ())? != 0 {
        return Err(failed("the engine did not start".to_owned()));
    }
    for (setting, value) in
        [("qjs_set_max_stack_size", MAX_STACK), ("qjs_set_promise_rejection_handler", 1), ("qjs_set_module_loader", 1)]
    {
        instance.get_typed_func::<i32, ()>(&mut store, setting)?.call(&mut store, value)?;
    }
    let scratch = exports.malloc.call(&mut store, 64)?;
    store.data_mut().scratch = scratch;
    let mut values = Values::new(&mut store)?;
    let functions = exports.new_object.call(&mut values.store, ())?;
    for name in FUNCTIONS {
        let text = values.place(name.as_bytes())?;
        let function = exports.new_host_function.call(&mut values.store, (text, name.len() as i32, 0))?;
        exports.set_property.call(&mut values.store, (functions, text, function))?;
        values.release_bytes(text)?;
    }
    let sources = exports.new_object.call(&mut values.store, ())?;
    for (name, source) in MODULES {
        let (text, source) = (values.place(name.as_bytes())?, values.reply(Reply::Text((*source).to_owned()))?);
        exports.set_property.call(&mut values.store, (sources, text, source))?;
        values.release_bytes(text)?;
    }
    let Some(boot) = values.eval(BOOT, "node:internal/boot", 0)? else { return Err(failed(values.exception_text()?)) };
    let Some(entry) = values.call_function(boot, &[functions, sources])? else {
        return Err(failed(values.exception_text()?));
    };
    values.store.data_mut().entry = entry;
    if values.call(entry, "warm", &[])?.is_none() {
        return Err(failed(values.exception_text()?));
    }
    values.release(sources)?;
    instance.get_typed_func::<(), ()>(&mut store, "qjs_run_gc")?.call(&mut store, ())?;
    let memory = exports.memory.data(&store).to_vec();
    rewrite(ENGINE, &memory, [(ENTRY, entry), (SCRATCH, scratch)])
        .ok_or_else(|| failed("the engine's module has another form than expected".to_owned()))
}

/// Returns the module with this memory and with globals for these addresses.
fn rewrite(module: &[u8], memory: &[u8], addresses: [(&str, i32); 2]) -> Option<Vec<u8>> {
    let segments = segments(memory);
    let mut out = module.get(..8)?.to_vec();
    let mut rest = module.get(8..)?;
    while let Some((&id, after)) = rest.split_first() {
        let (size, after) = read_u32(after)?;
        let (section, after) = after.split_at_checked(size as usize)?;
        rest = after;
        let section = match id {
            // Memory: one, of at least this many pages.
            5 => [vec![1, 0], unsigned(u32::try_from(memory.len() / PAGE).ok()?)].concat(),
            // Globals: the stack pointer, which is where it began, and one for each address.
            6 => {
                let (1, stack_pointer) = read_u32(section)? else { return None };
                let mut globals = [unsigned(3), stack_pointer.to_vec()].concat();
                for (_, address) in addresses {
                    globals.extend([0x7f, 0, 0x41]);
                    globals.extend(signed(address));
                    globals.push(0x0b);
                }
                globals
            }
            7 => {
                let (count, exports) = read_u32(section)?;
                let mut exports = [unsigned(count + 2), exports.to_vec()].concat();
                for (at, (name, _)) in addresses.iter().enumerate() {
                    exports.extend(unsigned(u32::try_from(name.len()).ok()?));
                    exports.extend(name.as_bytes());
                    exports.push(3);
                    exports.extend(unsigned(u32::try_from(at).ok()? + 1));
                }
                exports
            }
            12 => unsigned(u32::try_from(segments.len()).ok()?),
            11 => {
                let mut data = unsigned(u32::try_from(segments.len()).ok()?);
                for &(start, end) in &segments {
                    data.extend([0, 0x41]);
                    data.extend(signed(i32::try_from(start).ok()?));
                    data.push(0x0b);
                    data.extend(unsigned(u32::try_from(end - start).ok()?));
                    data.extend(&memory[start..end]);
                }
                data
            }
            _ => section.to_vec(),
        };
        out.push(id);
        out.extend(unsigned(u32::try_from(section.len()).ok()?));
        out.extend(section);
    }
    Some(out)
}

/// Returns where the memory is not zero.
fn segments(memory: &[u8]) -> Vec<(usize, usize)> {
    let mut segments: Vec<(usize, usize)> = Vec::new();
    for (at, block) in memory.chunks(GAP).enumerate() {
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let (start, end) = (at * GAP, at * GAP + block.len());
        match segments.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => segments.push((start, end)),
        }
    }
    segments
}

/// Reads a number in LEB128.
fn read_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0u64;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(number).ok()?, &bytes[at + 1..]));
        }
    }
    None
}

fn unsigned(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn signed(mut number: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if (number == 0 && low & 0x40 == 0) || (number == -1 && low & 0x40 != 0) {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
