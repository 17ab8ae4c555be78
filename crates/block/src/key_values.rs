//! Attributes as one value: OTLP's `KeyValueList`, for what has no column of its own.
//!
//! In: keys and values in order. Out: the message's bytes, and back. Equal attributes give equal
//! bytes: each length takes as few bytes as it can, an empty value is present. Arrays and maps stay
//! the bytes they are; nobody looks into them here.

use std::str::Utf8Error;

use suyuan_model::ValueRef;
use suyuan_wire::key_value;
use suyuan_wire::protobuf::{Malformed, Reader, Writer};

/// Why bytes are not such a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyValuesError {
    #[error("message {0}")]
    Malformed(#[from] Malformed),
    #[error("text: {0}")]
    Text(#[from] Utf8Error),
}

/// Appends one attribute to a `KeyValueList`.
pub(crate) fn append(list: &mut Vec<u8>, key: &str, value: ValueRef<'_>) {
    let mut writer = Writer::append_to(std::mem::take(list));
    key_value::append(&mut writer, 1, key, value);
    *list = writer.into_bytes();
}

/// The attributes of a `KeyValueList`, in order.
pub fn key_values(
    list: &[u8],
) -> impl Iterator<Item = Result<(&str, ValueRef<'_>), KeyValuesError>> {
    let mut reader = Reader::new(list);
    std::iter::from_fn(move || match reader.next_field() {
        Ok(None) => None,
        Ok(Some(field)) => Some(field.bytes().map_err(Into::into).and_then(key_value)),
        Err(error) => {
            // An iterator that went on would find the same error for ever.
            reader = Reader::new(&[]);
            Some(Err(error.into()))
        }
    })
}

fn key_value(message: &[u8]) -> Result<(&str, ValueRef<'_>), KeyValuesError> {
    let (mut key, mut value) = ("", ValueRef::Empty);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => key = std::str::from_utf8(field.bytes()?)?,
            2 => value = any_value(field.bytes()?)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn any_value(message: &[u8]) -> Result<ValueRef<'_>, KeyValuesError> {
    let mut value = ValueRef::Empty;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        value = match field.number {
            1 => ValueRef::String(std::str::from_utf8(field.bytes()?)?),
            2 => ValueRef::Bool(field.varint()? != 0),
            3 => ValueRef::Int(field.varint()? as i64),
            4 => ValueRef::Double(f64::from_bits(field.fixed64()?)),
            5 => ValueRef::Array(field.bytes()?),
            6 => ValueRef::Map(field.bytes()?),
            7 => ValueRef::Bytes(field.bytes()?),
            _ => value,
        };
    }
    Ok(value)
}

/// Appends a number in groups of seven bits, the lowest first.
pub(crate) fn varint(list: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        list.push(value as u8 | 0x80);
        value >>= 7;
    }
    list.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back_in_order() {
        let long = "x".repeat(300);
        let sent = [
            ("a", ValueRef::Empty),
            ("", ValueRef::String("")),
            ("a", ValueRef::String(&long)),
            ("b", ValueRef::Bool(false)),
            ("b", ValueRef::Bool(true)),
            ("c", ValueRef::Int(0)),
            ("c", ValueRef::Int(-1)),
            ("d", ValueRef::Double(-0.0)),
            ("e", ValueRef::Bytes(b"\0\xff")),
            ("f", ValueRef::Array(b"")),
            ("g", ValueRef::Map(b"\x0a\x00")),
        ];
        let mut list = Vec::new();
        for (key, value) in sent {
            append(&mut list, key, value);
        }
        let found: Result<Vec<_>, _> = key_values(&list).collect();
        assert_eq!(found, Ok(sent.to_vec()));
    }

    #[test]
    fn what_is_no_list_is_an_error_once() {
        let found: Vec<_> = key_values(&[0x0a, 9, 1]).collect();
        assert_eq!(found, [Err(KeyValuesError::Malformed(Malformed::Truncated))]);
        let mut list = Vec::new();
        append(&mut list, "k", ValueRef::String("v"));
        let last = list.len() - 1;
        list[last] = 0xff;
        assert!(matches!(key_values(&list).next(), Some(Err(KeyValuesError::Text(_)))));
    }
}
