//! A scripted machine: kernels that share files, and a service on every port that returns the request, or what it is sent
//! after a change of the protocol.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::kernel::ScriptedKernel;
use super::run::apply;
use super::{AfterInterrupt, Files, Scripted};
use crate::backend::NetworkPolicy;
use crate::fault::Fault;
use crate::kernel::{Change, Content, Kernel, KernelOptions, Kernels};
use crate::language::Language;
use crate::machine::{Body, Machine, Upgraded};

/// Most bytes that a changed connection holds.
const ECHO_BYTES: usize = 16 << 10;

pub(super) struct ScriptedMachine {
    pub(super) backend: Scripted,
    pub(super) files: Files,
    /// False once the sandbox is dropped.
    pub(super) is_open: Arc<AtomicBool>,
}

impl ScriptedMachine {
    fn check_open(&self) -> Result<(), Fault> {
        let ended = || Fault::Unavailable { reason: "the machine has ended, as scripted".to_owned() };
        if self.is_open.load(Ordering::Relaxed) { Ok(()) } else { Err(ended()) }
    }
}

#[async_trait]
impl Kernels for ScriptedMachine {
    async fn open_kernel(&self, language: Language, options: &KernelOptions) -> Result<Box<dyn Kernel>, Fault> {
        Fault::check_language(language, |given| self.backend.settings.offer.languages.has(given))?;
        self.check_open()?;
        let after_interrupt = self.backend.settings.kernels.unwrap_or(AfterInterrupt::StateKept);
        Ok(Box::new(ScriptedKernel::open(&self.backend, options, self.files.clone(), after_interrupt)))
    }
}

#[async_trait]
impl Machine for ScriptedMachine {
    async fn call(&self, port: u16, request: Request<Bytes>) -> Result<Response<Body>, Fault> {
        self.check_open()?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let answer = format!("{} {path} on port {port}", request.method());
        Ok(Response::new(Box::pin(Once(Some(answer.into())))))
    }

    async fn upgrade(&self, _port: u16, _request: Request<Bytes>) -> Result<Upgraded, Fault> {
        self.check_open()?;
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let (ours, theirs) = tokio::io::duplex(ECHO_BYTES);
        let (mut from, mut to) = tokio::io::split(theirs);
        tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
        Ok(Upgraded::Switched(head, Box::new(ours)))
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), Fault> {
        self.check_open()?;
        apply(&self.files, changes);
        Ok(())
    }

    async fn write_with(
        &self,
        path: &str,
        content: Bytes,
        _metadata: &BTreeMap<String, String>,
    ) -> Result<bool, Fault> {
        self.apply(&[Change { path: path.to_owned(), content: Content::File(content) }]).await?;
        Ok(false)
    }

    async fn export_files(&self, _max_bytes: u64) -> Result<Vec<Change>, Fault> {
        self.check_open()?;
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let change =
            |(path, content): (&String, &Bytes)| Change { path: path.clone(), content: Content::File(content.clone()) };
        Ok(files.iter().map(change).collect())
    }

    async fn has_processes(&self) -> Result<bool, Fault> {
        self.check_open().map(|()| false)
    }

    async fn set_network(&self, _network: &NetworkPolicy) -> Result<(), Fault> {
        self.check_open()
    }

    async fn ensure_lifetime(&self, _at_least: Duration) -> Result<(), Fault> {
        self.check_open()
    }
}

/// A body of one piece.
struct Once(Option<Bytes>);

impl futures_core::Stream for Once {
    type Item = Result<Bytes, Fault>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.take().map(Ok))
    }
}
