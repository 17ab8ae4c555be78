//! Whether a block is sound, for `suyuan block verify`.
//!
//! In: a block of the catalog and the store. Out: what was read, and every problem in words. Reads
//! all of it: checksums of files first, then every page, then what a reader relies on. A store that
//! does not answer is an error, not damage.

use std::collections::HashSet;
use std::sync::Arc;

use suyuan_block::Values;
use suyuan_block::file::read::{FileReader, ReadCache};
use suyuan_block::filter::{IdFilter, TenantSeed};
use suyuan_block::meta::{BlockMeta, FileMeta, TenantMeta, TenantRange};
use suyuan_block::reader::{BlockReader, ReadError};
use suyuan_block::writer::{ID_FILTER, SPANS, TRACES, folder};
use suyuan_ids::TraceId;
use suyuan_objects::{ObjectError, Objects};
use suyuan_wal::Uuid;

use crate::offline::ListedBlock;

/// Files are read in parts of this size.
const PART_BYTES: u64 = 8 << 20;
/// Problems of one block that are told; one that is all wrong need not be told for each trace.
const PROBLEMS_MAX: usize = 20;
const CACHE_BYTES: usize = 1 << 20;

/// What was read of a block.
pub(super) struct Verified {
    pub(super) id: Uuid,
    pub(super) n_spans: u64,
    pub(super) n_traces: u64,
    pub(super) bytes: u64,
    pub(super) problems: Vec<String>,
}

/// Reads a block wholly.
///
/// # Errors
/// The store does not answer.
pub(super) fn verify(objects: &Arc<dyn Objects>, block: &ListedBlock) -> anyhow::Result<Verified> {
    let mut verified =
        Verified { id: block.id, n_spans: 0, n_traces: 0, bytes: 0, problems: Vec::new() };
    let meta = match &block.meta {
        Ok(meta) => meta,
        Err(reason) => {
            verified.problems.push(reason.clone());
            return Ok(verified);
        }
    };
    for file in &meta.files {
        verified.check_file(objects, meta, file)?;
    }
    // What has another checksum than was written is not worth looking into.
    if verified.problems.is_empty() {
        verified.check_rows(objects, meta)?;
    }
    Ok(verified)
}

impl Verified {
    fn problem(&mut self, problem: String) {
        match self.problems.len() {
            n if n < PROBLEMS_MAX => self.problems.push(problem),
            PROBLEMS_MAX => self.problems.push("and more".to_owned()),
            _ => {}
        }
    }

    /// Damage is a problem of the block; a store that does not answer is not.
    fn found(&mut self, result: Result<(), ReadError>) -> anyhow::Result<()> {
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.is_damage() => {
                self.problem(error.to_string());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn check_file(
        &mut self,
        objects: &Arc<dyn Objects>,
        meta: &BlockMeta,
        file: &FileMeta,
    ) -> anyhow::Result<()> {
        let path = format!("{}/{}", folder(meta.id), file.name);
        let Some(found) = objects.head(&path)? else {
            self.problem(format!("{} is missing", file.name));
            return Ok(());
        };
        self.bytes += found.bytes;
        if found.bytes != file.bytes {
            let (has, should) = (found.bytes, file.bytes);
            self.problem(format!("{} has {has} bytes instead of {should}", file.name));
            return Ok(());
        }
        match checksum(&**objects, &path, file.bytes)? {
            checksum if checksum == file.crc32c => {}
            checksum => self.problem(format!(
                "{} has the checksum {checksum:08x} instead of {:08x}: its bytes are not those that \
                 were written",
                file.name, file.crc32c
            )),
        }
        Ok(())
    }

    fn check_rows(&mut self, objects: &Arc<dyn Objects>, meta: &BlockMeta) -> anyhow::Result<()> {
        for file in meta.files.iter().filter(|file| file.name != ID_FILTER) {
            let decoded = self.decode(objects, meta, file);
            self.found(decoded)?;
        }
        let cache = Arc::new(ReadCache::new(CACHE_BYTES));
        let reader = BlockReader::new(objects.clone(), meta.clone(), cache);
        for (number, tenant) in (0..).zip(&meta.tenants) {
            let checked = self.check_tenant(&reader, number, tenant);
            self.found(checked)?;
        }
        Ok(())
    }

    /// Every page of a file.
    fn decode(
        &mut self,
        objects: &Arc<dyn Objects>,
        meta: &BlockMeta,
        file: &FileMeta,
    ) -> Result<(), ReadError> {
        let path = format!("{}/{}", folder(meta.id), file.name);
        let reader = FileReader::open(objects.clone(), &path, file.bytes)?;
        for row_group in 0..reader.n_row_groups() {
            // Column by column: nothing needs a whole slice in memory.
            for column in 0..reader.columns().len() {
                reader.read(row_group, 0..reader.n_rows(row_group), &[column])?;
            }
        }
        let n_rows = reader.n_rows_total();
        let expected = match file.name.as_str() {
            SPANS => meta.n_spans(),
            TRACES => meta.n_traces(),
            _ => return Ok(()),
        };
        if n_rows != expected {
            let name = &file.name;
            self.problem(format!("{name} has {n_rows} rows, the catalog says {expected}"));
        }
        if file.name == SPANS {
            self.check_depths(meta, &reader)?;
        }
        Ok(())
    }

    /// Traces begin at depth 0, and no row lies more than one below the row before it.
    fn check_depths(&mut self, meta: &BlockMeta, spans: &FileReader) -> Result<(), ReadError> {
        let (Some(ids), Some(depths)) = (spans.column("trace_id"), spans.column("depth")) else {
            self.problem(format!("{SPANS} has no column `trace_id` or none `depth`"));
            return Ok(());
        };
        for slice in 0..spans.n_row_groups().min(meta.slices.len()) {
            let columns = spans.read(slice, 0..spans.n_rows(slice), &[ids, depths])?;
            let values: Vec<&Values> = columns.iter().map(|column| &column.values).collect();
            let [Values::Id(ids), Values::U32(depths)] = values[..] else {
                self.problem(format!("{SPANS}: `trace_id` or `depth` is of another type"));
                return Ok(());
            };
            let (ids, _) = ids.value_data().as_chunks::<16>();
            let rows = ids.iter().zip(depths.iter());
            let mut before: Option<(&[u8; 16], u32)> = None;
            for (row, (id, depth)) in rows.enumerate() {
                let deepest = before.filter(|(last, _)| *last == id).map_or(0, |(_, d)| d + 1);
                if *depth > deepest {
                    self.problem(format!(
                        "{SPANS}: row {row} of slice {slice} lies at depth {depth}, at most {deepest} \
                         is possible there"
                    ));
                    return Ok(());
                }
                before = Some((id, *depth));
            }
        }
        Ok(())
    }

    fn check_tenant(
        &mut self,
        reader: &BlockReader,
        number: u32,
        tenant: &TenantMeta,
    ) -> Result<(), ReadError> {
        let filter = reader.filter()?;
        let seed = TenantSeed::new(&tenant.tenant);
        let mut seen = HashSet::new();
        for range in &tenant.ranges {
            let ids = reader.trace_ids(number, range.slice)?;
            self.check_ids(&filter, seed, &ids, &mut seen, range);
            let traces = reader.traces(number, range.slice)?;
            if traces.len() != ids.len() {
                self.problem(format!(
                    "slice {} has {} traces of `{}` and {} rows about them",
                    range.slice,
                    ids.len(),
                    tenant.tenant,
                    traces.len()
                ));
            }
            self.check_lengths(reader, number, range, &traces.n_spans)?;
            self.n_spans += u64::from(range.n_rows);
            self.n_traces += ids.len() as u64;
        }
        Ok(())
    }

    /// Each trace once, in order, and known to the filter.
    fn check_ids(
        &mut self,
        filter: &IdFilter,
        seed: TenantSeed,
        ids: &[[u8; 16]],
        seen: &mut HashSet<[u8; 16]>,
        range: &TenantRange,
    ) {
        let slice = range.slice;
        if !ids.is_sorted() {
            self.problem(format!("the traces of slice {slice} are out of order"));
        }
        for id in ids {
            let trace = TraceId::from_bytes(*id);
            if !filter.may_contain(seed.hash(&trace)) {
                self.problem(format!("trace {trace} of slice {slice} is not in {ID_FILTER}"));
            }
            if !seen.insert(*id) {
                self.problem(format!(
                    "trace {trace} lies in several places, also in slice {slice}"
                ));
            }
        }
    }

    /// The rows as a question reads them, and as many of each trace as the trace table says.
    fn check_lengths(
        &mut self,
        reader: &BlockReader,
        number: u32,
        range: &TenantRange,
        n_spans: &[u32],
    ) -> Result<(), ReadError> {
        let slice = range.slice;
        let chunk = reader.slice(number, slice)?;
        let ids = (0..chunk.n_rows() as u32).map(|row| chunk.trace_id(row));
        let mut lengths: Vec<u32> = Vec::new();
        let mut last = None;
        for id in ids {
            match lengths.last_mut() {
                Some(length) if last == Some(id) => *length += 1,
                _ => lengths.push(1),
            }
            last = Some(id);
        }
        if lengths != n_spans {
            self.problem(format!(
                "slice {slice}: {TRACES} says other numbers of spans than there are"
            ));
        }
        Ok(())
    }
}

fn checksum(objects: &dyn Objects, path: &str, bytes: u64) -> Result<u32, ObjectError> {
    let mut checksum = 0;
    let mut start = 0;
    while start < bytes {
        let end = bytes.min(start + PART_BYTES);
        checksum = crc32c::crc32c_append(checksum, &objects.get_range(path, start..end)?);
        start = end;
    }
    Ok(checksum)
}
