//! The text of programs in JavaScript and TypeScript: how each runs, and TypeScript as JavaScript.
//!
//! The parser, the transformation and their visitors are recursive, so the nesting of a program is bounded from its tokens
//! first. No input makes this crate panic.

mod depth;
mod form;
mod nested;
mod source_positions;
mod translate;

pub use depth::{Depth, measure};
pub use form::{Edit, Prepared, ProgramForm, RESULT, cell, is_module, program};
pub use nested::on_deep_stack;
pub use translate::{Imports, SyntaxError, Translated, to_javascript};
