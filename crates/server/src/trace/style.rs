//! The look of a picture: colours, symbols, and what a terminal lacks.
//!
//! In: text and what it means. Out: the same text in the colours and characters that are there.

use crate::terminal::fitted;

/// What can be drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub columns: usize,
    pub colour: bool,
    pub unicode: bool,
}

/// Colours of services, of the 256 that terminals share: told apart on black and on white, none of
/// them the red of errors.
const SERVICE_COLOURS: [u8; 14] = [33, 71, 172, 133, 37, 99, 136, 67, 168, 65, 130, 62, 101, 30];

pub(super) const BOLD: &str = "1";
pub(super) const DIM: &str = "2";
pub(super) const RED: &str = "31";
pub(super) const YELLOW: &str = "33";

/// A service keeps its colour within a picture; the first ones never share theirs.
pub(super) fn colour_of(service: usize) -> String {
    format!("38;5;{}", SERVICE_COLOURS[service % SERVICE_COLOURS.len()])
}

impl Style {
    /// `text` in a colour or weight, as the numbers of an SGR sequence; none leaves it plain.
    pub(super) fn paint(self, code: &str, text: &str) -> String {
        if !self.colour || code.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Our own text for terminals without UTF-8.
    pub(super) fn plain(self, text: String) -> String {
        if self.unicode { text } else { text.replace('µ', "u") }
    }

    /// `text` in at most `columns_max` columns.
    pub(super) fn fitted(self, text: &str, columns_max: usize) -> String {
        let fitted = fitted(text, columns_max);
        if self.unicode { fitted } else { fitted.replace('…', "~") }
    }

    pub(super) fn symbols(self) -> &'static Symbols {
        if self.unicode { &UNICODE } else { &ASCII }
    }
}

/// What lines and bars are made of.
pub(super) struct Symbols {
    pub branch: &'static str,
    pub last: &'static str,
    pub through: &'static str,
    pub deep: &'static str,
    pub failed: &'static str,
    pub service: &'static str,
    pub separator: &'static str,
    pub before: &'static str,
    pub after: &'static str,
    /// Filled on both sides, on its left, on its right.
    cells: [char; 3],
}

const UNICODE: Symbols = Symbols {
    branch: "├─ ",
    last: "└─ ",
    through: "│  ",
    deep: "⋮",
    failed: "✗",
    service: "●",
    separator: " · ",
    before: "«",
    after: "»",
    cells: ['━', '╸', '╺'],
};

const ASCII: Symbols = Symbols {
    branch: "|- ",
    last: "`- ",
    through: "|  ",
    deep: ":",
    failed: "x",
    service: "*",
    separator: " - ",
    before: "<",
    after: ">",
    cells: ['=', '=', '='],
};

impl Symbols {
    /// The line of a level that goes on below, or the room it leaves.
    pub(super) fn pass(&self, on: bool) -> &'static str {
        if on { self.through } else { "   " }
    }

    /// One column of a bar, by the halves that it fills.
    pub(super) fn cell(&self, left: bool, right: bool) -> char {
        match (left, right) {
            (true, true) => self.cells[0],
            (true, false) => self.cells[1],
            (false, _) => self.cells[2],
        }
    }
}
