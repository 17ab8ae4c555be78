//! Start-up: the log's records go through the same tables as requests do.
//!
//! In: records in the order of the log. Out: the same rows that their requests gave, by what the
//! record itself says: neither clock nor configuration is asked.

use std::io::Read;

use bytes::Bytes;
use libdeflater::Decompressor;
use suyuan_wal::Position;
use suyuan_wire::record::{Compression, RecordError, RecordHeader};

use super::tables::{StageError, Tables};
use super::{LaneOptions, Surroundings};
use crate::Metrics;

/// What deflate can make of a byte at best. Receiving gives no body more room than this at once, so
/// neither does replay: memory is not allocated on the word of a record alone.
const RATIO_AT_ONCE_MAX: usize = 1032;

/// A lane before it takes requests.
pub struct Replay {
    tables: Tables,
    metrics: Metrics,
    /// Just behind the last record since the last cut.
    log_end: Option<Position>,
    spans: u64,
}

/// Why a record of the log gives no rows. It is the log's to set aside.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("body is not valid {compression}: {error}")]
    Inflate { compression: &'static str, error: std::io::Error },
    #[error("body has {bytes} bytes when inflated, its record says {bytes_expected}")]
    WrongLength { bytes: usize, bytes_expected: u64 },
    #[error("{0}")]
    Body(String),
}

impl From<StageError> for ReplayError {
    fn from(error: StageError) -> Self {
        Self::Body(error.to_string())
    }
}

impl Replay {
    pub fn new(options: LaneOptions, surroundings: impl Surroundings, metrics: Metrics) -> Self {
        let tables = Tables::new(options, Box::new(surroundings));
        Self { tables, metrics, log_end: None, spans: 0 }
    }

    /// Takes one record, as the log kept it. A record that gives an error belongs to the window
    /// all the same: the log sets it aside, so there is nothing to come back for.
    pub fn record(&mut self, position: Position, record: &[u8]) -> Result<(), ReplayError> {
        self.log_end = Some(position.after_record(record.len() as u64));
        let (header, body) = RecordHeader::decode(record)?;
        let inflated = inflate(&header, body)?;
        self.tables.replay(&header, inflated)?;
        self.spans += header.accepted_spans;
        Ok(())
    }

    /// As [`super::Lane::cut`], at once: for a log that is longer than a window.
    pub fn cut(&mut self) {
        self.tables.cut(self.log_end.take());
    }

    /// Spans that came out so far.
    pub fn spans(&self) -> u64 {
        self.spans
    }

    pub(super) fn into_parts(self) -> (Tables, Metrics, Option<Position>) {
        (self.tables, self.metrics, self.log_end)
    }
}

/// Inflates with the codecs of receipt, in their order. What one of them took was acknowledged, even
/// where the next would refuse it: bytes behind a gzip member, a zstd frame with a huge window.
fn inflate(header: &RecordHeader, body: &[u8]) -> Result<Bytes, ReplayError> {
    let compression = header.compression;
    let expected = header.inflated_bytes;
    if let Some(inflated) = inflate_at_once(compression, body, expected) {
        return Ok(inflated.into());
    }
    let mut inflated = Vec::new();
    // One byte more than expected is enough to see that there are too many.
    let bytes_max = expected.saturating_add(1);
    let read = match compression {
        Compression::None => {
            inflated.extend_from_slice(body);
            Ok(body.len())
        }
        Compression::Gzip => {
            flate2::bufread::MultiGzDecoder::new(body).take(bytes_max).read_to_end(&mut inflated)
        }
        Compression::Zstd => zstd::stream::read::Decoder::with_buffer(body)
            .and_then(|decoder| decoder.take(bytes_max).read_to_end(&mut inflated)),
    };
    read.map_err(|error| ReplayError::Inflate { compression: compression.name(), error })?;
    if inflated.len() as u64 != expected {
        return Err(ReplayError::WrongLength { bytes: inflated.len(), bytes_expected: expected });
    }
    Ok(inflated.into())
}

/// The whole body in one call, if that gives what the record expects.
fn inflate_at_once(compression: Compression, body: &[u8], expected: u64) -> Option<Vec<u8>> {
    let expected = usize::try_from(expected).ok()?;
    if expected > body.len().saturating_mul(RATIO_AT_ONCE_MAX) {
        return None;
    }
    let inflated = match compression {
        Compression::None => return None,
        Compression::Gzip => {
            let mut inflated = vec![0; expected];
            let bytes = Decompressor::new().gzip_decompress(body, &mut inflated).ok()?;
            inflated.truncate(bytes);
            inflated
        }
        Compression::Zstd => zstd::bulk::decompress(body, expected).ok()?,
    };
    (inflated.len() == expected).then_some(inflated)
}

#[cfg(test)]
mod tests;
