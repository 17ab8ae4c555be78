//! A state as the body of an object.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use suyuan_wire::protobuf::{Reader, Writer};

use super::parts::{
    pass_over, read_block, read_log, read_moment, read_numbered_tombstone, read_u32, read_writer,
    write_position, write_tombstone, write_tombstone_id,
};
use super::{FormatError, HEAD_BYTES, Kind, TooManyBytes, frame, unframe};
use crate::state::{Block, State};

/// A state as the bytes of a snapshot.
pub(crate) fn encode_snapshot(shard: u32, state: &State) -> Result<Bytes, TooManyBytes> {
    let metas: usize = state.blocks.values().map(|block| block.meta.len() + 64).sum();
    let others = state.logs.len() + state.removed.len() + state.forbidden.len();
    let mut buffer = Vec::with_capacity(HEAD_BYTES + 256 + metas + 64 * others);
    buffer.resize(HEAD_BYTES, 0);
    let mut w = Writer::append_to(buffer);
    w.varint(1, shard.into());
    w.varint(2, state.number);
    for block in state.blocks.values() {
        w.message(3, |w| {
            w.bytes(1, &block.id.0);
            w.bytes(2, &block.meta);
            w.varint(3, block.added);
        });
    }
    for (id, log) in &state.logs {
        w.message(4, |w| {
            w.bytes(1, &id.0);
            w.varint(2, log.epoch);
            if let Some(to) = log.to {
                write_position(w, 3, to);
            }
        });
    }
    for (id, tombstone) in &state.tombstones {
        w.message(5, |w| {
            write_tombstone_id(w, 1, *id);
            w.message(2, |w| write_tombstone(w, tombstone));
        });
    }
    for (field, moments) in [(6, &state.removed), (7, &state.forbidden)] {
        for (id, moment) in moments {
            w.message(field, |w| {
                w.bytes(1, &id.0);
                w.varint(2, moment.number);
                w.varint(3, moment.unix_nanos);
            });
        }
    }
    for (id, writer) in &state.writers {
        w.message(8, |w| {
            w.bytes(1, &id.0);
            w.varint(2, writer.sequence);
            w.varint(3, writer.number);
        });
    }
    frame(Kind::Snapshot, w.into_bytes())
}

/// The shard and the state that a snapshot holds.
pub(crate) fn decode_snapshot(object: &[u8]) -> Result<(u32, State), FormatError> {
    let (mut shard, mut number) = (None, None);
    let mut state = State::default();
    let mut reader = Reader::new(unframe(Kind::Snapshot, object)?);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => shard = Some(read_u32(&field, "shard")?),
            2 => number = Some(field.varint()?),
            3 => {
                let (id, meta, added) = read_block(&field)?;
                let added = added.ok_or(FormatError::Missing("number that added a block"))?;
                once(&mut state.blocks, "block", id, Arc::new(Block { id, added, meta }))?;
            }
            4 => {
                let (id, log) = read_log(&field)?;
                once(&mut state.logs, "log", id, log)?;
            }
            5 => {
                let (id, tombstone) = read_numbered_tombstone(&field)?;
                once(&mut state.tombstones, "tombstone", id, Arc::new(tombstone))?;
            }
            6 => {
                let (id, moment) = read_moment(&field)?;
                once(&mut state.removed, "removed block", id, moment)?;
            }
            7 => {
                let (id, moment) = read_moment(&field)?;
                once(&mut state.forbidden, "forbidden block", id, moment)?;
            }
            8 => {
                let (id, writer) = read_writer(&field)?;
                once(&mut state.writers, "writer", id, writer)?;
            }
            number => pass_over("snapshot", number)?,
        }
    }
    state.number = number.ok_or(FormatError::Missing("number"))?;
    Ok((shard.ok_or(FormatError::Missing("shard"))?, state))
}

fn once<K: Ord, V>(
    map: &mut BTreeMap<K, V>,
    what: &'static str,
    key: K,
    value: V,
) -> Result<(), FormatError> {
    match map.insert(key, value) {
        None => Ok(()),
        Some(_) => Err(FormatError::Twice(what)),
    }
}
