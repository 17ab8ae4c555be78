//! Regular expressions of queries: RE2's syntax as Go reads it, written in that of Rust.
//!
//! In: the text behind `=~`. Out: a pattern for the `regex` crate that matches the same whole texts.
//! The two differ where it matters to people: `{id}` is text in Go and an error in Rust, `[[]` is one
//! bracket, `\d`, `\w`, `\s` and `\b` know ASCII alone, and `\Q…\E` quotes.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// What Go allows of one repetition.
const REPETITIONS_MAX: u32 = 1000;

/// The same pattern for the `regex` crate, held to both ends of the text, its `.` taking newlines as
/// well. The error is for people: one line, with the place in the pattern where it is known.
pub fn anchored(pattern: &str) -> Result<String, String> {
    let translated = translated(pattern)?;
    regex_syntax::Parser::new().parse(&translated).map_err(|error| described(&error))?;
    Ok(format!(r"\A(?s:{translated})\z"))
}

/// The kind of error, without the drawing that follows it.
fn described(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string().lines().last().unwrap_or("it cannot be read").into(),
    }
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    rust: String,
}

fn translated(pattern: &str) -> Result<String, String> {
    let mut translator =
        Translator { rest: pattern.chars().peekable(), rust: String::with_capacity(pattern.len()) };
    while let Some(c) = translator.rest.next() {
        match c {
            '\\' => translator.escape()?,
            '[' => translator.class()?,
            '{' => translator.repetition()?,
            _ => translator.rust.push(c),
        }
    }
    Ok(translator.rust)
}

impl Translator<'_> {
    /// Behind a backslash.
    fn escape(&mut self) -> Result<(), String> {
        let Some(c) = self.rest.next() else { return Err("a backslash at its end".into()) };
        match c {
            'd' => self.rust.push_str("[0-9]"),
            'D' => self.rust.push_str("[^0-9]"),
            'w' => self.rust.push_str("[0-9A-Za-z_]"),
            'W' => self.rust.push_str("[^0-9A-Za-z_]"),
            's' => self.rust.push_str(r"[\t\n\f\r ]"),
            'S' => self.rust.push_str(r"[^\t\n\f\r ]"),
            'b' => self.rust.push_str(r"(?-u:\b)"),
            'B' => self.rust.push_str(r"(?-u:\B)"),
            'Q' => self.quoted(),
            'p' | 'P' => self.property(c),
            _ => {
                let literal = self.escaped_char(c)?;
                match literal {
                    Some(literal) => self.push_literal(literal),
                    None => {
                        self.rust.push('\\');
                        self.rust.push(c);
                    }
                }
            }
        }
        Ok(())
    }

    /// The character that an escape stands for; `None`: it stands for something else. `c` is behind
    /// the backslash.
    fn escaped_char(&mut self, c: char) -> Result<Option<char>, String> {
        Ok(match c {
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            't' => Some('\t'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            'v' => Some('\x0b'),
            'x' => Some(self.hexadecimal()?),
            '0'..='7' => Some(self.octal(c)?),
            'A' | 'z' => None,
            _ if c.is_ascii_punctuation() => Some(c),
            _ => return Err(format!("unknown escape `\\{}`", c.escape_debug())),
        })
    }

    fn hexadecimal(&mut self) -> Result<char, String> {
        let error = || "`\\x` needs two hexadecimal digits, or some in braces".to_string();
        let mut digits = String::new();
        if self.rest.next_if_eq(&'{').is_some() {
            while let Some(digit) = self.rest.next_if(char::is_ascii_hexdigit) {
                digits.push(digit);
            }
            self.rest.next_if_eq(&'}').ok_or_else(error)?;
        } else {
            for _ in 0..2 {
                digits.push(self.rest.next_if(char::is_ascii_hexdigit).ok_or_else(error)?);
            }
        }
        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or_else(error)
    }

    /// Up to three digits; one alone, save zero, would refer back, which nobody can.
    fn octal(&mut self, first: char) -> Result<char, String> {
        let mut digits = String::from(first);
        while digits.len() < 3
            && let Some(digit) = self.rest.next_if(|c| c.is_digit(8))
        {
            digits.push(digit);
        }
        if digits.len() == 1 && first != '0' {
            return Err("back references are not supported".into());
        }
        let number = u32::from_str_radix(&digits, 8).ok();
        number.and_then(char::from_u32).ok_or_else(|| "too large an octal number".into())
    }

    /// `\pN`, `\p{Greek}`, `\p{^Greek}`
    fn property(&mut self, letter: char) {
        self.rust.push('\\');
        let is_braced = self.rest.peek() == Some(&'{');
        let mut behind: String = String::new();
        if is_braced {
            while let Some(c) = self.rest.next() {
                behind.push(c);
                if c == '}' {
                    break;
                }
            }
        } else {
            behind.extend(self.rest.next());
        }
        let negated = behind.strip_prefix("{^");
        let flipped = if letter == 'p' { 'P' } else { 'p' };
        match negated {
            Some(name) => {
                let _ = write!(self.rust, "{flipped}{{{name}");
            }
            None => {
                self.rust.push(letter);
                self.rust.push_str(&behind);
            }
        }
    }

    /// Text up to `\E` or the end.
    fn quoted(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.push_literal(c);
        }
    }

    /// Behind `{`: a repetition, or just a brace.
    fn repetition(&mut self) -> Result<(), String> {
        let mut ahead = self.rest.clone();
        let mut inside = String::new();
        while let Some(c) = ahead.next_if(|c| c.is_ascii_digit() || *c == ',') {
            inside.push(c);
        }
        let (least, most) = inside.split_once(',').unwrap_or((&inside, &inside));
        let is_count = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_repetition = ahead.next_if_eq(&'}').is_some()
            && is_count(least)
            && (most.is_empty() || is_count(most));
        if !is_repetition {
            self.rust.push_str(r"\{");
            return Ok(());
        }
        let too_many =
            |text: &str| !text.is_empty() && !text.parse().is_ok_and(|n: u32| n <= REPETITIONS_MAX);
        if too_many(least) || too_many(most) {
            return Err(format!("more than {REPETITIONS_MAX} repetitions"));
        }
        self.rest = ahead;
        let _ = write!(self.rust, "{{{inside}}}");
        Ok(())
    }

    /// Behind `[`, up to its `]`.
    fn class(&mut self) -> Result<(), String> {
        self.rust.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.rust.push('^');
        }
        let mut is_first = true;
        loop {
            let Some(c) = self.rest.next() else { return Err("unclosed character class".into()) };
            if c == ']' && !is_first {
                self.rust.push(']');
                return Ok(());
            }
            is_first = false;
            let Some(low) = self.class_item(c)? else { continue };
            self.push_literal(low);
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']');
            if !is_range {
                continue;
            }
            self.rest.next();
            let Some(c) = self.rest.next() else { return Err("unclosed character class".into()) };
            let high = match c {
                '\\' => {
                    let escaped = self.rest.next().ok_or("a backslash at its end")?;
                    self.escaped_char(escaped)?
                }
                _ => Some(c),
            };
            let high = high.ok_or("a range of characters that ends with none")?;
            if high < low {
                return Err(format!("the range {low}-{high} ends before it starts"));
            }
            self.rust.push('-');
            self.push_literal(high);
        }
    }

    /// An item of a class that begins with `c`: the character it is, or `None` for a whole class,
    /// which is written.
    fn class_item(&mut self, c: char) -> Result<Option<char>, String> {
        if c == '[' && self.rest.peek() == Some(&':') {
            return Ok(self.named_class());
        }
        if c != '\\' {
            return Ok(Some(c));
        }
        let Some(escaped) = self.rest.next() else { return Err("a backslash at its end".into()) };
        match escaped {
            'd' => self.rust.push_str("0-9"),
            'w' => self.rust.push_str("0-9A-Za-z_"),
            's' => self.rust.push_str(r"\t\n\f\r\x20"),
            'D' => self.rust.push_str("[^0-9]"),
            'W' => self.rust.push_str("[^0-9A-Za-z_]"),
            'S' => self.rust.push_str(r"[^\t\n\f\r\x20]"),
            'p' | 'P' => self.property(escaped),
            _ => {
                let literal = self.escaped_char(escaped)?;
                let unknown = || format!("`\\{escaped}` in a character class");
                return literal.ok_or_else(unknown).map(Some);
            }
        }
        Ok(None)
    }

    /// `[:alpha:]`, of which the bracket is taken; or the bracket as itself.
    fn named_class(&mut self) -> Option<char> {
        let mut ahead = self.rest.clone();
        let mut name = String::new();
        ahead.next();
        while let Some(c) = ahead.next_if(|c| c.is_ascii_lowercase() || *c == '^') {
            name.push(c);
        }
        if ahead.next() != Some(':') || ahead.next() != Some(']') {
            return Some('[');
        }
        self.rest = ahead;
        let _ = write!(self.rust, "[:{name}:]");
        None
    }

    /// A character that stands for itself.
    fn push_literal(&mut self, c: char) {
        if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
            self.rust.push('\\');
        }
        self.rust.push(c);
    }
}
