//! The bounded engine that evaluates rules.

use std::sync::LazyLock;

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Array, Engine};

/// Most operations of one file for one decision; the default policy needs a few hundred.
const MAX_OPERATIONS: u64 = 50_000;
const MAX_CALL_LEVELS: usize = 16;
const MAX_EXPRESSION_DEPTH: usize = 64;
const MAX_FUNCTIONS: usize = 128;
const MAX_VARIABLES: usize = 128;
const MAX_STRING_BYTES: usize = 16 << 10;
/// Most elements of a list; the facts have fewer.
const MAX_LIST_LEN: usize = 1024;
const MAX_MAP_LEN: usize = 512;

/// Returns the engine of all rules. It has no state that a rule could change.
pub(super) fn engine() -> &'static Engine {
    static ENGINE: LazyLock<Engine> = LazyLock::new(bounded);
    &ENGINE
}

/// Registers pure functions alone. Rhai's `LanguageCorePackage` has `sleep`, and `BasicTimePackage` has the clock: they are
/// left out.
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
    // `listed(["a", "b"])` returns "a, b".
    engine.register_fn("listed", |names: Array| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    for symbol in ["eval", "import", "export", "print", "debug"] {
        engine.disable_symbol(symbol);
    }
    engine
        .set_max_operations(MAX_OPERATIONS)
        .set_max_call_levels(MAX_CALL_LEVELS)
        .set_max_expr_depths(MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_DEPTH)
        .set_max_functions(MAX_FUNCTIONS)
        .set_max_variables(MAX_VARIABLES)
        .set_max_modules(0)
        .set_max_string_size(MAX_STRING_BYTES)
        .set_max_array_size(MAX_LIST_LEN)
        .set_max_map_size(MAX_MAP_LEN)
        // A misspelled name is an error, never an empty value.
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true);
    engine
}
