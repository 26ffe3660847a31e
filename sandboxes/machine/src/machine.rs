//! A machine as its clients use it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::BodyStream;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use switchtower_contract::{
    Body, Change, Fault, Kernel, KernelOptions, Kernels, Language, Machine, NetworkPolicy, Upgraded,
};

use crate::client::{PortError, lost};
use crate::files;
use crate::kernel::MachineKernel;
use crate::shared::SharedInstance;

/// The port of the first process's services, as E2B has it.
const ENVD_PORT: u16 = 49983;

/// A machine, which ends with its sandbox.
pub(crate) struct LocalMachine {
    pub(crate) instance: SharedInstance,
    /// The languages of its kernels.
    pub(crate) languages: Vec<Language>,
}

#[async_trait]
impl Kernels for LocalMachine {
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        Fault::check_language(language, |given| self.languages.contains(&given))?;
        Ok(Box::new(MachineKernel::open(self.instance.clone(), language, options.clone()).await?))
    }
}

#[async_trait]
impl Machine for LocalMachine {
    async fn call(&self, port: u16, request: Request<Bytes>) -> Result<Response<Body>, Fault> {
        Ok(match self.send(port, request).await? {
            Some(answer) => streamed(answer),
            None => closed(port),
        })
    }

    async fn upgrade(&self, port: u16, request: Request<Bytes>) -> Result<Upgraded, Fault> {
        let Some(mut answer) = self.send(port, request).await? else { return Ok(Upgraded::Refused(closed(port))) };
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Upgraded::Refused(streamed(answer)));
        }
        let connection = hyper::upgrade::on(&mut answer).await.map_err(lost)?;
        Ok(Upgraded::Switched(answer.map(drop), Box::new(TokioIo::new(connection))))
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), Fault> {
        files::apply(&self.instance.client()?, changes).await
    }

    async fn write_with(&self, path: &str, content: Bytes, metadata: &BTreeMap<String, String>) -> Result<bool, Fault> {
        files::write_with(&self.instance.client()?, path, content, metadata).await.map(|()| true)
    }

    async fn export_files(&self, max_bytes: u64) -> Result<Vec<Change>, Fault> {
        files::export(&self.instance.client()?, max_bytes).await
    }

    async fn has_processes(&self) -> Result<bool, Fault> {
        files::has_processes(&self.instance.client()?).await
    }

    async fn set_network(&self, network: &NetworkPolicy) -> Result<(), Fault> {
        self.instance.set_network(network)
    }

    async fn ensure_lifetime(&self, _at_least: Duration) -> Result<(), Fault> {
        // It lives as long as its sandbox.
        self.instance.client().map(drop)
    }
}

impl LocalMachine {
    /// Sends a request to a port. `None`: nothing listens on it.
    async fn send(&self, port: u16, request: Request<Bytes>) -> Result<Option<Response<Incoming>>, Fault> {
        let client = self.instance.client()?;
        if port == ENVD_PORT {
            return client.request(request).await.map(Some);
        }
        match client.request_port(port, request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(PortError::Closed) => Ok(None),
            Err(PortError::Fault(fault)) => Err(fault),
        }
    }
}

/// Returns the answer for a port on which nothing listens.
fn closed(port: u16) -> Response<Body> {
    let message = format!("nothing listens on port {port} of the machine");
    let body: Body = Box::pin(futures_util::stream::iter([Ok(Bytes::from(message))]));
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}

/// Returns a response whose body is streamed.
fn streamed(answer: Response<Incoming>) -> Response<Body> {
    answer.map(|body| {
        let frames = BodyStream::new(body);
        let pieces = frames.filter_map(async |frame| match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(lost(error))),
        });
        Box::pin(pieces) as Body
    })
}
