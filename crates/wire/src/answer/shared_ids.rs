//! New ids for spans that share theirs, as Zipkin's do.
//!
//! Zipkin's tracers write the two halves of a call, the client's and the server's, under one span
//! id. A tree needs two: in answers, and only there, the server's half gets a new id and becomes
//! the child of the client's (`tempo.md 1.1`). Tempo counts new ids upwards, so that they change
//! when a span is added; ours follow from trace, id and start, and stay.
//!
//! Who had the shared id as its parent becomes the child of the server's half in its own service;
//! in the client's service it stays with the client; elsewhere it goes to the first server.

use std::collections::{HashMap, HashSet};

use suyuan_ids::TraceId;

use super::content::fnv1a;
use super::plan::Place;

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// Empty for nearly every trace.
#[derive(Debug, Default)]
pub(super) struct SharedIds {
    /// The spans that carry each shared id.
    halves: HashMap<u64, Halves>,
    /// The new id of a server's half, by the shared id and its start.
    new_ids: HashMap<(u64, i64), u64>,
}

#[derive(Debug, Default)]
struct Halves {
    client_resources: Vec<u32>,
    /// Resource and new id, by start.
    servers: Vec<(u32, u64)>,
}

impl SharedIds {
    pub(super) fn find(trace_id: TraceId, places: &[Place]) -> Self {
        let ids_of = |kind| {
            let of_kind = places.iter().filter(move |place| place.kind == kind);
            of_kind.map(|place| place.span_id)
        };
        let client_ids: HashSet<u64> = ids_of(CLIENT).collect();
        let shared: HashSet<u64> = ids_of(SERVER).filter(|id| client_ids.contains(id)).collect();
        if shared.is_empty() {
            return Self::default();
        }
        let mut taken: HashSet<u64> = places.iter().map(|place| place.span_id).collect();
        let mut carriers: Vec<&Place> =
            places.iter().filter(|place| shared.contains(&place.span_id)).collect();
        carriers.sort_by_key(|place| (place.start_unix_nanos, place.span_id, place.resource));
        let mut found = Self::default();
        for place in carriers {
            let halves = found.halves.entry(place.span_id).or_default();
            match place.kind {
                CLIENT => halves.client_resources.push(place.resource),
                SERVER => {
                    let new_id = unused_id(trace_id, place, &mut taken);
                    halves.servers.push((place.resource, new_id));
                    found.new_ids.insert((place.span_id, place.start_unix_nanos), new_id);
                }
                _ => {}
            }
        }
        found
    }

    /// The id and the parent under which a span is shown.
    pub(super) fn shown(&self, place: &Place, parent: Option<u64>) -> (u64, Option<u64>) {
        if place.kind == SERVER
            && let Some(new_id) = self.new_ids.get(&(place.span_id, place.start_unix_nanos))
        {
            return (*new_id, Some(place.span_id));
        }
        let Some(parent) = parent.filter(|parent| *parent != place.span_id) else {
            return (place.span_id, parent);
        };
        let parent = match self.halves.get(&parent) {
            Some(halves) => halves.parent_for(place.resource).unwrap_or(parent),
            None => parent,
        };
        (place.span_id, Some(parent))
    }
}

impl Halves {
    /// The server's half that a child of this service belongs to; `None`: the client's.
    fn parent_for(&self, resource: u32) -> Option<u64> {
        if let Some((_, new_id)) = self.servers.iter().find(|(server, _)| *server == resource) {
            return Some(*new_id);
        }
        if self.client_resources.contains(&resource) {
            return None;
        }
        self.servers.first().map(|(_, new_id)| *new_id)
    }
}

fn unused_id(trace_id: TraceId, place: &Place, taken: &mut HashSet<u64>) -> u64 {
    for attempt in 0u64.. {
        let said = [
            trace_id.as_bytes().as_slice(),
            &place.span_id.to_be_bytes(),
            &place.start_unix_nanos.to_be_bytes(),
            &attempt.to_be_bytes(),
        ];
        let id = fnv1a(&said.concat());
        if id != 0 && taken.insert(id) {
            return id;
        }
    }
    unreachable!("a trace has fewer than 2^64 spans")
}
