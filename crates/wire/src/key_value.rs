//! One attribute as OTLP's `KeyValue` message.
//!
//! In: a key and a value. Out: its bytes, for answers and for the lists that blocks keep. Equal
//! attributes give equal bytes: each length takes as few bytes as it can, an empty value is present.
//! Arrays and maps stay the bytes they are.

use suyuan_model::ValueRef;

use crate::protobuf::Writer;

/// Appends an attribute as a field whose number is below 16.
pub fn append(writer: &mut Writer, field: u32, key: &str, value: ValueRef<'_>) {
    let value_len = any_value_len(value);
    head(writer, field, bytes_field_len(key.len()) + bytes_field_len(value_len));
    writer.bytes(1, key.as_bytes());
    head(writer, 2, value_len);
    match value {
        ValueRef::Empty => {}
        ValueRef::String(text) => writer.bytes(1, text.as_bytes()),
        ValueRef::Bool(value) => writer.varint(2, value.into()),
        ValueRef::Int(value) => writer.varint(3, value as u64),
        ValueRef::Double(value) => writer.double(4, value),
        ValueRef::Array(message) => writer.bytes(5, message),
        ValueRef::Map(message) => writer.bytes(6, message),
        ValueRef::Bytes(bytes) => writer.bytes(7, bytes),
    }
}

fn any_value_len(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Empty => 0,
        ValueRef::String(text) => bytes_field_len(text.len()),
        ValueRef::Bool(_) => 2,
        ValueRef::Int(value) => 1 + varint_len(value as u64),
        ValueRef::Double(_) => 9,
        ValueRef::Bytes(bytes) | ValueRef::Array(bytes) | ValueRef::Map(bytes) => {
            bytes_field_len(bytes.len())
        }
    }
}

/// What a field with a number below 16 and `len` bytes of content takes.
fn bytes_field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// The head of a message whose length is known; its number is below 16.
fn head(writer: &mut Writer, field: u32, len: usize) {
    let mut bytes = [0u8; 11];
    bytes[0] = (field << 3 | 2) as u8;
    let mut rest = len;
    let mut n = 1;
    while rest >= 0x80 {
        bytes[n] = rest as u8 | 0x80;
        rest >>= 7;
        n += 1;
    }
    bytes[n] = rest as u8;
    writer.raw_fields(&bytes[..=n]);
}
