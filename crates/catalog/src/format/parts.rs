//! The small messages that entries and snapshots are made of.

use bytes::Bytes;
use suyuan_ids::TraceId;
use suyuan_model::Tenant;
use suyuan_wal::{Position, Uuid};
use suyuan_wire::protobuf::{Field, Reader, Writer};

use super::FormatError;
use crate::change::{LogRange, Owner, Tombstone, TombstoneId};
use crate::state::{LogState, Moment, WriterState};

/// Fields from this number on may be skipped by readers that do not know them.
const OPTIONAL_FIELDS_FROM: u32 = 64;

/// What is done with a field that this program does not know.
pub(super) fn pass_over(message: &'static str, number: u32) -> Result<(), FormatError> {
    if number >= OPTIONAL_FIELDS_FROM {
        return Ok(());
    }
    Err(FormatError::UnknownField { message, number })
}

pub(super) fn read_u32(field: &Field<'_>, what: &'static str) -> Result<u32, FormatError> {
    let value = field.varint()?;
    u32::try_from(value).map_err(|_| FormatError::TooLarge { what, value })
}

pub(super) fn read_uuid(field: &Field<'_>) -> Result<Uuid, FormatError> {
    let bytes = field.bytes()?;
    bytes.try_into().map(Uuid).map_err(|_| FormatError::Uuid(bytes.len()))
}

/// A message of a uuid in field 1 and numbers in the fields after it, which most are.
fn read_numbers<const N: usize>(
    field: &Field<'_>,
    message: &'static str,
) -> Result<(Uuid, [Option<u64>; N]), FormatError> {
    let (mut id, mut numbers) = (None, [None; N]);
    let mut reader = Reader::new(field.bytes()?);
    while let Some(field) = reader.next_field()? {
        let place = field.number.checked_sub(2).and_then(|place| numbers.get_mut(place as usize));
        match (field.number, place) {
            (1, _) => id = Some(read_uuid(&field)?),
            (_, Some(number)) => *number = Some(field.varint()?),
            (number, None) => pass_over(message, number)?,
        }
    }
    Ok((id.ok_or(FormatError::Missing(message))?, numbers))
}

fn must<T>(value: Option<T>, what: &'static str) -> Result<T, FormatError> {
    value.ok_or(FormatError::Missing(what))
}

pub(super) fn write_owner(w: &mut Writer, owner: &Owner) {
    w.bytes(1, &owner.log.0);
    w.varint(2, owner.epoch);
}

pub(super) fn read_owner(field: &Field<'_>) -> Result<Owner, FormatError> {
    let (log, [epoch]) = read_numbers(field, "owner")?;
    Ok(Owner { log, epoch: must(epoch, "epoch of an owner")? })
}

/// Two fields: the segment has the number `field`, the offset the next one.
pub(super) fn write_position(w: &mut Writer, field: u32, position: Position) {
    w.varint(field, position.segment);
    w.varint(field + 1, position.offset);
}

fn position(segment: Option<u64>, offset: Option<u64>) -> Result<Position, FormatError> {
    let segment = must(segment, "segment of a position")?;
    Ok(Position { segment, offset: must(offset, "offset of a position")? })
}

pub(super) fn read_range(field: &Field<'_>) -> Result<LogRange, FormatError> {
    let (log, [a, b, c, d]) = read_numbers(field, "range")?;
    Ok(LogRange { log, from: position(a, b)?, to: position(c, d)? })
}

pub(super) fn read_log(field: &Field<'_>) -> Result<(Uuid, LogState), FormatError> {
    let (id, [epoch, segment, offset]) = read_numbers(field, "log")?;
    let to = match (segment, offset) {
        (None, None) => None,
        (segment, offset) => Some(position(segment, offset)?),
    };
    Ok((id, LogState { epoch: must(epoch, "epoch of a log")?, to }))
}

pub(super) fn read_moment(field: &Field<'_>) -> Result<(Uuid, Moment), FormatError> {
    let (id, [number, unix_nanos]) = read_numbers(field, "moment")?;
    let number = must(number, "entry of a moment")?;
    Ok((id, Moment { number, unix_nanos: must(unix_nanos, "time of a moment")? }))
}

pub(super) fn read_writer(field: &Field<'_>) -> Result<(Uuid, WriterState), FormatError> {
    let (id, [sequence, number]) = read_numbers(field, "writer")?;
    let sequence = must(sequence, "sequence of a writer")?;
    Ok((id, WriterState { sequence, number: must(number, "entry of a writer")? }))
}

/// Id, meta, and in a snapshot the number of the entry that added it. The meta is a copy: a slice
/// of the snapshot would keep all of it in memory for as long as one block lives.
pub(super) fn read_block(field: &Field<'_>) -> Result<(Uuid, Bytes, Option<u64>), FormatError> {
    let (mut id, mut meta, mut added) = (None, None, None);
    let mut reader = Reader::new(field.bytes()?);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => id = Some(read_uuid(&field)?),
            2 => meta = Some(field.bytes()?),
            3 => added = Some(field.varint()?),
            number => pass_over("block", number)?,
        }
    }
    let meta = Bytes::copy_from_slice(must(meta, "meta of a block")?);
    Ok((must(id, "id of a block")?, meta, added))
}

pub(super) fn write_tombstone(w: &mut Writer, tombstone: &Tombstone) {
    w.bytes(1, tombstone.tenant.as_str().as_bytes());
    if let Some(trace) = &tombstone.trace {
        w.bytes(2, trace.as_bytes());
    }
    for (log, position) in &tombstone.before {
        w.message(3, |w| {
            w.bytes(1, &log.0);
            write_position(w, 2, *position);
        });
    }
    w.fixed64(4, tombstone.ingested_before_unix_nanos);
}

pub(super) fn read_tombstone(field: &Field<'_>) -> Result<Tombstone, FormatError> {
    let (mut tenant, mut trace, mut time) = (None, None, None);
    let mut before = Vec::new();
    let mut reader = Reader::new(field.bytes()?);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => tenant = Some(Tenant::parse(&String::from_utf8_lossy(field.bytes()?))?),
            2 => trace = Some(TraceId::from_slice(field.bytes()?)?),
            3 => {
                let (log, [segment, offset]) = read_numbers(&field, "position")?;
                before.push((log, position(segment, offset)?));
            }
            4 => time = Some(field.fixed64()?),
            number => pass_over("tombstone", number)?,
        }
    }
    Ok(Tombstone {
        tenant: must(tenant, "tenant of a tombstone")?,
        trace,
        before,
        ingested_before_unix_nanos: must(time, "time of a tombstone")?,
    })
}

pub(super) fn write_tombstone_id(w: &mut Writer, field: u32, id: TombstoneId) {
    w.message(field, |w| {
        w.varint(1, id.number);
        w.varint(2, id.index.into());
    });
}

pub(super) fn read_tombstone_id(field: &Field<'_>) -> Result<TombstoneId, FormatError> {
    let (mut number, mut index) = (None, None);
    let mut reader = Reader::new(field.bytes()?);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => number = Some(field.varint()?),
            2 => index = Some(read_u32(&field, "place in an entry")?),
            number => pass_over("tombstone's name", number)?,
        }
    }
    let number = must(number, "entry of a tombstone")?;
    Ok(TombstoneId { number, index: must(index, "place of a tombstone")? })
}

pub(super) fn read_numbered_tombstone(
    field: &Field<'_>,
) -> Result<(TombstoneId, Tombstone), FormatError> {
    let (mut id, mut tombstone) = (None, None);
    let mut reader = Reader::new(field.bytes()?);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => id = Some(read_tombstone_id(&field)?),
            2 => tombstone = Some(read_tombstone(&field)?),
            number => pass_over("held tombstone", number)?,
        }
    }
    Ok((must(id, "name of a tombstone")?, must(tombstone, "tombstone")?))
}
