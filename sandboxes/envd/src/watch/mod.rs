//! Watches of folders: their changes as a stream, or collected until a client fetches them.

mod folder_watch;
mod stream;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use switchtower_e2b_wire::connect::{Code, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::daemon::blocking;
use crate::folders::Folders;
use crate::readiness::register;
use folder_watch::FolderWatch;
pub(crate) use folder_watch::WatchOptions;
pub(crate) use stream::stream;

/// Most watches at once, streams included.
const MAX_WATCHES: usize = 64;
/// Most events that are collected for a client, and that one answer has.
const MAX_EVENTS: usize = 4096;

/// A watch, and its part of the watches that a machine may have.
pub(crate) struct OpenWatch {
    watch: FolderWatch,
    _permit: OwnedSemaphorePermit,
}

/// The watches of a machine.
pub(crate) struct Watchers {
    permits: Arc<Semaphore>,
    created: AtomicU64,
    /// Those that collect, by id. Locked for a look-up.
    collecting: Mutex<HashMap<String, CollectingWatch>>,
}

/// A watch that collects events. Until as many as may be are collected, a task does it; the rest waits in the kernel.
struct CollectingWatch {
    collected: Arc<Mutex<Collected>>,
    task: JoinHandle<()>,
}

struct Collected {
    open: OpenWatch,
    events: Vec<Value>,
    /// Why the watch has ended.
    error: Option<Error>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_WATCHES)),
            created: AtomicU64::new(1),
            collecting: Mutex::default(),
        }
    }
}

impl Watchers {
    fn collecting(&self) -> MutexGuard<'_, HashMap<String, CollectingWatch>> {
        self.collecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch a folder.
    pub(crate) async fn open(&self, folders: Folders, path: String, options: WatchOptions) -> Result<OpenWatch, Error> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| {
            let message = format!("a sandbox may have at most {MAX_WATCHES} watchers: remove one");
            Error::new(Code::ResourceExhausted, message)
        })?;
        let watch = blocking(move || FolderWatch::new(folders, path, options)).await?;
        Ok(OpenWatch { watch, _permit: permit })
    }

    /// Begins to collect the changes of a folder, and returns the id of the watch.
    pub(crate) async fn create(&self, folders: Folders, path: String, options: WatchOptions) -> Result<String, Error> {
        let open = self.open(folders, path, options).await?;
        let failed = |error: io::Error| Error::new(Code::Internal, format!("error creating watcher: {error}"));
        let readable = register(open.watch.descriptor().map_err(failed)?).map_err(failed)?;
        let collected = Arc::new(Mutex::new(Collected { open, events: Vec::new(), error: None }));
        let collector = Arc::downgrade(&collected);
        let task = tokio::spawn(async move {
            while let Ok(mut guard) = readable.readable().await {
                let Some(collected) = collector.upgrade() else { return };
                lock(&collected).collect();
                // What is left is collected when a client fetches.
                guard.clear_ready();
            }
        });
        // Ids need not be secret: a caller may watch all folders.
        let id = format!("w{}", self.created.fetch_add(1, Ordering::Relaxed));
        self.collecting().insert(id.clone(), CollectingWatch { collected, task });
        Ok(id)
    }

    /// Returns the changes since the last call.
    pub(crate) fn events(&self, id: &str) -> Result<Vec<Value>, Error> {
        let watchers = self.collecting();
        let watcher = watchers.get(id).ok_or_else(|| missing(id))?;
        let mut collected = lock(&watcher.collected);
        collected.collect();
        match &collected.error {
            Some(error) => Err(error.clone()),
            None => Ok(std::mem::take(&mut collected.events)),
        }
    }

    pub(crate) fn remove(&self, id: &str) -> Result<(), Error> {
        self.collecting().remove(id).map(drop).ok_or_else(|| missing(id))
    }
}

impl Collected {
    fn collect(&mut self) {
        if self.error.is_none()
            && let Err(error) = self.open.watch.read_events(&mut self.events, MAX_EVENTS)
        {
            self.error = Some(error);
        }
    }
}

impl Drop for CollectingWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(collected: &Mutex<Collected>) -> MutexGuard<'_, Collected> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

fn missing(id: &str) -> Error {
    Error::new(Code::NotFound, format!("watcher with id {id} not found"))
}
