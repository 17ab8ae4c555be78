//! A chunk in which no column is filled.

use arrow_array::{
    BinaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, StringArray, UInt32Array,
    UInt64Array,
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use suyuan_model::{AttributeTable, Chunk, Events, Links, Resources, Scopes, Sparse, Strings};

/// Tables have no rows, but for resources and scopes.
pub(super) fn chunk(resources: &Resources, scopes: &Scopes) -> Chunk {
    Chunk {
        trace_id: FixedSizeBinaryArray::new(16, Buffer::default(), None),
        span_id: UInt64Array::new(ScalarBuffer::default(), None),
        parent_span_id: UInt64Array::new(ScalarBuffer::default(), None),
        start_unix_nanos: Int64Array::new(ScalarBuffer::default(), None),
        end_unix_nanos: Int64Array::new(ScalarBuffer::default(), None),
        name: texts(),
        kind: Int32Array::new(ScalarBuffer::default(), None),
        status_code: Int32Array::new(ScalarBuffer::default(), None),
        status_message: sparse_texts(),
        trace_state: sparse_texts(),
        flags: counts(),
        dropped_attributes: counts(),
        dropped_events: counts(),
        dropped_links: counts(),
        cut_values: counts(),
        resource: UInt32Array::new(ScalarBuffer::default(), None),
        scope: UInt32Array::new(ScalarBuffer::default(), None),
        attributes: AttributeTable::of_columns(Vec::new()),
        events: Events {
            span_row: UInt32Array::new(ScalarBuffer::default(), None),
            time_unix_nanos: UInt64Array::new(ScalarBuffer::default(), None),
            name: texts(),
            dropped_attributes: counts(),
            attributes: AttributeTable::of_columns(Vec::new()),
        },
        links: Links {
            span_row: UInt32Array::new(ScalarBuffer::default(), None),
            trace_id: binaries(),
            span_id: binaries(),
            trace_state: sparse_texts(),
            flags: counts(),
            dropped_attributes: counts(),
            attributes: AttributeTable::of_columns(Vec::new()),
        },
        resources: resources.clone(),
        scopes: scopes.clone(),
    }
}

fn texts() -> Strings {
    Strings::Plain(StringArray::new(OffsetBuffer::new_empty(), Buffer::default(), None))
}

fn sparse_texts() -> Sparse<Strings> {
    Sparse { rows: ScalarBuffer::default(), values: texts() }
}

fn counts() -> Sparse<UInt32Array> {
    let values = UInt32Array::new(ScalarBuffer::default(), None);
    Sparse { rows: ScalarBuffer::default(), values }
}

fn binaries() -> BinaryArray {
    BinaryArray::new(OffsetBuffer::new_empty(), Buffer::default(), None)
}
