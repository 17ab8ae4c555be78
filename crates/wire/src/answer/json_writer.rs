//! JSON text as Go's encoders print it, value by value.
//!
//! In: keys and values in order. Out: bytes without spaces. Commas are placed here; that keys and
//! values alternate is the caller's affair.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

#[derive(Debug)]
pub(super) struct JsonWriter {
    out: Vec<u8>,
    needs_comma: bool,
}

impl JsonWriter {
    /// Goes on behind `head`, which ends where a first value may stand.
    pub(super) fn begin(head: &[u8]) -> Self {
        Self { out: head.to_vec(), needs_comma: false }
    }

    /// Goes on behind a value that another writer has written.
    pub(super) fn behind() -> Self {
        Self { out: Vec::new(), needs_comma: true }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Takes what was written so far; what follows goes on behind it, and is likely to be as long.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let next = Vec::with_capacity(self.out.len());
        std::mem::replace(&mut self.out, next)
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.out.len()
    }

    /// The place to which [`Self::rewind`] goes back.
    pub(super) fn mark(&self) -> (usize, bool) {
        (self.out.len(), self.needs_comma)
    }

    pub(super) fn rewind(&mut self, (len, needs_comma): (usize, bool)) {
        self.out.truncate(len);
        self.needs_comma = needs_comma;
    }

    pub(super) fn open_object(&mut self) {
        self.open(b'{');
    }

    pub(super) fn close_object(&mut self) {
        self.close(b'}');
    }

    pub(super) fn open_list(&mut self) {
        self.open(b'[');
    }

    pub(super) fn close_list(&mut self) {
        self.close(b']');
    }

    /// `key` needs no escapes.
    pub(super) fn key(&mut self, key: &str) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.needs_comma = false;
    }

    /// A key that somebody else chose.
    pub(super) fn text_key(&mut self, key: &str) {
        self.text(key);
        self.out.push(b':');
        self.needs_comma = false;
    }

    /// Writes a whole value again, by the place of its bytes.
    pub(super) fn repeat(&mut self, value: Range<usize>) {
        self.separate();
        self.out.extend_from_within(value);
        self.needs_comma = true;
    }

    /// Escaped as Go does: `<`, `>` and `&` too, and the two line ends that JavaScript minds.
    pub(super) fn text(&mut self, text: &str) {
        self.separate();
        self.out.push(b'"');
        let bytes = text.as_bytes();
        let mut plain_start = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if !IS_SPECIAL[byte as usize] {
                continue;
            }
            let (escape, len) = match escape(&bytes[at..]) {
                Some(found) => found,
                None => continue,
            };
            self.out.extend_from_slice(&bytes[plain_start..at]);
            escape.append_to(&mut self.out);
            plain_start = at + len;
        }
        self.out.extend_from_slice(&bytes[plain_start..]);
        self.out.push(b'"');
        self.needs_comma = true;
    }

    pub(super) fn base64(&mut self, bytes: &[u8]) {
        self.separate();
        self.out.push(b'"');
        let start = self.out.len();
        let len = bytes.len().div_ceil(3) * 4;
        self.out.resize(start + len, 0);
        let written = STANDARD.encode_slice(bytes, &mut self.out[start..]);
        debug_assert_eq!(written, Ok(len), "base64 writes four digits for three bytes");
        self.out.push(b'"');
        self.needs_comma = true;
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.bare(if value { b"true" } else { b"false" });
    }

    /// A member of 64 bits, which is left out if it is 0.
    pub(super) fn wide_unless_zero(&mut self, key: &str, number: u64) {
        if number != 0 {
            self.key(key);
            self.wide(number);
        }
    }

    /// A member of 32 bits, which is left out if it is 0.
    pub(super) fn narrow_unless_zero(&mut self, key: &str, number: u32) {
        if number != 0 {
            self.key(key);
            self.narrow(number.into());
        }
    }

    /// A number of 32 bits.
    pub(super) fn narrow(&mut self, value: i64) {
        self.bare(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A number of 64 bits: a string, because JavaScript's numbers end at 53.
    pub(super) fn wide(&mut self, value: impl itoa::Integer) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.push(b'"');
        self.needs_comma = true;
    }

    /// The shortest digits that read back as the same number; with an exponent where Go has one.
    pub(super) fn double(&mut self, value: f64) {
        if value.is_nan() {
            return self.bare(b"\"NaN\"");
        }
        if value.is_infinite() {
            return self.bare(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
        }
        let magnitude = value.abs();
        let text = if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
            let text = format!("{value:e}");
            if magnitude > 1.0 { text.replace('e', "e+") } else { text }
        } else {
            value.to_string()
        };
        self.bare(text.as_bytes());
    }

    fn open(&mut self, bracket: u8) {
        self.separate();
        self.out.push(bracket);
        self.needs_comma = false;
    }

    fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.needs_comma = true;
    }

    fn bare(&mut self, text: &[u8]) {
        self.separate();
        self.out.extend_from_slice(text);
        self.needs_comma = true;
    }

    fn separate(&mut self) {
        if self.needs_comma {
            self.out.push(b',');
        }
    }
}

/// Bytes at which an escape may be due; 0xe2 begins U+2028 and U+2029, and much else.
const IS_SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xe2] = true;
    table
};

enum Escape {
    Short(u8),
    Unit(u16),
}

/// The escape of what the text begins with, and how many bytes it stands for.
fn escape(text: &[u8]) -> Option<(Escape, usize)> {
    Some(match text {
        [byte @ (b'"' | b'\\'), ..] => (Escape::Short(*byte), 1),
        [0x08, ..] => (Escape::Short(b'b'), 1),
        [0x0c, ..] => (Escape::Short(b'f'), 1),
        [b'\n', ..] => (Escape::Short(b'n'), 1),
        [b'\r', ..] => (Escape::Short(b'r'), 1),
        [b'\t', ..] => (Escape::Short(b't'), 1),
        [0xe2, 0x80, 0xa8, ..] => (Escape::Unit(0x2028), 3),
        [0xe2, 0x80, 0xa9, ..] => (Escape::Unit(0x2029), 3),
        [0xe2, ..] | [] => return None,
        [byte, ..] => (Escape::Unit(u16::from(*byte)), 1),
    })
}

impl Escape {
    fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Short(letter) => out.extend_from_slice(&[b'\\', *letter]),
            Self::Unit(unit) => out.extend_from_slice(format!("\\u{unit:04x}").as_bytes()),
        }
    }
}
