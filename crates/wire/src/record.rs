//! What the log keeps of a request.
//!
//! The request as received (compressed if it came so) behind a header that holds what replay
//! needs to repeat every decision: the time, the tenant, the encoding, the limits that applied
//! and the spans that were refused. Replay consults neither clock nor configuration, so a changed
//! limit never changes the past (`design.md 4`).
//!
//! ```text
//! record  = version (1 byte, 1) | header length (u32, little endian) | header | body
//! header  = a protobuf message:
//!   1 fixed64  receive time, nanoseconds since 1970
//!   2 string   tenant
//!   3 varint   format: 0 OTLP protobuf, 1 OTLP JSON
//!   4 varint   compression of the body: 0 none, 1 gzip, 2 zstd
//!   5 varint   bytes of the body when inflated
//!   6 message  limits: 1 attribute value bytes, 2 attributes, 3 events, 4 links, 5 spans per trace
//!   7 bytes    refused spans: for each the distance to the one before, as varints
//!   8 varint   spans accepted
//! ```
//!
//! A reader refuses a version that it does not know, and a header that has a field with a number
//! below 64 that it does not know: such a field changes what the record means. Numbers from 64 on
//! are notes that may be skipped.

use suyuan_model::{Tenant, TenantError};

use crate::protobuf::{Malformed, Reader, Writer};

/// How the body says spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    OtlpProtobuf,
    OtlpJson,
}

/// How the body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// What a span may hold at most; what is over is cut or counted as dropped (`design.md 10`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a text or binary value, arrays and maps as a whole; longer texts are cut.
    pub attribute_value_bytes_max: u32,
    /// Attributes of a span, event, link, resource or scope.
    pub attributes_max: u32,
    pub events_max: u32,
    pub links_max: u32,
    /// Spans that a trace may have in the live window; further ones are refused.
    pub spans_per_trace_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attribute_value_bytes_max: 64 << 10,
            attributes_max: 1_024,
            events_max: 1_024,
            links_max: 1_024,
            spans_per_trace_max: 1_000_000,
        }
    }
}

/// A record without its body.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordHeader {
    pub received_unix_nanos: u64,
    pub tenant: Tenant,
    pub format: Format,
    pub compression: Compression,
    pub inflated_bytes: u64,
    pub limits: Limits,
    /// Spans refused, by their place in the request, counted from 0, ascending.
    pub refused: Vec<u32>,
    pub accepted_spans: u64,
}

/// Why bytes are not a record that this version reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("record is empty or ends within its header")]
    Truncated,
    #[error("record has version {0}, this program reads version {VERSION}")]
    UnknownVersion(u8),
    #[error("record header {0}")]
    Malformed(#[from] Malformed),
    #[error("record header has field {0}, which this program does not know and must not skip")]
    UnknownField(u32),
    #[error("record header has an unknown {what}: {value}")]
    UnknownValue { what: &'static str, value: u64 },
    #[error("record header names a tenant badly: {0}")]
    Tenant(#[from] TenantError),
}

const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 5;
/// Header fields from this number on may be skipped by readers that do not know them.
const OPTIONAL_FIELDS_FROM: u32 = 64;

impl RecordHeader {
    /// The bytes that stand before the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, 0, 0, 0, 0];
        bytes.reserve(64 + self.tenant.as_str().len() + 2 * self.refused.len());
        let mut writer = Writer::append_to(bytes);
        writer.fixed64(1, self.received_unix_nanos);
        writer.bytes(2, self.tenant.as_str().as_bytes());
        writer.varint(3, self.format as u64);
        writer.varint(4, self.compression as u64);
        writer.varint(5, self.inflated_bytes);
        writer.message(6, |w| {
            w.varint(1, self.limits.attribute_value_bytes_max.into());
            w.varint(2, self.limits.attributes_max.into());
            w.varint(3, self.limits.events_max.into());
            w.varint(4, self.limits.links_max.into());
            w.varint(5, self.limits.spans_per_trace_max.into());
        });
        if !self.refused.is_empty() {
            writer.bytes(7, &encode_ascending(&self.refused));
        }
        writer.varint(8, self.accepted_spans);
        let mut bytes = writer.into_bytes();
        let header_bytes = (bytes.len() - PREFIX_BYTES) as u32;
        bytes[1..PREFIX_BYTES].copy_from_slice(&header_bytes.to_le_bytes());
        bytes
    }

    /// Splits a record into header and body.
    pub fn decode(record: &[u8]) -> Result<(Self, &[u8]), RecordError> {
        let Some((&[version, a, b, c, d], rest)) = record.split_first_chunk::<PREFIX_BYTES>()
        else {
            return Err(RecordError::Truncated);
        };
        if version != VERSION {
            return Err(RecordError::UnknownVersion(version));
        }
        let header_bytes = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some((header, body)) = rest.split_at_checked(header_bytes) else {
            return Err(RecordError::Truncated);
        };
        Ok((Self::decode_header(header)?, body))
    }

    fn decode_header(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut tenant = String::new();
        let mut header = Self {
            received_unix_nanos: 0,
            tenant: Tenant::single(),
            format: Format::OtlpProtobuf,
            compression: Compression::None,
            inflated_bytes: 0,
            limits: Limits::default(),
            refused: Vec::new(),
            accepted_spans: 0,
        };
        let mut reader = Reader::new(bytes);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => header.received_unix_nanos = field.fixed64()?,
                2 => tenant = String::from_utf8_lossy(field.bytes()?).into_owned(),
                3 => header.format = Format::from_number(field.varint()?)?,
                4 => header.compression = Compression::from_number(field.varint()?)?,
                5 => header.inflated_bytes = field.varint()?,
                6 => header.limits = decode_limits(field.bytes()?)?,
                7 => header.refused = decode_ascending(field.bytes()?)?,
                8 => header.accepted_spans = field.varint()?,
                OPTIONAL_FIELDS_FROM.. => {}
                unknown => return Err(RecordError::UnknownField(unknown)),
            }
        }
        header.tenant = Tenant::parse(&tenant)?;
        Ok(header)
    }
}

fn decode_limits(bytes: &[u8]) -> Result<Limits, RecordError> {
    let mut limits = Limits::default();
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.next_field()? {
        let value = u32::try_from(field.varint()?).unwrap_or(u32::MAX);
        match field.number {
            1 => limits.attribute_value_bytes_max = value,
            2 => limits.attributes_max = value,
            3 => limits.events_max = value,
            4 => limits.links_max = value,
            5 => limits.spans_per_trace_max = value,
            unknown => return Err(RecordError::UnknownField(unknown)),
        }
    }
    Ok(limits)
}

fn encode_ascending(numbers: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(numbers.len() * 2);
    let mut previous = 0;
    for &number in numbers {
        let mut distance = number - previous;
        while distance >= 0x80 {
            bytes.push(distance as u8 | 0x80);
            distance >>= 7;
        }
        bytes.push(distance as u8);
        previous = number;
    }
    bytes
}

fn decode_ascending(mut bytes: &[u8]) -> Result<Vec<u32>, Malformed> {
    let mut numbers = Vec::new();
    let mut previous = 0u32;
    while !bytes.is_empty() {
        let mut distance = 0u64;
        let mut place = 0;
        loop {
            let Some((&byte, rest)) = bytes.split_first() else { return Err(Malformed::Truncated) };
            bytes = rest;
            distance |= u64::from(byte & 0x7f) << (7 * place);
            place += 1;
            if byte < 0x80 {
                break;
            }
            if place == 5 {
                return Err(Malformed::VarintTooLong);
            }
        }
        let distance = u32::try_from(distance).map_err(|_| Malformed::VarintTooLong)?;
        previous = previous.checked_add(distance).ok_or(Malformed::VarintTooLong)?;
        numbers.push(previous);
    }
    Ok(numbers)
}

impl Format {
    pub const ALL: [Self; 2] = [Self::OtlpProtobuf, Self::OtlpJson];

    /// As metrics and messages say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtlpProtobuf => "otlp_protobuf",
            Self::OtlpJson => "otlp_json",
        }
    }

    fn from_number(number: u64) -> Result<Self, RecordError> {
        Self::ALL
            .into_iter()
            .find(|format| *format as u64 == number)
            .ok_or(RecordError::UnknownValue { what: "format", value: number })
    }
}

impl Compression {
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];

    /// As HTTP's `Content-Encoding` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn from_number(number: u64) -> Result<Self, RecordError> {
        Self::ALL
            .into_iter()
            .find(|compression| *compression as u64 == number)
            .ok_or(RecordError::UnknownValue { what: "compression", value: number })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn header() -> RecordHeader {
        RecordHeader {
            received_unix_nanos: 1_741_392_000_000_000_000,
            tenant: Tenant::parse("mall").expect("valid"),
            format: Format::OtlpJson,
            compression: Compression::Zstd,
            inflated_bytes: 70_000,
            limits: Limits { attributes_max: 3, ..Limits::default() },
            refused: vec![0, 5, 6, 1_000_000],
            accepted_spans: 42,
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut record = header().encode();
        record.extend_from_slice(b"body");
        assert_eq!(RecordHeader::decode(&record), Ok((header(), &b"body"[..])));
    }

    /// The bytes of version 1, forever: this expectation never changes.
    #[test]
    fn version_1_is_read() {
        let record = header().encode();
        let shown: Vec<String> = record.iter().map(|byte| format!("{byte:02x}")).collect();
        expect!["01 37 00 00 00 09 00 00 b5 36 cc aa 2a 18 12 04 6d 61 6c 6c 18 01 20 02 28 f0 a2 04 32 90 80 80 80 00 08 80 80 04 10 03 18 80 08 20 80 08 28 c0 84 3d 3a 06 00 05 01 ba 84 3d 40 2a"].assert_eq(&shown.join(" "));
    }

    #[test]
    fn a_field_that_changes_the_meaning_is_not_skipped() {
        let with_field = |number| {
            let mut writer = Writer::new();
            writer.bytes(2, b"mall");
            writer.varint(number, 1);
            let header = writer.into_bytes();
            let mut record = vec![1];
            record.extend_from_slice(&(header.len() as u32).to_le_bytes());
            record.extend_from_slice(&header);
            RecordHeader::decode(&record).map(|_| ())
        };
        assert_eq!(with_field(9), Err(RecordError::UnknownField(9)));
        assert_eq!(with_field(64), Ok(()));
    }

    #[test]
    fn records_cut_anywhere_are_refused_without_a_panic() {
        let record = header().encode();
        for len in 0..record.len() {
            assert!(RecordHeader::decode(&record[..len]).is_err(), "{len} bytes");
        }
        assert_eq!(RecordHeader::decode(&[9, 0, 0, 0, 0]), Err(RecordError::UnknownVersion(9)));
    }
}
