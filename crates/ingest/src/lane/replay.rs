//! Start-up: the log's records go through the same tables as requests do.
//!
//! In: records in the order of the log. Out: the same rows that their requests gave, by what the
//! record itself says: neither clock nor configuration is asked.

use std::io::Read;

use bytes::Bytes;
use suyuan_wire::record::{Compression, RecordError, RecordHeader};

use super::tables::{StageError, Tables};
use super::{LaneOptions, Surroundings};
use crate::Metrics;

/// A lane before it takes requests.
pub struct Replay {
    tables: Tables,
    metrics: Metrics,
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
        Self { tables: Tables::new(options, Box::new(surroundings)), metrics, spans: 0 }
    }

    /// Takes one record, as the log kept it.
    pub fn record(&mut self, record: &[u8]) -> Result<(), ReplayError> {
        let (header, body) = RecordHeader::decode(record)?;
        let inflated = inflate(&header, body)?;
        self.tables.replay(&header, inflated)?;
        self.spans += header.accepted_spans;
        Ok(())
    }

    /// Spans that came out so far.
    pub fn spans(&self) -> u64 {
        self.spans
    }

    pub(super) fn into_parts(self) -> (Tables, Metrics) {
        (self.tables, self.metrics)
    }
}

fn inflate(header: &RecordHeader, body: &[u8]) -> Result<Bytes, ReplayError> {
    let compression = header.compression;
    let expected = header.inflated_bytes;
    let mut inflated = Vec::new();
    let read = match compression {
        Compression::None => {
            inflated.extend_from_slice(body);
            Ok(body.len())
        }
        // One byte more than expected is enough to see that there are too many.
        Compression::Gzip => {
            flate2::bufread::MultiGzDecoder::new(body).take(expected + 1).read_to_end(&mut inflated)
        }
        Compression::Zstd => zstd::stream::read::Decoder::with_buffer(body)
            .and_then(|decoder| decoder.take(expected + 1).read_to_end(&mut inflated)),
    };
    read.map_err(|error| ReplayError::Inflate { compression: compression.name(), error })?;
    if inflated.len() as u64 != expected {
        return Err(ReplayError::WrongLength { bytes: inflated.len(), bytes_expected: expected });
    }
    Ok(inflated.into())
}
