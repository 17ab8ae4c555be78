//! The parts of a chunk's file, and where each of them lies.
//!
//! In: a chunk to write, or the columns a question asks for. Out: a [`ChunkDirectory`], or a chunk
//! in which those columns are filled and all others are empty. Each part is read with a `pread` of
//! its own: they lie in the page cache, and a question asks for few.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};

use arrow_buffer::MutableBuffer;
use suyuan_model::{
    AttributeColumn, AttributeTable, Chunk, Columns, Field, Resources, Scopes, TableBuilder,
};
use suyuan_objects::ReadMeter;

use super::{ChunkFileError, In, Out, Part, SpilledChunk};

/// Where the parts of a chunk's file are.
#[derive(Debug)]
pub(crate) struct ChunkDirectory {
    parts: [Extent; N_PARTS],
    span_columns: Vec<(Arc<str>, Extent)>,
    event_columns: Vec<(Arc<str>, Extent)>,
    link_columns: Vec<(Arc<str>, Extent)>,
}

/// Bytes of a file.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    offset: u64,
    bytes: usize,
}

/// An open file of a chunk.
pub(crate) struct ColumnReader {
    file: File,
    spilled: Arc<SpilledChunk>,
}

/// Names the parts in the order of the file, attribute columns apart, and writes, reads and chooses
/// each.
macro_rules! parts {
    ($($name:ident: $first:ident $(. $then:ident)*),+ $(,)?) => {
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum PartName { $($name),+ }

        const N_PARTS: usize = [$(PartName::$name),+].len();

        fn write_parts<W: Write>(
            chunk: &Chunk,
            out: &mut Out<W>,
            extents: &mut [Extent; N_PARTS],
        ) -> io::Result<()> {
            $( extents[PartName::$name as usize] =
                write_part(&chunk.$first$(.$then)*, out)?; )+
            Ok(())
        }

        fn read_parts(input: &mut In, chunk: &mut Chunk) -> Result<(), ChunkFileError> {
            $( chunk.$first$(.$then)* = Part::read(input)?; )+
            Ok(())
        }

        impl ColumnReader {
            fn read_some_parts(
                &self,
                is_wanted: impl Fn(PartName) -> bool,
                chunk: &mut Chunk,
                meter: &ReadMeter,
            ) -> Result<(), ChunkFileError> {
                $( if is_wanted(PartName::$name) {
                    let extent = self.spilled.directory.parts[PartName::$name as usize];
                    chunk.$first$(.$then)* = self.part(extent, meter)?;
                } )+
                Ok(())
            }
        }
    };
}

parts! {
    TraceId: trace_id,
    SpanId: span_id,
    ParentSpanId: parent_span_id,
    Start: start_unix_nanos,
    End: end_unix_nanos,
    Name: name,
    Kind: kind,
    StatusCode: status_code,
    StatusMessage: status_message,
    TraceState: trace_state,
    Flags: flags,
    DroppedAttributes: dropped_attributes,
    DroppedEvents: dropped_events,
    DroppedLinks: dropped_links,
    CutValues: cut_values,
    Resource: resource,
    Scope: scope,
    ShapeOfRow: attributes.shape_of_row,
    ShapeEnds: attributes.shape_ends,
    ShapeColumns: attributes.shape_columns,
    EventSpanRow: events.span_row,
    EventTime: events.time_unix_nanos,
    EventName: events.name,
    EventDropped: events.dropped_attributes,
    EventShapeOfRow: events.attributes.shape_of_row,
    EventShapeEnds: events.attributes.shape_ends,
    EventShapeColumns: events.attributes.shape_columns,
    LinkSpanRow: links.span_row,
    LinkTraceId: links.trace_id,
    LinkSpanId: links.span_id,
    LinkTraceState: links.trace_state,
    LinkFlags: links.flags,
    LinkDropped: links.dropped_attributes,
    LinkShapeOfRow: links.attributes.shape_of_row,
    LinkShapeEnds: links.attributes.shape_ends,
    LinkShapeColumns: links.attributes.shape_columns,
    Resources: resources,
    Scopes: scopes,
}

/// Whether a question reads a part. Resources and scopes come with the first look at a chunk.
fn is_asked(part: PartName, columns: &Columns) -> bool {
    let has = |field| columns.has(field);
    match part {
        PartName::TraceId => has(Field::TraceId),
        PartName::SpanId => has(Field::SpanId),
        PartName::ParentSpanId => has(Field::ParentSpanId),
        PartName::Start => has(Field::Start) || has(Field::Duration),
        PartName::End => has(Field::End) || has(Field::Duration),
        PartName::Name => has(Field::Name),
        PartName::Kind => has(Field::Kind),
        PartName::StatusCode => has(Field::StatusCode),
        PartName::StatusMessage => has(Field::StatusMessage),
        PartName::TraceState => has(Field::TraceState),
        PartName::Resource => has(Field::Resource),
        PartName::Scope => has(Field::Scope),
        PartName::EventSpanRow => columns.has_events(),
        PartName::EventTime => has(Field::EventTime),
        PartName::EventName => has(Field::EventName),
        PartName::LinkSpanRow => columns.has_links(),
        PartName::LinkTraceId | PartName::LinkSpanId => has(Field::LinkIds),
        _ => false,
    }
}

/// A chunk of which no column was read.
static EMPTY: LazyLock<Chunk> = LazyLock::new(|| TableBuilder::default().freeze());

/// Writes a chunk and says where its parts are.
pub(super) fn write<W: Write>(chunk: &Chunk, out: &mut Out<W>) -> io::Result<ChunkDirectory> {
    let mut parts = [Extent::default(); N_PARTS];
    write_parts(chunk, out, &mut parts)?;
    Ok(ChunkDirectory {
        parts,
        span_columns: write_columns(&chunk.attributes, out)?,
        event_columns: write_columns(&chunk.events.attributes, out)?,
        link_columns: write_columns(&chunk.links.attributes, out)?,
    })
}

fn write_part<W: Write>(part: &impl Part, out: &mut Out<W>) -> io::Result<Extent> {
    let offset = out.written;
    part.write(out)?;
    Ok(Extent { offset: offset as u64, bytes: out.written - offset })
}

fn write_columns<W: Write>(
    table: &AttributeTable,
    out: &mut Out<W>,
) -> io::Result<Vec<(Arc<str>, Extent)>> {
    out.length(table.columns.len())?;
    let write = |column: &AttributeColumn| Ok((column.key.clone(), write_part(column, out)?));
    table.columns.iter().map(write).collect()
}

/// Reads a whole file.
pub(super) fn read_all(input: &mut In) -> Result<Chunk, ChunkFileError> {
    let mut chunk = EMPTY.clone();
    read_parts(input, &mut chunk)?;
    chunk.attributes.columns = Part::read(input)?;
    chunk.events.attributes.columns = Part::read(input)?;
    chunk.links.attributes.columns = Part::read(input)?;
    Ok(chunk)
}

impl ColumnReader {
    pub(super) fn open(spilled: &Arc<SpilledChunk>) -> Result<Self, ChunkFileError> {
        Ok(Self { file: File::open(&spilled.path)?, spilled: spilled.clone() })
    }

    pub(crate) fn spilled(&self) -> &SpilledChunk {
        &self.spilled
    }

    pub(crate) fn resources(&self, meter: &ReadMeter) -> Result<Resources, ChunkFileError> {
        self.part(self.spilled.directory.parts[PartName::Resources as usize], meter)
    }

    pub(crate) fn scopes(&self, meter: &ReadMeter) -> Result<Scopes, ChunkFileError> {
        self.part(self.spilled.directory.parts[PartName::Scopes as usize], meter)
    }

    /// All rows; columns that were not asked for are empty, as are resources and scopes. Attributes
    /// have no shapes.
    pub(crate) fn read(
        &self,
        columns: &Columns,
        meter: &ReadMeter,
    ) -> Result<Chunk, ChunkFileError> {
        let mut chunk = EMPTY.clone();
        self.read_some_parts(|part| is_asked(part, columns), &mut chunk, meter)?;
        let directory = &self.spilled.directory;
        chunk.attributes.columns =
            self.read_columns(&directory.span_columns, columns.span_keys(), meter)?;
        chunk.events.attributes.columns =
            self.read_columns(&directory.event_columns, columns.event_keys(), meter)?;
        chunk.links.attributes.columns =
            self.read_columns(&directory.link_columns, columns.link_keys(), meter)?;
        Ok(chunk)
    }

    /// The columns of some keys, which ascend.
    fn read_columns(
        &self,
        columns: &[(Arc<str>, Extent)],
        keys: &[Arc<str>],
        meter: &ReadMeter,
    ) -> Result<Vec<AttributeColumn>, ChunkFileError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let is_asked = |(key, _): &&(Arc<str>, Extent)| keys.binary_search(key).is_ok();
        columns.iter().filter(is_asked).map(|(_, extent)| self.part(*extent, meter)).collect()
    }

    fn part<T: Part>(&self, extent: Extent, meter: &ReadMeter) -> Result<T, ChunkFileError> {
        let mut buffer = MutableBuffer::from_len_zeroed(extent.bytes);
        self.file.read_exact_at(buffer.as_slice_mut(), extent.offset)?;
        meter.add(extent.bytes as u64, 1);
        let mut input = In { rest: buffer.into() };
        let part = T::read(&mut input)?;
        // Lengths in the file that are not what was written show here.
        if !input.rest.is_empty() {
            return Err(ChunkFileError::Damaged("a part is shorter than it was"));
        }
        Ok(part)
    }
}
