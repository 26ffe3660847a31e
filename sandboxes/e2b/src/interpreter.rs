//! The code interpreter of a sandbox: contexts, and cells that run in them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cause::{Call, Trouble};
use crate::inside::Inside;
use crate::limits::{Kind, Reservation};
use crate::transport::Pieces;

/// Longest that a kernel may take to start: E2B's takes about two seconds.
const KERNEL: Duration = Duration::from_secs(30);
/// Longest until a cell's stream opens.
const OPENING: Duration = Duration::from_secs(30);
/// Most bytes of one line: a picture, a table, a text printed at once.
const LINE: usize = 32 << 20;

/// A kernel with its variables.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Context {
    pub(crate) id: String,
    pub(crate) language: String,
}

/// One line of a cell's stream.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line {
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
    Result(Box<Shown>),
    Error {
        name: String,
        value: String,
        traceback: String,
    },
    Keepalive {},
    EndOfExecution {},
    /// A value that nests deeper than is read.
    #[serde(skip)]
    TooDeep,
    /// Something newer than this client.
    #[serde(other)]
    Unknown,
}

impl Line {
    fn read(text: &[u8]) -> Result<Self, Trouble> {
        #[derive(Deserialize)]
        struct Kind {
            r#type: String,
        }
        crate::wire::parsed(text).or_else(|trouble| match serde_json::from_slice::<Kind>(text) {
            // It is JSON, and only its depth is in the way: that is the program's doing.
            Ok(kind) if kind.r#type == "result" => Ok(Self::TooDeep),
            _ => Err(trouble),
        })
    }
}

/// A value that a cell showed, in all its forms.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    is_main_result: bool,
    #[serde(default)]
    extra: Option<BTreeMap<String, Value>>,
    #[serde(flatten)]
    forms: BTreeMap<String, Value>,
}

/// The interpreter's names of representations, and their MIME types. E2B's own two have no registered type.
const FORMS: [(&str, &str); 12] = [
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

impl Shown {
    pub(crate) fn is_main(&self) -> bool {
        self.is_main_result
    }

    /// By MIME type; what is no text is told as JSON.
    pub(crate) fn bundle(self) -> switchtower_contract::MimeBundle {
        let known = |name: &str| FORMS.iter().find(|(form, _)| *form == name).map(|(_, mime)| (*mime).to_owned());
        let text = |mime: &str, value: Value| match value {
            Value::String(text) if mime != "application/json" => text,
            other => other.to_string(),
        };
        let forms = self.forms.into_iter().filter(|(_, value)| !value.is_null());
        let forms = forms.filter_map(|(name, value)| known(&name).map(|mime| (mime, value)));
        let extra = self.extra.into_iter().flatten().filter(|(_, value)| !value.is_null());
        forms
            .chain(extra)
            .map(|(mime, value)| {
                let text = text(&mime, value);
                (mime, text)
            })
            .collect()
    }
}

/// The context that is there from the start.
pub(crate) async fn first_context(inside: &Inside) -> Result<Context, Trouble> {
    let call = async || {
        inside.interpreter(Call::Sandbox, Method::GET, "/contexts", KERNEL).read(inside.transport.as_ref()).await
    };
    let contexts: Vec<Context> = inside.counted(call).await?;
    match contexts.into_iter().find(|context| context.language == "python") {
        Some(context) => Ok(context),
        None => new_context(inside, None).await,
    }
}

/// One more context, in this folder.
pub(crate) async fn new_context(inside: &Inside, folder: Option<&str>) -> Result<Context, Trouble> {
    let body = json!({ "language": "python", "cwd": folder.unwrap_or("/home/user") });
    let call = async || {
        let ask = inside.interpreter(Call::Sandbox, Method::POST, "/contexts", KERNEL).json(&body);
        ask.read(inside.transport.as_ref()).await
    };
    inside.counted(call).await
}

/// Its kernel starts anew: what ran is ended, its variables are gone. Also the cure for a context that hangs after a run
/// was cancelled.
pub(crate) async fn restart(inside: &Inside, context: &Context) -> Result<(), Trouble> {
    let path = format!("/contexts/{}/restart", context.id);
    let call = async || {
        let ask = inside.interpreter(Call::Sandbox, Method::POST, &path, KERNEL);
        ask.whole(inside.transport.as_ref()).await.map(drop)
    };
    inside.counted(call).await
}

/// Ends a context.
pub(crate) async fn remove(inside: &Inside, context: &Context) -> Result<(), Trouble> {
    let path = format!("/contexts/{}", context.id);
    let call = async || {
        let ask = inside.interpreter(Call::Sandbox, Method::DELETE, &path, KERNEL);
        ask.whole(inside.transport.as_ref()).await.map(drop)
    };
    inside.counted(call).await
}

/// The right to start one cell, held until its stream has opened.
pub(crate) struct Right {
    _operation: Reservation,
    _execution: Reservation,
}

/// Waits for the right to start a cell.
pub(crate) async fn right(inside: &Inside) -> Result<Right, Trouble> {
    // The one that is waited for longest comes first: the other is not held meanwhile.
    let execution = inside.limits.execution().await?;
    let operation = inside.limits.operation().await?;
    Ok(Right { _operation: operation, _execution: execution })
}

/// Starts a cell. Dropping the stream closes the connection, which interrupts it.
pub(crate) async fn execute(
    inside: &Inside,
    right: Right,
    context: &Context,
    code: &str,
    env: Option<&BTreeMap<String, String>>,
) -> Result<Lines, Trouble> {
    let mut body = json!({ "code": code, "context_id": context.id });
    if let Some(env) = env.filter(|env| !env.is_empty()) {
        body["env_vars"] = json!(env);
    }
    let ask = inside.interpreter(Call::Execute, Method::POST, "/execute", OPENING).json(&body);
    let opened = ask.open(inside.transport.as_ref()).await;
    drop(right);
    inside.limits.hears(Kind::Execution, opened.as_ref().err());
    Ok(Lines { body: opened?.into_body(), read: BytesMut::new(), searched: 0, over: false })
}

/// The lines of a cell as they arrive.
pub(crate) struct Lines {
    body: Pieces,
    read: BytesMut,
    /// So many bytes of it are known to hold no end of a line.
    searched: usize,
    over: bool,
}

impl Lines {
    /// The next line; none at the end of the stream. Safe to drop in the middle and call again.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>, Trouble> {
        loop {
            if let Some(end) = self.read[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(self.searched + end + 1);
                self.searched = 0;
                match line.trim_ascii() {
                    [] => continue,
                    text => return Line::read(text).map(Some),
                }
            }
            self.searched = self.read.len();
            if self.over {
                self.searched = 0;
                return match self.read.split().trim_ascii() {
                    [] => Ok(None),
                    text => Line::read(text).map(Some),
                };
            }
            if self.read.len() > LINE {
                return Err(Trouble::nonsense(&format!("a line has more than {LINE} bytes")));
            }
            match self.body.next().await {
                Some(piece) => self.read.extend_from_slice(&piece.map_err(|broken| Trouble::broken(&broken))?),
                None => self.over = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    async fn lines(text: &str, size: usize) -> Vec<Line> {
        let pieces: Vec<_> = text.as_bytes().chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut lines = Lines { body: Box::pin(stream::iter(pieces)), read: BytesMut::new(), searched: 0, over: false };
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push(line);
        }
        seen
    }

    #[tokio::test]
    async fn lines_are_the_same_however_they_are_cut() {
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
        let whole = lines(text, text.len()).await;
        assert_eq!(whole.len(), 6);
        assert_eq!(whole[1], Line::Stdout { text: "hä\n".to_owned() });
        for size in 1..20 {
            assert_eq!(lines(text, size).await, whole);
        }
    }

    #[tokio::test]
    async fn a_value_that_nests_too_deep_is_no_fault() {
        let deep = format!(r#"{{"type":"result","json":{}{},"text":"x"}}"#, "[".repeat(500), "]".repeat(500));
        assert_eq!(lines(&deep, 100).await, [Line::TooDeep]);
    }

    #[test]
    fn a_result_keeps_all_its_forms() {
        let line = r#"{"type":"result","text":"2","png":"aGk=","json":[1],"data":{"a":[1]},"chart":{"type":"bar"},
            "html":null,"extra":{"application/x":"y","a/b+json":{"c":1}},"is_main_result":true}"#;
        let Line::Result(shown) = serde_json::from_str(line).unwrap() else { panic!("a result") };
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
