//! Which span stands where in an answer.
//!
//! In: the rows of a trace. Out: resources and scopes, each value once however many chunks hold
//! it, and the order of spans: by resource, scope and start, resources and scopes by their
//! earliest span. The order follows from what the spans say alone, never from how they were found.

use std::collections::HashMap;
use std::sync::Arc;

use suyuan_ids::TraceId;
use suyuan_model::{Chunk, TracePiece, TraceRows};

use super::positions::PositionFinder;
use super::protobuf;
use super::shared_ids::SharedIds;
use super::shown::ShownSpan;

#[derive(Debug)]
pub(super) struct Plan {
    pieces: Vec<TracePiece>,
    resources: Vec<Group>,
    scopes: Vec<Group>,
    places: Vec<Place>,
    /// Of the attributes of all spans, in the order of the pieces and their rows.
    positions: Vec<u32>,
    shared_ids: SharedIds,
}

/// A resource or a scope.
#[derive(Debug)]
pub(super) struct Group {
    /// `ResourceSpans` or `ScopeSpans` without its spans, in protobuf; equal bytes, equal value.
    pub(super) message: Vec<u8>,
    /// One of the places where it is stored.
    pub(super) chunk: Arc<Chunk>,
    pub(super) row: u32,
    earliest_start_unix_nanos: i64,
}

/// One span of the trace, and what decides its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) resource: u32,
    pub(super) scope: u32,
    pub(super) start_unix_nanos: i64,
    pub(super) span_id: u64,
    pub(super) kind: i32,
    piece: u32,
    row: u32,
    /// Where the positions of its attributes begin.
    first_position: u32,
}

impl Plan {
    pub(super) fn new(rows: TraceRows) -> Self {
        let pieces = rows.pieces;
        let mut resources = GroupsBuilder::default();
        let mut scopes = GroupsBuilder::default();
        let mut places = Vec::with_capacity(pieces.iter().map(|piece| piece.rows.len()).sum());
        let mut positions = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            let chunk = &piece.chunk;
            let mut finder = PositionFinder::new(&chunk.attributes);
            resources.enter_chunk();
            scopes.enter_chunk();
            for &row in &piece.rows {
                let at = row as usize;
                let start_unix_nanos = chunk.start_unix_nanos.value(at);
                places.push(Place {
                    resource: resources.number(
                        chunk,
                        chunk.resource.value(at),
                        start_unix_nanos,
                        protobuf::resource_fields,
                    ),
                    scope: scopes.number(
                        chunk,
                        chunk.scope.value(at),
                        start_unix_nanos,
                        protobuf::scope_fields,
                    ),
                    start_unix_nanos,
                    span_id: chunk.span_id.value(at),
                    kind: chunk.kind.value(at),
                    piece: n as u32,
                    row,
                    first_position: positions.len() as u32,
                });
                finder.append(row, &mut positions);
            }
        }
        let (resources, resource_ranks) = resources.ranked();
        let (scopes, scope_ranks) = scopes.ranked();
        for place in &mut places {
            place.resource = resource_ranks[place.resource as usize];
            place.scope = scope_ranks[place.scope as usize];
        }
        places.sort_unstable_by_key(|place| {
            let by_value = (place.start_unix_nanos, place.span_id, place.kind);
            (place.resource, place.scope, by_value, place.piece, place.row)
        });
        let shared_ids = match trace_id(&pieces) {
            Some(trace_id) => SharedIds::find(trace_id, &places),
            None => SharedIds::default(),
        };
        Self { pieces, resources, scopes, places, positions, shared_ids }
    }

    pub(super) fn n_spans(&self) -> usize {
        self.places.len()
    }

    /// Whether there is a span at a place of the order, and it has this resource.
    pub(super) fn has_resource_at(&self, cursor: usize, resource: u32) -> bool {
        self.places.get(cursor).is_some_and(|place| place.resource == resource)
    }

    pub(super) fn resource_at(&self, cursor: usize) -> u32 {
        self.places[cursor].resource
    }

    pub(super) fn scope_at(&self, cursor: usize) -> u32 {
        self.places[cursor].scope
    }

    pub(super) fn resource(&self, number: u32) -> &Group {
        &self.resources[number as usize]
    }

    pub(super) fn scope(&self, number: u32) -> &Group {
        &self.scopes[number as usize]
    }

    pub(super) fn shown(&self, cursor: usize) -> ShownSpan<'_> {
        let place = &self.places[cursor];
        let chunk = &self.pieces[place.piece as usize].chunk;
        let positions = &self.positions[place.first_position as usize..];
        ShownSpan::new(chunk, place.row, positions, |parent| self.shared_ids.shown(place, parent))
    }
}

fn trace_id(pieces: &[TracePiece]) -> Option<TraceId> {
    let piece = pieces.iter().find(|piece| !piece.rows.is_empty())?;
    Some(piece.chunk.trace_id(piece.rows[0]))
}

/// Numbers resources or scopes by value.
#[derive(Default)]
struct GroupsBuilder {
    groups: Vec<Group>,
    by_message: HashMap<Vec<u8>, u32>,
    /// Of the chunk that is being read: numbers by row, and the row asked for last.
    by_row: HashMap<u32, u32>,
    last: Option<(u32, u32)>,
}

impl GroupsBuilder {
    fn enter_chunk(&mut self) {
        self.by_row.clear();
        self.last = None;
    }

    fn number(
        &mut self,
        chunk: &Arc<Chunk>,
        row: u32,
        start_unix_nanos: i64,
        fields: fn(&Chunk, u32) -> Vec<u8>,
    ) -> u32 {
        let number = match self.last {
            Some((last_row, number)) if last_row == row => number,
            _ => match self.by_row.get(&row) {
                Some(number) => *number,
                None => self.number_by_value(chunk, row, fields(chunk, row)),
            },
        };
        self.last = Some((row, number));
        let earliest = &mut self.groups[number as usize].earliest_start_unix_nanos;
        *earliest = start_unix_nanos.min(*earliest);
        number
    }

    fn number_by_value(&mut self, chunk: &Arc<Chunk>, row: u32, message: Vec<u8>) -> u32 {
        let new_number = self.groups.len() as u32;
        let number = *self.by_message.entry(message.clone()).or_insert(new_number);
        if number == new_number {
            self.groups.push(Group {
                message,
                chunk: chunk.clone(),
                row,
                earliest_start_unix_nanos: i64::MAX,
            });
        }
        self.by_row.insert(row, number);
        number
    }

    /// The groups in the order of their earliest span, and the new number of each old one.
    fn ranked(self) -> (Vec<Group>, Vec<u32>) {
        let mut groups: Vec<(usize, Group)> = self.groups.into_iter().enumerate().collect();
        groups.sort_by(|(_, a), (_, b)| {
            let by_start = a.earliest_start_unix_nanos.cmp(&b.earliest_start_unix_nanos);
            by_start.then_with(|| a.message.cmp(&b.message))
        });
        let mut ranks = vec![0; groups.len()];
        for (rank, (number, _)) in groups.iter().enumerate() {
            ranks[*number] = rank as u32;
        }
        (groups.into_iter().map(|(_, group)| group).collect(), ranks)
    }
}
