//! Text in quotes, with the escapes of Go.

use std::sync::Arc;

use super::Lexer;
use crate::error::ParseError;

impl Lexer<'_> {
    /// Between backticks everything stands for itself.
    pub(super) fn raw_string(&mut self) -> Result<Arc<str>, Box<ParseError>> {
        let content = &self.rest()[1..];
        let Some(end) = content.find('`') else { return Err(self.without_end("`")) };
        self.at += end + 2;
        Ok(content[..end].into())
    }

    /// Between double quotes, on one line.
    pub(super) fn quoted_string(&mut self) -> Result<Arc<str>, Box<ParseError>> {
        let start = self.at;
        let mut bytes = Vec::new();
        let mut at = start + 1;
        loop {
            let Some(c) = self.text[at..].chars().next() else {
                return Err(self.without_end("\""));
            };
            match c {
                '"' => break,
                '\n' => return Err(self.without_end("\"")),
                '\\' => at += self.escape(at, &mut bytes)?,
                _ => {
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    at += c.len_utf8();
                }
            }
        }
        self.at = at + 1;
        let place = self.place_from(start);
        let text = String::from_utf8(bytes).map_err(|_| {
            ParseError::new(self.text, place, "text that is not UTF-8", "escapes that make UTF-8")
        })?;
        Ok(text.into())
    }

    /// Appends what the escape at `at` stands for and returns its length.
    fn escape(&self, at: usize, bytes: &mut Vec<u8>) -> Result<usize, Box<ParseError>> {
        let behind = &self.text[at + 1..];
        let first = behind.chars().next();
        let plain = match first {
            Some('a') => Some(0x07),
            Some('b') => Some(0x08),
            Some('f') => Some(0x0c),
            Some('n') => Some(b'\n'),
            Some('r') => Some(b'\r'),
            Some('t') => Some(b'\t'),
            Some('v') => Some(0x0b),
            Some('\\') => Some(b'\\'),
            Some('"') => Some(b'"'),
            _ => None,
        };
        if let Some(byte) = plain {
            bytes.push(byte);
            return Ok(2);
        }
        let (skip, n_digits, radix) = match first {
            Some('x') => (1, 2, 16),
            Some('u') => (1, 4, 16),
            Some('U') => (1, 8, 16),
            Some('0'..='7') => (0, 3, 8),
            _ => return Err(self.unknown_escape(at)),
        };
        let digits = behind.get(skip..skip + n_digits);
        let is_digits = |digits: &&str| digits.chars().all(|digit| digit.is_digit(radix));
        let number = digits
            .filter(is_digits)
            .and_then(|digits| u32::from_str_radix(digits, radix).ok())
            .ok_or_else(|| self.unknown_escape(at))?;
        if matches!(first, Some('u' | 'U')) {
            let c = char::from_u32(number).ok_or_else(|| self.unknown_escape(at))?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            bytes.push(u8::try_from(number).map_err(|_| self.unknown_escape(at))?);
        }
        Ok(1 + skip + n_digits)
    }

    fn unknown_escape(&self, at: usize) -> Box<ParseError> {
        let n_bytes = 1 + self.text[at + 1..].chars().next().map_or(0, char::len_utf8);
        let place = self.place_of(at, n_bytes);
        let found = format!("unknown escape `{}`", &self.text[at..at + n_bytes]);
        ParseError::new(self.text, place, found, "one of Go's, such as `\\n` or `\\u00e4`").advise(
            "write a backslash of text or of a regular expression twice, or use backticks: `\\d+`",
        )
    }

    fn without_end(&self, quote: &str) -> Box<ParseError> {
        let place = self.place_of(self.at, 1);
        let expected = format!("`{quote}` at its end");
        let expected = if quote == "`" { "a backtick at its end".into() } else { expected };
        ParseError::new(self.text, place, "text without end", expected)
    }
}
