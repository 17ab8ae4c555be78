//! One entry as the body of an object.

use bytes::Bytes;
use suyuan_wire::protobuf::{Reader, Writer};

use super::parts::{
    pass_over, read_block, read_owner, read_range, read_tombstone, read_tombstone_id, read_u32,
    read_uuid, write_owner, write_position, write_tombstone, write_tombstone_id,
};
use super::{ENTRY_BODY_BYTES_MAX, FormatError, HEAD_BYTES, Kind, TooManyBytes, frame, unframe};
use crate::change::{Change, CommitId, Entry, NewBlock};

/// The bytes of an entry's object.
pub(crate) fn encode_entry(entry: &Entry) -> Result<Bytes, TooManyBytes> {
    let change = &entry.change;
    let metas: usize = change.adds.iter().map(|block| block.meta.len() + 64).sum();
    let mut buffer = Vec::with_capacity(HEAD_BYTES + 256 + metas);
    buffer.resize(HEAD_BYTES, 0);
    let mut w = Writer::append_to(buffer);
    w.varint(1, entry.shard.into());
    w.varint(2, entry.number);
    w.bytes(3, &entry.commit.writer.0);
    w.varint(4, entry.commit.sequence);
    for owner in &change.owners {
        w.message(5, |w| write_owner(w, owner));
    }
    for owner in &entry.take_overs {
        w.message(6, |w| write_owner(w, owner));
    }
    for range in &change.ranges {
        w.message(7, |w| {
            w.bytes(1, &range.log.0);
            write_position(w, 2, range.from);
            write_position(w, 4, range.to);
        });
    }
    for id in &change.removes {
        w.bytes(8, &id.0);
    }
    for block in &change.adds {
        w.message(9, |w| {
            w.bytes(1, &block.id.0);
            w.bytes(2, &block.meta);
        });
    }
    for tombstone in &change.tombstones {
        w.message(10, |w| write_tombstone(w, tombstone));
    }
    for id in &change.forbids {
        w.bytes(11, &id.0);
    }
    for id in &change.forgets.removed {
        w.bytes(12, &id.0);
    }
    for id in &change.forgets.forbidden {
        w.bytes(13, &id.0);
    }
    for id in &change.forgets.tombstones {
        write_tombstone_id(&mut w, 14, *id);
    }
    let object = w.into_bytes();
    let body_bytes = object.len() - HEAD_BYTES;
    if body_bytes > ENTRY_BODY_BYTES_MAX {
        return Err(TooManyBytes(body_bytes));
    }
    frame(Kind::Entry, object)
}

/// An entry out of its object.
pub(crate) fn decode_entry(object: &[u8]) -> Result<Entry, FormatError> {
    let (mut shard, mut number, mut writer, mut sequence) = (None, None, None, None);
    let mut take_overs = Vec::new();
    let mut change = Change::default();
    let mut reader = Reader::new(unframe(Kind::Entry, object)?);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => shard = Some(read_u32(&field, "shard")?),
            2 => number = Some(field.varint()?),
            3 => writer = Some(read_uuid(&field)?),
            4 => sequence = Some(field.varint()?),
            5 => change.owners.push(read_owner(&field)?),
            6 => take_overs.push(read_owner(&field)?),
            7 => change.ranges.push(read_range(&field)?),
            8 => change.removes.push(read_uuid(&field)?),
            9 => {
                let (id, meta, _) = read_block(&field)?;
                change.adds.push(NewBlock { id, meta });
            }
            10 => change.tombstones.push(read_tombstone(&field)?),
            11 => change.forbids.push(read_uuid(&field)?),
            12 => change.forgets.removed.push(read_uuid(&field)?),
            13 => change.forgets.forbidden.push(read_uuid(&field)?),
            14 => change.forgets.tombstones.push(read_tombstone_id(&field)?),
            number => pass_over("entry", number)?,
        }
    }
    let writer = writer.ok_or(FormatError::Missing("writer"))?;
    let sequence = sequence.ok_or(FormatError::Missing("sequence"))?;
    Ok(Entry {
        shard: shard.ok_or(FormatError::Missing("shard"))?,
        number: number.ok_or(FormatError::Missing("number"))?,
        commit: CommitId { writer, sequence },
        take_overs,
        change,
    })
}
