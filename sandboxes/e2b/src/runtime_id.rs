//! The runtime id of an account's sandboxes, which is part of cache keys: the template's tag and the processors.

use std::sync::{Arc, Mutex, PoisonError};

/// The runtime id. It exists once a sandbox has reported its processors, and as long as all sandboxes report the same.
pub(crate) struct RuntimeId {
    /// The template with its tag. `None` where it has no tag.
    image: Option<String>,
    /// Held for a few instructions.
    processors: Mutex<Processors>,
}

/// The processors that sandboxes have reported.
enum Processors {
    /// No sandbox has reported yet.
    Unknown,
    /// All sandboxes have reported the same.
    Same { processor: String, id: Arc<str> },
    /// Sandboxes differ, or one did not report: it is not known which of them the next program runs on.
    Mixed,
}

impl RuntimeId {
    pub(crate) fn new(image: Option<String>) -> Self {
        Self { image, processors: Mutex::new(Processors::Unknown) }
    }

    /// Records what a new sandbox reports as its processors. `None` where it reports nothing.
    pub(crate) fn record(&self, processor: Option<String>) {
        let Some(image) = &self.image else { return };
        let mut known = self.processors.lock().unwrap_or_else(PoisonError::into_inner);
        *known = match (&*known, processor) {
            (Processors::Unknown, Some(processor)) => {
                let id = format!("{image} {processor}").into();
                Processors::Same { processor, id }
            }
            (Processors::Same { processor: earlier, .. }, Some(processor)) if *earlier == processor => return,
            _ => Processors::Mixed,
        };
    }

    /// Returns the id. It is empty where there is none, so that no result is stored.
    pub(crate) fn get(&self) -> Arc<str> {
        match &*self.processors.lock().unwrap_or_else(PoisonError::into_inner) {
            Processors::Same { id, .. } => Arc::clone(id),
            Processors::Unknown | Processors::Mixed => "".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_runtime_id_while_every_sandbox_reports_the_same_processor() {
        let id_after = |image: Option<&str>, processors: &[Option<&str>]| {
            let runtime = RuntimeId::new(image.map(str::to_owned));
            processors.iter().for_each(|processor| runtime.record(processor.map(str::to_owned)));
            runtime.get().to_string()
        };
        assert_eq!(id_after(Some("t 1"), &[]), "");
        assert_eq!(id_after(Some("t 1"), &[Some("a"), Some("a")]), "t 1 a");
        assert_eq!(id_after(Some("t 1"), &[Some("a"), Some("b"), Some("a")]), "");
        assert_eq!(id_after(Some("t 1"), &[Some("a"), None]), "");
        assert_eq!(id_after(None, &[Some("a")]), "");
    }
}
