//! What names the runtime of an account's sandboxes in cache keys: the template's tag and the processors that it runs on.

use std::sync::{Arc, Mutex, PoisonError};

/// Known once a sandbox has shown its processors, and for as long as all have shown the same.
pub(crate) struct Runtime {
    /// The template with its tag; none where it has none.
    image: Option<String>,
    /// Protects what was seen; held for a few instructions.
    seen: Mutex<Seen>,
}

enum Seen {
    /// No sandbox yet.
    Nothing,
    /// All the same.
    One { processor: String, name: Arc<str> },
    /// Sandboxes that differ, or one that does not say: which of them takes the next program is not known beforehand.
    Several,
}

impl Runtime {
    pub(crate) fn new(image: Option<String>) -> Self {
        Self { image, seen: Mutex::new(Seen::Nothing) }
    }

    /// A sandbox was opened that has these processors; none where it does not describe them.
    pub(crate) fn saw(&self, processor: Option<String>) {
        let Some(image) = &self.image else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = match (&*seen, processor) {
            (Seen::Nothing, Some(processor)) => {
                let name = format!("{image} {processor}").into();
                Seen::One { processor, name }
            }
            (Seen::One { processor: known, .. }, Some(processor)) if *known == processor => return,
            _ => Seen::Several,
        };
    }

    /// Returns the name; empty where there is none, so that no result is stored.
    pub(crate) fn name(&self) -> Arc<str> {
        match &*self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            Seen::One { name, .. } => Arc::clone(name),
            Seen::Nothing | Seen::Several => "".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_has_a_name_while_every_sandbox_shows_the_same_processor() {
        let saw = |image: Option<&str>, processors: &[Option<&str>]| {
            let runtime = Runtime::new(image.map(str::to_owned));
            processors.iter().for_each(|processor| runtime.saw(processor.map(str::to_owned)));
            runtime.name().to_string()
        };
        assert_eq!(saw(Some("t 1"), &[]), "");
        assert_eq!(saw(Some("t 1"), &[Some("a"), Some("a")]), "t 1 a");
        assert_eq!(saw(Some("t 1"), &[Some("a"), Some("b"), Some("a")]), "");
        assert_eq!(saw(Some("t 1"), &[Some("a"), None]), "");
        assert_eq!(saw(None, &[Some("a")]), "");
    }
}
