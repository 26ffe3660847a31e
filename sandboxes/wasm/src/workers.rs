//! Programs in jailed worker processes: what servers use.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchtower_contract::{Backend, Fault, Limits, Offer, Program, Sandbox, Spec};
use switchtower_worker::child::{self, Engine, Reporter};
use switchtower_worker::jail::Layer;
use switchtower_worker::{Command, Config, StartError};

use crate::compiled::{self, Compiled};
use crate::engine::THREAD_STACK;
use crate::runner::{Job, Reserve, Runner};

/// A worker says that it is ready when its reserve is full, or after this.
const RESERVE_WITHIN: Duration = Duration::from_millis(200);

/// The WebAssembly tier in processes of its own.
pub struct Workers(switchtower_worker::Workers);

impl Workers {
    /// Starts `workers` processes, each with `reserve` instances made ahead. `program` is this very program, and
    /// `arguments` lead it to [`main`], which takes two more: the compiled guest and the reserve.
    ///
    /// # Errors
    /// A worker does not come up.
    pub async fn start(
        compiled: &Compiled,
        program: PathBuf,
        arguments: &[&str],
        workers: usize,
        reserve: usize,
    ) -> Result<Self, StartError> {
        let mut all: Vec<OsString> = arguments.iter().map(Into::into).collect();
        all.push(compiled.path().as_os_str().to_owned());
        all.push(reserve.to_string().into());
        let config = Config { command: Command { program, arguments: all }, workers };
        Ok(Self(switchtower_worker::Workers::start(crate::offer::offer(compiled), &config).await?))
    }

    /// The layers of the workers' jail, as the workers found them.
    pub fn layers(&self) -> &[Layer] {
        self.0.layers()
    }

    /// Ends every worker and waits for it.
    pub async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

#[async_trait]
impl Backend for Workers {
    fn offer(&self) -> Offer {
        self.0.offer()
    }

    async fn open(&self, spec: &Spec) -> Result<Box<dyn Sandbox>, Fault> {
        self.0.open(spec).await
    }
}

/// The whole life of a worker process. Call it before anything else is opened or started.
///
/// # Errors
/// The worker could not start, or its parent said something that is no order.
pub fn main(compiled: &Path, reserve: usize) -> std::io::Result<()> {
    child::serve(
        // One instance runs, one is cleared away, one is being made.
        || compiled::load(compiled, u32::try_from(reserve + 3).unwrap_or(u32::MAX)).map_err(|e| e.to_string()),
        |image| {
            let reserve = Reserve::start(&image, reserve).map_err(|e| e.to_string())?;
            let runner = Runner::new(image, Arc::clone(&reserve)).map_err(|e| e.to_string())?;
            reserve.wait_until_full(RESERVE_WITHIN);
            Ok(Guest(runner))
        },
    )
}

/// The engine of a worker.
struct Guest(Runner);

impl Engine for Guest {
    const STACK: usize = THREAD_STACK;

    fn run(&mut self, program: Program, limits: Limits, reporter: &Reporter, cancel: child::Cancel) {
        let (events, done) = (reporter.clone(), reporter.clone());
        self.0.run(Job {
            program,
            limits,
            send: Box::new(move |event| events.event(event)),
            cancel: Box::new(move || cancel.is_set()),
            done: Box::new(move |ended| {
                done.done(ended);
            }),
        });
    }
}
