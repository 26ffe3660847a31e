//! Calls to the code interpreter of a sandbox: contexts, and executions in them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use switchtower_contract::Language;

use crate::error::{CallError, CallKind};
use crate::limits::{CallClass, CallReservation};
use crate::sandbox_client::SandboxClient;
use crate::transport::BodyStream;

/// Longest that a kernel may take to start: E2B's takes about two seconds.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest until the stream of an execution opens.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of one row: a picture, a table, a text printed at once.
const MAX_ROW_BYTES: usize = 32 << 20;

/// A context: a kernel with its variables.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct CloudContext {
    pub(crate) id: String,
    pub(crate) language: String,
}

/// A row of an execution's stream.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Row {
    NumberOfExecutions {
        #[serde(default)]
        execution_count: u64,
    },
    Stdout {
        text: String,
    },
    Stderr {
        text: String,
    },
    Result(Box<ResultValue>),
    Error {
        name: String,
        value: String,
        traceback: String,
    },
    Keepalive {},
    EndOfExecution {},
    /// A value that nests deeper than the parser reads.
    #[serde(skip)]
    TooDeep,
    /// A type that is newer than this client.
    #[serde(other)]
    Unknown,
}

impl Row {
    fn parse(text: &[u8]) -> Result<Self, CallError> {
        #[derive(Deserialize)]
        struct Kind {
            r#type: String,
        }
        crate::request::parse_json(text).or_else(|error| match serde_json::from_slice::<Kind>(text) {
            // Valid JSON that is only too deep comes from the program, so it is no failure of the service.
            Ok(kind) if kind.r#type == "result" => Ok(Self::TooDeep),
            _ => Err(error),
        })
    }
}

/// A value that a cell displayed, in its representations.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct ResultValue {
    #[serde(default)]
    is_main_result: bool,
    #[serde(default)]
    extra: Option<BTreeMap<String, Value>>,
    #[serde(flatten)]
    representations: BTreeMap<String, Value>,
}

/// The interpreter's names of representations, and their MIME types. E2B's own two have no registered type.
const REPRESENTATIONS: [(&str, &str); 12] = [
    ("text", "text/plain"),
    ("html", "text/html"),
    ("markdown", "text/markdown"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpeg", "image/jpeg"),
    ("pdf", "application/pdf"),
    ("latex", "text/latex"),
    ("json", "application/json"),
    ("javascript", "application/javascript"),
    ("data", "application/vnd.e2b.data+json"),
    ("chart", "application/vnd.e2b.chart+json"),
];

impl ResultValue {
    pub(crate) fn is_main(&self) -> bool {
        self.is_main_result
    }

    /// Returns the representations by MIME type. Values that are not text become JSON text.
    pub(crate) fn bundle(self) -> switchtower_contract::MimeBundle {
        let known =
            |name: &str| REPRESENTATIONS.iter().find(|(known, _)| *known == name).map(|(_, mime)| (*mime).to_owned());
        let text = |mime: &str, value: Value| match value {
            Value::String(text) if mime != "application/json" => text,
            other => other.to_string(),
        };
        let known_values = self.representations.into_iter().filter(|(_, value)| !value.is_null());
        let known_values = known_values.filter_map(|(name, value)| known(&name).map(|mime| (mime, value)));
        let extra = self.extra.into_iter().flatten().filter(|(_, value)| !value.is_null());
        known_values
            .chain(extra)
            .map(|(mime, value)| {
                let text = text(&mime, value);
                (mime, text)
            })
            .collect()
    }
}

/// Returns the default context, which exists from the start.
pub(crate) async fn first_context(client: &SandboxClient) -> Result<CloudContext, CallError> {
    let call = async || {
        client
            .interpreter(CallKind::Sandbox, Method::GET, "/contexts", KERNEL_TIMEOUT)
            .send_and_parse(client.transport.as_ref())
            .await
    };
    let contexts: Vec<CloudContext> = client.call_limited(call).await?;
    match contexts.into_iter().find(|context| context.language == Language::default().name()) {
        Some(context) => Ok(context),
        None => new_context(client, Language::default(), None).await,
    }
}

/// Creates a context for a language in this folder.
pub(crate) async fn new_context(
    client: &SandboxClient,
    language: Language,
    folder: Option<&str>,
) -> Result<CloudContext, CallError> {
    let body = json!({ "language": language.name(), "cwd": folder.unwrap_or(switchtower_contract::python::HOME) });
    let call = async || {
        let request = client.interpreter(CallKind::Sandbox, Method::POST, "/contexts", KERNEL_TIMEOUT).json(&body);
        request.send_and_parse(client.transport.as_ref()).await
    };
    client.call_limited(call).await
}

/// Restarts a context's kernel: what runs ends, and its variables are lost. This also repairs a context that hangs
/// after a run was cancelled.
pub(crate) async fn restart_context(client: &SandboxClient, context: &CloudContext) -> Result<(), CallError> {
    let path = format!("/contexts/{}/restart", context.id);
    let call = async || {
        let request = client.interpreter(CallKind::Sandbox, Method::POST, &path, KERNEL_TIMEOUT);
        request.send_and_read(client.transport.as_ref()).await.map(drop)
    };
    client.call_limited(call).await
}

/// Ends a context.
pub(crate) async fn remove_context(client: &SandboxClient, context: &CloudContext) -> Result<(), CallError> {
    let path = format!("/contexts/{}", context.id);
    let call = async || {
        let request = client.interpreter(CallKind::Sandbox, Method::DELETE, &path, KERNEL_TIMEOUT);
        request.send_and_read(client.transport.as_ref()).await.map(drop)
    };
    client.call_limited(call).await
}

/// The reservation to start an execution, held until its stream has opened.
pub(crate) struct ExecutionReservation {
    _operation: CallReservation,
    _execution: CallReservation,
}

/// Waits until the limits allow an execution.
pub(crate) async fn reserve_execution(client: &SandboxClient) -> Result<ExecutionReservation, CallError> {
    // The longer wait comes first, so that the other reservation is not held meanwhile.
    let execution = client.limits.execution().await?;
    let operation = client.limits.operation().await?;
    Ok(ExecutionReservation { _operation: operation, _execution: execution })
}

/// Starts an execution. Dropping the stream closes the connection, which interrupts the program.
pub(crate) async fn execute(
    client: &SandboxClient,
    reservation: ExecutionReservation,
    context: &CloudContext,
    code: &str,
    env: Option<&BTreeMap<String, String>>,
) -> Result<RowStream, CallError> {
    let mut body = json!({ "code": code, "context_id": context.id });
    if let Some(env) = env.filter(|env| !env.is_empty()) {
        body["env_vars"] = json!(env);
    }
    let request = client.interpreter(CallKind::Execute, Method::POST, "/execute", OPEN_TIMEOUT).json(&body);
    let opened = request.send(client.transport.as_ref()).await;
    drop(reservation);
    client.limits.record_outcome(CallClass::Execution, opened.as_ref().err());
    Ok(RowStream { body: opened?.into_body(), buffer: BytesMut::new(), searched: 0, is_complete: false })
}

/// The rows of an execution as they arrive.
pub(crate) struct RowStream {
    body: BodyStream,
    buffer: BytesMut,
    /// Bytes at the beginning of the buffer without a line end.
    searched: usize,
    is_complete: bool,
}

impl RowStream {
    /// Returns the next row; `None` at the end of the stream. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Row>, CallError> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + end + 1);
                self.searched = 0;
                match line.trim_ascii() {
                    [] => continue,
                    text => return Row::parse(text).map(Some),
                }
            }
            self.searched = self.buffer.len();
            if self.is_complete {
                self.searched = 0;
                return match self.buffer.split().trim_ascii() {
                    [] => Ok(None),
                    text => Row::parse(text).map(Some),
                };
            }
            if self.buffer.len() > MAX_ROW_BYTES {
                return Err(CallError::unexpected(&format!("a row has more than {MAX_ROW_BYTES} bytes")));
            }
            match self.body.next().await {
                Some(piece) => {
                    self.buffer.extend_from_slice(&piece.map_err(|error| CallError::from_transport(&error))?);
                }
                None => self.is_complete = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    async fn rows(text: &str, size: usize) -> Vec<Row> {
        let pieces: Vec<_> = text.as_bytes().chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut rows = RowStream {
            body: Box::pin(stream::iter(pieces)),
            buffer: BytesMut::new(),
            searched: 0,
            is_complete: false,
        };
        let mut seen = Vec::new();
        while let Some(line) = rows.next().await.unwrap() {
            seen.push(line);
        }
        seen
    }

    #[tokio::test]
    async fn rows_are_the_same_in_whatever_pieces_they_arrive() {
        let text = concat!(
            r#"{"type": "number_of_executions", "execution_count": 1}"#,
            "\n",
            r#"{"type": "stdout", "text": "hä\n", "timestamp": "2026-11-20T10:19:10.368520+00:00"}"#,
            "\n\n",
            r#"{"type": "keepalive"}"#,
            "\n",
            r#"{"type": "something_new", "x": 1}"#,
            "\n",
            r#"{"type": "error", "name": "ValueError", "value": "no", "traceback": "t"}"#,
            "\n",
            r#"{"type": "end_of_execution"}"#,
        );
        let whole = rows(text, text.len()).await;
        assert_eq!(whole.len(), 6);
        assert_eq!(whole[1], Row::Stdout { text: "hä\n".to_owned() });
        for size in 1..20 {
            assert_eq!(rows(text, size).await, whole);
        }
    }

    #[tokio::test]
    async fn a_value_that_nests_too_deep_is_no_failure() {
        let deep = format!(r#"{{"type":"result","json":{}{},"text":"x"}}"#, "[".repeat(500), "]".repeat(500));
        assert_eq!(rows(&deep, 100).await, [Row::TooDeep]);
    }

    #[test]
    fn a_result_keeps_all_its_representations() {
        let line = r#"{"type":"result","text":"2","png":"aGk=","json":[1],"data":{"a":[1]},"chart":{"type":"bar"},
            "html":null,"extra":{"application/x":"y","a/b+json":{"c":1}},"is_main_result":true}"#;
        let Row::Result(shown) = serde_json::from_str(line).unwrap() else { panic!("a result") };
        assert!(shown.is_main());
        let bundle = shown.bundle();
        let seen: Vec<_> = bundle.iter().map(|(mime, data)| format!("{mime}={data}")).collect();
        assert_eq!(
            seen,
            [
                r#"a/b+json={"c":1}"#,
                "application/json=[1]",
                r#"application/vnd.e2b.chart+json={"type":"bar"}"#,
                r#"application/vnd.e2b.data+json={"a":[1]}"#,
                "application/x=y",
                "image/png=aGk=",
                "text/plain=2",
            ]
        );
    }
}
