//! Tables and lists for people.
//!
//! In: cells of text. Out: lines. Programs are given JSON instead.

/// Columns aligned on the right, two blanks between them.
pub(crate) fn aligned<const N: usize>(table: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in table {
        let cells: Vec<_> =
            widths.iter().zip(row).map(|(width, cell)| format!("{cell:>width$}")).collect();
        text.push_str(&cells.join("  "));
        text.push('\n');
    }
    text
}

/// A heading and its items; nothing if there are none.
pub(crate) fn push_list(text: &mut String, heading: &str, items: impl Iterator<Item = String>) {
    for (place, item) in items.enumerate() {
        if place == 0 {
            text.push_str(&format!("\n{heading}:\n"));
        }
        text.push_str(&format!("  {item}\n"));
    }
}
