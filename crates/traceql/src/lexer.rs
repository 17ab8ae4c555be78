//! Cuts a text into tokens.
//!
//! In: a text. Out: its [`Token`]s, the last of which is the end or what cannot be read, with the
//! reason. The name of an attribute is one token with its scope, because what may stand in a name
//! stands nowhere else: `.a+b` is one name (`tempo.md` 2.1).

mod name;
mod number;
mod string;

use std::sync::Arc;

use crate::advice;
use crate::ast::{Attribute, AttributeScope, Intrinsic, Place};
use crate::error::ParseError;

pub(crate) use name::is_name_char;

#[derive(Clone, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind<'a>,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum TokenKind<'a> {
    /// A name without a scope: `name`, `true`, `by`, or one that nobody knows.
    Word(&'a str),
    /// `.foo`, `span.foo`, `span:name`
    Attribute(Attribute),
    String(Arc<str>),
    /// Not more than the magnitude of the least integer.
    Int(u64),
    Float(f64),
    /// As for integers.
    DurationNanos(u64),
    Symbol(&'static str),
    End,
    Broken(Box<ParseError>),
}

/// The longest first. Some have no meaning and are read so that errors can name them.
const SYMBOLS: [&str; 42] = [
    "&>>", "&<<", "!>>", "!<<", "&&", "||", "|=", "|~", ">>", "<<", "!>", "!<", "!~", "!=", "&>",
    "&<", "&~", "=~", "==", "<>", "<=", ">=", "{", "}", "(", ")", "[", "]", ",", "|", "=", "<",
    ">", "~", "!", "&", "+", "-", "*", "/", "%", "^",
];

/// All tokens of `text`; at least one.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token();
        let is_last = matches!(token.kind, TokenKind::End | TokenKind::Broken(_));
        tokens.push(token);
        if is_last {
            return tokens;
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    /// Of the next character.
    at: usize,
}

impl<'a> Lexer<'a> {
    fn token(&mut self) -> Token<'a> {
        if let Err(error) = self.skip_blanks() {
            return self.broken(error);
        }
        let start = self.at;
        let kind = match self.peek() {
            None => Ok(TokenKind::End),
            Some('"') => self.quoted_string().map(TokenKind::String),
            Some('`') => self.raw_string().map(TokenKind::String),
            Some('0'..='9') => self.number(),
            Some('.') if self.peek_second().is_some_and(|c| c.is_ascii_digit()) => self.number(),
            Some('.') => self.attribute(AttributeScope::Any, "."),
            Some(first) if first == '_' || first.is_alphabetic() => self.word(),
            Some(first) => self.symbol(first),
        };
        match kind {
            Ok(kind) => Token { kind, place: self.place_from(start) },
            Err(error) => self.broken(error),
        }
    }

    fn broken(&mut self, error: Box<ParseError>) -> Token<'a> {
        let place = error.position.place;
        self.at = self.text.len();
        Token { kind: TokenKind::Broken(error), place }
    }

    /// Blanks and comments, as Go has them.
    fn skip_blanks(&mut self) -> Result<(), Box<ParseError>> {
        loop {
            let rest = self.rest();
            let n_blanks = rest.len() - rest.trim_start().len();
            self.at += n_blanks;
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let Some(end) = rest.find("*/") else {
                    let place = self.place_of(self.at, 2);
                    return Err(ParseError::new(
                        self.text,
                        place,
                        "a comment without end",
                        "`*/` behind it",
                    ));
                };
                self.at += end + 2;
            } else if n_blanks == 0 {
                return Ok(());
            }
        }
    }

    /// A word, or an attribute whose scope it is.
    fn word(&mut self) -> Result<TokenKind<'a>, Box<ParseError>> {
        let start = self.at;
        let rest = self.rest();
        let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
        let word = &rest[..end];
        self.at += end;
        match self.peek() {
            Some('.') => self.scoped(word, start),
            Some(':') => self.scoped_intrinsic(word, start),
            _ => Ok(TokenKind::Word(word)),
        }
    }

    /// The attribute behind `scope`, which ends at its dot.
    fn scoped(&mut self, scope: &'a str, start: usize) -> Result<TokenKind<'a>, Box<ParseError>> {
        if scope == "parent" {
            return self.attribute_of_parent();
        }
        match AttributeScope::parse(scope) {
            Some(of) => self.attribute(of, scope),
            None => Err(self.unknown_scope(scope, start)),
        }
    }

    fn attribute_of_parent(&mut self) -> Result<TokenKind<'a>, Box<ParseError>> {
        let (scope, scope_text) =
            [(AttributeScope::Span, ".span."), (AttributeScope::Resource, ".resource.")]
                .into_iter()
                .find(|(_, prefix)| self.rest().starts_with(prefix))
                .unwrap_or((AttributeScope::Any, "."));
        self.at += scope_text.len() - 1;
        let kind = self.attribute(scope, "parent")?;
        Ok(match kind {
            TokenKind::Attribute(Attribute::Named { scope, name }) => {
                TokenKind::Attribute(Attribute::Parent { scope, name })
            }
            other => other,
        })
    }

    /// The name behind the dot that comes next.
    fn attribute(
        &mut self,
        scope: AttributeScope,
        scope_text: &str,
    ) -> Result<TokenKind<'a>, Box<ParseError>> {
        let dot = self.at;
        self.at += 1;
        let name = self.name()?;
        if name.is_empty() {
            let after = if scope_text == "." { "." } else { &format!("{scope_text}.") };
            let place = self.place_of(dot, 1);
            let expected = format!("the name of an attribute right behind `{after}`");
            return Err(ParseError::new(self.text, place, "no name", expected));
        }
        Ok(TokenKind::Attribute(Attribute::Named { scope, name: name.into() }))
    }

    /// The intrinsic behind `scope`, which ends at its colon.
    fn scoped_intrinsic(
        &mut self,
        scope: &'a str,
        start: usize,
    ) -> Result<TokenKind<'a>, Box<ParseError>> {
        let behind = &self.text[self.at + 1..];
        let end = behind.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(behind.len());
        self.at += 1 + end;
        let spelling = &self.text[start..self.at];
        match Intrinsic::parse(spelling) {
            Some(intrinsic) => Ok(TokenKind::Attribute(Attribute::Intrinsic(intrinsic))),
            None => Err(self.unknown_intrinsic(scope, spelling, start)),
        }
    }

    fn symbol(&mut self, first: char) -> Result<TokenKind<'a>, Box<ParseError>> {
        let rest = self.rest();
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            self.at += symbol.len();
            return Ok(TokenKind::Symbol(symbol));
        }
        let place = self.place_of(self.at, first.len_utf8());
        let error = ParseError::new(
            self.text,
            place,
            format!("`{}`", advice::cut(&rest[..first.len_utf8()])),
            "an attribute, a literal or an operator",
        );
        Err(match first {
            '\'' => error.advise("text stands in double quotes or backticks: \"text\""),
            '“' | '”' | '„' | '‘' | '’' => {
                error.advise("text stands in straight double quotes or backticks: \"text\"")
            }
            '\\' => error.advise("remove the backslash"),
            '$' => error.advise("a variable of a dashboard was not replaced"),
            _ => error,
        })
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    fn place_from(&self, start: usize) -> Place {
        self.place_of(start, self.at - start)
    }

    fn place_of(&self, start: usize, n_bytes: usize) -> Place {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Place { start: narrow(start), end: narrow(start + n_bytes) }
    }
}
