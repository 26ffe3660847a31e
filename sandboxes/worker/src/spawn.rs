//! Starts processes on one thread that lives as long as this process.
//!
//! The signal that ends a worker with its parent (`parent.rs`) is sent when the *thread* ends that started it, and the
//! threads of a runtime may end earlier than the server.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, mpsc};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Starting a process takes little stack: the new process has one of its own.
const STACK: usize = 256 << 10;

static STARTER: LazyLock<io::Result<mpsc::Sender<Job>>> = LazyLock::new(|| {
    let (jobs, queue) = mpsc::channel::<Job>();
    let work = move || {
        for job in queue {
            // A panic must not end this thread: every worker would end with it.
            let _panic: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(job));
        }
    };
    std::thread::Builder::new().name("process-starter".into()).stack_size(STACK).spawn(work)?;
    Ok(jobs)
});

/// Starts a process that belongs to the runtime of the caller.
///
/// # Errors
/// It cannot be started.
pub(crate) async fn spawn(mut command: Command) -> io::Result<Child> {
    let starter = STARTER.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (reply, child) = oneshot::channel();
    let runtime = Handle::current();
    let job = move || {
        let _entered = runtime.enter();
        // A caller that left has no use for it: the process ends when it is dropped.
        let _unheard = reply.send(command.spawn());
    };
    let gone = || io::Error::other("the thread that starts processes is gone");
    starter.send(Box::new(job)).map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}
