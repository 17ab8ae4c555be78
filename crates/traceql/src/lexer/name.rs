//! Names of attributes, and scopes that do not exist.

use super::Lexer;
use crate::advice;
use crate::error::ParseError;
use crate::words;

/// Whether a character may stand in a name without quotes.
pub(crate) fn is_name_char(c: char) -> bool {
    !c.is_whitespace()
        && !matches!(c, '{' | '}' | '(' | ')' | '=' | '~' | '!' | '<' | '>' | '&' | '|' | '^' | ',')
}

impl Lexer<'_> {
    /// A name up to what cannot stand in it. Parts of it may stand in double quotes, in which a
    /// backslash stands before quotes and backslashes alone.
    pub(super) fn name(&mut self) -> Result<String, Box<ParseError>> {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| is_name_char(*c)) {
            if c == '"' {
                self.quoted_part(&mut name)?;
            } else {
                name.push(c);
                self.at += c.len_utf8();
            }
        }
        Ok(name)
    }

    fn quoted_part(&mut self, name: &mut String) -> Result<(), Box<ParseError>> {
        let start = self.at;
        self.at += 1;
        loop {
            let Some(c) = self.peek() else {
                let place = self.place_of(start, 1);
                return Err(ParseError::new(
                    self.text,
                    place,
                    "a quoted name without end",
                    "`\"` behind it",
                ));
            };
            self.at += c.len_utf8();
            match (c, self.peek()) {
                ('"', _) => return Ok(()),
                ('\\', Some(escaped @ ('"' | '\\'))) => {
                    name.push(escaped);
                    self.at += 1;
                }
                ('\\', _) => {
                    let place = self.place_of(self.at - 1, 1);
                    return Err(ParseError::new(
                        self.text,
                        place,
                        "a backslash in a quoted name",
                        "`\\\\` or `\\\"`",
                    ));
                }
                _ => name.push(c),
            }
        }
    }

    /// `start` is where the scope begins; the text goes on with its dot.
    pub(super) fn unknown_scope(&mut self, scope: &str, start: usize) -> Box<ParseError> {
        let dot = self.at;
        self.at += 1;
        // What is wrong with the name matters less than the scope.
        let _ = self.name();
        let name = &self.text[dot + 1..self.at];
        let place = self.place_of(start, scope.len());
        let error = ParseError::new(
            self.text,
            place,
            format!("unknown scope `{}`", advice::cut(scope)),
            "`span`, `resource`, `event`, `link`, `instrumentation`, `parent` or nothing before the dot",
        );
        if scope == "trace" {
            return error.advise(
                "traces have intrinsics only: `trace:id`, `trace:duration`, `trace:rootName`, \
                 `trace:rootService`",
            );
        }
        let name = advice::cut(name);
        match advice::similar(scope, words::scope_words().chain(["parent"])) {
            Some(similar) => error.advise(format!("did you mean `{similar}.{name}`?")),
            None => error.advise(format!("for any scope: `.{}.{name}`", advice::cut(scope))),
        }
    }

    /// `start` is where `spelling` begins, which is `scope` and the name behind the colon.
    pub(super) fn unknown_intrinsic(
        &self,
        scope: &str,
        spelling: &str,
        start: usize,
    ) -> Box<ParseError> {
        let of_scope: Vec<&str> = words::intrinsic_words()
            .filter(|word| word.strip_prefix(scope).is_some_and(|rest| rest.starts_with(':')))
            .collect();
        let place = self.place_of(start, spelling.len());
        let found = format!("unknown intrinsic `{}`", advice::cut(spelling));
        if of_scope.is_empty() {
            let expected = "`trace:`, `span:`, `event:`, `link:` or `instrumentation:`";
            let error = ParseError::new(self.text, place, found, expected);
            return match advice::similar(spelling, words::intrinsic_words()) {
                Some(similar) => error.advise(format!("did you mean `{similar}`?")),
                None => error,
            };
        }
        let listed: Vec<String> = of_scope.iter().map(|word| format!("`{word}`")).collect();
        let error = ParseError::new(self.text, place, found, listed.join(", "));
        match advice::similar(spelling, of_scope) {
            Some(similar) => error.advise(format!("did you mean `{similar}`?")),
            None if scope == "span" => error.advise(format!(
                "for an attribute write a dot: `span.{}`",
                advice::cut(&spelling[scope.len() + 1..])
            )),
            None => error,
        }
    }
}
