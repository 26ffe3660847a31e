//! Where the places of a translated program are in its source.

/// A place of the translation, and the place in the source that it comes from. Lines and columns count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mapping {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) source_line: u32,
    pub(crate) source_column: u32,
}

/// The mappings of one program, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SourcePositions(Vec<Mapping>);

impl SourcePositions {
    pub(crate) fn new(mut mappings: Vec<Mapping>) -> Self {
        mappings.sort_unstable();
        Self(mappings)
    }

    /// Returns the place in the source of a place in the translation; both count from 1.
    pub(crate) fn source(&self, line: u32, column: u32) -> (u32, u32) {
        let (line0, column0) = (line.saturating_sub(1), column.saturating_sub(1));
        let after = self.0.partition_point(|mapping| (mapping.line, mapping.column) <= (line0, column0));
        let before = self.0[..after].last().filter(|mapping| mapping.line == line0);
        match before.or_else(|| self.0.get(after)) {
            Some(mapping) => (mapping.source_line + 1, mapping.source_column + 1),
            None => (line, column),
        }
    }
}
