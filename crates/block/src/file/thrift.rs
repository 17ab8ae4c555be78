//! Page headers in Thrift's compact protocol, as `parquet.thrift` defines them.
//!
//! In: the sizes of a page. Out: the bytes that stand before it. Everything else that Parquet keeps
//! in Thrift (footer, page index, bloom filter headers) is written by the `parquet` crate, which
//! keeps its page headers to itself.
//!
//! A field is one byte `id delta << 4 | type`, then its value; an i32 is a zigzag varint; a struct
//! ends with a zero byte. So a header takes 12 to 22 bytes.

use parquet::basic::Encoding;

const TYPE_I32: u8 = 5;
const TYPE_STRUCT: u8 = 12;

const PAGE_DATA: i32 = 0;
const PAGE_DICTIONARY: i32 = 2;

/// How many bytes a page has, its header not counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageBytes {
    pub(crate) plain: i32,
    pub(crate) compressed: i32,
    /// CRC-32 (the one of gzip) of the bytes as compressed.
    pub(crate) crc32: u32,
}

/// The header of a data page of version 1.
pub(crate) fn data_page(out: &mut Vec<u8>, bytes: PageBytes, n_values: i32, encoding: Encoding) {
    page(out, PAGE_DATA, bytes);
    // data_page_header is field 5, the one before it is 4.
    out.push(1 << 4 | TYPE_STRUCT);
    i32_field(out, n_values);
    i32_field(out, encoding as i32);
    i32_field(out, Encoding::RLE as i32);
    i32_field(out, Encoding::RLE as i32);
    out.extend([0, 0]);
}

/// The header of a page that holds the values of a dictionary.
pub(crate) fn dictionary_page(out: &mut Vec<u8>, bytes: PageBytes, n_values: i32) {
    page(out, PAGE_DICTIONARY, bytes);
    // dictionary_page_header is field 7.
    out.push(3 << 4 | TYPE_STRUCT);
    i32_field(out, n_values);
    i32_field(out, Encoding::PLAIN as i32);
    out.extend([0, 0]);
}

fn page(out: &mut Vec<u8>, page_type: i32, bytes: PageBytes) {
    i32_field(out, page_type);
    i32_field(out, bytes.plain);
    i32_field(out, bytes.compressed);
    i32_field(out, bytes.crc32.cast_signed());
}

/// A field whose number is one more than that of the field before it.
fn i32_field(out: &mut Vec<u8>, value: i32) {
    out.push(1 << 4 | TYPE_I32);
    let zigzag = ((value << 1) ^ (value >> 31)).cast_unsigned();
    varint(out, zigzag);
}

/// Seven bits a byte, the lowest first.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
