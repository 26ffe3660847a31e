//! Starts processes on one thread that lives as long as this process.
//!
//! The signal that ends a worker with its parent (`parent.rs`) is sent when the *thread* that started it ends, and the
//! threads of a runtime may end earlier than the server.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, mpsc};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

type Task = Box<dyn FnOnce() + Send>;

/// The stack of that thread in bytes: starting a process takes little, and the process has a stack of its own.
const STACK: usize = 256 << 10;

static STARTER: LazyLock<io::Result<mpsc::Sender<Task>>> = LazyLock::new(|| {
    let (tasks, queue) = mpsc::channel::<Task>();
    let work = move || {
        for task in queue {
            // A panic must not end this thread: every worker would end with it.
            let _panic: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(task));
        }
    };
    std::thread::Builder::new().name("process-starter".into()).stack_size(STACK).spawn(work)?;
    Ok(tasks)
});

/// Starts a process that belongs to the runtime of the caller.
///
/// # Errors
/// It cannot be started.
pub async fn spawn(mut command: Command) -> io::Result<Child> {
    let starter = STARTER.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (reply, child) = oneshot::channel();
    let runtime = Handle::current();
    let task = move || {
        let _entered = runtime.enter();
        // Where the caller has left, the process is dropped, which ends it.
        let _caller_left = reply.send(command.spawn());
    };
    let gone = || io::Error::other("the thread that starts processes has ended");
    starter.send(Box::new(task)).map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}
