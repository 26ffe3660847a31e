//! Shrinks a program while a property still holds.

/// Removes statements while `holds` is true of the remaining source: halves first, then single ones, until no more can
/// be removed.
pub(super) async fn shrink(mut parts: Vec<String>, holds: impl AsyncFn(&str) -> bool) -> String {
    let mut size = parts.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut smaller = false;
        while at < parts.len() && parts.len() > 1 {
            let end = (at + size).min(parts.len());
            let left: String = parts[..at].iter().chain(&parts[end..]).map(String::as_str).collect();
            if !left.is_empty() && holds(&left).await {
                parts.drain(at..end);
                smaller = true;
            } else {
                at = end;
            }
        }
        if size == 1 && !smaller {
            return parts.concat();
        }
        size = if smaller { size.min(parts.len().max(1)) } else { size / 2 }.max(1);
    }
}

/// Splits a source into statements by its lines: a line that is indented, closes a bracket or continues a compound
/// statement belongs to the lines above it.
pub(super) fn parts(source: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in source.split_inclusive('\n') {
        let continues = line.trim().is_empty()
            || line.starts_with([' ', '\t', ')', ']', '}', '#'])
            || ["else", "elif", "except", "finally"].iter().any(|word| line.starts_with(word));
        let decorated = parts.last().is_some_and(|part| part.starts_with('@') && part.lines().count() == 1);
        match parts.last_mut() {
            Some(part) if continues || decorated => part.push_str(line),
            _ => parts.push(line.to_owned()),
        }
    }
    if let Some(last) = parts.last_mut()
        && !last.ends_with('\n')
    {
        last.push('\n');
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{parts, shrink};

    #[tokio::test]
    async fn statements_that_do_not_matter_are_removed() {
        let source = "import random\nx = 1\ndef f():\n    return x\n\n@g\ndef h():\n    pass\nprint(f())\ny = 2\n";
        assert_eq!(parts(source).len(), 6);
        let left =
            shrink(parts(source), async |source: &str| source.contains("def f") && source.contains("y = 2")).await;
        assert_eq!(left, "def f():\n    return x\n\ny = 2\n");
    }

    #[tokio::test]
    async fn a_source_that_cannot_be_shrunk_stays_as_it_is() {
        let source = "a\nb\nc";
        assert_eq!(shrink(parts(source), async |source: &str| source == "a\nb\nc\n").await, "a\nb\nc\n");
        assert_eq!(shrink(parts(source), async |_: &str| true).await.lines().count(), 1);
    }
}
