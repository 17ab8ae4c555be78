//! What a trace and a span are called.
//!
//! In: hexadecimal text or bytes from headers, requests and addresses. Out: ids that cannot be
//! malformed. No I/O, no allocation. The W3C form (16 and 8 bytes) is what the store keeps.

use std::fmt;

/// The 16 bytes that name one trace (W3C Trace Context 3.2.2.3). All zero is not a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// The 8 bytes that name one span within its trace (W3C Trace Context 3.2.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

/// Why a text or a byte string is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("id is empty")]
    Empty,
    #[error("id has {digits} hexadecimal digits, at most {digits_max} are allowed")]
    TooLong { digits: usize, digits_max: usize },
    #[error("id has {bytes} bytes, it must have {bytes_expected}")]
    WrongLength { bytes: usize, bytes_expected: usize },
    #[error("id has a character that is not a hexadecimal digit at position {position}")]
    NotHex { position: usize },
    #[error("id is all zero")]
    Zero,
}

impl TraceId {
    /// Takes ids as senders write them: exactly 16 bytes, not all zero.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
        not_zero(exact(bytes)?).map(Self)
    }

    /// Takes ids as people write them: 1 to 32 hexadecimal digits of either case, with or without
    /// leading zeros; shorter ids are padded on the left (`tempo.md 1.1`).
    pub fn parse(text: &str) -> Result<Self, IdError> {
        not_zero(padded_hex(text)?).map(Self)
    }

    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    /// Takes ids as senders write them: exactly 8 bytes, not all zero.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
        not_zero(exact(bytes)?).map(Self)
    }

    /// Takes ids as people write them: 1 to 16 hexadecimal digits, padded on the left.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        not_zero(padded_hex(text)?).map(Self)
    }

    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    /// 32 lower-case digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Display for SpanId {
    /// 16 lower-case digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// Answers name thousands of ids: the formatting of numbers takes several times as long.
fn write_hex(f: &mut fmt::Formatter<'_>, id: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (digits, byte) in text.chunks_exact_mut(2).zip(id) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
    f.write_str(str::from_utf8(&text[..2 * id.len()]).expect("digits are ASCII"))
}

fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], IdError> {
    bytes.try_into().map_err(|_| IdError::WrongLength { bytes: bytes.len(), bytes_expected: N })
}

fn not_zero<const N: usize>(bytes: [u8; N]) -> Result<[u8; N], IdError> {
    if bytes == [0; N] { Err(IdError::Zero) } else { Ok(bytes) }
}

fn padded_hex<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > 2 * N {
        return Err(IdError::TooLong { digits: text.len(), digits_max: 2 * N });
    }
    let mut bytes = [0u8; N];
    let first_digit = 2 * N - text.len();
    for (position, character) in text.chars().enumerate() {
        let Some(digit) = character.to_digit(16) else { return Err(IdError::NotHex { position }) };
        let place = first_digit + position;
        let shift = if place.is_multiple_of(2) { 4 } else { 0 };
        bytes[place / 2] |= (digit as u8) << shift;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
