//! A number for what a span says.
//!
//! In: a row. Out: 64 bits, the same for equal spans wherever they are stored. `query` lets the
//! greatest of two duplicates win by it (`design.md 5`), so it may never change: FNV-1a over the
//! span's protobuf form with its resource and scope.

use suyuan_model::Chunk;

use super::protobuf::{self, ProtobufSink};
use super::shown::ShownSpan;
use super::{Sink, positions};

/// See the module.
pub fn content_hash(chunk: &Chunk, row: u32) -> u64 {
    let mut bytes = protobuf::resource_fields(chunk, chunk.resource.value(row as usize));
    bytes.extend_from_slice(&protobuf::scope_fields(chunk, chunk.scope.value(row as usize)));
    let positions = positions::of_row(&chunk.attributes, row);
    let mut sink = ProtobufSink::append_to(bytes);
    sink.span(&ShownSpan::as_sent(chunk, row, &positions));
    fnv1a(&sink.into_bytes())
}

/// Fowler, Noll and Vo's hash, variant 1a, 64 bits.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
