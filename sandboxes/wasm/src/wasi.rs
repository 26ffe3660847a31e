//! WASI for a program: observed clocks and randomness, the streams of the run, and nothing else.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::rand_core::TryRng;
use switchtower_worker::output::StdStream;
use tokio::io::{AsyncRead, AsyncWrite, empty};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::bindings::io::streams;
use wasmtime_wasi::p2::{
    DynOutputStream, DynPollable, InputStream, OutputStream, Pollable, StreamError, StreamResult, subscribe,
};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

use crate::host::Host;
use crate::inputs::nanoseconds;
use crate::shared_run::SharedRun;

/// Most bytes that one call may read from randomness or write.
const MAX_PER_CALL: usize = 1 << 20;

/// Returns the WASI objects of one instance, without folders, network, arguments and variables.
pub(crate) fn context(run: &SharedRun) -> WasiCtx {
    WasiCtxBuilder::new()
        .stdin(Stdin(run.clone()))
        .stdout(Out(run.clone(), StdStream::Stdout))
        .stderr(Out(run.clone(), StdStream::Stderr))
        .wall_clock(Clock(run.clone()))
        .monotonic_clock(Clock(run.clone()))
        .secure_random(Random(run.clone()))
        .insecure_random(Random(run.clone()))
        .insecure_random_seed(0)
        .max_random_size(MAX_PER_CALL as u64)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

/// Makes waiting on a clock advance the instance's own clock without blocking: the deadline's epochs cannot interrupt a
/// host call, so that a host call must not wait.
pub(crate) fn sleep_without_waiting(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    clock.func_wrap("subscribe-duration", |mut store: StoreContextMut<'_, Host>, (time,): (u64,)| {
        let host = store.data_mut();
        host.sleep(Duration::from_nanos(time))?;
        Ok((past(host)?,))
    })?;
    clock.func_wrap("subscribe-instant", |mut store: StoreContextMut<'_, Host>, (at,): (u64,)| {
        let host = store.data_mut();
        let now = host.run.lock().monotonic();
        host.sleep(Duration::from_nanos(at).saturating_sub(now))?;
        Ok((past(host)?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Makes what a program writes arrive without entering an asynchronous runtime, as WASI's own functions do for every
/// write: the streams of the run are always ready, and that takes longer than all the rest.
pub(crate) fn write_without_waiting(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    streams.func_wrap(
        "[method]output-stream.blocking-write-and-flush",
        |mut store: StoreContextMut<'_, Host>, (stream, bytes): (Resource<DynOutputStream>, Vec<u8>)| {
            store.data_mut().table().get_mut(&stream)?.write(bytes.into())?;
            Ok((Ok::<(), streams::StreamError>(()),))
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.blocking-flush",
        |mut store: StoreContextMut<'_, Host>, (stream,): (Resource<DynOutputStream>,)| {
            store.data_mut().table().get_mut(&stream)?.flush()?;
            Ok((Ok::<(), streams::StreamError>(()),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn past(host: &mut Host) -> wasmtime::Result<Resource<DynPollable>> {
    let past = host.table().push(Past)?;
    subscribe(host.table(), past)
}

/// A point in time that has passed.
struct Past;

#[async_trait::async_trait]
impl Pollable for Past {
    async fn ready(&mut self) {}
}

struct Clock(SharedRun);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0.lock().wall_clock()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        nanoseconds(self.0.lock().monotonic())
    }
}

struct Random(SharedRun);

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.lock().random(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.lock().random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.lock().random(bytes);
        Ok(())
    }
}

struct Stdin(SharedRun);

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Stdin {
    // Only WASI 0.3 uses this form, and it is not linked.
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(empty())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Self(self.0.clone()))
    }
}

#[async_trait::async_trait]
impl Pollable for Stdin {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let read = self.0.lock().read(size);
        if read.is_empty() && size > 0 { Err(StreamError::Closed) } else { Ok(read) }
    }
}

struct Out(SharedRun, StdStream);

impl IsTerminal for Out {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Out {
    // Only WASI 0.3 uses this form, and it is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(empty())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self(self.0.clone(), self.1))
    }
}

#[async_trait::async_trait]
impl Pollable for Out {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl OutputStream for Out {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.lock().output.write(self.1, &bytes);
        Ok(())
    }

    // Does nothing: the output buffer sends on by size and by age.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_PER_CALL)
    }
}
