//! The elements of an array attribute that queries can look into.
//!
//! In: the bytes of OTLP's `ArrayValue`. Out: its elements, if all are of one type: text, integers,
//! numbers or booleans. Bytes that are no such message have none.

use suyuan_wire::protobuf::{Malformed, Reader};

use super::values::TagValue;

/// `None`: the array holds something else, or elements of several types.
pub(super) fn elements(array: &[u8]) -> Option<Vec<TagValue>> {
    let mut elements = Vec::new();
    let mut reader = Reader::new(array);
    while let Some(field) = reader.next_field().ok()? {
        if field.number == 1 {
            elements.push(element(field.bytes().ok()?).ok()??);
        }
    }
    let is_alike = |pair: &[TagValue]| pair[0].type_name() == pair[1].type_name();
    elements.windows(2).all(is_alike).then_some(elements)
}

/// An `AnyValue`.
fn element(message: &[u8]) -> Result<Option<TagValue>, Malformed> {
    let mut element = None;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        element = match field.number {
            1 => match std::str::from_utf8(field.bytes()?) {
                Ok(text) => Some(TagValue::String(text.into())),
                Err(_) => None,
            },
            2 => Some(TagValue::Bool(field.varint()? != 0)),
            3 => Some(TagValue::Int(field.varint()? as i64)),
            4 => Some(TagValue::Float(f64::from_bits(field.fixed64()?))),
            5..=7 => None,
            _ => continue,
        };
    }
    Ok(element)
}
