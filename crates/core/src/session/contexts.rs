//! The contexts of one session.

use std::collections::BTreeMap;
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

/// The contexts of one session. There is always one for Python, the first of which is the default one.
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
    /// The ids of the contexts of cells that name only a language other than Python.
    of_languages: BTreeMap<Language, String>,
}

impl List {
    fn find(&self, id: &str) -> Option<Arc<Context>> {
        self.contexts.iter().find(|context| context.id() == id).cloned()
    }

    fn default(&self) -> Option<Arc<Context>> {
        self.contexts.iter().find(|context| context.language() == Language::default()).cloned()
    }
}

impl Contexts {
    /// Returns a list with the default context.
    ///
    /// # Errors
    /// The owner's share of memory is used up.
    pub(super) fn new(ids: Arc<IdSource>, charge: Charge) -> Result<Self, NoSpace> {
        let contexts = Self { ids, charge, list: Mutex::default() };
        contexts.add(&mut contexts.list(), Language::default(), HOME)?;
        Ok(contexts)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, list: &mut List, language: Language, folder: &str) -> Result<Arc<Context>, NoSpace> {
        let charge = self.charge.another();
        charge.resize(CONTEXT_BYTES + 2 * folder.len() as u64)?;
        let info = ContextInfo { id: self.ids.uuid(), language, folder: folder.to_owned() };
        let context = Context::new(info, list.opened, charge);
        list.contexts.push(Arc::clone(&context));
        list.opened += 1;
        Ok(context)
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
            None => list.default(),
            Some(id) => list.find(id),
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
    pub(super) fn open(&self, language: Language, folder: &str, max: usize) -> Result<Option<ContextInfo>, NoSpace> {
        let mut list = self.list();
        if list.contexts.len() >= max {
            return Ok(None);
        }
        self.add(&mut list, language, folder).map(|context| Some(context.info().clone()))
    }

    /// Returns the context of cells that name only this language; it is opened with the first one. `Ok(None)`: there are `max`
    /// contexts already.
    ///
    /// # Errors
    /// The owner's share of memory is used up.
    pub(super) fn of_language(&self, language: Language, max: usize) -> Result<Option<Arc<Context>>, NoSpace> {
        let mut list = self.list();
        let known = match language {
            Language::Python => list.default(),
            _ => list.of_languages.get(&language).and_then(|id| list.find(id)),
        };
        if known.is_some() || list.contexts.len() >= max {
            return Ok(known);
        }
        let context = self.add(&mut list, language, HOME)?;
        // After the default one and the others of this kind, before those that a client has opened.
        let at = (1 + list.of_languages.len()).min(list.contexts.len() - 1);
        if let Some(last) = list.contexts.pop() {
            list.contexts.insert(at, last);
        }
        list.of_languages.insert(language, context.id().to_owned());
        Ok(Some(context))
    }

    /// Returns whether the context of cells that name only this language was opened.
    pub(super) fn had_language(&self, language: Language) -> bool {
        self.list().of_languages.contains_key(&language)
    }

    /// Removes a context from the list, and returns it. The last one for Python is replaced by a new default context, as in E2B's
    /// interpreter. `Ok(None)`: there is no such context.
    ///
    /// # Errors
    /// There is no space for the new default context; nothing is removed.
    pub(super) fn remove(&self, id: &str) -> Result<Option<Arc<Context>>, NoSpace> {
        let mut list = self.list();
        let Some(at) = list.contexts.iter().position(|context| context.id() == id) else { return Ok(None) };
        let is_python = |context: &Arc<Context>| context.language() == Language::default();
        if is_python(&list.contexts[at]) && list.contexts.iter().filter(|context| is_python(context)).count() == 1 {
            self.add(&mut list, Language::default(), HOME)?;
        }
        Ok(Some(list.contexts.remove(at)))
    }
}
