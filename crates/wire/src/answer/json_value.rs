//! Attribute values in JSON: OTLP's `AnyValue`, arrays and maps read from their protobuf bytes.
//!
//! In: a value of a column. Out: an object with one member, or none for an empty value. A value
//! that cannot be read (its bytes were checked when they came, so a disk has changed them) is
//! shown as bytes: nothing is lost, nothing fails.

use suyuan_model::ValueRef;

use super::json_writer::JsonWriter;
use crate::protobuf::{Field, Malformed, NESTING_MAX, Reader};

pub(super) fn write(json: &mut JsonWriter, value: ValueRef<'_>) {
    let mark = json.mark();
    if write_any(json, value, 0).is_ok() {
        return;
    }
    json.rewind(mark);
    let (ValueRef::Array(message) | ValueRef::Map(message)) = value else { return };
    json.open_object();
    json.key("bytesValue");
    json.base64(message);
    json.close_object();
}

fn write_any(json: &mut JsonWriter, value: ValueRef<'_>, depth: usize) -> Result<(), Malformed> {
    json.open_object();
    match value {
        ValueRef::Empty => {}
        ValueRef::String(text) => {
            json.key("stringValue");
            json.text(text);
        }
        ValueRef::Bool(value) => {
            json.key("boolValue");
            json.bool(value);
        }
        ValueRef::Int(value) => {
            json.key("intValue");
            json.wide(value);
        }
        ValueRef::Double(value) => {
            json.key("doubleValue");
            json.double(value);
        }
        ValueRef::Array(message) => {
            json.key("arrayValue");
            write_list(json, message, depth, |json, element, depth| {
                write_message(json, element, depth)
            })?;
        }
        ValueRef::Map(message) => {
            json.key("kvlistValue");
            write_list(json, message, depth, write_key_value)?;
        }
        ValueRef::Bytes(bytes) => {
            json.key("bytesValue");
            json.base64(bytes);
        }
    }
    json.close_object();
    Ok(())
}

/// An `ArrayValue` or a `KeyValueList`: `values`, left out when there are none.
fn write_list(
    json: &mut JsonWriter,
    message: &[u8],
    depth: usize,
    write_element: fn(&mut JsonWriter, &[u8], usize) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if depth >= NESTING_MAX {
        return Err(Malformed::TooDeep);
    }
    let mut reader = Reader::new(message);
    let mut is_open = false;
    json.open_object();
    while let Some(field) = reader.next_field()? {
        if field.number != 1 {
            continue;
        }
        if !is_open {
            json.key("values");
            json.open_list();
            is_open = true;
        }
        write_element(json, field.bytes()?, depth + 1)?;
    }
    if is_open {
        json.close_list();
    }
    json.close_object();
    Ok(())
}

fn write_key_value(json: &mut JsonWriter, message: &[u8], depth: usize) -> Result<(), Malformed> {
    let mut reader = Reader::new(message);
    let (mut key, mut value) = (None, None);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => key = Some(field.bytes()?),
            2 => value = Some(field.bytes()?),
            _ => {}
        }
    }
    json.open_object();
    if let Some(key) = key.filter(|key| !key.is_empty()) {
        json.key("key");
        json.text(&String::from_utf8_lossy(key));
    }
    if let Some(value) = value {
        json.key("value");
        write_message(json, value, depth)?;
    }
    json.close_object();
    Ok(())
}

/// An `AnyValue`; of several members the last one counts, as protobuf has it.
fn write_message(json: &mut JsonWriter, message: &[u8], depth: usize) -> Result<(), Malformed> {
    let mut reader = Reader::new(message);
    let mut member: Option<Field<'_>> = None;
    while let Some(field) = reader.next_field()? {
        if (1..=7).contains(&field.number) {
            member = Some(field);
        }
    }
    let Some(field) = member else { return write_any(json, ValueRef::Empty, depth) };
    match field.number {
        1 => {
            let text = String::from_utf8_lossy(field.bytes()?);
            write_any(json, ValueRef::String(&text), depth)
        }
        2 => write_any(json, ValueRef::Bool(field.varint()? != 0), depth),
        3 => write_any(json, ValueRef::Int(field.varint()? as i64), depth),
        4 => write_any(json, ValueRef::Double(f64::from_bits(field.fixed64()?)), depth),
        5 => write_any(json, ValueRef::Array(field.bytes()?), depth),
        6 => write_any(json, ValueRef::Map(field.bytes()?), depth),
        _ => write_any(json, ValueRef::Bytes(field.bytes()?), depth),
    }
}
