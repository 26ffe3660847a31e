//! Watches of a folder: its changes as a stream, or collected until a client polls them.
//!
//! Changes are found by comparing two snapshots of the folder, so of several changes between two snapshots only the
//! last state is reported.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use switchtower_contract::Machine;
use switchtower_core::memory::Charge;
use switchtower_core::session::files::{FileError, Files, PathState, Revision, Writer};
use switchtower_core::session::{Session, SessionState};
use switchtower_e2b_wire::connect::{self, Code, Error};
use tokio::time::Instant;

use super::super::address::ENVD_PORT;
use super::super::forward;
use super::super::sandbox_handle::SandboxHandle;
use super::file_error::connect_error;
use super::filesystem::entry_json;
use super::messages::FilesystemMessage;
use crate::service::body;

/// Default interval of keepalive messages in a silent stream, in seconds.
const KEEPALIVE_SECONDS: u64 = 90;
/// Interval at which a stream checks whether the session has been promoted or has ended.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of watchers of one session.
const MAX_WATCHERS: usize = 64;

/// Bytes that a watcher takes beside the paths of its snapshot.
const WATCHER_BYTES: u64 = 4096;
/// Bytes that a path takes beside its name.
const PATH_BYTES: u64 = 96;

type Paths = BTreeMap<String, PathState>;

/// The options of a watch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WatchOptions {
    recursive: bool,
    /// Whether an event has the entry of its path, if that still exists.
    include_entry: bool,
    allow_network_mounts: bool,
}

impl WatchOptions {
    pub(super) fn of(message: &FilesystemMessage) -> Self {
        let FilesystemMessage { recursive, include_entry, allow_network_mounts, .. } = *message;
        Self { recursive, include_entry, allow_network_mounts }
    }

    /// Returns the request that creates the same watch on a machine.
    fn request(self, folder: &str) -> Value {
        let Self { recursive, include_entry, allow_network_mounts } = self;
        json!({
            "path": folder, "recursive": recursive, "includeEntry": include_entry,
            "allowNetworkMounts": allow_network_mounts,
        })
    }
}

/// What a folder contained at the last check.
struct FolderSnapshot {
    folder: String,
    options: WatchOptions,
    paths: Paths,
    charge: Charge,
}

impl FolderSnapshot {
    /// `charge` is resized to the memory of the snapshot.
    fn new(files: &Files, folder: &str, options: WatchOptions, charge: Charge) -> Result<Self, FileError> {
        if !files.stat(folder)?.folder {
            return Err(FileError::NotFolder(folder.to_owned()));
        }
        let mut snapshot = Self { folder: folder.to_owned(), options, paths: BTreeMap::new(), charge };
        let paths = snapshot.scan(files);
        snapshot.replace(paths)?;
        Ok(snapshot)
    }

    /// Replaces the paths and returns the previous ones.
    fn replace(&mut self, paths: Paths) -> Result<Paths, FileError> {
        let names = paths.keys().map(|path| path.len() as u64 + PATH_BYTES).sum::<u64>();
        self.charge.resize(WATCHER_BYTES + self.folder.len() as u64 + names)?;
        Ok(std::mem::replace(&mut self.paths, paths))
    }

    fn scan(&self, files: &Files) -> Paths {
        let mut paths = files.states(&self.folder).unwrap_or_default();
        paths.retain(|path, _| self.options.recursive || !self.name(path).contains('/'));
        paths
    }

    /// Returns a path relative to the folder.
    fn name<'a>(&self, path: &'a str) -> &'a str {
        path.get(self.folder.len() + 1..).unwrap_or_default()
    }

    /// Takes a new snapshot and returns the changes since the last one.
    ///
    /// # Errors
    /// There is no space for the new snapshot; the last one is kept.
    fn events(&mut self, files: &Files) -> Result<Vec<Value>, FileError> {
        let paths = self.scan(files);
        let before = self.replace(paths)?;
        let event = |path: &str, kind: &str| {
            let mut event = json!({ "name": self.name(path), "type": format!("EVENT_TYPE_{kind}") });
            if self.options.include_entry
                && let Ok(entry) = files.stat(path)
            {
                event["entry"] = entry_json(&entry);
            }
            event
        };
        let removed = before.keys().filter(|path| !self.paths.contains_key(*path)).map(|path| event(path, "REMOVE"));
        let changed = self.paths.iter().flat_map(|(path, state)| match before.get(path) {
            None if state.folder => vec![event(path, "CREATE")],
            // envd sets the owner of a file that it has created.
            None if state.writer == Writer::Client => ["CREATE", "WRITE", "CHMOD"].map(|kind| event(path, kind)).into(),
            None => vec![event(path, "CREATE"), event(path, "WRITE")],
            Some(old) if old.changed != state.changed && !state.folder => vec![event(path, "WRITE")],
            Some(_) => Vec::new(),
        });
        Ok(removed.chain(changed).collect())
    }
}

/// `WatchDir`: streams the changes. When the session is promoted, the stream continues from the machine.
pub(super) fn stream(
    sandbox: &SandboxHandle,
    folder: &str,
    options: WatchOptions,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, Error> {
    let snapshot = FolderSnapshot::new(sandbox.session.files(), folder, options, sandbox.session.open_charge())
        .map_err(|error| connect_error(&error))?;
    let keepalive = parts.headers.get("keepalive-ping-interval").and_then(|value| value.to_str().ok()?.parse().ok());
    let watch = WatchStream {
        session: Arc::clone(&sandbox.session),
        changed: sandbox.session.files().watch(),
        snapshot,
        keepalive_interval: Duration::from_secs(keepalive.unwrap_or(KEEPALIVE_SECONDS).max(1)),
        request: Some((parts.clone(), Bytes::copy_from_slice(body))),
    };
    let start = connect::frame(&json!({ "start": {} }));
    let chunks = stream::unfold(watch, async |mut watch| watch.next().await.map(|chunks| (chunks, watch)));
    Ok(connect::stream(Body::from_stream(stream::iter([Ok(start)]).chain(chunks.flatten()))))
}

type Chunks = stream::BoxStream<'static, Result<Bytes, std::io::Error>>;

struct WatchStream {
    session: Arc<Session>,
    changed: tokio::sync::watch::Receiver<Revision>,
    snapshot: FolderSnapshot,
    keepalive_interval: Duration,
    /// The request to send to a machine; `None` when the stream has ended or continues there.
    request: Option<(Parts, Bytes)>,
}

impl WatchStream {
    async fn next(&mut self) -> Option<Chunks> {
        self.request.as_ref()?;
        let keepalive_at = Instant::now() + self.keepalive_interval;
        loop {
            if self.session.lifetime().state() == SessionState::Ended {
                self.request = None;
                return Some(once(Err(std::io::ErrorKind::ConnectionReset.into())));
            }
            if let Some(machine) = self.session.machine() {
                let (parts, body) = self.request.take()?;
                let response = forward::forward(&self.session, machine.as_ref(), ENVD_PORT, parts, body).await;
                let rest = response.into_body().into_data_stream();
                return Some(rest.map(|chunk| chunk.map_err(std::io::Error::other)).boxed());
            }
            let events = match self.snapshot.events(self.session.files()) {
                Ok(events) => events,
                Err(error) => {
                    self.request = None;
                    return Some(once(Ok(connect::end_frame(Some(&connect_error(&error))))));
                }
            };
            if !events.is_empty() {
                let frame = |event: &Value| connect::frame(&json!({ "filesystem": event }));
                return Some(once(Ok(events.iter().map(frame).collect::<Vec<_>>().concat().into())));
            }
            if Instant::now() >= keepalive_at {
                return Some(once(Ok(connect::frame(&json!({ "keepalive": {} })))));
            }
            let until = keepalive_at.min(Instant::now() + CHECK_INTERVAL);
            // Both a change and the time-out lead to the next check.
            let _ = tokio::time::timeout_at(until, self.changed.changed()).await;
        }
    }
}

fn once(chunk: Result<Bytes, std::io::Error>) -> Chunks {
    stream::iter([chunk]).boxed()
}

/// Watchers that collect changes until a client polls them.
#[derive(Default)]
pub(in super::super) struct Watchers {
    /// By id. Locked for a look-up.
    watchers: Mutex<HashMap<String, Watcher>>,
}

struct Watcher {
    session: Weak<Session>,
    snapshot: FolderSnapshot,
    /// Its id on the machine, once the session has been promoted.
    machine_id: Option<String>,
}

impl Watcher {
    fn is_of(&self, session: &Session) -> bool {
        std::ptr::eq(self.session.as_ptr(), session)
    }
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Watcher>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn create(&self, session: &Arc<Session>, folder: &str, options: WatchOptions) -> Result<Value, Error> {
        let snapshot = FolderSnapshot::new(session.files(), folder, options, session.open_charge())
            .map_err(|error| connect_error(&error))?;
        let mut watchers = self.lock();
        watchers.retain(|_, watcher| {
            watcher.session.upgrade().is_some_and(|session| session.lifetime().state() != SessionState::Ended)
        });
        let of_session = watchers.values().filter(|watcher| watcher.is_of(session)).count();
        if of_session >= MAX_WATCHERS {
            let message = format!("a sandbox may have at most {MAX_WATCHERS} watchers: remove one");
            return Err(Error::new(Code::ResourceExhausted, message));
        }
        // Ids need not be secret: a call also needs the token of the session.
        let id = (0..).map(|number| format!("watcher-{}-{number}", session.id())).find(|id| !watchers.contains_key(id));
        let id = id.unwrap_or_default();
        watchers.insert(id.clone(), Watcher { session: Arc::downgrade(session), snapshot, machine_id: None });
        Ok(json!({ "watcherId": id }))
    }

    /// Returns the changes since the last poll.
    pub(super) fn events(&self, session: &Arc<Session>, id: &str) -> Result<Value, Error> {
        let mut watchers = self.lock();
        let watcher = watchers.get_mut(id).filter(|watcher| watcher.is_of(session)).ok_or_else(|| missing(id))?;
        let events = watcher.snapshot.events(session.files()).map_err(|error| connect_error(&error))?;
        Ok(json!({ "events": events }))
    }

    pub(super) fn remove(&self, session: &Session, id: &str) -> Result<(), Error> {
        let mut watchers = self.lock();
        if !watchers.get(id).is_some_and(|watcher| watcher.is_of(session)) {
            return Err(missing(id));
        }
        watchers.remove(id);
        Ok(())
    }

    /// Forwards a call about a watcher that was created before the session was promoted, and creates it on the machine
    /// first. Returns `None` for any other call.
    pub(super) async fn call_on_machine(
        &self,
        sandbox: &SandboxHandle,
        machine: &dyn Machine,
        parts: &Parts,
        body: &[u8],
    ) -> Option<Response> {
        let session = &sandbox.session;
        if !matches!(
            parts.uri.path(),
            "/filesystem.Filesystem/GetWatcherEvents" | "/filesystem.Filesystem/RemoveWatcher"
        ) {
            return None;
        }
        let message: FilesystemMessage = connect::read_message(&parts.headers, body).ok()?;
        let (machine_id, folder) = {
            let watchers = self.lock();
            let watcher = watchers.get(&message.watcher).filter(|watcher| watcher.is_of(session))?;
            (watcher.machine_id.clone(), watcher.snapshot.options.request(&watcher.snapshot.folder))
        };
        let send = async |path: &str, message: Value| {
            let mut parts = parts.clone();
            parts.uri = path.parse().unwrap_or(parts.uri);
            forward::forward(session, machine, ENVD_PORT, parts, message.to_string().into()).await
        };
        let machine_id = match machine_id {
            Some(machine_id) => machine_id,
            None => {
                let response = send("/filesystem.Filesystem/CreateWatcher", folder).await;
                if !response.status().is_success() {
                    return Some(response);
                }
                let whole =
                    body::read_response(response.into_body(), 1 << 16, sandbox.state.bodies.timeout).await.ok()?;
                let created: Value = serde_json::from_slice(&whole).ok()?;
                let machine_id = created["watcherId"].as_str()?.to_owned();
                if let Some(watcher) = self.lock().get_mut(&message.watcher) {
                    watcher.machine_id = Some(machine_id.clone());
                }
                machine_id
            }
        };
        if parts.uri.path().ends_with("RemoveWatcher") {
            self.lock().remove(&message.watcher);
        }
        Some(send(parts.uri.path(), json!({ "watcherId": machine_id })).await)
    }
}

fn missing(id: &str) -> Error {
    Error::new(Code::NotFound, format!("watcher with id {id} not found"))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use switchtower_contract::{Change, Content};
    use switchtower_core::clock::WallClock;
    use switchtower_core::memory::MemoryAccount;
    use switchtower_core::request::Caller;

    #[tokio::test]
    async fn changes_between_two_snapshots_are_reported_once_as_their_last_state() {
        let account = MemoryAccount::default();
        let open = || account.open(&Caller::default());
        let files = Files::new(WallClock::starting_at(UNIX_EPOCH), 100, open());
        files.write("old", "x".into()).unwrap();
        files.write("d/deep", "x".into()).unwrap();
        let mut flat = FolderSnapshot::new(&files, "/home/user", WatchOptions::default(), open()).unwrap();
        let recursive = WatchOptions { recursive: true, ..WatchOptions::default() };
        let mut deep = FolderSnapshot::new(&files, "/home/user", recursive, open()).unwrap();
        files.remove("old").unwrap();
        files.write("d/deep", "y".into()).unwrap();
        files.write("new", "1".into()).unwrap();
        files.write("new", "2".into()).unwrap();
        files.write("/tmp/elsewhere", "x".into()).unwrap();
        let of_kernel = Change { path: "/home/user/of_kernel".to_owned(), content: Content::File("1".into()) };
        files.apply(vec![of_kernel], Writer::Kernel(1)).unwrap();
        let lines = |events: Result<Vec<Value>, FileError>| -> Vec<String> {
            let text = |event: Value| format!("{} {}", event["name"], event["type"]).replace(['"'], "");
            events.unwrap().into_iter().map(text).collect()
        };
        let gone = "old EVENT_TYPE_REMOVE";
        let made = [
            "new EVENT_TYPE_CREATE",
            "new EVENT_TYPE_WRITE",
            "new EVENT_TYPE_CHMOD",
            "of_kernel EVENT_TYPE_CREATE",
            "of_kernel EVENT_TYPE_WRITE",
        ];
        assert_eq!(lines(flat.events(&files)), [[gone].as_slice(), &made].concat());
        assert_eq!(lines(deep.events(&files)), [[gone, "d/deep EVENT_TYPE_WRITE"].as_slice(), &made].concat());
        assert_eq!(lines(deep.events(&files)), [""; 0]);
        assert!(matches!(
            FolderSnapshot::new(&files, "/home/user/new", recursive, open()),
            Err(FileError::NotFolder(_))
        ));
        drop((files, flat, deep));
        assert_eq!(account.total(), 0);
    }
}
