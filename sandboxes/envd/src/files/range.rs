//! The part of a file that a client asks for.

/// What is sent of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// From the first number, as many bytes as the second.
    Range(u64, u64),
    /// Nothing of the file is within the range.
    Outside,
}

/// Returns the part that the header `Range` names. A list of several parts, and what is no range, counts as the whole file, as HTTP allows.
pub(super) fn parse(header: &str, size: u64) -> Part {
    let Some(range) = header.trim().strip_prefix("bytes=") else { return Part::Whole };
    let Some((first, last)) = range.split_once('-') else { return Part::Whole };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(0) => Part::Outside,
            Some(_) if size == 0 => Part::Outside,
            Some(count) => Part::Range(size.saturating_sub(count), count.min(size)),
            None => Part::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), _) if first >= size && (last.is_empty() || number(last).is_some()) => Part::Outside,
            (Some(first), None) if last.is_empty() => Part::Range(first, size - first),
            (Some(first), Some(last)) if last >= first => Part::Range(first, last.min(size - 1) - first + 1),
            _ => Part::Whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_file() {
        for (header, part) in [
            ("bytes=0-3", Part::Range(0, 4)),
            ("bytes=2-", Part::Range(2, 8)),
            ("bytes=-3", Part::Range(7, 3)),
            ("bytes=-30", Part::Range(0, 10)),
            ("bytes=8-100", Part::Range(8, 2)),
            ("bytes=10-", Part::Outside),
            ("bytes=10-12", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("rows=0-1", Part::Whole),
        ] {
            assert_eq!(parse(header, 10), part, "{header}");
        }
        assert_eq!((parse("bytes=0-", 0), parse("bytes=-1", 0)), (Part::Outside, Part::Outside));
    }
}
