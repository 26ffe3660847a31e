//! The guest's world as Rust types, made from its WIT.

wasmtime::component::bindgen!({ path: "guest/wit", world: "sandbox", imports: { default: trappable } });
