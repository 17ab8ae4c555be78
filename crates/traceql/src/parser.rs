//! Reads tokens as a tree.
//!
//! In: a text. Out: a tree that follows the grammar (`tempo.md` 2.3), or the first place that does
//! not and what would fit there. Types are not looked at here.
//!
//! One precedence holds everywhere: `|` binds least, then `&& ||`, comparisons and structure, `+ -`,
//! `* / %`, `^`. What an operator means follows from its operands: `>` relates spansets, filters by
//! an aggregate, or filters points of series. So brackets are read once and judged when the operator
//! behind them is known.

mod combine;
mod field;
mod metrics;
mod stage;

use crate::TEXT_BYTES_MAX;
use crate::advice;
use crate::ast::{
    Attribute, Hint, MetricsExpr, Pipeline, Place, Query, Root, ScalarExpr, StageKind, Value,
};
use crate::error::ParseError;
use crate::lexer::{self, Token, TokenKind};
use crate::words;

/// The tallest tree. Chains of the same `&&` or `||` are made into low trees, so this is a limit for
/// what people and programs nest, and it holds whoever walks a tree on a stack of 1 MiB.
pub(crate) const HEIGHT_MAX: u32 = 100;
/// Brackets, signs and right-hand sides that are open at once. A tree of the greatest height is
/// printed with so many.
const DEPTH_MAX: u32 = 2 * HEIGHT_MAX + 8;

/// Reads a whole text.
pub(crate) fn query(text: &str) -> Result<Query, Box<ParseError>> {
    let mut parser = Parser::new(text)?;
    let root = parser.root()?;
    let hints = parser.hints()?;
    match parser.kind() {
        TokenKind::End => Ok(Query { root, hints }),
        _ => Err(parser.unexpected_behind(&root)),
    }
}

/// Reads a text that is the name of an attribute.
pub(crate) fn attribute(text: &str) -> Result<Attribute, Box<ParseError>> {
    let mut parser = Parser::new(text)?;
    let attribute = parser.attribute("the name of an attribute such as `span.foo`")?;
    match parser.kind() {
        TokenKind::End => Ok(attribute.attribute),
        _ => Err(parser.unexpected("nothing behind the attribute")),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Ends with the end or what is broken.
    tokens: Vec<Token<'a>>,
    /// Of the next token.
    at: usize,
    depth: u32,
}

/// A tree and its height.
struct Tall<T> {
    tree: T,
    height: u32,
}

/// What a piece of the text turned out to be, before the operator behind it is known.
/// Large parts are boxed, and so are errors: brackets nest these values on the stack.
enum Piece {
    Spansets {
        pipeline: Pipeline,
        /// In brackets it may be an operand.
        bracketed: bool,
    },
    /// Numbers and aggregates; not a query.
    Scalar(Box<ScalarExpr>),
    Metrics(Box<MetricsExpr>),
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, Box<ParseError>> {
        if text.len() > TEXT_BYTES_MAX {
            let place = Place { start: TEXT_BYTES_MAX as u32, end: TEXT_BYTES_MAX as u32 };
            return Err(ParseError::new(
                text,
                place,
                format!("a query of {} bytes", text.len()),
                format!("at most {TEXT_BYTES_MAX}"),
            ));
        }
        Ok(Parser { text, tokens: lexer::tokens(text), at: 0, depth: 0 })
    }

    fn root(&mut self) -> Result<Root, Box<ParseError>> {
        if matches!(self.kind(), TokenKind::End) {
            return Err(self.unexpected("a query such as `{ status = error }`"));
        }
        match self.pipeline()?.tree {
            Piece::Spansets { pipeline, .. } => Ok(Root::Spansets(pipeline)),
            Piece::Metrics(metrics) => Ok(Root::Metrics(*metrics)),
            Piece::Scalar(scalar) => Err(self.scalar_alone(&scalar)),
        }
    }

    /// `with(name = literal, …)`, any number of times; the last one holds.
    fn hints(&mut self) -> Result<Vec<Hint>, Box<ParseError>> {
        let mut hints = Vec::new();
        while self.eat_word("with") {
            hints.clear();
            self.expect("(", "`(` behind `with`")?;
            loop {
                hints.push(self.hint()?);
                if !self.eat(",") {
                    break;
                }
            }
            self.expect(")", "`,` or `)` behind the hint")?;
        }
        Ok(hints)
    }

    fn hint(&mut self) -> Result<Hint, Box<ParseError>> {
        let start = self.place();
        let TokenKind::Word(name) = *self.kind() else {
            return Err(self.unexpected("the name of a hint"));
        };
        self.skip();
        self.expect("=", "`=` behind the name of the hint")?;
        let value = self.hint_value()?;
        Ok(Hint { name: name.into(), value, place: self.place_from(start) })
    }

    fn hint_value(&mut self) -> Result<Value, Box<ParseError>> {
        if let Some(number) = self.number()? {
            return Ok(number);
        }
        let value = match self.kind() {
            TokenKind::String(text) => Some(Value::String(text.clone())),
            TokenKind::Word(word) => words::literal(word),
            _ => None,
        };
        let Some(value) = value else { return Err(self.unexpected("a literal")) };
        self.skip();
        Ok(value)
    }

    /// A number or duration with its sign, if one comes next.
    fn number(&mut self) -> Result<Option<Value>, Box<ParseError>> {
        let negative = self.is("-");
        let behind = usize::from(negative);
        let Some(token) = self.tokens.get(self.at + behind) else { return Ok(None) };
        let signed = |magnitude: u64| match negative {
            true => 0_i64.checked_sub_unsigned(magnitude),
            false => i64::try_from(magnitude).ok(),
        };
        let value = match token.kind {
            TokenKind::Int(magnitude) => signed(magnitude).map(Value::Int),
            TokenKind::DurationNanos(magnitude) => signed(magnitude).map(Value::DurationNanos),
            TokenKind::Float(number) => Some(Value::Float(if negative { -number } else { number })),
            _ => return Ok(None),
        };
        let value = value.ok_or_else(|| {
            let found = "a number that is too large";
            ParseError::new(self.text, token.place, found, "at most 9223372036854775807")
        })?;
        self.at += 1 + behind;
        Ok(Some(value))
    }

    /// Runs `parse` one level deeper.
    fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, Box<ParseError>>,
    ) -> Result<T, Box<ParseError>> {
        if self.depth == DEPTH_MAX {
            let expected = format!("at most {DEPTH_MAX} levels");
            return Err(ParseError::new(self.text, self.place(), "too deep a nesting", expected));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// A tree above others.
    fn above<T>(&self, tree: T, heights: &[u32]) -> Result<Tall<T>, Box<ParseError>> {
        let height = 1 + heights.iter().copied().max().unwrap_or(0);
        if height > HEIGHT_MAX {
            let expected = format!("at most {HEIGHT_MAX} levels");
            return Err(ParseError::new(self.text, self.place(), "too deep a nesting", expected));
        }
        Ok(Tall { tree, height })
    }

    fn kind(&self) -> &TokenKind<'a> {
        &self.token().kind
    }

    fn token(&self) -> &Token<'a> {
        let last = self.tokens.len() - 1;
        &self.tokens[self.at.min(last)]
    }

    fn place(&self) -> Place {
        self.token().place
    }

    /// From the start of `first` to the end of the last token that was taken.
    fn place_from(&self, first: Place) -> Place {
        let end = self.tokens[self.at.saturating_sub(1)].place.end;
        Place { start: first.start, end: end.max(first.end) }
    }

    /// The token before the next one.
    fn previous(&self) -> Option<&TokenKind<'a>> {
        self.at.checked_sub(1).map(|previous| &self.tokens[previous].kind)
    }

    fn skip(&mut self) {
        self.at += 1;
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.kind(), TokenKind::Symbol(next) if *next == symbol)
    }

    fn symbol(&self) -> Option<&'static str> {
        match self.kind() {
            TokenKind::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    fn word(&self) -> Option<&'a str> {
        match self.kind() {
            TokenKind::Word(word) => Some(word),
            _ => None,
        }
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let is = self.is(symbol);
        self.at += usize::from(is);
        is
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let is = self.word() == Some(word);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, symbol: &str, expected: &str) -> Result<(), Box<ParseError>> {
        match self.eat(symbol) {
            true => Ok(()),
            false => Err(self.unexpected(expected)),
        }
    }

    /// That the next token does not fit.
    fn unexpected(&self, expected: impl Into<String>) -> Box<ParseError> {
        let token = self.token();
        if let TokenKind::Broken(error) = &token.kind {
            return error.clone();
        }
        let error = ParseError::new(self.text, token.place, self.found(), expected);
        match self.word_for_operator() {
            Some(operator) => error.advise(format!("write `{operator}`")),
            None => error,
        }
    }

    /// The same with advice, unless there is better one already.
    fn unexpected_with(
        &self,
        expected: impl Into<String>,
        advice: impl Into<String>,
    ) -> Box<ParseError> {
        let error = self.unexpected(expected);
        let is_broken = matches!(self.kind(), TokenKind::Broken(_));
        if is_broken || error.advice.is_some() { error } else { error.advise(advice) }
    }

    /// The operator for which people of other languages write the next token.
    fn word_for_operator(&self) -> Option<&'static str> {
        match self.kind() {
            TokenKind::Symbol("==") => Some("="),
            TokenKind::Symbol("<>") => Some("!="),
            TokenKind::Symbol("&") => Some("&&"),
            TokenKind::Word(word) if word.eq_ignore_ascii_case("and") => Some("&&"),
            TokenKind::Word(word) if word.eq_ignore_ascii_case("or") => Some("||"),
            TokenKind::Word(word) if word.eq_ignore_ascii_case("not") => Some("!"),
            _ => None,
        }
    }

    /// The next token as errors call it.
    fn found(&self) -> String {
        let Place { start, end } = self.place();
        let text = self.text.get(start as usize..end as usize).unwrap_or_default();
        match self.kind() {
            TokenKind::End => "the end of the query".into(),
            TokenKind::String(_) => format!("the text {}", advice::cut(text)),
            _ => format!("`{}`", advice::cut(text)),
        }
    }

    /// What stands behind a query that is whole.
    fn unexpected_behind(&self, root: &Root) -> Box<ParseError> {
        match root {
            Root::Metrics(_) => {
                let expected = "`|`, a comparison with a number, `with` or the end";
                match self.symbol() {
                    Some("+" | "-" | "*" | "/") => self.unexpected_with(
                        expected,
                        "put both sides in brackets: `({} | rate()) / ({} | rate())`",
                    ),
                    _ => self.unexpected(expected),
                }
            }
            Root::Spansets(pipeline) => {
                let last = pipeline.stages.last().map(|stage| &stage.kind);
                match last {
                    Some(StageKind::Spanset(_)) => self.unexpected(
                        "`|`, an operator between spansets such as `&&` or `>>`, `with` or the end",
                    ),
                    _ => self.unexpected_with(
                        "`|`, `with` or the end",
                        "a pipeline that is an operand stands in brackets: `({ … } | by(name)) && …`",
                    ),
                }
            }
        }
    }
}
