//! Start-up: the log's records go through the same tables as requests do.
//!
//! In: records in the order of the log. Out: the same rows that their requests gave, by what the
//! record itself says: neither clock nor configuration is asked.

use bytes::Bytes;
use suyuan_wal::Position;
use suyuan_wire::record::{Compression, RecordError, RecordHeader};

use super::tables::{StageError, Tables};
use super::{LaneOptions, Surroundings};
use crate::Metrics;
use crate::admission::BudgetTaken;
use crate::codecs::{Codecs, DEFLATE_RATIO_MAX, InflateError, Room, room_for};

/// A lane before it takes requests.
pub struct Replay {
    tables: Tables,
    codecs: Codecs,
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
    #[error("body has {bytes} bytes when inflated, its record says {bytes_expected}")]
    WrongLength { bytes: usize, bytes_expected: u64 },
    #[error("{0}")]
    Body(String),
}

impl From<InflateError> for ReplayError {
    fn from(error: InflateError) -> Self {
        Self::Body(error.to_string())
    }
}

impl From<StageError> for ReplayError {
    fn from(error: StageError) -> Self {
        Self::Body(error.to_string())
    }
}

impl Replay {
    pub fn new(options: LaneOptions, surroundings: impl Surroundings, metrics: Metrics) -> Self {
        let tables = Tables::new(options, Box::new(surroundings));
        Self { tables, codecs: Codecs::new(), metrics, log_end: None, spans: 0 }
    }

    /// Takes one record, as the log kept it. A record that gives an error belongs to the window
    /// all the same: the log sets it aside, so there is nothing to come back for.
    pub fn record(&mut self, position: Position, record: &[u8]) -> Result<(), ReplayError> {
        self.log_end = Some(position.after_record(record.len() as u64));
        let (header, body) = RecordHeader::decode(record)?;
        let inflated = inflate(&mut self.codecs, &header, body).inspect_err(|_| {
            // What a codec looks like after an error is nobody's business.
            self.codecs = Codecs::new();
        })?;
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

/// Inflates as receipt did. What it took was acknowledged.
fn inflate(codecs: &mut Codecs, header: &RecordHeader, body: &[u8]) -> Result<Bytes, ReplayError> {
    if header.compression == Compression::None {
        check_length(body, header.inflated_bytes)?;
        return Ok(Bytes::copy_from_slice(body));
    }
    let expected = usize::try_from(header.inflated_bytes).unwrap_or(usize::MAX - 1);
    let said = room_for(header.compression, body, expected)?;
    // Receipt may have had more room than the body asked for. The record knows how much was needed,
    // but memory is not allocated on its word alone.
    let believed = expected <= body.len().saturating_mul(DEFLATE_RATIO_MAX);
    let mut inflated = Inflated::new(if believed { expected } else { said });
    codecs.inflate(header.compression, body, expected, &mut inflated)?;
    check_length(inflated.written(), header.inflated_bytes)?;
    Ok(inflated.freeze())
}

fn check_length(inflated: &[u8], bytes_expected: u64) -> Result<(), ReplayError> {
    let bytes = inflated.len();
    if bytes as u64 != bytes_expected {
        return Err(ReplayError::WrongLength { bytes, bytes_expected });
    }
    Ok(())
}

/// A body of a record; one is in memory at a time, so nobody has to reserve it.
struct Inflated {
    bytes: Vec<u8>,
    used: usize,
}

impl Inflated {
    /// As much as the smallest buffer of receipt has.
    const BYTES_MIN: usize = 4 << 10;

    fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes.max(Self::BYTES_MIN)], used: 0 }
    }

    fn written(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    fn freeze(mut self) -> Bytes {
        self.bytes.truncate(self.used);
        self.bytes.into()
    }
}

impl Room for Inflated {
    fn unused(&mut self) -> &mut [u8] {
        &mut self.bytes[self.used..]
    }

    fn advance(&mut self, bytes: usize) {
        self.used += bytes;
    }

    fn len(&self) -> usize {
        self.used
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }

    fn grow(&mut self, bytes: usize) -> Result<(), BudgetTaken> {
        self.bytes.resize(bytes.max(self.bytes.len()), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
