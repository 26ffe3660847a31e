//! The server side of E2B's wire protocol: Connect frames, multipart forms, rows of an execution, error bodies, and the
//! JSON of the control plane and of envd.
//!
//! Switchtower's E2B API and the stand-in for E2B both serve with this crate. The client crate `switchtower-e2b` has
//! readers and writers of its own and does not depend on this one, so that a misreading of the protocol in one of the
//! two fails a test instead of cancelling itself out.
//!
//! | module | content |
//! |---|---|
//! | [`ascii`] | JSON in ASCII, the form of every line and frame |
//! | [`connect`] | the Connect protocol with JSON: frames, error codes and their HTTP statuses |
//! | [`multipart`] | forms with files, as `POST /files` takes them |
//! | [`rows`] | the newline-delimited JSON that `POST /execute` answers with |
//! | [`errors`] | error bodies of the control plane, envd, the interpreter and the proxy in front of sandboxes |
//! | [`control`] | sandboxes as the control plane describes them, and its requests |
//! | [`files`] | files and folders as envd describes them |

pub mod ascii;
pub mod connect;
pub mod control;
pub mod errors;
pub mod files;
pub mod multipart;
pub mod rows;
