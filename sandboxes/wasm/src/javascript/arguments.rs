//! Values between the host and the engine.

use std::sync::Arc;

use wasmtime::AsContextMut;

use super::exports::{Exports, Value};
use super::host::Host;

/// Access to the values of one instance.
pub(super) struct Values<S> {
    pub(super) store: S,
    pub(super) exports: Arc<Exports>,
    /// An address with space for three numbers.
    scratch: i32,
}

/// What a call of the host gives back to the program.
pub(super) enum Reply {
    Undefined,
    Boolean(bool),
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// Nanoseconds.
    BigInt(u64),
    /// A value of the engine's, which the caller gets.
    Value(Value),
    /// An exception is pending.
    Thrown,
}

impl<S: AsContextMut<Data = Host>> Values<S> {
    pub(super) fn new(mut store: S) -> wasmtime::Result<Self> {
        let context = store.as_context_mut();
        let host = context.data();
        let exports = host.exports.clone().ok_or_else(|| wasmtime::Error::msg("the engine called before its start"))?;
        let scratch = host.scratch;
        Ok(Self { store, exports, scratch })
    }

    /// Copies bytes into the engine's memory, with a zero after them. [`release_bytes`](Self::release_bytes) frees them.
    pub(super) fn place(&mut self, bytes: &[u8]) -> wasmtime::Result<i32> {
        let size = i32::try_from(bytes.len() + 1).map_err(|_| wasmtime::Error::msg("a text is too long"))?;
        let at = self.exports.malloc.call(&mut self.store, size)?;
        if at == 0 {
            return Err(wasmtime::Error::msg("the engine is out of memory"));
        }
        let start = at as u32 as usize;
        self.exports.memory.write(&mut self.store, start, bytes)?;
        self.exports.memory.write(&mut self.store, start + bytes.len(), &[0])?;
        Ok(at)
    }

    pub(super) fn release_bytes(&mut self, at: i32) -> wasmtime::Result<()> {
        self.exports.free.call(&mut self.store, at)
    }

    pub(super) fn new_text(&mut self, text: &str) -> wasmtime::Result<Value> {
        let at = self.place(text.as_bytes())?;
        let value = self.exports.new_string.call(&mut self.store, (at, text.len() as i32))?;
        self.release_bytes(at)?;
        Ok(value)
    }

    pub(super) fn new_bytes(&mut self, bytes: &[u8]) -> wasmtime::Result<Value> {
        let at = self.place(bytes)?;
        let value = self.exports.new_bytes.call(&mut self.store, (at, bytes.len() as i32))?;
        self.release_bytes(at)?;
        Ok(value)
    }

    /// Returns a value as text; bytes that are no characters are replaced.
    pub(super) fn text(&mut self, value: Value) -> wasmtime::Result<String> {
        let scratch = self.scratch;
        let at = self.exports.string.call(&mut self.store, (value, scratch))?;
        if at == 0 {
            // It has no text: the exception about that is dropped.
            let exception = self.exports.exception.call(&mut self.store, ())?;
            self.release(exception)?;
            return Ok(String::new());
        }
        let length = self.read_u32(scratch)?;
        let text = String::from_utf8_lossy(&self.read(at as u32, length)?).into_owned();
        self.exports.free_string.call(&mut self.store, at)?;
        Ok(text)
    }

    /// Returns the bytes of a typed array.
    pub(super) fn bytes(&mut self, value: Value) -> wasmtime::Result<Vec<u8>> {
        let scratch = self.scratch;
        let of_view = (value, scratch, scratch + 4, scratch + 8);
        let buffer = self.exports.typed_array_buffer.call(&mut self.store, of_view)?;
        if self.exports.is_exception.call(&mut self.store, buffer)? != 0 {
            self.release(buffer)?;
            let exception = self.exports.exception.call(&mut self.store, ())?;
            self.release(exception)?;
            return Ok(Vec::new());
        }
        let (offset, length) = (self.read_u32(scratch)?, self.read_u32(scratch + 4)?);
        let start = self.exports.array_buffer.call(&mut self.store, (buffer, scratch))?;
        let bytes = if length == 0 { Vec::new() } else { self.read((start as u32).wrapping_add(offset), length)? };
        self.release(buffer)?;
        Ok(bytes)
    }

    pub(super) fn is(
        &mut self,
        question: impl Fn(&Exports) -> &wasmtime::TypedFunc<i32, i32>,
        value: Value,
    ) -> wasmtime::Result<bool> {
        let exports = Arc::clone(&self.exports);
        Ok(question(&exports).call(&mut self.store, value)? != 0)
    }

    pub(super) fn number(&mut self, value: Value) -> wasmtime::Result<f64> {
        self.exports.number.call(&mut self.store, value)
    }

    pub(super) fn release(&mut self, value: Value) -> wasmtime::Result<()> {
        self.exports.release.call(&mut self.store, value)
    }

    /// Evaluates code. An exception stays pending.
    pub(super) fn eval(&mut self, code: &str, name: &str, flags: i32) -> wasmtime::Result<Option<Value>> {
        let (at, name) = (self.place(code.as_bytes())?, self.place(name.as_bytes())?);
        let value = self.exports.eval.call(&mut self.store, (at, code.len() as i32, name, flags))?;
        self.release_bytes(at)?;
        self.release_bytes(name)?;
        self.unless_thrown(value)
    }

    /// Calls a method. An exception stays pending.
    pub(super) fn call(&mut self, object: Value, method: &str, given: &[Value]) -> wasmtime::Result<Option<Value>> {
        let name = self.place(method.as_bytes())?;
        let function = self.exports.property.call(&mut self.store, (object, name))?;
        self.release_bytes(name)?;
        let called = self.call_function(function, given)?;
        self.release(function)?;
        Ok(called)
    }

    pub(super) fn call_function(&mut self, function: Value, given: &[Value]) -> wasmtime::Result<Option<Value>> {
        let list: Vec<u8> = given.iter().flat_map(|value| value.to_le_bytes()).collect();
        let list = self.place(&list)?;
        let undefined = self.exports.undefined.call(&mut self.store, ())?;
        let count = given.len() as i32;
        let value = self.exports.call.call(&mut self.store, (function, undefined, count, list))?;
        self.release_bytes(list)?;
        self.unless_thrown(value)
    }

    fn unless_thrown(&mut self, value: Value) -> wasmtime::Result<Option<Value>> {
        if value == 0 {
            return Ok(None);
        }
        if self.is(|exports| &exports.is_exception, value)? {
            self.release(value)?;
            return Ok(None);
        }
        Ok(Some(value))
    }

    /// Returns the pending exception as text, and clears it.
    pub(super) fn exception_text(&mut self) -> wasmtime::Result<String> {
        let exception = self.exports.exception.call(&mut self.store, ())?;
        let text = self.text(exception)?;
        self.release(exception)?;
        Ok(text)
    }

    /// Returns the value of a reply; zero after an exception.
    pub(super) fn reply(&mut self, reply: Reply) -> wasmtime::Result<Value> {
        match reply {
            Reply::Undefined => self.exports.undefined.call(&mut self.store, ()),
            Reply::Boolean(true) => self.exports.truth.call(&mut self.store, ()),
            Reply::Boolean(false) => self.exports.falsehood.call(&mut self.store, ()),
            Reply::Number(number) => self.exports.new_number.call(&mut self.store, number),
            Reply::Text(text) => self.new_text(&text),
            Reply::Bytes(bytes) => self.new_bytes(&bytes),
            Reply::BigInt(number) => {
                self.exports.new_big_int.call(&mut self.store, (number as u32 as i32, (number >> 32) as u32 as i32))
            }
            Reply::Value(value) => Ok(value),
            Reply::Thrown => Ok(0),
        }
    }

    fn read_u32(&mut self, at: i32) -> wasmtime::Result<u32> {
        let mut bytes = [0; 4];
        self.exports.memory.read(&self.store, at as u32 as usize, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn read(&mut self, at: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
        let (at, length) = (at as usize, length as usize);
        let memory = self.exports.memory.data(&self.store);
        let end = at.checked_add(length).filter(|end| *end <= memory.len());
        let bytes = end.map(|end| memory[at..end].to_vec());
        bytes.ok_or_else(|| wasmtime::Error::msg("the engine named memory that it does not have"))
    }

    /// Returns the text of this many bytes of the engine's memory.
    pub(super) fn text_at(&mut self, at: i32, length: i32) -> wasmtime::Result<String> {
        Ok(String::from_utf8_lossy(&self.read(at as u32, length as u32)?).into_owned())
    }

    /// Returns the text up to the next zero.
    pub(super) fn text_until_zero(&mut self, at: i32) -> wasmtime::Result<String> {
        let memory = self.exports.memory.data(&self.store);
        let rest = memory.get(at as u32 as usize..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    /// Writes a number where the engine expects a result.
    pub(super) fn write_u32(&mut self, at: i32, number: u32) -> wasmtime::Result<()> {
        Ok(self.exports.memory.write(&mut self.store, at as u32 as usize, &number.to_le_bytes())?)
    }

    /// Returns the addresses in a list of arguments.
    pub(super) fn list(&mut self, at: i32, count: i32) -> wasmtime::Result<Vec<Value>> {
        let bytes = self.read(at as u32, (count.max(0) as u32).saturating_mul(4))?;
        Ok(bytes.chunks_exact(4).map(|four| i32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
    }

    pub(super) fn text_or_bytes(&mut self, value: Value) -> wasmtime::Result<Vec<u8>> {
        if self.is(|exports| &exports.is_string, value)? {
            Ok(self.text(value)?.into_bytes())
        } else {
            self.bytes(value)
        }
    }

    pub(super) fn undefined(&mut self) -> wasmtime::Result<Value> {
        self.exports.undefined.call(&mut self.store, ())
    }

    pub(super) fn promise_state(&mut self, value: Value) -> wasmtime::Result<i32> {
        self.exports.promise_state.call(&mut self.store, value)
    }

    pub(super) fn promise_result(&mut self, value: Value) -> wasmtime::Result<Value> {
        self.exports.promise_result.call(&mut self.store, value)
    }

    pub(super) fn proxy_target(&mut self, value: Value) -> wasmtime::Result<Value> {
        self.exports.proxy_target.call(&mut self.store, value)
    }

    pub(super) fn memory_size(&mut self) -> usize {
        self.exports.memory.data_size(&self.store)
    }
}
