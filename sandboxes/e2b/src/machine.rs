//! A cloud sandbox as a machine: kernels in its contexts, calls to its ports, files through envd.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use switchtower_contract::{
    Body, Change, Content, Fault, Kernel, KernelOptions, Kernels, Language, Machine, NetworkPolicy, Upgraded,
};

use crate::backend::LANGUAGES;
use crate::envd;
use crate::error::{CallError, Cause};
use crate::interpreter::{self, CloudContext};
use crate::kernel::{CloudKernel, Preparation};
use crate::limits::CallClass;
use crate::prelude::Prelude;
use crate::sandbox_client::SandboxClient;
use crate::sandbox_guard::{MARGIN, SharedSandbox, WeakSandbox};
use crate::transport::{BodyStream, Switched, TransportError};

pub(crate) struct CloudMachine {
    /// A weak reference: the sandbox ends with the lease, even if the machine is still referenced.
    pub(crate) sandbox: WeakSandbox,
    /// The sandbox's default context, which is already prepared and becomes the first kernel.
    pub(crate) default_context: CloudContext,
    pub(crate) has_kernels: Arc<AtomicBool>,
    pub(crate) prelude: Prelude,
}

impl CloudMachine {
    fn shared(&self) -> Result<SharedSandbox, CallError> {
        self.sandbox.upgrade().ok_or_else(CallError::ended)
    }

    /// Sends a request to a port within the limits and records its outcome.
    async fn send<T>(
        &self,
        request: impl AsyncFnOnce(&SandboxClient) -> Result<T, TransportError>,
    ) -> Result<T, Fault> {
        let sent = async {
            let client = self.shared()?.running(MARGIN).await?;
            let reservation = client.limits.operation().await?;
            let sent = request(&client).await.map_err(|error| CallError::from_transport(&error));
            drop(reservation);
            client.limits.record_outcome(CallClass::Operation, sent.as_ref().err());
            sent
        };
        sent.await.map_err(|error| error.execution_fault())
    }
}

fn streamed(response: Response<BodyStream>) -> Response<Body> {
    response.map(|pieces| {
        Box::pin(pieces.map(|piece| piece.map_err(|error| CallError::from_transport(&error).execution_fault()))) as Body
    })
}

#[async_trait]
impl Kernels for CloudMachine {
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        Fault::check_language(language, |given| LANGUAGES.contains(&given))?;
        let opened = async {
            let shared = self.shared()?;
            let client = shared.running(MARGIN).await?;
            let had_kernels = self.has_kernels.swap(true, Ordering::Relaxed);
            let (context, preparation) = if had_kernels || language != Language::Python {
                let context = interpreter::new_context(&client, language, options.folder.as_deref()).await?;
                (context, Preparation::of_new(language))
            } else {
                (self.default_context.clone(), Preparation::Options)
            };
            Ok(CloudKernel::new(shared, context, language, self.prelude.clone(), options.clone(), preparation))
        };
        let kernel = opened.await.map_err(|error: CallError| error.fault())?;
        Ok(Box::new(kernel))
    }
}

#[async_trait]
impl Machine for CloudMachine {
    async fn call(&self, port: u16, request: Request<Bytes>) -> Result<Response<Body>, Fault> {
        self.send(async |client| client.forward(port, request).await).await.map(streamed)
    }

    async fn upgrade(&self, port: u16, request: Request<Bytes>) -> Result<Upgraded, Fault> {
        Ok(match self.send(async |client| client.upgrade(port, request).await).await? {
            Switched::To(head, connection) => Upgraded::Switched(head, connection),
            Switched::Refused(response) => Upgraded::Refused(streamed(response)),
        })
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), Fault> {
        let applied = async { apply(&self.shared()?.running(MARGIN).await?, changes).await };
        applied.await.map_err(|error| error.fault())
    }

    async fn write_with(&self, path: &str, content: Bytes, metadata: &BTreeMap<String, String>) -> Result<bool, Fault> {
        let written = async {
            let client = self.shared()?.running(MARGIN).await?;
            envd::write_with(&client, path, &content, metadata).await
        };
        written.await.map_err(|error| error.fault())
    }

    async fn export_files(&self, _max_bytes: u64) -> Result<Vec<Change>, Fault> {
        Err(Fault::Refused { reason: "the files of a cloud sandbox stay there".to_owned(), retry_after: None })
    }

    async fn has_processes(&self) -> Result<bool, Fault> {
        Err(Fault::Refused { reason: "the processes of a cloud sandbox are not listed".to_owned(), retry_after: None })
    }

    async fn set_network(&self, network: &NetworkPolicy) -> Result<(), Fault> {
        let set = async {
            let shared = self.shared()?;
            let client = shared.running(MARGIN).await?;
            let account = shared.lock().await.account.clone();
            account.set_network(client.id(), network).await
        };
        set.await.map_err(|error| error.fault())
    }

    async fn ensure_lifetime(&self, at_least: Duration) -> Result<(), Fault> {
        let ensured = async { self.shared()?.running(at_least).await };
        ensured.await.map(drop).map_err(|error| error.fault())
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
