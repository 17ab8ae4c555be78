//! What the tree of a trace says of each of its spans.
//!
//! In: the depths of a trace's rows in pre-order. Out: the numbers that questions about structure
//! ask for, by one pass forward. Nothing is searched: the parent of a row is the last row before it
//! that lies one level higher (`block/tree.rs`).

/// What the tree of a trace says of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanStructure {
    /// Spans above it.
    pub depth: u32,
    /// Numbers of the nested sets, from 1 on in pre-order of all roots; 0 for spans that hang on no
    /// root.
    pub left: u32,
    pub right: u32,
    /// `left` of the parent; -1 for a root, 0 for what hangs on no root.
    pub parent: i64,
    /// Spans directly below it, also of what hangs on no root.
    pub n_children: u32,
}

/// The structure of each row of one trace in pre-order. A row at depth 0 that names a parent is an
/// orphan: it and what hangs on it have no numbers.
pub fn structure_of(depths: &[u32], names_parent: impl Fn(usize) -> bool) -> Vec<SpanStructure> {
    let mut spans: Vec<SpanStructure> = Vec::with_capacity(depths.len());
    // The rows that the next one may hang on, outermost first.
    let mut path: Vec<usize> = Vec::new();
    let mut next = 1;
    for (row, depth) in depths.iter().enumerate() {
        close(&mut spans, &mut path, *depth as usize, &mut next);
        let parent = path.last().map(|above| {
            spans[*above].n_children += 1;
            spans[*above].left
        });
        let mut span = SpanStructure { depth: *depth, ..SpanStructure::default() };
        let is_numbered = match parent {
            Some(left) => left > 0,
            None => !names_parent(row),
        };
        if is_numbered {
            span.left = next;
            span.parent = parent.map_or(-1, i64::from);
            next += 1;
        }
        spans.push(span);
        path.push(row);
    }
    close(&mut spans, &mut path, 0, &mut next);
    spans
}

/// Ends the sets of all rows at a depth or deeper.
fn close(spans: &mut [SpanStructure], path: &mut Vec<usize>, depth: usize, next: &mut u32) {
    while path.len() > depth
        && let Some(row) = path.pop()
    {
        if spans[row].left > 0 {
            spans[row].right = *next;
            *next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_in_pre_order_say_everything_of_structure() {
        let structure = |depth, left, right, parent, n_children| SpanStructure {
            depth,
            left,
            right,
            parent,
            n_children,
        };
        // Two roots, between them an orphan with a child.
        let depths = [0, 1, 2, 1, 0, 1, 0];
        assert_eq!(
            structure_of(&depths, |row| row == 4),
            [
                structure(0, 1, 8, -1, 2),
                structure(1, 2, 5, 1, 1),
                structure(2, 3, 4, 2, 0),
                structure(1, 6, 7, 1, 0),
                structure(0, 0, 0, 0, 1),
                structure(1, 0, 0, 0, 0),
                structure(0, 9, 10, -1, 0),
            ]
        );
        assert_eq!(structure_of(&[], |_| true), []);
    }
}
