//! The functions of the engine, as typed calls. Values are addresses of what the engine keeps on its heap.

use std::sync::Arc;

use wasmtime::{AsContextMut, Memory, TypedFunc};

use super::host::Host;

/// The address of a value.
pub(super) type Value = i32;

macro_rules! exports {
    ($($field:ident: $name:literal, $given:ty => $result:ty;)+) => {
        /// The exports of one instance.
        pub(super) struct Exports {
            pub(super) memory: Memory,
            $(pub(super) $field: TypedFunc<$given, $result>,)+
        }

        impl Exports {
            pub(super) fn of(
                instance: &wasmtime::Instance,
                mut store: impl AsContextMut<Data = Host>,
            ) -> wasmtime::Result<Arc<Self>> {
                let memory = instance
                    .get_memory(&mut store, "memory")
                    .ok_or_else(|| wasmtime::Error::msg("the engine exports no memory"))?;
                Ok(Arc::new(Self { memory, $($field: instance.get_typed_func(&mut store, $name)?,)+ }))
            }
        }
    };
}

exports! {
    malloc: "wasm_malloc", i32 => i32;
    free: "wasm_free", i32 => ();
    eval: "qjs_eval", (i32, i32, i32, i32) => i32;
    call: "qjs_call", (i32, i32, i32, i32) => i32;
    new_string: "qjs_new_string", (i32, i32) => i32;
    new_number: "qjs_new_number", f64 => i32;
    new_bytes: "qjs_new_uint8_array", (i32, i32) => i32;
    new_big_int: "qjs_new_big_int64", (i32, i32) => i32;
    new_object: "qjs_new_object", () => i32;
    new_host_function: "qjs_new_host_function", (i32, i32, i32) => i32;
    undefined: "qjs_get_undefined", () => i32;
    truth: "qjs_get_true", () => i32;
    falsehood: "qjs_get_false", () => i32;
    number: "qjs_get_float64", i32 => f64;
    string: "qjs_get_string_len", (i32, i32) => i32;
    free_string: "qjs_free_cstring", i32 => ();
    boolean: "qjs_get_bool", i32 => i32;
    is_exception: "qjs_is_exception", i32 => i32;
    is_string: "qjs_is_string", i32 => i32;
    is_promise: "qjs_is_promise", i32 => i32;
    is_map: "qjs_is_map", i32 => i32;
    is_set: "qjs_is_set", i32 => i32;
    is_date: "qjs_is_date", i32 => i32;
    is_error: "qjs_is_error", i32 => i32;
    is_proxy: "qjs_is_proxy", i32 => i32;
    proxy_target: "qjs_get_proxy_target", i32 => i32;
    release: "qjs_free_value", i32 => ();
    property: "qjs_get_prop_string", (i32, i32) => i32;
    set_property: "qjs_set_prop_string", (i32, i32, i32) => i32;
    typed_array_buffer: "qjs_get_typed_array_buffer", (i32, i32, i32, i32) => i32;
    array_buffer: "qjs_get_array_buffer", (i32, i32) => i32;
    promise_state: "qjs_promise_state", i32 => i32;
    promise_result: "qjs_promise_result", i32 => i32;
    is_job_pending: "qjs_is_job_pending", () => i32;
    execute_job: "qjs_execute_pending_job", () => i32;
    exception: "qjs_get_exception", () => i32;
    throw: "qjs_throw", i32 => i32;
}
