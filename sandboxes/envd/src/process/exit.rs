//! How a program ended, as envd describes it.

use serde_json::{Value, json};

/// Names of signals, by their numbers, as Go has them.
const SIGNALS: [(i32, &str); 16] = [
    (1, "hangup"),
    (2, "interrupt"),
    (3, "quit"),
    (4, "illegal instruction"),
    (5, "trace/breakpoint trap"),
    (6, "aborted"),
    (7, "bus error"),
    (8, "floating point exception"),
    (9, "killed"),
    (10, "user defined signal 1"),
    (11, "segmentation fault"),
    (12, "user defined signal 2"),
    (13, "broken pipe"),
    (14, "alarm clock"),
    (15, "terminated"),
    (24, "CPU time limit exceeded"),
];

/// Describes an exit code, or the number of the signal that ended a program.
pub(crate) fn describe(exit: Result<i32, i32>) -> Value {
    match exit {
        Ok(0) => json!({ "exited": true, "status": "exit status 0" }),
        Ok(code) => {
            let status = format!("exit status {code}");
            json!({ "exited": true, "status": status, "exitCode": code, "error": status })
        }
        Err(signal) => {
            let name = SIGNALS.iter().find(|(number, _)| *number == signal);
            let status = match name {
                Some((_, name)) => format!("signal: {name}"),
                None => format!("signal: signal {signal}"),
            };
            json!({ "status": status, "exitCode": -1, "error": status })
        }
    }
}
