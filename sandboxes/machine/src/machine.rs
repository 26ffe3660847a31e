//! A machine as its clients use it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyStream;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use switchtower_contract::{
    Body, Change, Fault, Kernel, KernelOptions, Kernels, Language, Machine, NetworkPolicy, PortClosed, Upgraded,
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
        if port == ENVD_PORT && request.uri().path() == "/metrics" && request.method() == Method::GET {
            return self.metrics(request).await;
        }
        Ok(self.send(port, request).await?.map_or_else(|refused| refused, streamed))
    }

    async fn upgrade(&self, port: u16, request: Request<Bytes>) -> Result<Upgraded, Fault> {
        let mut answer = match self.send(port, request).await? {
            Ok(answer) => answer,
            Err(refused) => return Ok(Upgraded::Refused(refused)),
        };
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
    /// Returns the daemon's answer with the machine's figures in place of the host's.
    async fn metrics(&self, request: Request<Bytes>) -> Result<Response<Body>, Fault> {
        let answer = match self.instance.client()?.answer(request).await? {
            Ok(answer) => answer,
            Err(refused) => return Ok(text_answer(refused.status, refused.message)),
        };
        let mut figures: Map<String, Value> = serde_json::from_slice(&answer).map_err(lost)?;
        self.instance.replace_figures(&mut figures)?;
        let mut answer = text_answer(StatusCode::OK, Value::Object(figures).to_string());
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(answer)
    }

    /// Sends a request to a port. Returns its answer, or the one for a port that has none.
    async fn send(
        &self,
        port: u16,
        request: Request<Bytes>,
    ) -> Result<Result<Response<Incoming>, Response<Body>>, Fault> {
        let client = self.instance.client()?;
        if port == ENVD_PORT {
            return client.request(request).await.map(Ok);
        }
        match client.request_port(port, request).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(PortError::Closed) => Ok(Err(closed(port))),
            Err(PortError::Broken(why)) => {
                let text = format!("what listens on port {port} of the machine gave no answer of HTTP: {why}");
                Ok(Err(text_answer(StatusCode::BAD_GATEWAY, text)))
            }
            Err(PortError::Fault(fault)) => Err(fault),
        }
    }
}

/// Returns the answer for a port on which nothing listens.
fn closed(port: u16) -> Response<Body> {
    let mut answer = text_answer(StatusCode::BAD_GATEWAY, format!("nothing listens on port {port} of the machine"));
    answer.extensions_mut().insert(PortClosed);
    answer
}

fn text_answer(status: StatusCode, text: String) -> Response<Body> {
    let body: Body = Box::pin(futures_util::stream::iter([Ok(Bytes::from(text))]));
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
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
