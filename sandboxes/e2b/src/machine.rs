//! A cloud sandbox as a machine: calls to its ports, files through envd.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use switchtower_contract::{Body, Change, Content, Fault, Machine};

use crate::envd;
use crate::error::{CallError, Cause};
use crate::limits::CallClass;
use crate::sandbox_client::SandboxClient;
use crate::sandbox_guard::{MARGIN, SharedSandbox};

pub(crate) struct CloudMachine(SharedSandbox);

impl CloudMachine {
    pub(crate) fn new(shared: SharedSandbox) -> Self {
        Self(shared)
    }
}

#[async_trait]
impl Machine for CloudMachine {
    async fn call(&self, port: u16, request: Request<Bytes>) -> Result<Response<Body>, Fault> {
        let sent = async {
            let client = self.0.running(MARGIN).await?;
            let reservation = client.limits.operation().await?;
            let sent = client.forward(port, request).await.map_err(|error| CallError::from_transport(&error));
            drop(reservation);
            client.limits.record_outcome(CallClass::Operation, sent.as_ref().err());
            sent
        };
        let (head, body) = sent.await.map_err(|error| error.execution_fault())?.into_parts();
        let body = body.map(|piece| piece.map_err(|error| CallError::from_transport(&error).execution_fault()));
        Ok(Response::from_parts(head, Box::pin(body)))
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), Fault> {
        let applied = async { apply(&self.0.running(MARGIN).await?, changes).await };
        applied.await.map_err(|error| error.fault())
    }

    async fn ensure_lifetime(&self, time: Duration) -> Result<(), Fault> {
        self.0.running(time).await.map(drop).map_err(|error| error.fault())
    }
}

/// Applies changes of files. All files are written in one call, after the folders.
pub(crate) async fn apply(client: &SandboxClient, changes: &[Change]) -> Result<(), CallError> {
    let mut files = Vec::new();
    for change in changes {
        match &change.content {
            Content::File(content) => files.push((change.path.as_str(), content.as_ref())),
            Content::Folder => envd::make_folder(client, &change.path).await?,
            Content::Removed => match envd::remove(client, &change.path).await {
                Err(error) if error.cause == Cause::Gone && error.status == Some(404) => {}
                done => done?,
            },
        }
    }
    if files.is_empty() { Ok(()) } else { envd::write(client, &files).await }
}
