//! What is wrong with a text, and where.
//!
//! In: a place, what was found there and what would have fitted. Out: one line for an answer, or
//! the line of the query with a caret below it for a terminal.

use std::fmt;

use crate::ast::Place;

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// It does not follow the grammar.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It follows the grammar, and asks for what cannot be: `{ 1 = "a" }`.
    #[error(transparent)]
    Validation(#[from] ValidationError),
}

/// Where in the text something is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    pub place: Place,
    /// From one.
    pub line: usize,
    /// From one, in characters.
    pub column: usize,
}

/// The text does not follow the grammar.
#[derive(Clone, Debug, PartialEq)]
pub struct ParseError {
    pub position: Position,
    /// What stands there, as people call it: "`}`", "end of query".
    pub found: String,
    /// What would fit there.
    pub expected: String,
    /// How to mend it, where that can be guessed.
    pub advice: Option<String>,
}

/// The types of a text do not fit, or it asks for what the language forbids.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidationError {
    pub position: Position,
    /// What is wrong.
    pub problem: String,
    /// How to mend it, where that can be guessed.
    pub advice: Option<String>,
}

impl Error {
    /// Where it is wrong.
    pub fn position(&self) -> Position {
        match self {
            Self::Parse(error) => error.position,
            Self::Validation(error) => error.position,
        }
    }

    /// The line of `text`, which was parsed, and a caret below the place.
    pub fn draw(&self, text: &str) -> String {
        draw(text, self.position())
    }
}

impl ParseError {
    pub(crate) fn new(
        text: &str,
        place: Place,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Box<ParseError> {
        Box::new(ParseError {
            position: Position::of(text, place),
            found: found.into(),
            expected: expected.into(),
            advice: None,
        })
    }

    pub(crate) fn advise(mut self: Box<Self>, advice: impl Into<String>) -> Box<ParseError> {
        self.advice = Some(advice.into());
        self
    }
}

impl ValidationError {
    pub(crate) fn new(text: &str, place: Place, problem: impl Into<String>) -> ValidationError {
        ValidationError {
            position: Position::of(text, place),
            problem: problem.into(),
            advice: None,
        }
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> ValidationError {
        self.advice = Some(advice.into());
        self
    }
}

impl Position {
    /// Of a place in `text`; it may lie behind the end.
    pub fn of(text: &str, place: Place) -> Position {
        let start = text.floor_char_boundary(place.start as usize);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            place,
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
        }
    }

    /// The line of `text` that it is in, and a caret below it.
    pub fn draw(self, text: &str) -> String {
        draw(text, self)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column, .. } = self.position;
        write!(f, "parse error at line {line}, col {column}: ")?;
        write!(f, "found {}, expected {}", self.found, self.expected)?;
        write_advice(f, self.advice.as_deref())
    }
}

impl std::error::Error for ParseError {}

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column, .. } = self.position;
        write!(f, "invalid query at line {line}, col {column}: {}", self.problem)?;
        write_advice(f, self.advice.as_deref())
    }
}

impl std::error::Error for ValidationError {}

fn write_advice(f: &mut fmt::Formatter<'_>, advice: Option<&str>) -> fmt::Result {
    match advice {
        Some(advice) => write!(f, "; {advice}"),
        None => Ok(()),
    }
}

/// Columns of a long line that are drawn on each side of the caret.
const DRAWN_COLUMNS: usize = 60;

fn draw(text: &str, position: Position) -> String {
    let line = text.split('\n').nth(position.line - 1).unwrap_or_default();
    let chars: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let caret = position.column - 1;
    let from = caret.saturating_sub(DRAWN_COLUMNS);
    let to = chars.len().min(caret + DRAWN_COLUMNS);
    let drawn: String = chars[from.min(to)..to].iter().collect();
    let place = position.place;
    let marked = text
        .get(place.start as usize..place.end as usize)
        .map_or(1, |marked| marked.split('\n').next().unwrap_or_default().chars().count());
    let n_carets = marked.clamp(1, to.saturating_sub(caret).max(1));
    format!("{drawn}\n{:indent$}{:^<n_carets$}", "", "", indent = caret - from)
}
