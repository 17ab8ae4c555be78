//! What is in a block, for `suyuan block inspect`.
//!
//! In: a block's meta, and the footers of its files. Out: tables, or JSON: files, columns with what
//! they take, keys, tenants, slices. No page is read.

use std::sync::Arc;

use serde_json::{Value, json};
use suyuan_block::Kind;
use suyuan_block::file::read::FileReader;
use suyuan_block::layout::{KeyEntry, Place};
use suyuan_block::meta::{BlockMeta, FileMeta, SliceMeta, TenantMeta};
use suyuan_block::writer::{ID_FILTER, folder};
use suyuan_objects::Objects;

use super::{bytes_per_span, meta_json, received_text, time_text};
use crate::listing::aligned;
use crate::quantity::{counted, grouped, rounded_bytes};
use crate::terminal::harmless;

/// Lines of each table; the rest is in the JSON.
const LINES_MAX: usize = 200;

pub(super) struct Contents<'a> {
    meta: &'a BlockMeta,
    files: Vec<File<'a>>,
}

struct File<'a> {
    meta: &'a FileMeta,
    n_rows: u64,
    n_row_groups: usize,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    kind: Kind,
    is_optional: bool,
    bytes: u64,
    dictionary_bytes: u64,
    n_pages: u64,
    encoding: &'static str,
    codec: &'static str,
}

impl<'a> Contents<'a> {
    pub(super) fn read(objects: &Arc<dyn Objects>, meta: &'a BlockMeta) -> anyhow::Result<Self> {
        let files = meta.files.iter().map(|file| File::read(objects, meta, file));
        Ok(Self { meta, files: files.collect::<anyhow::Result<_>>()? })
    }

    pub(super) fn text(&self) -> String {
        let meta = self.meta;
        let mut text = format!(
            "block     {}\nwritten   by {}, level {}\nholds     {}, {}, {}\ntakes     {} bytes, {:.2} a span\nreceived  {}\nspans     {}\ntraces    from {}\n",
            meta.id,
            harmless(&meta.writer),
            meta.compaction_level,
            counted(meta.n_spans(), "span"),
            counted(meta.n_traces(), "trace"),
            counted(meta.tenants.len() as u64, "tenant"),
            grouped(meta.bytes()),
            bytes_per_span(meta),
            received_text(meta.received_unix_nanos),
            time_text(meta.span_time),
            time_text(meta.trace_start),
        );
        if meta.n_duplicates_removed > 0 {
            let removed = counted(meta.n_duplicates_removed, "duplicate");
            text.push_str(&format!("removed   {removed}\n"));
        }
        if meta.keys.entries().iter().any(|entry| entry.place == Place::Overflow) {
            let columns = counted(meta.overflow_columns.count().into(), "column");
            text.push_str(&format!("overflow  {columns}\n"));
        }
        for range in &meta.log_ranges {
            text.push_str(&format!("log       {} {} to {}\n", range.log, range.from, range.to));
        }
        self.push_files(&mut text);
        self.push_columns(&mut text);
        push_table(&mut text, "Keys", KEY_HEADINGS, meta.keys.entries().iter().map(key_row));
        push_table(&mut text, "Tenants", TENANT_HEADINGS, meta.tenants.iter().map(tenant_row));
        let slices = meta.slices.iter().enumerate().map(slice_row);
        push_table(&mut text, "Slices", SLICE_HEADINGS, slices);
        text
    }

    fn push_files(&self, text: &mut String) {
        let headings = ["file", "bytes", "B/span", "rows", "row groups", "columns", "crc32c"];
        let rows = self.files.iter().map(|file| {
            [
                file.meta.name.clone(),
                grouped(file.meta.bytes),
                self.per_span(file.meta.bytes),
                grouped(file.n_rows),
                file.n_row_groups.to_string(),
                file.columns.len().to_string(),
                format!("{:08x}", file.meta.crc32c),
            ]
        });
        push_table(text, "Files", headings, rows);
    }

    fn push_columns(&self, text: &mut String) {
        let headings = [
            "file",
            "column",
            "type",
            "encoding",
            "codec",
            "pages",
            "dictionary",
            "bytes",
            "B/span",
        ];
        for file in &self.files {
            let mut columns: Vec<&Column> = file.columns.iter().collect();
            columns.sort_by_key(|column| std::cmp::Reverse(column.bytes));
            let rows = columns.into_iter().map(|column| {
                [
                    file.meta.name.trim_end_matches(".parquet").to_owned(),
                    harmless(&column.name),
                    column.type_text(),
                    column.encoding.to_owned(),
                    column.codec.to_owned(),
                    grouped(column.n_pages),
                    grouped(column.dictionary_bytes),
                    grouped(column.bytes),
                    self.per_span(column.bytes),
                ]
            });
            if !file.columns.is_empty() {
                push_table(text, &format!("Columns of {}", file.meta.name), headings, rows);
            }
        }
    }

    fn per_span(&self, bytes: u64) -> String {
        format!("{:.3}", bytes as f64 / self.meta.n_spans().max(1) as f64)
    }

    pub(super) fn json(&self) -> Value {
        let meta = self.meta;
        let mut value = meta_json(meta);
        value["files"] = self.files.iter().map(File::json).collect();
        value["overflowColumns"] = meta.overflow_columns.count().into();
        value["keys"] = meta.keys.entries().iter().map(key_json).collect();
        value["tenantsWithin"] = meta.tenants.iter().map(tenant_json).collect();
        value["slicesWithin"] = meta.slices.iter().map(slice_json).collect();
        value
    }
}

impl<'a> File<'a> {
    fn read(
        objects: &Arc<dyn Objects>,
        block: &BlockMeta,
        meta: &'a FileMeta,
    ) -> anyhow::Result<Self> {
        if meta.name == ID_FILTER {
            return Ok(Self { meta, n_rows: 0, n_row_groups: 0, columns: Vec::new() });
        }
        let path = format!("{}/{}", folder(block.id), meta.name);
        let file = FileReader::open(objects.clone(), &path, meta.bytes)?;
        let columns = (0..file.columns().len()).map(|column| Column::of(&file, column)).collect();
        Ok(Self { meta, n_rows: file.n_rows_total(), n_row_groups: file.n_row_groups(), columns })
    }

    fn json(&self) -> Value {
        json!({
            "name": self.meta.name,
            "bytes": self.meta.bytes,
            "crc32c": self.meta.crc32c,
            "rows": self.n_rows,
            "rowGroups": self.n_row_groups,
            "columns": self.columns.iter().map(Column::json).collect::<Vec<_>>(),
        })
    }
}

impl Column {
    fn of(file: &FileReader, column: usize) -> Self {
        let sizes = (0..file.n_row_groups()).filter_map(|group| file.stored_size(group, column));
        let (mut bytes, mut dictionary_bytes, mut n_pages) = (0, 0, 0);
        let mut is_compressed = false;
        for size in sizes {
            bytes += size.bytes;
            dictionary_bytes += size.dictionary_bytes;
            n_pages += u64::from(size.n_pages);
            is_compressed |= size.is_compressed;
        }
        let of = &file.columns()[column];
        // Nanoseconds are split into their bytes; everything else that has no dictionary is plain.
        let encoding = match of.kind {
            _ if dictionary_bytes > 0 => "dictionary",
            Kind::I64 => "split",
            _ => "plain",
        };
        Self {
            name: of.name.clone(),
            kind: of.kind,
            is_optional: of.is_optional,
            bytes,
            dictionary_bytes,
            n_pages,
            encoding,
            codec: if is_compressed { "zstd" } else { "none" },
        }
    }

    fn type_text(&self) -> String {
        let kind = format!("{:?}", self.kind).to_lowercase();
        if self.is_optional { format!("{kind}?") } else { kind }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "type": format!("{:?}", self.kind).to_lowercase(),
            "optional": self.is_optional,
            "encoding": self.encoding,
            "codec": self.codec,
            "pages": self.n_pages,
            "dictionaryBytes": self.dictionary_bytes,
            "bytes": self.bytes,
        })
    }
}

const KEY_HEADINGS: [&str; 5] = ["scope", "key", "type", "values", "place"];

fn key_row(entry: &KeyEntry) -> [String; 5] {
    [
        format!("{:?}", entry.scope).to_lowercase(),
        harmless(&entry.key),
        format!("{:?}", entry.value_type).to_lowercase(),
        grouped(entry.count),
        place_text(entry.place).to_owned(),
    ]
}

fn place_text(place: Place) -> &'static str {
    match place {
        Place::Column { has_bloom: true } => "column, bloom",
        Place::Column { has_bloom: false } => "column",
        Place::Overflow => "overflow",
        Place::List => "list",
    }
}

fn key_json(entry: &KeyEntry) -> Value {
    json!({
        "scope": format!("{:?}", entry.scope).to_lowercase(),
        "key": &*entry.key,
        "type": format!("{:?}", entry.value_type).to_lowercase(),
        "values": entry.count,
        "place": place_text(entry.place),
    })
}

const TENANT_HEADINGS: [&str; 6] =
    ["tenant", "spans", "traces", "slices", "bytes, about", "received"];

fn tenant_row(tenant: &TenantMeta) -> [String; 6] {
    [
        tenant.tenant.to_string(),
        grouped(tenant.n_spans()),
        grouped(tenant.n_traces()),
        tenant.ranges.len().to_string(),
        rounded_bytes(tenant.bytes_estimate),
        received_text(tenant.received_unix_nanos),
    ]
}

fn tenant_json(tenant: &TenantMeta) -> Value {
    json!({
        "tenant": tenant.tenant.to_string(),
        "spans": tenant.n_spans(),
        "traces": tenant.n_traces(),
        "slices": tenant.ranges.len(),
        "bytesEstimate": tenant.bytes_estimate,
        "receivedUnixNanos": [tenant.received_unix_nanos.min, tenant.received_unix_nanos.max],
    })
}

const SLICE_HEADINGS: [&str; 5] = ["slice", "spans", "traces", "traces from", "spans from"];

fn slice_row((number, slice): (usize, &SliceMeta)) -> [String; 5] {
    [
        number.to_string(),
        grouped(u64::from(slice.n_rows)),
        grouped(u64::from(slice.n_traces)),
        time_text(slice.trace_start),
        time_text(slice.span_time),
    ]
}

fn slice_json(slice: &SliceMeta) -> Value {
    json!({
        "spans": slice.n_rows,
        "traces": slice.n_traces,
        "traceStartUnixNanos": [slice.trace_start.min_unix_nanos, slice.trace_start.max_unix_nanos],
        "spanTimeUnixNanos": [slice.span_time.min_unix_nanos, slice.span_time.max_unix_nanos],
    })
}

fn push_table<const N: usize>(
    text: &mut String,
    heading: &str,
    headings: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let mut table = vec![headings.map(str::to_owned)];
    table.extend(rows);
    let n_left_out = table.len().saturating_sub(LINES_MAX + 1);
    table.truncate(LINES_MAX + 1);
    text.push_str(&format!("\n{heading}:\n"));
    text.push_str(&aligned(&table));
    if n_left_out > 0 {
        text.push_str(&format!("and {} more, with --json\n", grouped(n_left_out as u64)));
    }
}
