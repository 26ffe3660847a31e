//! The contexts of one session.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchtower_contract::python::HOME;

use super::context::Context;
use super::ids::IdSource;
use super::messages::ContextInfo;
use crate::memory::{Charge, NoSpace};

/// Bytes that a context takes beside its folder.
const CONTEXT_BYTES: u64 = 2 << 10;

/// A session's contexts, the default one first. There is always a default one.
pub(super) struct Contexts {
    ids: Arc<IdSource>,
    /// Charges what they cost to the session's owner.
    charge: Charge,
    /// Held for a look.
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    /// Contexts opened so far.
    opened: u64,
    contexts: Vec<Arc<Context>>,
}

impl Contexts {
    /// Returns the default context alone.
    pub(super) fn new(ids: Arc<IdSource>, charge: Charge) -> Result<Self, NoSpace> {
        let contexts = Self { ids, charge, list: Mutex::default() };
        contexts.add(&mut contexts.list(), HOME)?;
        Ok(contexts)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, list: &mut List, folder: &str) -> Result<ContextInfo, NoSpace> {
        let charge = self.charge.another();
        charge.resize(CONTEXT_BYTES + 2 * folder.len() as u64)?;
        let info = ContextInfo { id: self.ids.uuid(), language: "python".to_owned(), folder: folder.to_owned() };
        list.contexts.push(Context::new(info.clone(), list.opened, charge));
        list.opened += 1;
        Ok(info)
    }

    pub(super) fn infos(&self) -> Vec<ContextInfo> {
        self.list().contexts.iter().map(|context| context.info().clone()).collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<Context>> {
        self.list().contexts.clone()
    }

    /// `None`: the default context.
    pub(super) fn find(&self, id: Option<&str>) -> Option<Arc<Context>> {
        let list = self.list();
        match id {
            None => list.contexts.first().cloned(),
            Some(id) => list.contexts.iter().find(|context| context.id() == id).cloned(),
        }
    }

    /// Opens one more. `Ok(None)`: there are `max` already.
    pub(super) fn open(&self, folder: &str, max: usize) -> Result<Option<ContextInfo>, NoSpace> {
        let mut list = self.list();
        if list.contexts.len() >= max {
            return Ok(None);
        }
        self.add(&mut list, folder).map(Some)
    }

    /// Takes one out of the list. Where it was the last, a new default context takes its place, as E2B's interpreter does
    /// it. `Ok(None)`: there is no such context.
    pub(super) fn remove(&self, id: &str) -> Result<Option<Arc<Context>>, NoSpace> {
        let mut list = self.list();
        let Some(at) = list.contexts.iter().position(|context| context.id() == id) else { return Ok(None) };
        if list.contexts.len() == 1 {
            self.add(&mut list, HOME)?;
        }
        Ok(Some(list.contexts.remove(at)))
    }
}
