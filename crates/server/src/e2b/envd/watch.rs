//! Watches: what changes in a folder, as a stream, or gathered for whoever asks now and then.
//!
//! What happened is seen by comparing, so of several changes between two looks only the last state is told.

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
use switchtower_core::session::files::{FileError, Files, Revision};
use switchtower_core::session::{Session, SessionState};
use tokio::time::Instant;

use super::super::forward;
use super::super::plane::{ENVD, Visit};
use super::connect::{self, Code, Error};
use super::filesystem::Asked;
use crate::service::body;

/// How often a silent stream says that it lives, where the client did not ask for another time.
const KEEPALIVE: u64 = 90;
/// How often is looked whether the files are still held here.
const LOOK: Duration = Duration::from_secs(1);
/// Watchers of one session.
const WATCHERS: usize = 64;

/// Bytes that a watcher takes beside the paths that it remembers, and a path beside its name.
const WATCHER: u64 = 4096;
const NODE: u64 = 96;

/// Paths with the moment of their last change, and whether they are folders.
type Paths = BTreeMap<String, (Revision, bool)>;

/// What a folder looked like.
struct Seen {
    folder: String,
    recursive: bool,
    there: Paths,
    charge: Charge,
}

impl Seen {
    /// `charge` pays for what it remembers.
    fn new(files: &Files, folder: &str, recursive: bool, charge: Charge) -> Result<Self, FileError> {
        if !files.stat(folder)?.folder {
            return Err(FileError::NotFolder(folder.to_owned()));
        }
        let mut seen = Self { folder: folder.to_owned(), recursive, there: BTreeMap::new(), charge };
        let there = seen.look(files);
        seen.remember(there)?;
        Ok(seen)
    }

    /// Takes in what there is, and returns what there was.
    fn remember(&mut self, there: Paths) -> Result<Paths, FileError> {
        let names = there.keys().map(|path| path.len() as u64 + NODE).sum::<u64>();
        self.charge.resize(WATCHER + self.folder.len() as u64 + names)?;
        Ok(std::mem::replace(&mut self.there, there))
    }

    fn look(&self, files: &Files) -> Paths {
        let mut there = files.revisions(&self.folder).unwrap_or_default();
        there.retain(|path, _| self.recursive || !self.name(path).contains('/'));
        there
    }

    /// A path as it is told: from the folder on.
    fn name<'a>(&self, path: &'a str) -> &'a str {
        path.get(self.folder.len() + 1..).unwrap_or_default()
    }

    /// What has changed since the last look. Where there is no space for what is there now, the last look stays the last.
    fn events(&mut self, files: &Files) -> Result<Vec<Value>, FileError> {
        let there = self.look(files);
        let before = self.remember(there)?;
        let event = |path: &str, kind: &str| json!({ "name": self.name(path), "type": format!("EVENT_TYPE_{kind}") });
        let gone = before.keys().filter(|path| !self.there.contains_key(*path)).map(|path| event(path, "REMOVE"));
        let here = self.there.iter().flat_map(|(path, (mark, folder))| match before.get(path) {
            None if *folder => vec![event(path, "CREATE")],
            None => vec![event(path, "CREATE"), event(path, "WRITE")],
            Some((old, _)) if old != mark && !folder => vec![event(path, "WRITE")],
            Some(_) => Vec::new(),
        });
        Ok(gone.chain(here).collect())
    }
}

/// `WatchDir`: the changes as they come. When the session moves to a machine, the watch goes on there.
pub(super) fn stream(
    visit: &Visit,
    folder: &str,
    recursive: bool,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, Error> {
    let seen = Seen::new(visit.session.files(), folder, recursive, visit.session.open_charge())?;
    let every = parts.headers.get("keepalive-ping-interval").and_then(|value| value.to_str().ok()?.parse().ok());
    let watching = Watching {
        session: Arc::clone(&visit.session),
        changed: visit.session.files().watch(),
        seen,
        every: Duration::from_secs(every.unwrap_or(KEEPALIVE).max(1)),
        request: Some((parts.clone(), Bytes::copy_from_slice(body))),
    };
    let start = connect::data(&json!({ "start": {} }));
    let pieces = stream::unfold(watching, async |mut watching| watching.next().await.map(|pieces| (pieces, watching)));
    Ok(connect::stream(Body::from_stream(stream::iter([Ok(start)]).chain(pieces.flatten()))))
}

type Pieces = stream::BoxStream<'static, Result<Bytes, std::io::Error>>;

struct Watching {
    session: Arc<Session>,
    changed: tokio::sync::watch::Receiver<Revision>,
    seen: Seen,
    every: Duration,
    /// What to ask a machine; nothing once it was asked.
    request: Option<(Parts, Bytes)>,
}

impl Watching {
    async fn next(&mut self) -> Option<Pieces> {
        self.request.as_ref()?;
        let silent = Instant::now() + self.every;
        loop {
            if self.session.state() == SessionState::Ended {
                self.request = None;
                return Some(once(Err(std::io::ErrorKind::ConnectionReset.into())));
            }
            if let Some(machine) = self.session.machine() {
                let (parts, body) = self.request.take()?;
                let answer = forward::forward(&self.session, machine.as_ref(), ENVD, parts, body).await;
                let rest = answer.into_body().into_data_stream();
                return Some(rest.map(|piece| piece.map_err(std::io::Error::other)).boxed());
            }
            let events = match self.seen.events(self.session.files()) {
                Ok(events) => events,
                Err(error) => {
                    self.request = None;
                    return Some(once(Ok(connect::last(Some(&error.into())))));
                }
            };
            if !events.is_empty() {
                let frame = |event: &Value| connect::data(&json!({ "filesystem": event }));
                return Some(once(Ok(events.iter().map(frame).collect::<Vec<_>>().concat().into())));
            }
            if Instant::now() >= silent {
                return Some(once(Ok(connect::data(&json!({ "keepalive": {} })))));
            }
            let until = silent.min(Instant::now() + LOOK);
            // Either way it is time to look again.
            let _ = tokio::time::timeout_at(until, self.changed.changed()).await;
        }
    }
}

fn once(piece: Result<Bytes, std::io::Error>) -> Pieces {
    stream::iter([piece]).boxed()
}

/// Watchers that gather what changes until they are asked.
#[derive(Default)]
pub(in super::super) struct Watchers {
    /// By id. Locked for a look-up.
    all: Mutex<HashMap<String, Watcher>>,
}

struct Watcher {
    session: Weak<Session>,
    seen: Seen,
    /// Its name on the machine, once the session has moved there.
    there: Option<String>,
}

impl Watcher {
    fn is_of(&self, session: &Session) -> bool {
        std::ptr::eq(self.session.as_ptr(), session)
    }
}

impl Watchers {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Watcher>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn create(&self, session: &Arc<Session>, folder: &str, recursive: bool) -> Result<Value, Error> {
        let seen = Seen::new(session.files(), folder, recursive, session.open_charge())?;
        let mut all = self.all();
        all.retain(|_, watcher| {
            watcher.session.upgrade().is_some_and(|session| session.state() != SessionState::Ended)
        });
        let of_session = all.values().filter(|watcher| watcher.is_of(session)).count();
        if of_session >= WATCHERS {
            let message = format!("a sandbox may have {WATCHERS} watchers: remove one");
            return Err(Error::new(Code::ResourceExhausted, message));
        }
        // Ids are only of use together with the token of their session.
        let id = (0..).map(|number| format!("watcher-{}-{number}", session.id())).find(|id| !all.contains_key(id));
        let id = id.unwrap_or_default();
        all.insert(id.clone(), Watcher { session: Arc::downgrade(session), seen, there: None });
        Ok(json!({ "watcherId": id }))
    }

    /// What has changed since it was asked last.
    pub(super) fn events(&self, session: &Arc<Session>, id: &str) -> Result<Value, Error> {
        let mut all = self.all();
        let watcher = all.get_mut(id).filter(|watcher| watcher.is_of(session)).ok_or_else(|| missing(id))?;
        Ok(json!({ "events": watcher.seen.events(session.files())? }))
    }

    pub(super) fn remove(&self, session: &Session, id: &str) -> Result<(), Error> {
        let mut all = self.all();
        if !all.get(id).is_some_and(|watcher| watcher.is_of(session)) {
            return Err(missing(id));
        }
        all.remove(id);
        Ok(())
    }

    /// A call about a watcher from before the session moved: it gets one on the machine. `None`: it is about none.
    pub(super) async fn on_machine(
        &self,
        visit: &Visit,
        machine: &dyn Machine,
        parts: &Parts,
        body: &[u8],
    ) -> Option<Response> {
        let session = &visit.session;
        if !matches!(
            parts.uri.path(),
            "/filesystem.Filesystem/GetWatcherEvents" | "/filesystem.Filesystem/RemoveWatcher"
        ) {
            return None;
        }
        let asked: Asked = connect::message(&parts.headers, body).ok()?;
        let (there, seen) = {
            let all = self.all();
            let watcher = all.get(&asked.watcher).filter(|watcher| watcher.is_of(session))?;
            (watcher.there.clone(), json!({ "path": watcher.seen.folder, "recursive": watcher.seen.recursive }))
        };
        let send = async |path: &str, message: Value| {
            let mut parts = parts.clone();
            parts.uri = path.parse().unwrap_or(parts.uri);
            forward::forward(session, machine, ENVD, parts, message.to_string().into()).await
        };
        let there = match there {
            Some(there) => there,
            None => {
                let answer = send("/filesystem.Filesystem/CreateWatcher", seen).await;
                if !answer.status().is_success() {
                    return Some(answer);
                }
                let whole =
                    body::read_response(answer.into_body(), 1 << 16, visit.door.parts.bodies.timeout).await.ok()?;
                let created: Value = serde_json::from_slice(&whole).ok()?;
                let there = created["watcherId"].as_str()?.to_owned();
                if let Some(watcher) = self.all().get_mut(&asked.watcher) {
                    watcher.there = Some(there.clone());
                }
                there
            }
        };
        if parts.uri.path().ends_with("RemoveWatcher") {
            self.all().remove(&asked.watcher);
        }
        Some(send(parts.uri.path(), json!({ "watcherId": there })).await)
    }
}

fn missing(id: &str) -> Error {
    Error::new(Code::NotFound, format!("watcher with id {id} not found"))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use switchtower_core::clock::Wall;
    use switchtower_core::memory::MemoryAccount;
    use switchtower_core::request::Caller;

    #[tokio::test]
    async fn what_changed_between_two_looks_is_told_once_by_its_last_state() {
        let account = MemoryAccount::default();
        let open = || account.open(&Caller::default());
        let files = Files::new(Wall::starting_at(UNIX_EPOCH), 100, open());
        files.write("old", "x".into()).unwrap();
        files.write("d/deep", "x".into()).unwrap();
        let mut flat = Seen::new(&files, "/home/user", false, open()).unwrap();
        let mut deep = Seen::new(&files, "/home/user", true, open()).unwrap();
        files.remove("old").unwrap();
        files.write("d/deep", "y".into()).unwrap();
        files.write("new", "1".into()).unwrap();
        files.write("new", "2".into()).unwrap();
        files.write("/tmp/elsewhere", "x".into()).unwrap();
        let told = |events: Result<Vec<Value>, FileError>| -> Vec<String> {
            let text = |event: Value| format!("{} {}", event["name"], event["type"]).replace(['"'], "");
            events.unwrap().into_iter().map(text).collect()
        };
        let (gone, made, written) = ("old EVENT_TYPE_REMOVE", "new EVENT_TYPE_CREATE", "new EVENT_TYPE_WRITE");
        assert_eq!(told(flat.events(&files)), [gone, made, written]);
        assert_eq!(told(deep.events(&files)), [gone, "d/deep EVENT_TYPE_WRITE", made, written]);
        assert_eq!(told(deep.events(&files)), [""; 0]);
        assert!(matches!(Seen::new(&files, "/home/user/new", false, open()), Err(FileError::NotFolder(_))));
        drop((files, flat, deep));
        assert_eq!(account.total(), 0);
    }
}
