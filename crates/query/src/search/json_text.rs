//! Lists and maps as the text that answers show: JSON as people write it.
//!
//! In: a value of a column. Out: text such as `["a",1]`. A list of OTLP's is read from its bytes;
//! what cannot be read is shown as the bytes it is.

use suyuan_model::ValueRef;
use suyuan_wire::protobuf::{Malformed, NESTING_MAX, Reader};

pub(super) fn json_text(value: ValueRef<'_>) -> String {
    let mut text = String::new();
    if write(&mut text, value, 0).is_err() {
        text.clear();
        if let ValueRef::Array(bytes) | ValueRef::Map(bytes) | ValueRef::Bytes(bytes) = value {
            write_bytes(&mut text, bytes);
        }
    }
    text
}

fn write(text: &mut String, value: ValueRef<'_>, depth: usize) -> Result<(), Malformed> {
    if depth > NESTING_MAX {
        return Err(Malformed::TooDeep);
    }
    match value {
        ValueRef::Empty => text.push_str("null"),
        ValueRef::String(value) => write_text(text, value),
        ValueRef::Bool(value) => text.push_str(if value { "true" } else { "false" }),
        ValueRef::Int(value) => text.push_str(&value.to_string()),
        ValueRef::Double(value) if value.is_finite() => text.push_str(&value.to_string()),
        ValueRef::Double(value) => write_text(text, &value.to_string()),
        ValueRef::Bytes(bytes) => write_bytes(text, bytes),
        ValueRef::Array(message) => {
            text.push('[');
            for_each_message(message, |element, is_first| {
                if !is_first {
                    text.push(',');
                }
                write_any(text, element, depth + 1)
            })?;
            text.push(']');
        }
        ValueRef::Map(message) => {
            text.push('{');
            for_each_message(message, |entry, is_first| {
                if !is_first {
                    text.push(',');
                }
                write_entry(text, entry, depth + 1)
            })?;
            text.push('}');
        }
    }
    Ok(())
}

/// The messages of the field 1 of a message, and whether each is the first.
fn for_each_message(
    message: &[u8],
    mut visit: impl FnMut(&[u8], bool) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(message);
    let mut is_first = true;
    while let Some(field) = reader.next_field()? {
        if field.number == 1 {
            visit(field.bytes()?, is_first)?;
            is_first = false;
        }
    }
    Ok(())
}

/// A `KeyValue`.
fn write_entry(text: &mut String, message: &[u8], depth: usize) -> Result<(), Malformed> {
    let (mut key, mut value) = (&[][..], &[][..]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => key = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    write_text(text, &String::from_utf8_lossy(key));
    text.push(':');
    write_any(text, value, depth)
}

/// An `AnyValue`; of several members the last one counts.
fn write_any(text: &mut String, message: &[u8], depth: usize) -> Result<(), Malformed> {
    let mut reader = Reader::new(message);
    let mut last = None;
    while let Some(field) = reader.next_field()? {
        if (1..=7).contains(&field.number) {
            last = Some(field);
        }
    }
    let Some(field) = last else { return write(text, ValueRef::Empty, depth) };
    match field.number {
        1 => write_text(text, &String::from_utf8_lossy(field.bytes()?)),
        2 => write(text, ValueRef::Bool(field.varint()? != 0), depth)?,
        3 => write(text, ValueRef::Int(field.varint()? as i64), depth)?,
        4 => write(text, ValueRef::Double(f64::from_bits(field.fixed64()?)), depth)?,
        5 => write(text, ValueRef::Array(field.bytes()?), depth)?,
        6 => write(text, ValueRef::Map(field.bytes()?), depth)?,
        _ => write_bytes(text, field.bytes()?),
    }
    Ok(())
}

fn write_text(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control if control < ' ' => text.push_str(&format!("\\u{:04x}", control as u32)),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// In base 64, as protobuf's JSON has bytes.
fn write_bytes(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.push('"');
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes(padded);
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use suyuan_wire::key_value::append;
    use suyuan_wire::protobuf::Writer;

    use super::*;

    /// A list of OTLP's with these values.
    fn list(values: &[ValueRef<'_>]) -> Vec<u8> {
        let mut message = Vec::new();
        for value in values {
            let mut writer = Writer::default();
            append(&mut writer, 1, "", *value);
            let entry = writer.into_bytes();
            let mut fields = Reader::new(&entry);
            let field = fields.next_field().expect("a message").expect("a field");
            let mut pair = Reader::new(field.bytes().expect("a message"));
            while let Some(field) = pair.next_field().expect("a message") {
                if field.number == 2 {
                    let mut element = Writer::default();
                    element.bytes(1, field.bytes().expect("a message"));
                    message.extend(element.into_bytes());
                }
            }
        }
        message
    }

    #[test]
    fn lists_are_shown_as_json() {
        let inner = list(&[ValueRef::Int(-1), ValueRef::Empty]);
        let outer = list(&[
            ValueRef::String("a\"b\\\n\u{1}"),
            ValueRef::Bool(true),
            ValueRef::Double(1.5),
            ValueRef::Double(f64::NAN),
            ValueRef::Array(&inner),
            ValueRef::Bytes(b"abcd"),
        ]);
        assert_eq!(
            json_text(ValueRef::Array(&outer)),
            r#"["a\"b\\\n\u0001",true,1.5,"NaN",[-1,null],"YWJjZA=="]"#
        );
        assert_eq!(json_text(ValueRef::Array(&[])), "[]");
    }

    #[test]
    fn maps_are_shown_as_json() {
        let mut writer = Writer::default();
        append(&mut writer, 1, "k", ValueRef::Int(7));
        append(&mut writer, 1, "l", ValueRef::Map(&[]));
        assert_eq!(json_text(ValueRef::Map(&writer.into_bytes())), r#"{"k":7,"l":{}}"#);
    }

    #[test]
    fn what_is_damaged_or_too_deep_is_shown_as_bytes() {
        assert_eq!(json_text(ValueRef::Array(b"\x0a\xff")), r#""Cv8=""#);
        let mut deep = Vec::new();
        for _ in 0..=NESTING_MAX {
            deep = list(&[ValueRef::Array(&deep)]);
        }
        assert!(json_text(ValueRef::Array(&deep)).starts_with('"'));
    }
}
