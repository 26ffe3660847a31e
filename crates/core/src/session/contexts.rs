//! The contexts of one session.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchtower_contract::Language;
use switchtower_contract::python::HOME;

use super::context::Context;
use super::ids::IdSource;
use super::messages::ContextInfo;
use crate::error::Error;
use crate::memory::{Charge, NoSpace};
use crate::request::Invalid;

/// Bytes charged for a context in addition to the name of its folder.
const CONTEXT_BYTES: u64 = 2 << 10;

/// The contexts of one session, the default one first. There is always a default one.
pub struct Contexts {
    ids: Arc<IdSource>,
    /// A charge of zero bytes to the session's owner, from which those of contexts are opened.
    charge: Charge,
    /// Held for one look-up or change.
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    /// Contexts opened so far.
    opened: u64,
    contexts: Vec<Arc<Context>>,
}

impl Contexts {
    /// Returns a list with the default context.
    ///
    /// # Errors
    /// The owner's share of memory is used up.
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
        let info = ContextInfo { id: self.ids.uuid(), language: Language::default(), folder: folder.to_owned() };
        list.contexts.push(Context::new(info.clone(), list.opened, charge));
        list.opened += 1;
        Ok(info)
    }

    /// Returns the descriptions of all contexts, the default one first.
    pub fn infos(&self) -> Vec<ContextInfo> {
        self.list().contexts.iter().map(|context| context.info().clone()).collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<Context>> {
        self.list().contexts.clone()
    }

    /// Returns the context with this id; `None`: the default context.
    pub(super) fn find(&self, id: Option<&str>) -> Option<Arc<Context>> {
        let list = self.list();
        match id {
            None => list.contexts.first().cloned(),
            Some(id) => list.contexts.iter().find(|context| context.id() == id).cloned(),
        }
    }

    /// Returns the context with this id; `None`: the default context.
    ///
    /// # Errors
    /// `Invalid`: there is no such context.
    pub(super) fn get(&self, id: Option<&str>) -> Result<Arc<Context>, Error> {
        self.find(id).ok_or_else(|| {
            let known: Vec<_> = self.infos().into_iter().map(|context| context.id).collect();
            Invalid::new("context", format!("one of {}", known.join(", "))).into()
        })
    }

    /// Returns whether there is a context with this id.
    pub fn contains(&self, id: &str) -> bool {
        self.find(Some(id)).is_some()
    }

    /// Opens another context. `Ok(None)`: there are `max` already.
    ///
    /// # Errors
    /// The owner's share of memory is used up.
    pub(super) fn open(&self, folder: &str, max: usize) -> Result<Option<ContextInfo>, NoSpace> {
        let mut list = self.list();
        if list.contexts.len() >= max {
            return Ok(None);
        }
        self.add(&mut list, folder).map(Some)
    }

    /// Removes a context from the list, and returns it. The last one is replaced by a new default context, as in E2B's
    /// interpreter. `Ok(None)`: there is no such context.
    ///
    /// # Errors
    /// There is no space for the new default context; nothing is removed.
    pub(super) fn remove(&self, id: &str) -> Result<Option<Arc<Context>>, NoSpace> {
        let mut list = self.list();
        let Some(at) = list.contexts.iter().position(|context| context.id() == id) else { return Ok(None) };
        if list.contexts.len() == 1 {
            self.add(&mut list, HOME)?;
        }
        Ok(Some(list.contexts.remove(at)))
    }
}
