//! The columns of each file of a block: names, types, encodings.
//!
//! In: a [`Layout`]. Out: specs in the order of the file. Which attribute has a column is decided
//! elsewhere. A row that leaves an optional column empty says 0, or an empty text; of an attribute
//! it says that there is none.

use suyuan_model::ValueType;

use super::{Layout, Place, TableLayout, buckets_of, overflow_column_name};
use crate::column::{ColumnSpec, Compression, Encoding, Kind};

/// `spans.parquet`.
pub fn span_columns(layout: &Layout) -> Vec<ColumnSpec> {
    let mut columns = vec![
        ColumnSpec {
            has_bloom: true,
            ..ColumnSpec::required("trace_id", Kind::Id, Encoding::Plain)
        },
        ColumnSpec {
            compression: Compression::None,
            ..ColumnSpec::required("span_id", Kind::U64, Encoding::Plain)
        },
        ColumnSpec::required("depth", Kind::U32, Encoding::Dictionary),
        ColumnSpec::optional("parent_span_id", Kind::U64, Encoding::Plain),
        ColumnSpec::required("start_unix_nanos", Kind::I64, Encoding::Split),
        ColumnSpec::required("duration_nanos", Kind::I64, Encoding::Split),
        ColumnSpec::required("name", Kind::Text, Encoding::Dictionary),
        ColumnSpec::required("kind", Kind::I32, Encoding::Dictionary),
        ColumnSpec::required("status_code", Kind::I32, Encoding::Dictionary),
        ColumnSpec::required("resource", Kind::U32, Encoding::Dictionary),
        ColumnSpec::required("scope", Kind::U32, Encoding::Dictionary),
        ColumnSpec::optional("service_name", Kind::Text, Encoding::Dictionary),
        ColumnSpec::optional("status_message", Kind::Text, Encoding::Dictionary),
        ColumnSpec::optional("trace_state", Kind::Text, Encoding::Dictionary),
        ColumnSpec::optional("flags", Kind::U32, Encoding::Dictionary),
        ColumnSpec::optional("dropped_attributes", Kind::U32, Encoding::Dictionary),
        ColumnSpec::optional("dropped_events", Kind::U32, Encoding::Dictionary),
        ColumnSpec::optional("dropped_links", Kind::U32, Encoding::Dictionary),
        ColumnSpec::optional("cut_values", Kind::U32, Encoding::Dictionary),
    ];
    push_attributes(&mut columns, &layout.span);
    columns
}

/// `events.parquet`. `span_row` is a row of `spans.parquet`.
pub fn event_columns(layout: &Layout) -> Vec<ColumnSpec> {
    let mut columns = vec![
        ColumnSpec::required("span_row", Kind::U32, Encoding::Plain),
        ColumnSpec::required("time_unix_nanos", Kind::U64, Encoding::Split),
        ColumnSpec::required("name", Kind::Text, Encoding::Dictionary),
        ColumnSpec::optional("dropped_attributes", Kind::U32, Encoding::Dictionary),
    ];
    push_attributes(&mut columns, &layout.event);
    columns
}

/// `links.parquet`. `span_row` is a row of `spans.parquet`.
pub fn link_columns(layout: &Layout) -> Vec<ColumnSpec> {
    let mut columns = vec![
        ColumnSpec::required("span_row", Kind::U32, Encoding::Plain),
        ColumnSpec::required("trace_id", Kind::Bytes, Encoding::Plain),
        ColumnSpec::required("span_id", Kind::Bytes, Encoding::Plain),
        ColumnSpec::optional("trace_state", Kind::Text, Encoding::Dictionary),
        ColumnSpec::optional("flags", Kind::U32, Encoding::Dictionary),
        ColumnSpec::optional("dropped_attributes", Kind::U32, Encoding::Dictionary),
    ];
    push_attributes(&mut columns, &layout.link);
    columns
}

/// `resources.parquet`.
pub fn resource_columns() -> Vec<ColumnSpec> {
    vec![
        ColumnSpec::optional("service_name", Kind::Text, Encoding::Dictionary),
        ColumnSpec::required("schema_url", Kind::Text, Encoding::Dictionary),
        ColumnSpec::optional("dropped_attributes", Kind::U32, Encoding::Dictionary),
        ColumnSpec::optional("entity_refs", Kind::Bytes, Encoding::Plain),
        ColumnSpec::optional("attributes", Kind::Bytes, Encoding::Plain),
    ]
}

/// `scopes.parquet`.
pub fn scope_columns() -> Vec<ColumnSpec> {
    vec![
        ColumnSpec::required("name", Kind::Text, Encoding::Dictionary),
        ColumnSpec::required("version", Kind::Text, Encoding::Dictionary),
        ColumnSpec::required("schema_url", Kind::Text, Encoding::Dictionary),
        ColumnSpec::optional("dropped_attributes", Kind::U32, Encoding::Dictionary),
        ColumnSpec::optional("attributes", Kind::Bytes, Encoding::Plain),
    ]
}

fn push_attributes(columns: &mut Vec<ColumnSpec>, table: &TableLayout) {
    if table.is_list {
        columns.push(ColumnSpec::optional("attributes", Kind::Bytes, Encoding::Plain));
        return;
    }
    for rank in &table.columns {
        let entry = &table.entries[*rank as usize];
        let (kind, encoding) = kind_of(entry.value_type);
        columns.push(ColumnSpec {
            has_bloom: entry.place == Place::Column { has_bloom: true },
            ..ColumnSpec::optional(
                &attribute_column_name(&entry.key, entry.value_type),
                kind,
                encoding,
            )
        });
    }
    for bucket in buckets_of(table.overflow_buckets) {
        let name = overflow_column_name(bucket);
        columns.push(ColumnSpec::optional(&name, Kind::Bytes, Encoding::Plain));
    }
    columns.push(ColumnSpec::optional("attribute_order", Kind::Bytes, Encoding::Dictionary));
}

/// The name of an attribute's column.
pub fn attribute_column_name(key: &str, value_type: ValueType) -> String {
    format!("attr:{}:{key}", type_name(value_type))
}

/// As column names say it.
pub fn type_name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Empty => "empty",
        ValueType::String => "string",
        ValueType::Bool => "bool",
        ValueType::Int => "int",
        ValueType::Double => "double",
        ValueType::Bytes => "bytes",
        ValueType::Array => "array",
        ValueType::Map => "map",
    }
}

/// Key and type of a column with such a name; nothing if it is no attribute's.
pub fn parse_attribute_column_name(name: &str) -> Option<(ValueType, &str)> {
    let (type_said, key) = name.strip_prefix("attr:")?.split_once(':')?;
    let value_type = ValueType::ALL.into_iter().find(|t| type_name(*t) == type_said)?;
    Some((value_type, key))
}

pub(crate) fn kind_of(value_type: ValueType) -> (Kind, Encoding) {
    match value_type {
        ValueType::String => (Kind::Text, Encoding::Dictionary),
        ValueType::Bool => (Kind::Bool, Encoding::Plain),
        ValueType::Int => (Kind::I64, Encoding::Dictionary),
        ValueType::Double => (Kind::F64, Encoding::Plain),
        ValueType::Empty | ValueType::Bytes | ValueType::Array | ValueType::Map => {
            (Kind::Bytes, Encoding::Plain)
        }
    }
}
