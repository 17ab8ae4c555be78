//! The words of a drawing: what stands between spaces, outside of quotes and brackets.

use crate::traceql::span::{RefAttributes, RefValue};

/// Service and name, and the words behind them.
pub(super) type HeadAndRest<'a> = ((Option<String>, String), &'a str);

/// `service/name`, and what follows after two spaces. A name in quotes may be anything.
pub(super) fn head_and_rest(text: &str) -> Result<HeadAndRest<'_>, String> {
    let slash = text.find('/').filter(|slash| !text[..*slash].contains("  "));
    let (service, named) = match slash {
        Some(slash) => (&text[..slash], &text[slash + 1..]),
        None => ("", text),
    };
    let service = (!service.is_empty()).then(|| service.to_owned());
    if named.starts_with('"') {
        let end = end_of_quoted(named)?;
        return Ok(((service, unquote(&named[..end])?), &named[end..]));
    }
    let (name, rest) = named.split_once("  ").unwrap_or((named, ""));
    Ok(((service, name.to_owned()), rest))
}

/// Splits at spaces.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    split(text, ' ')
}

/// Key and value of `key=value`; a key may be quoted.
pub(super) fn split_word(word: &str) -> Result<(String, &str), String> {
    if word.starts_with('"') {
        let end = end_of_quoted(word)?;
        let value = word[end..].strip_prefix('=').ok_or("no `=` after a key")?;
        return Ok((unquote(&word[..end])?, value));
    }
    let (key, value) = word.split_once('=').ok_or_else(|| format!("`{word}` says nothing"))?;
    Ok((key.to_owned(), value))
}

pub(super) fn value(text: &str) -> Result<RefValue, String> {
    if text.starts_with('"') {
        return Ok(RefValue::Text(unquote(text)?));
    }
    if let Some(inside) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let values = split(inside, ',')?;
        return Ok(RefValue::Array(values.iter().map(|v| value(v)).collect::<Result<_, _>>()?));
    }
    if let Some(inside) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        let mut map = RefAttributes::new();
        for word in split(inside, ',')? {
            let (key, text) = split_word(&word)?;
            map.push((key, value(text)?));
        }
        return Ok(RefValue::Map(map));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return Ok(RefValue::Bytes(bytes(digits)?));
    }
    Ok(match text {
        "empty" => RefValue::Empty,
        "true" => RefValue::Bool(true),
        "false" => RefValue::Bool(false),
        _ => match (text.parse(), text.parse()) {
            (Ok(int), _) => RefValue::Int(int),
            (_, Ok(double)) => RefValue::Double(double),
            _ => RefValue::Text(text.to_owned()),
        },
    })
}

/// Hexadecimal digits; `-` is no byte at all.
pub(super) fn bytes(digits: &str) -> Result<Vec<u8>, String> {
    if digits == "-" {
        return Ok(Vec::new());
    }
    let bad = || format!("`{digits}` are no bytes");
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return Err(bad());
    }
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| bad());
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// `1.5ms`, `-3s`, `7ns`: exactly, in nanoseconds.
pub(in crate::traceql) fn nanos(text: &str) -> Option<i64> {
    const UNITS: [(&str, i128); 6] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let (digits, unit_nanos) = UNITS.iter().find_map(|(unit, unit_nanos)| {
        let digits = text.strip_suffix(unit)?;
        digits.ends_with(|last: char| last.is_ascii_digit()).then_some((digits, *unit_nanos))
    })?;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let negative = whole.starts_with('-');
    let whole: i128 = whole.parse().ok()?;
    let mut nanos = whole * unit_nanos;
    if !part.is_empty() {
        let scale = 10i128.checked_pow(part.len() as u32)?;
        let part = part.parse::<u64>().ok().map(i128::from)? * unit_nanos / scale;
        nanos += if negative { -part } else { part };
    }
    i64::try_from(nanos).ok()
}

/// Splits outside of quotes and brackets; empty pieces are left out.
fn split(text: &str, at: char) -> Result<Vec<String>, String> {
    let mut pieces = vec![String::new()];
    let mut depth = 0;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if next == '"' {
            let end = end_of_quoted(rest)?;
            pieces.last_mut().expect("there is one").push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        match next {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if next == at && depth == 0 {
            pieces.push(String::new());
        } else {
            pieces.last_mut().expect("there is one").push(next);
        }
        rest = &rest[next.len_utf8()..];
    }
    let pieces = pieces.into_iter().map(|piece| piece.trim().to_owned());
    Ok(pieces.filter(|piece| !piece.is_empty()).collect())
}

/// Behind the closing quote of a text that begins with one.
fn end_of_quoted(text: &str) -> Result<usize, String> {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '"' if !is_escaped => return Ok(at + 1),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    Err(format!("a quote is not closed in `{text}`"))
}

/// Undoes what `{:?}` does to a text.
fn unquote(quoted: &str) -> Result<String, String> {
    let bad = || format!("{quoted} is no quoted text");
    let inside = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut letters = inside.ok_or_else(bad)?.chars();
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        text.push(match letters.next().ok_or_else(bad)? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '0' => '\0',
            'u' => {
                let digits: String =
                    letters.by_ref().skip(1).take_while(|letter| *letter != '}').collect();
                let number = u32::from_str_radix(&digits, 16).map_err(|_| bad())?;
                char::from_u32(number).ok_or_else(bad)?
            }
            itself => itself,
        });
    }
    Ok(text)
}
