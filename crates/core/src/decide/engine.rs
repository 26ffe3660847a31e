//! The bounded engine that rules run in.

use std::sync::LazyLock;

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Array, Engine};

/// Steps that one file may take for one decision; the policy takes a few hundred.
const OPERATIONS: u64 = 50_000;
const CALL_LEVELS: usize = 16;
const EXPRESSION_DEPTH: usize = 64;
const FUNCTIONS: usize = 128;
const VARIABLES: usize = 128;
const STRING_BYTES: usize = 16 << 10;
/// Elements of a list; the facts themselves stay below it.
const LIST: usize = 1024;
const MAP: usize = 512;

/// One engine for all rules: it holds no state of theirs.
pub(super) fn engine() -> &'static Engine {
    static ENGINE: LazyLock<Engine> = LazyLock::new(bounded);
    &ENGINE
}

/// Only what is pure is in it: neither the language's core package, which can sleep, nor the one that knows the time.
fn bounded() -> Engine {
    let mut engine = Engine::new_raw();
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    // `listed(["a", "b"])` is "a, b".
    engine.register_fn("listed", |names: Array| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    for symbol in ["eval", "import", "export", "print", "debug"] {
        engine.disable_symbol(symbol);
    }
    engine
        .set_max_operations(OPERATIONS)
        .set_max_call_levels(CALL_LEVELS)
        .set_max_expr_depths(EXPRESSION_DEPTH, EXPRESSION_DEPTH)
        .set_max_functions(FUNCTIONS)
        .set_max_variables(VARIABLES)
        .set_max_modules(0)
        .set_max_string_size(STRING_BYTES)
        .set_max_array_size(LIST)
        .set_max_map_size(MAP)
        // A misspelt name is an error, never an empty value.
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true);
    engine
}
