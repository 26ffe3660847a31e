//! A cloud sandbox as a machine: calls to its ports, files by its daemon.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use switchtower_contract::{Body, Change, Content, Fault, Machine};

use crate::cause::{Cause, Trouble};
use crate::envd;
use crate::held::{MARGIN, Shared};
use crate::inside::Inside;
use crate::limits::Kind;

pub(crate) struct CloudMachine(Shared);

impl CloudMachine {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(shared)
    }
}

#[async_trait]
impl Machine for CloudMachine {
    async fn call(&self, port: u16, request: Request<Bytes>) -> Result<Response<Body>, Fault> {
        let sent = async {
            let inside = self.0.awake(MARGIN).await?;
            let right = inside.limits.operation().await?;
            let sent = inside.pass_on(port, request).await.map_err(|broken| Trouble::broken(&broken));
            drop(right);
            inside.limits.hears(Kind::Operation, sent.as_ref().err());
            sent
        };
        let (head, body) = sent.await.map_err(|trouble| trouble.fault(true))?.into_parts();
        let body = body.map(|piece| piece.map_err(|broken| Trouble::broken(&broken).fault(true)));
        Ok(Response::from_parts(head, Box::pin(body)))
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), Fault> {
        let applied = async { apply(&self.0.awake(MARGIN).await?, changes).await };
        applied.await.map_err(|trouble| trouble.fault(false))
    }

    async fn ensure_lifetime(&self, time: Duration) -> Result<(), Fault> {
        self.0.awake(time).await.map(drop).map_err(|trouble| trouble.fault(false))
    }
}

/// Brings files into the state that these changes say: all that is written in one call.
pub(crate) async fn apply(inside: &Inside, changes: &[Change]) -> Result<(), Trouble> {
    let mut files = Vec::new();
    for change in changes {
        match &change.content {
            Content::File(content) => files.push((change.path.as_str(), content.as_ref())),
            Content::Folder => envd::make_folder(inside, &change.path).await?,
            Content::Removed => match envd::remove(inside, &change.path).await {
                Err(trouble) if trouble.cause == Cause::Gone && trouble.status == Some(404) => {}
                done => done?,
            },
        }
    }
    if files.is_empty() { Ok(()) } else { envd::write(inside, &files).await }
}
