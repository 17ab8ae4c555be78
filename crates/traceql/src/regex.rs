//! Regular expressions as Go has them, rewritten for our engine.
//!
//! In: a pattern in the syntax of Go's `regexp`, which is what TraceQL says. Out: the same pattern
//! in the syntax of the `regex` crate, or what is wrong with it. The two agree on most; here stand
//! the differences: Perl classes and word borders are ASCII in Go, `\Q…\E` and octal escapes
//! exist, brackets and `&&` in a class mean themselves, a brace that is no repetition does too, and
//! repetitions do not nest. Never here: anything recursive, or larger than a few times the pattern.

use std::iter::Peekable;
use std::str::Chars;

/// Go refuses more.
const REPEAT_MAX: u32 = 1_000;

/// Classes of a pattern, each of which takes room and, where case is ignored, a while to be read.
const CLASSES_MAX: usize = 1_000;
/// Those that are named by Unicode: the largest take 10 KB each.
const UNICODE_CLASSES_MAX: usize = 100;

/// Names between `[:` and `:]`.
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// What is wrong with a pattern, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub String);

/// Rewrites a pattern. It is valid by itself, so that it may be put into a group, and it says
/// nothing about the ends of a text, nor whether `.` takes newlines: in queries it does.
pub fn rewrite(pattern: &str) -> Result<String, Wrong> {
    let rewritten = rewritten(pattern)?;
    match regex_syntax::parse(&rewritten) {
        Ok(_) => Ok(rewritten),
        Err(regex_syntax::Error::Parse(error)) => Err(Wrong(error.kind().to_string())),
        Err(regex_syntax::Error::Translate(error)) => Err(Wrong(error.kind().to_string())),
        Err(_) => Err(Wrong("it cannot be read".into())),
    }
}

/// What is wrong with groups and ranges is left to the engine to find.
fn rewritten(pattern: &str) -> Result<String, Wrong> {
    let out = String::with_capacity(pattern.len() + 16);
    let mut writer = Writer { out, n_classes: 0, n_unicode_classes: 0 };
    let mut rest = pattern.chars().peekable();
    // Whether the last thing written was a repetition.
    let mut is_repeated = false;
    while let Some(next) = rest.next() {
        let was_repeated = std::mem::take(&mut is_repeated);
        match next {
            '\\' => escape(&mut rest, &mut writer)?,
            '[' => class(&mut rest, &mut writer)?,
            '(' => group(&mut rest, &mut writer)?,
            '*' | '+' | '?' | '{' => {
                let Some(repetition) = repetition(next, &mut rest)? else {
                    writer.literal('{');
                    continue;
                };
                if was_repeated {
                    return Err(Wrong(format!(
                        "invalid nested repetition operator `{repetition}`"
                    )));
                }
                writer.out.push_str(&repetition);
                is_repeated = true;
            }
            ')' | '|' | '^' | '$' | '.' => writer.out.push(next),
            literal => writer.literal(literal),
        }
    }
    Ok(writer.out)
}

struct Writer {
    out: String,
    n_classes: usize,
    n_unicode_classes: usize,
}

impl Writer {
    fn count_class(&mut self) -> Result<(), Wrong> {
        self.n_classes += 1;
        at_most(CLASSES_MAX, self.n_classes, "character classes")
    }

    fn count_unicode_class(&mut self) -> Result<(), Wrong> {
        self.n_unicode_classes += 1;
        at_most(UNICODE_CLASSES_MAX, self.n_unicode_classes, "Unicode classes")
    }

    fn literal(&mut self, char: char) {
        if regex_syntax::is_meta_character(char) {
            self.out.push('\\');
        }
        self.out.push(char);
    }
}

fn at_most(most: usize, found: usize, what: &str) -> Result<(), Wrong> {
    match found <= most {
        true => Ok(()),
        false => Err(Wrong(format!("more than {most} {what}"))),
    }
}

type Rest<'a> = Peekable<Chars<'a>>;

/// After a backslash outside of classes.
fn escape(rest: &mut Rest<'_>, writer: &mut Writer) -> Result<(), Wrong> {
    match rest.peek() {
        Some('b') => writer.out.push_str(r"(?-u:\b)"),
        Some('B') => writer.out.push_str(r"(?-u:\B)"),
        Some('A') => writer.out.push_str(r"\A"),
        Some('z') => writer.out.push_str(r"\z"),
        Some('C') => return Err(Wrong(r"`\C` matches a single byte: use `.`".into())),
        Some('Q') => {
            rest.next();
            quoted(rest, writer);
            return Ok(());
        }
        Some('d' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P') => {
            return class_escape(rest, writer, Within::Pattern);
        }
        _ => {
            let char = char_escape(rest)?;
            writer.literal(char);
            return Ok(());
        }
    }
    rest.next();
    Ok(())
}

/// After `\Q`: all up to `\E` means itself.
fn quoted(rest: &mut Rest<'_>, writer: &mut Writer) {
    while let Some(next) = rest.next() {
        if next == '\\' && rest.peek() == Some(&'E') {
            rest.next();
            return;
        }
        writer.literal(next);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Within {
    Pattern,
    Class,
}

/// After the backslash of `\d`, `\pL` and the like.
fn class_escape(rest: &mut Rest<'_>, writer: &mut Writer, within: Within) -> Result<(), Wrong> {
    writer.count_class()?;
    let letter = rest.next();
    let members = match letter {
        Some('d' | 'D') => "0-9",
        Some('s' | 'S') => r"\t\n\f\r ",
        Some('w' | 'W') => "0-9A-Za-z_",
        _ => return unicode_class(letter == Some('P'), rest, writer),
    };
    match (within, letter) {
        (_, Some('D' | 'S' | 'W')) => writer.out.push_str(&format!("[^{members}]")),
        (Within::Pattern, _) => writer.out.push_str(&format!("[{members}]")),
        (Within::Class, _) => writer.out.push_str(members),
    }
    Ok(())
}

/// After `\p` or `\P`: a letter, or a name in braces. Go knows categories and scripts alone.
fn unicode_class(is_negated: bool, rest: &mut Rest<'_>, writer: &mut Writer) -> Result<(), Wrong> {
    let invalid = || Wrong("invalid Unicode class".into());
    writer.count_unicode_class()?;
    let mut name = String::new();
    match rest.next().ok_or_else(invalid)? {
        '{' => loop {
            match rest.next().ok_or_else(invalid)? {
                '}' => break,
                next => name.push(next),
            }
        },
        letter => name.push(letter),
    }
    let (is_inverted, bare) = match name.strip_prefix('^') {
        Some(bare) => (true, bare),
        None => (false, name.as_str()),
    };
    if bare.is_empty() || !bare.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') {
        return Err(invalid());
    }
    let letter = if is_negated != is_inverted { 'P' } else { 'p' };
    writer.out.push_str(&format!(r"\{letter}{{{bare}}}"));
    Ok(())
}

/// After a backslash: the one character that it means.
fn char_escape(rest: &mut Rest<'_>) -> Result<char, Wrong> {
    let Some(next) = rest.next() else { return Err(Wrong("trailing backslash".into())) };
    let invalid = || Wrong(format!(r"invalid escape sequence `\{next}`"));
    let char = match next {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => return hexadecimal(rest).ok_or_else(invalid),
        // A lone digit other than 0 would refer back.
        '1'..='7' if !matches!(rest.peek(), Some('0'..='7')) => return Err(invalid()),
        '0'..='7' => {
            let mut code = next as u32 - '0' as u32;
            for _ in 0..2 {
                let Some(digit) = rest.next_if(|char| ('0'..='7').contains(char)) else { break };
                code = code * 8 + digit as u32 - '0' as u32;
            }
            char::from_u32(code).ok_or_else(invalid)?
        }
        punctuation if punctuation.is_ascii() && !punctuation.is_ascii_alphanumeric() => {
            punctuation
        }
        _ => return Err(invalid()),
    };
    Ok(char)
}

/// After `\x`: two digits, or any number of them in braces.
fn hexadecimal(rest: &mut Rest<'_>) -> Option<char> {
    if rest.next_if_eq(&'{').is_none() {
        let (high, low) = (rest.next()?.to_digit(16)?, rest.next()?.to_digit(16)?);
        return char::from_u32(high * 16 + low);
    }
    let mut code = None;
    loop {
        match rest.next()? {
            '}' => return char::from_u32(code?),
            digit => {
                let value: u32 = code.unwrap_or(0);
                code = Some(value.checked_mul(16)?.checked_add(digit.to_digit(16)?)?);
            }
        }
    }
}

/// After `[`.
fn class(rest: &mut Rest<'_>, writer: &mut Writer) -> Result<(), Wrong> {
    let missing = || Wrong("missing closing `]`".into());
    writer.count_class()?;
    writer.out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        writer.out.push('^');
    }
    let mut is_first = true;
    loop {
        let next = rest.next().ok_or_else(missing)?;
        let is_end = next == ']' && !std::mem::take(&mut is_first);
        is_first = false;
        if is_end {
            writer.out.push(']');
            return Ok(());
        }
        if next == '[' && rest.peek() == Some(&':') && posix_class(rest, writer)? {
            continue;
        }
        if next == '\\'
            && matches!(rest.peek(), Some('d' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P'))
        {
            class_escape(rest, writer, Within::Class)?;
            continue;
        }
        writer.literal(if next == '\\' { char_escape(rest)? } else { next });
        // A range, unless the hyphen is the last of the class.
        let mut ahead = rest.clone();
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|char| *char != ']') {
            rest.next();
            writer.out.push('-');
            let end = rest.next().ok_or_else(missing)?;
            writer.literal(if end == '\\' { char_escape(rest)? } else { end });
        }
    }
}

/// `[:alpha:]`, after its bracket; written and consumed if it looks like one. Our engine would read
/// an unknown name as a class of its letters.
fn posix_class(rest: &mut Rest<'_>, writer: &mut Writer) -> Result<bool, Wrong> {
    let mut ahead = rest.clone();
    let mut name = String::new();
    ahead.next();
    loop {
        match ahead.next() {
            Some(':') if ahead.next_if_eq(&']').is_some() => break,
            Some(char) if char.is_ascii_lowercase() || char == '^' && name.is_empty() => {
                name.push(char);
            }
            _ => return Ok(false),
        }
    }
    if !POSIX_CLASSES.contains(&name.trim_start_matches('^')) {
        return Err(Wrong(format!("invalid character class `[:{name}:]`")));
    }
    *rest = ahead;
    writer.out.push_str(&format!("[:{name}:]"));
    Ok(true)
}

/// After `(`.
fn group(rest: &mut Rest<'_>, writer: &mut Writer) -> Result<(), Wrong> {
    writer.out.push('(');
    if rest.next_if_eq(&'?').is_none() {
        return Ok(());
    }
    writer.out.push('?');
    let invalid = || Wrong("invalid or unsupported group".into());
    loop {
        let next = rest.next().ok_or_else(invalid)?;
        writer.out.push(next);
        match next {
            'i' | 'm' | 's' | 'U' | '-' => {}
            ':' | ')' => return Ok(()),
            'P' if rest.peek() == Some(&'<') => {}
            '<' => {
                // A name; look-behind is nothing that Go has.
                for char in rest.by_ref() {
                    if !char.is_alphanumeric() && char != '_' && char != '>' {
                        return Err(invalid());
                    }
                    writer.out.push(char);
                    if char == '>' {
                        return Ok(());
                    }
                }
                return Err(invalid());
            }
            _ => return Err(invalid()),
        }
    }
}

/// A repetition that begins with this character, lazy or not; none if a brace means itself.
fn repetition(first: char, rest: &mut Rest<'_>) -> Result<Option<String>, Wrong> {
    let mut repetition = String::from(first);
    if first == '{' {
        let Some((text, after)) = bounds(rest.clone())? else { return Ok(None) };
        repetition = text;
        *rest = after;
    }
    if rest.next_if_eq(&'?').is_some() {
        repetition.push('?');
    }
    Ok(Some(repetition))
}

/// `n}`, `n,}` or `n,m}`, and what follows.
fn bounds(mut rest: Rest<'_>) -> Result<Option<(String, Rest<'_>)>, Wrong> {
    let Some(min) = count(&mut rest) else { return Ok(None) };
    let mut text = format!("{{{min}");
    let mut max = Some(min);
    if rest.next_if_eq(&',').is_some() {
        text.push(',');
        max = count(&mut rest);
        text.extend(max.map(|max| max.to_string()));
    }
    if rest.next() != Some('}') {
        return Ok(None);
    }
    text.push('}');
    if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || max < min) {
        return Err(Wrong(format!("invalid repeat count `{text}`")));
    }
    Ok(Some((text, rest)))
}

/// Digits; a number too large for any repetition stays too large.
fn count(rest: &mut Rest<'_>) -> Option<u32> {
    let mut count: Option<u32> = None;
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        let digit = digit as u32 - '0' as u32;
        count = Some(count.unwrap_or(0).saturating_mul(10).saturating_add(digit));
    }
    count
}

#[cfg(test)]
mod tests;
