//! The tables that stand beside the spans while a chunk is built: events, links, resources, scopes.
//!
//! In: rows from [`super::TableBuilder`]. Out: their frozen forms in [`crate::chunk`].

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::attributes::{AttributesBuilder, freeze_binary};
use crate::chunk::{Events, Links, Resources, Scopes};
use crate::columns::{SparseCountsBuilder, SparseStringsBuilder};
use crate::strings::StringsBuilder;

#[derive(Debug, Default)]
pub(super) struct EventsBuilder {
    pub(super) span_row: Vec<u32>,
    pub(super) time_unix_nanos: Vec<u64>,
    pub(super) name: StringsBuilder,
    pub(super) dropped_attributes: SparseCountsBuilder,
    pub(super) attributes: AttributesBuilder,
}

#[derive(Debug)]
pub(super) struct LinksBuilder {
    pub(super) span_row: Vec<u32>,
    pub(super) ids: BinaryPair,
    pub(super) trace_state: SparseStringsBuilder,
    pub(super) flags: SparseCountsBuilder,
    pub(super) dropped_attributes: SparseCountsBuilder,
    pub(super) attributes: AttributesBuilder,
}

#[derive(Debug)]
pub(super) struct BinaryPair {
    pub(super) trace_id: (Vec<i32>, Vec<u8>),
    pub(super) span_id: (Vec<i32>, Vec<u8>),
}

#[derive(Debug)]
pub(super) struct ResourcesBuilder {
    pub(super) interned: Interned,
    pub(super) schema_url: StringsBuilder,
    pub(super) dropped_attributes: SparseCountsBuilder,
    pub(super) entity_refs: (Vec<i32>, Vec<u8>),
    pub(super) attributes: AttributesBuilder,
}

#[derive(Debug, Default)]
pub(super) struct ScopesBuilder {
    pub(super) interned: Interned,
    pub(super) name: StringsBuilder,
    pub(super) version: StringsBuilder,
    pub(super) schema_url: StringsBuilder,
    pub(super) dropped_attributes: SparseCountsBuilder,
    pub(super) attributes: AttributesBuilder,
}

type Message = (Box<[u8]>, Box<[u8]>);

/// Messages found again by their bytes.
#[derive(Debug, Default)]
pub(super) struct Interned {
    pub(super) table: HashTable<u32>,
    /// For each row the message as received, and the schema URL beside it.
    pub(super) messages: Vec<Message>,
    /// Seeded at random, as in all tables whose keys come from outside.
    hasher: RandomState,
}

impl Interned {
    pub(super) fn find(&self, message: &[u8], schema_url: &[u8]) -> Option<u32> {
        let is_it = |row: &u32| {
            let (other, other_url) = &self.messages[*row as usize];
            **other == *message && **other_url == *schema_url
        };
        self.table.find(self.hasher.hash_one((message, schema_url)), is_it).copied()
    }

    pub(super) fn add(&mut self, message: &[u8], schema_url: &[u8]) -> u32 {
        let row = self.messages.len() as u32;
        self.messages.push((message.into(), schema_url.into()));
        let (messages, hasher) = (&self.messages, &self.hasher);
        self.table.insert_unique(hasher.hash_one((message, schema_url)), row, |row| {
            let (message, schema_url) = &messages[*row as usize];
            hasher.hash_one((&**message, &**schema_url))
        });
        row
    }

    /// Finds none of the rows again; their numbers stay taken.
    pub(super) fn forget(&mut self) {
        self.table.clear();
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.messages.clear();
    }
}

pub(super) fn push_binary((ends, bytes): &mut (Vec<i32>, Vec<u8>), value: &[u8]) {
    bytes.extend_from_slice(value);
    ends.push(bytes.len() as i32);
}

pub(super) fn truncate_binary((ends, bytes): &mut (Vec<i32>, Vec<u8>), len: usize) {
    ends.truncate(len + 1);
    bytes.truncate(ends[len] as usize);
}

impl EventsBuilder {
    pub(super) fn truncate(&mut self, len: usize) {
        self.span_row.truncate(len);
        self.time_unix_nanos.truncate(len);
        self.name.truncate(len);
        self.dropped_attributes.truncate(len as u32);
        self.attributes.truncate(len);
    }

    pub(super) fn freeze(&self) -> Events {
        Events {
            span_row: self.span_row.clone().into(),
            time_unix_nanos: self.time_unix_nanos.clone().into(),
            name: self.name.freeze(),
            dropped_attributes: self.dropped_attributes.freeze(),
            attributes: self.attributes.freeze(),
        }
    }
}

impl Default for LinksBuilder {
    fn default() -> Self {
        Self {
            span_row: Vec::new(),
            ids: BinaryPair { trace_id: (vec![0], Vec::new()), span_id: (vec![0], Vec::new()) },
            trace_state: SparseStringsBuilder::default(),
            flags: SparseCountsBuilder::default(),
            dropped_attributes: SparseCountsBuilder::default(),
            attributes: AttributesBuilder::default(),
        }
    }
}

impl LinksBuilder {
    pub(super) fn truncate(&mut self, len: usize) {
        self.span_row.truncate(len);
        truncate_binary(&mut self.ids.trace_id, len);
        truncate_binary(&mut self.ids.span_id, len);
        self.trace_state.truncate(len as u32);
        self.flags.truncate(len as u32);
        self.dropped_attributes.truncate(len as u32);
        self.attributes.truncate(len);
    }

    pub(super) fn freeze(&self) -> Links {
        Links {
            span_row: self.span_row.clone().into(),
            trace_id: freeze_binary(&self.ids.trace_id.0, &self.ids.trace_id.1),
            span_id: freeze_binary(&self.ids.span_id.0, &self.ids.span_id.1),
            trace_state: self.trace_state.freeze(),
            flags: self.flags.freeze(),
            dropped_attributes: self.dropped_attributes.freeze(),
            attributes: self.attributes.freeze(),
        }
    }
}

impl Default for ResourcesBuilder {
    fn default() -> Self {
        Self {
            interned: Interned::default(),
            schema_url: StringsBuilder::default(),
            dropped_attributes: SparseCountsBuilder::default(),
            entity_refs: (vec![0], Vec::new()),
            attributes: AttributesBuilder::default(),
        }
    }
}

impl ResourcesBuilder {
    pub(super) fn clear(&mut self) {
        self.interned.clear();
        self.schema_url.clear();
        self.dropped_attributes.truncate(0);
        truncate_binary(&mut self.entity_refs, 0);
        self.attributes.clear();
    }

    pub(super) fn freeze(&self) -> Resources {
        Resources {
            schema_url: self.schema_url.freeze(),
            dropped_attributes: self.dropped_attributes.freeze(),
            entity_refs: freeze_binary(&self.entity_refs.0, &self.entity_refs.1),
            attributes: self.attributes.freeze(),
        }
    }
}

impl ScopesBuilder {
    pub(super) fn clear(&mut self) {
        self.interned.clear();
        self.name.clear();
        self.version.clear();
        self.schema_url.clear();
        self.dropped_attributes.truncate(0);
        self.attributes.clear();
    }

    pub(super) fn freeze(&self) -> Scopes {
        Scopes {
            name: self.name.freeze(),
            version: self.version.freeze(),
            schema_url: self.schema_url.freeze(),
            dropped_attributes: self.dropped_attributes.freeze(),
            attributes: self.attributes.freeze(),
        }
    }
}
