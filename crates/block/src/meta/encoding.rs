//! The meta as protobuf: `docs/formats/block.md` lists the messages.
//!
//! The outer message says version and must-understand features, so that a program can refuse what
//! it does not know before it looks further; the rest is a zstd frame with the message `Body`.
//! Unknown fields are skipped. Rows are said as counts; the decoder adds them up.

use suyuan_ids::TraceId;
use suyuan_model::{Tenant, UnixNanosRange};
use suyuan_wal::{Position, Uuid};
use suyuan_wire::protobuf::Writer;

use super::check::{demand, sum};
use super::fields::{MetaField, each_field};
use super::{
    BlockId, BlockMeta, FILES_MAX, FORMAT_VERSION, FileMeta, LOG_RANGES_MAX, LogRange,
    META_BYTES_MAX, MetaError, RollupMeta, SLICES_MAX, Shard, ShardHash, SideRows, SliceMeta,
    TENANT_RANGES_MAX, TENANTS_MAX, TenantMeta, TenantRange, TimeRange,
};
use crate::directory::KeyDirectory;
use crate::layout::OverflowColumns;

/// The block has 64 overflow columns. A program that does not know it would look for a key in the
/// wrong one, and find nothing.
const OVERFLOW_64: &str = "overflow-64";
/// Must-understand features this program knows.
const FEATURES_KNOWN: [&str; 1] = [OVERFLOW_64];

/// What the frame is compressed with: a meta is written once and read at every start.
const ZSTD_LEVEL: i32 = 6;

pub(super) fn encode(meta: &BlockMeta) -> Result<Vec<u8>, MetaError> {
    let body = encode_body(meta);
    demand_size(body.len() as u64)?;
    let frame = zstd::bulk::compress(&body, ZSTD_LEVEL)
        .map_err(|error| MetaError::Compress { problem: error.to_string() })?;
    let mut writer = Writer::new();
    writer.varint(1, FORMAT_VERSION.into());
    if meta.overflow_columns == OverflowColumns::SixtyFour {
        writer.bytes(2, OVERFLOW_64.as_bytes());
    }
    writer.varint(3, body.len() as u64);
    writer.bytes(4, &frame);
    Ok(writer.into_bytes())
}

pub(super) fn decode(encoded: &[u8]) -> Result<BlockMeta, MetaError> {
    demand_size(encoded.len() as u64)?;
    let (mut version, mut body_bytes, mut frame) = (0, 0, &[][..]);
    let mut features = Vec::new();
    each_field("BlockMeta", encoded, |field| {
        match field.number() {
            1 => version = field.u64()?,
            2 => features.push(field.text("features")?),
            3 => body_bytes = field.u64()?,
            4 => frame = field.bytes()?,
            _ => {}
        }
        Ok(())
    })?;
    if version != u64::from(FORMAT_VERSION) {
        return Err(MetaError::Version { version });
    }
    let unknown = features.iter().find(|feature| !FEATURES_KNOWN.contains(feature));
    if let Some(feature) = unknown {
        return Err(MetaError::UnknownFeature { feature: feature.to_string() });
    }
    demand_size(body_bytes)?;
    let body = zstd::bulk::decompress(frame, body_bytes as usize).ok();
    let body = body.filter(|body| body.len() as u64 == body_bytes);
    let meta = decode_body(&body.ok_or(MetaError::Body { bytes: body_bytes })?)?;
    let is_64 = meta.overflow_columns == OverflowColumns::SixtyFour;
    let is_said = features.contains(&OVERFLOW_64) == is_64;
    demand(is_said, "overflow_columns", "is not what the features say")?;
    Ok(meta)
}

fn demand_size(bytes: u64) -> Result<(), MetaError> {
    if bytes > META_BYTES_MAX as u64 { Err(MetaError::TooLarge { bytes }) } else { Ok(()) }
}

pub(super) fn encode_body(meta: &BlockMeta) -> Vec<u8> {
    let mut writer = Writer::new();
    let w = &mut writer;
    w.bytes(1, &meta.id.uuid().0);
    w.bytes(2, meta.writer.as_bytes());
    w.message(3, |w| {
        w.varint(1, meta.shard.hash as u64);
        w.fixed64(2, meta.shard.first);
        w.fixed64(3, meta.shard.last);
    });
    for range in &meta.log_ranges {
        w.message(4, |w| {
            w.bytes(1, &range.log.0);
            w.message(2, |w| write_position(w, range.from));
            w.message(3, |w| write_position(w, range.to));
        });
    }
    w.message(5, |w| write_received(w, meta.received_unix_nanos));
    w.message(6, |w| write_time(w, meta.span_time));
    w.message(7, |w| write_time(w, meta.trace_start));
    w.varint(8, meta.n_duplicates_removed);
    for slice in &meta.slices {
        w.message(9, |w| write_slice(w, slice));
    }
    for tenant in &meta.tenants {
        w.message(10, |w| write_tenant(w, tenant));
    }
    w.message(11, |w| meta.keys.write(w));
    for file in &meta.files {
        w.message(12, |w| {
            w.bytes(1, file.name.as_bytes());
            w.varint(2, file.bytes);
            w.fixed32(3, file.crc32c);
        });
    }
    w.varint(13, meta.sort_rule.into());
    w.varint(14, meta.dedupe_rule.into());
    if let Some(rollup) = meta.rollup {
        w.message(15, |w| {
            w.varint(1, rollup.rule.into());
            w.varint(2, rollup.step_nanos);
        });
    }
    w.bytes(16, meta.key_id.as_bytes());
    w.varint(17, meta.compaction_level.into());
    w.varint(18, meta.content_seq);
    if meta.overflow_columns != OverflowColumns::default() {
        w.varint(19, meta.overflow_columns.count().into());
    }
    writer.into_bytes()
}

fn write_position(w: &mut Writer, position: Position) {
    w.varint(1, position.segment);
    w.varint(2, position.offset);
}

fn write_received(w: &mut Writer, range: UnixNanosRange) {
    w.fixed64(1, range.min);
    w.fixed64(2, range.max);
}

fn write_time(w: &mut Writer, range: TimeRange) {
    w.fixed64(1, range.min_unix_nanos as u64);
    w.fixed64(2, range.max_unix_nanos as u64);
}

fn write_slice(w: &mut Writer, slice: &SliceMeta) {
    w.varint(1, slice.n_rows.into());
    w.varint(2, slice.n_traces.into());
    w.message(3, |w| write_time(w, slice.trace_start));
    w.message(4, |w| write_time(w, slice.span_time));
    for (field, side) in [(5, slice.events), (6, slice.links)] {
        if let Some(side) = side {
            w.message(field, |w| {
                w.varint(1, side.row_group.into());
                w.varint(2, side.first_row.into());
                w.varint(3, side.n_rows.into());
            });
        }
    }
    if let Some(trace) = slice.continues {
        w.bytes(7, trace.as_bytes());
    }
}

fn write_tenant(w: &mut Writer, tenant: &TenantMeta) {
    w.bytes(1, tenant.tenant.as_str().as_bytes());
    let mut slice_before = 0;
    w.message(2, |w| {
        for range in &tenant.ranges {
            w.raw_varint((range.slice - slice_before).into());
            w.raw_varint(range.n_rows.into());
            w.raw_varint(range.n_traces.into());
            slice_before = range.slice;
        }
    });
    w.varint(3, tenant.resources.len() as u64);
    w.varint(4, tenant.scopes.len() as u64);
    w.message(5, |w| write_received(w, tenant.received_unix_nanos));
    w.message(6, |w| write_time(w, tenant.span_time));
    w.varint(7, tenant.bytes_estimate);
}

pub(super) fn decode_body(body: &[u8]) -> Result<BlockMeta, MetaError> {
    let mut id = None;
    let mut tenants = Tenants::default();
    let no_time = TimeRange::of(0);
    let mut meta = BlockMeta {
        // Replaced below: a body without an id is refused.
        id: BlockId::new(0, [0; 10]),
        writer: String::new(),
        shard: Shard::WHOLE,
        log_ranges: Vec::new(),
        received_unix_nanos: UnixNanosRange::of(0),
        span_time: no_time,
        trace_start: no_time,
        n_duplicates_removed: 0,
        slices: Vec::new(),
        tenants: Vec::new(),
        keys: KeyDirectory::default(),
        files: Vec::new(),
        sort_rule: 0,
        dedupe_rule: 0,
        rollup: None,
        key_id: String::new(),
        compaction_level: 0,
        content_seq: 0,
        overflow_columns: OverflowColumns::default(),
    };
    each_field("Body", body, |field| {
        match field.number() {
            1 => id = Some(read_id(field)?),
            2 => meta.writer = field.text("writer")?.to_owned(),
            3 => meta.shard = read_shard(field)?,
            4 => push(&mut meta.log_ranges, read_log_range(field)?, LOG_RANGES_MAX, "log_ranges")?,
            5 => meta.received_unix_nanos = read_received(field)?,
            6 => meta.span_time = read_time(field)?,
            7 => meta.trace_start = read_time(field)?,
            8 => meta.n_duplicates_removed = field.u64()?,
            9 => {
                let slice = read_slice(field, meta.slices.last())?;
                push(&mut meta.slices, slice, SLICES_MAX, "slices")?;
            }
            10 => push(&mut tenants.encoded, field.bytes()?, TENANTS_MAX, "tenants")?,
            11 => meta.keys = KeyDirectory::read(field.bytes()?)?,
            12 => push(&mut meta.files, read_file(field)?, FILES_MAX, "files")?,
            13 => meta.sort_rule = field.u32("sort_rule")?,
            14 => meta.dedupe_rule = field.u32("dedupe_rule")?,
            15 => meta.rollup = Some(read_rollup(field)?),
            16 => meta.key_id = field.text("key_id")?.to_owned(),
            17 => meta.compaction_level = field.u32("compaction_level")?,
            18 => meta.content_seq = field.u64()?,
            19 => meta.overflow_columns = read_overflow_columns(field)?,
            _ => {}
        }
        Ok(())
    })?;
    meta.id = id.ok_or(MetaError::BadValue { field: "id", problem: "is missing" })?;
    meta.tenants = tenants.read(&meta.slices)?;
    Ok(meta)
}

fn push<T>(
    list: &mut Vec<T>,
    item: T,
    len_max: usize,
    field: &'static str,
) -> Result<(), MetaError> {
    demand(list.len() < len_max, field, "are too many")?;
    list.push(item);
    Ok(())
}

fn read_id(field: MetaField<'_>) -> Result<BlockId, MetaError> {
    let uuid = field.uuid("id")?;
    let problem = "is not a uuid of version 7";
    BlockId::from_uuid(uuid).map_err(|_| MetaError::BadValue { field: "id", problem })
}

fn read_shard(field: MetaField<'_>) -> Result<Shard, MetaError> {
    let mut shard = Shard::WHOLE;
    each_field("shard", field.bytes()?, |field| {
        match field.number() {
            1 => demand(
                field.u64()? == ShardHash::TenantAndTraceId as u64,
                "shard.hash",
                "is a function that only a later program knows",
            )?,
            2 => shard.first = field.fixed64()?,
            3 => shard.last = field.fixed64()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(shard)
}

fn read_log_range(field: MetaField<'_>) -> Result<LogRange, MetaError> {
    let start = Position { segment: 0, offset: 0 };
    let mut range = LogRange { log: Uuid([0; 16]), from: start, to: start };
    each_field("log_ranges", field.bytes()?, |field| {
        match field.number() {
            1 => range.log = field.uuid("log_ranges.log")?,
            2 => range.from = read_position(field)?,
            3 => range.to = read_position(field)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(range)
}

fn read_position(field: MetaField<'_>) -> Result<Position, MetaError> {
    let mut position = Position { segment: 0, offset: 0 };
    each_field("position", field.bytes()?, |field| {
        match field.number() {
            1 => position.segment = field.u64()?,
            2 => position.offset = field.u64()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(position)
}

fn read_received(field: MetaField<'_>) -> Result<UnixNanosRange, MetaError> {
    let mut range = UnixNanosRange::of(0);
    each_field("received", field.bytes()?, |field| {
        match field.number() {
            1 => range.min = field.fixed64()?,
            2 => range.max = field.fixed64()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(range)
}

fn read_time(field: MetaField<'_>) -> Result<TimeRange, MetaError> {
    let mut range = TimeRange::of(0);
    each_field("time", field.bytes()?, |field| {
        match field.number() {
            1 => range.min_unix_nanos = field.fixed64()? as i64,
            2 => range.max_unix_nanos = field.fixed64()? as i64,
            _ => {}
        }
        Ok(())
    })?;
    Ok(range)
}

fn read_slice(field: MetaField<'_>, before: Option<&SliceMeta>) -> Result<SliceMeta, MetaError> {
    let (first_row, first_trace) = match before {
        None => (0, 0),
        Some(slice) => (
            sum(slice.first_row, slice.n_rows, "slices.n_rows")?,
            sum(slice.first_trace, slice.n_traces, "slices.n_traces")?,
        ),
    };
    let mut slice = SliceMeta::at(first_row, first_trace);
    each_field("slices", field.bytes()?, |field| {
        match field.number() {
            1 => slice.n_rows = field.u32("slices.n_rows")?,
            2 => slice.n_traces = field.u32("slices.n_traces")?,
            3 => slice.trace_start = read_time(field)?,
            4 => slice.span_time = read_time(field)?,
            5 => slice.events = Some(read_side_rows(field)?),
            6 => slice.links = Some(read_side_rows(field)?),
            7 => slice.continues = Some(read_trace_id(field)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(slice)
}

fn read_trace_id(field: MetaField<'_>) -> Result<TraceId, MetaError> {
    const NAME: &str = "slices.continues";
    let bytes = field.bytes()?.try_into();
    let problem = "is not a trace id of 16 bytes";
    bytes.map(TraceId::from_bytes).map_err(|_| MetaError::BadValue { field: NAME, problem })
}

fn read_side_rows(field: MetaField<'_>) -> Result<SideRows, MetaError> {
    let mut side = SideRows { row_group: 0, first_row: 0, n_rows: 0 };
    each_field("slices.events", field.bytes()?, |field| {
        match field.number() {
            1 => side.row_group = field.u32("slices.events.row_group")?,
            2 => side.first_row = field.u32("slices.events.first_row")?,
            3 => side.n_rows = field.u32("slices.events.n_rows")?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(side)
}

fn read_file(field: MetaField<'_>) -> Result<FileMeta, MetaError> {
    let mut file = FileMeta { name: String::new(), bytes: 0, crc32c: 0 };
    each_field("files", field.bytes()?, |field| {
        match field.number() {
            1 => file.name = field.text("files.name")?.to_owned(),
            2 => file.bytes = field.u64()?,
            3 => file.crc32c = field.fixed32()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(file)
}

fn read_rollup(field: MetaField<'_>) -> Result<RollupMeta, MetaError> {
    let mut rollup = RollupMeta { rule: 0, step_nanos: 0 };
    each_field("rollup", field.bytes()?, |field| {
        match field.number() {
            1 => rollup.rule = field.u32("rollup.rule")?,
            2 => rollup.step_nanos = field.u64()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(rollup)
}

fn read_overflow_columns(field: MetaField<'_>) -> Result<OverflowColumns, MetaError> {
    const NAME: &str = "overflow_columns";
    let problem = "is neither 16 nor 64";
    let count = field.u32(NAME)?;
    OverflowColumns::from_count(count).ok_or(MetaError::BadValue { field: NAME, problem })
}

/// Tenants are read when all slices are known, whose rows they share out.
#[derive(Default)]
struct Tenants<'a> {
    encoded: Vec<&'a [u8]>,
    n_ranges: usize,
    /// For each slice, the row and the trace behind those of the tenants before.
    next: Vec<(u32, u32)>,
    next_resource: u32,
    next_scope: u32,
}

impl Tenants<'_> {
    fn read(mut self, slices: &[SliceMeta]) -> Result<Vec<TenantMeta>, MetaError> {
        self.next = slices.iter().map(|slice| (slice.first_row, slice.first_trace)).collect();
        let encoded = std::mem::take(&mut self.encoded);
        encoded.into_iter().map(|tenant| self.read_tenant(tenant)).collect()
    }

    fn read_tenant(&mut self, encoded: &[u8]) -> Result<TenantMeta, MetaError> {
        let mut name = "";
        let (mut n_resources, mut n_scopes) = (0, 0);
        let mut tenant = TenantMeta {
            tenant: Tenant::single(),
            ranges: Vec::new(),
            resources: 0..0,
            scopes: 0..0,
            received_unix_nanos: UnixNanosRange::of(0),
            span_time: TimeRange::of(0),
            bytes_estimate: 0,
        };
        each_field("tenants", encoded, |field| {
            match field.number() {
                1 => name = field.text("tenants.name")?,
                2 => tenant.ranges = self.read_ranges(field)?,
                3 => n_resources = field.u32("tenants.n_resources")?,
                4 => n_scopes = field.u32("tenants.n_scopes")?,
                5 => tenant.received_unix_nanos = read_received(field)?,
                6 => tenant.span_time = read_time(field)?,
                7 => tenant.bytes_estimate = field.u64()?,
                _ => {}
            }
            Ok(())
        })?;
        let problem = "is not the name of a tenant";
        tenant.tenant = Tenant::parse(name)
            .map_err(|_| MetaError::BadValue { field: "tenants.name", problem })?;
        let resources_end = sum(self.next_resource, n_resources, "tenants.n_resources")?;
        let scopes_end = sum(self.next_scope, n_scopes, "tenants.n_scopes")?;
        tenant.resources = self.next_resource..resources_end;
        tenant.scopes = self.next_scope..scopes_end;
        (self.next_resource, self.next_scope) = (resources_end, scopes_end);
        Ok(tenant)
    }

    fn read_ranges(&mut self, field: MetaField<'_>) -> Result<Vec<TenantRange>, MetaError> {
        let mut ranges = Vec::new();
        let mut numbers = field.packed()?;
        let mut slice = 0;
        while let Some(distance) = numbers.next("tenants.ranges.slice")? {
            let mut number = |name| {
                numbers
                    .next(name)?
                    .ok_or(MetaError::BadValue { field: name, problem: "is missing" })
            };
            let n_rows = number("tenants.ranges.n_rows")?;
            let n_traces = number("tenants.ranges.n_traces")?;
            slice = sum(slice, distance, "tenants.ranges.slice")?;
            let Some(next) = self.next.get_mut(slice as usize) else {
                let problem = "is beyond the last slice";
                return Err(MetaError::BadValue { field: "tenants.ranges.slice", problem });
            };
            let (first_row, first_trace) = *next;
            next.0 = sum(first_row, n_rows, "tenants.ranges.n_rows")?;
            next.1 = sum(first_trace, n_traces, "tenants.ranges.n_traces")?;
            self.n_ranges += 1;
            demand(self.n_ranges <= TENANT_RANGES_MAX, "tenants.ranges", "are too many")?;
            ranges.push(TenantRange { slice, first_row, n_rows, first_trace, n_traces });
        }
        Ok(ranges)
    }
}
