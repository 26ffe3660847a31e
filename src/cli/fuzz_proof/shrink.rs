//! A program made smaller as long as it still does what it was found for.

/// Takes away what can be taken away: halves first, then single parts, until nothing more can go. `holds` says whether
/// what is left still does it.
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

/// The statements of a source, by its lines: what is indented, closes brackets or goes on belongs to what stands above.
pub(super) fn parts(source: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in source.split_inclusive('\n') {
        let goes_on = line.trim().is_empty()
            || line.starts_with([' ', '\t', ')', ']', '}', '#'])
            || ["else", "elif", "except", "finally"].iter().any(|word| line.starts_with(word));
        let decorated = parts.last().is_some_and(|part| part.starts_with('@') && part.lines().count() == 1);
        match parts.last_mut() {
            Some(part) if goes_on || decorated => part.push_str(line),
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
    async fn what_has_nothing_to_do_with_it_is_taken_away() {
        let source = "import random\nx = 1\ndef f():\n    return x\n\n@g\ndef h():\n    pass\nprint(f())\ny = 2\n";
        assert_eq!(parts(source).len(), 6);
        let left =
            shrink(parts(source), async |source: &str| source.contains("def f") && source.contains("y = 2")).await;
        assert_eq!(left, "def f():\n    return x\n\ny = 2\n");
    }

    #[tokio::test]
    async fn what_cannot_be_made_smaller_stays_as_it_is() {
        let source = "a\nb\nc";
        assert_eq!(shrink(parts(source), async |source: &str| source == "a\nb\nc\n").await, "a\nb\nc\n");
        assert_eq!(shrink(parts(source), async |_: &str| true).await.lines().count(), 1);
    }
}
