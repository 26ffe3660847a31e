//! Work on a stack that fits the nesting of a program.

use std::panic::{self, AssertUnwindSafe};
use std::thread;

use crate::depth::{Depth, measure};

/// The stack of a thread for deeply nested programs, in bytes of virtual memory; only used pages are allocated.
const DEEP_STACK: usize = 192 << 20;

/// Runs `work`, which parses `source`: on the caller's thread, or on one with a larger stack if it is nested deeply.
///
/// # Errors
/// The reason why it did not run: the nesting is beyond what is parsed, there is no thread, or the parser panicked.
pub(crate) fn guarded<T: Send>(source: &str, work: impl FnOnce() -> T + Send) -> Result<T, &'static str> {
    match measure(source) {
        Depth::Shallow => panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| "the parser failed"),
        Depth::Deep => on_deep_stack(work).ok_or("the parser failed"),
        Depth::Excessive(reason) => Err(reason),
    }
}

/// Runs `work` on a thread with a large stack. Returns `None` if the thread cannot be started or `work` panics.
pub fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("parse".to_owned()).stack_size(DEEP_STACK);
        builder.spawn_scoped(scope, work).ok()?.join().ok()
    })
}
