//! Blocks to fewer blocks.
//!
//! In: the blocks there are. Out: a block in place of several, or of one that holds what must go,
//! by one entry of the catalog that adds and removes: so nobody sees a span twice or not at all, and
//! of two servers that compact the same blocks one wins and the other drops its files. Merging
//! brings the pieces of split traces together, drops duplicates, and leaves out what is erased or
//! expired. The files of the old blocks stay for those who still read them (`keeper`).

mod gone;
mod merge;
mod policy;
mod sharing;
mod sources;

use std::time::{Duration, Instant};

use suyuan_block::meta::{BlockId, BlockMeta};
use suyuan_block::writer::{Origin, WriteError, folder};
use suyuan_catalog::{Change, CommitError, NewBlock};
use suyuan_wal::Uuid;

use self::gone::Gone;
use self::merge::{MergePlan, Output, log_ranges};
use self::policy::{Candidate, choose, n_waiting};
use self::sources::Input;
use crate::blocks::{Block, BlockError};
use crate::keeper::{KeepError, Work};
use crate::view::View;
use crate::{Inner, now_unix_nanos};

pub(crate) use self::gone::{ErasedRows, rows_of, tombstones_of};
pub(crate) use self::merge::MergeError;
pub use self::policy::{CompactionPolicy, CompactionStart};
pub(crate) use self::sharing::Sharing;

/// What compactions did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CompactionReport {
    pub compactions: u64,
    pub blocks_removed: u64,
    pub blocks_added: u64,
    pub rows_in: u64,
    pub rows_out: u64,
    /// Rows that repeated others.
    pub duplicates_removed: u64,
    /// Rows that were erased or expired.
    pub dead_rows_removed: u64,
    /// Traces whose spans lay in several of the blocks and lie together now.
    pub split_traces_merged: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub time: Duration,
}

/// Why blocks are compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// It is time for it, if it pays.
    Routine,
    /// Somebody asked: erased rows go at once, and small blocks become one however far apart their
    /// spans were received, so that pieces of a trace that came days apart meet.
    Request,
}

/// New blocks whose files are written, until it is known whether the catalog has them.
pub(crate) struct Pending {
    change: Change,
    outputs: Vec<BlockMeta>,
    report: CompactionReport,
}

impl CompactionReport {
    /// Adds another report to this one.
    pub(crate) fn add(&mut self, other: &Self) {
        self.compactions += other.compactions;
        self.blocks_removed += other.blocks_removed;
        self.blocks_added += other.blocks_added;
        self.rows_in += other.rows_in;
        self.rows_out += other.rows_out;
        self.duplicates_removed += other.duplicates_removed;
        self.dead_rows_removed += other.dead_rows_removed;
        self.split_traces_merged += other.split_traces_merged;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.time += other.time;
    }
}

impl Pending {
    /// Whether a block is one of those that wait for the catalog.
    pub(crate) fn has(&self, id: Uuid) -> bool {
        self.outputs.iter().any(|output| output.id.uuid() == id)
    }
}

impl Inner {
    /// Does the compaction that pays most urgently. `None`: none does.
    pub(crate) fn compact_once(
        &self,
        work: &mut Work,
        occasion: Occasion,
    ) -> Result<Option<CompactionReport>, KeepError> {
        if let Some(report) = self.commit_pending(work)? {
            return Ok(Some(report));
        }
        self.install(self.catalog.refresh()?);
        let view = self.view();
        work.forget(&view);
        let Some(inputs) = self.choose(work, &view, occasion)? else { return Ok(None) };
        let ids: Vec<Uuid> = inputs.iter().map(|input| input.block.id).collect();
        match self.merge(&view, &inputs) {
            Ok(pending) => work.pending = Some(pending),
            Err(error) => {
                if is_final(&error) {
                    // The same blocks would fail again and again.
                    work.barred.extend(ids);
                }
                return Err(error.into());
            }
        }
        self.commit_pending(work)
    }

    /// The blocks of the next compaction, opened.
    fn choose(
        &self,
        work: &mut Work,
        view: &View,
        occasion: Occasion,
    ) -> Result<Option<Vec<Input>>, KeepError> {
        let mut policy = self.options.keep.compaction;
        if occasion == Occasion::Request {
            policy.time_max = Duration::MAX;
        }
        let mut blocks = Vec::new();
        let mut candidates = Vec::new();
        for block in view.blocks.values() {
            let Some(meta) = block.meta() else { continue };
            if work.barred.contains(&block.id) || block.broken().is_some() {
                continue;
            }
            match self.candidate(work, view, block, meta, occasion) {
                Ok(candidate) => candidates.push(candidate),
                Err(BlockError::Broken { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            blocks.push(block);
        }
        self.keeper.set_waiting_blocks(n_waiting(&candidates, &policy));
        let sharing = &mut work.sharing;
        let chosen = choose(&candidates, &policy, |one, other| {
            let is_smaller = candidates[one].n_rows <= candidates[other].n_rows;
            let (smaller, larger) = if is_smaller { (one, other) } else { (other, one) };
            match sharing.shared_traces(self, blocks[smaller], blocks[larger]) {
                Err(BlockError::Broken { .. }) => Ok(0),
                shared => shared,
            }
        })?;
        let Some(chosen) = chosen else { return Ok(None) };
        let open = |place: usize| {
            let block = blocks[place].clone();
            let reader = block.reader(&self.options.objects, &self.read_cache)?;
            let gone = Gone::of(view, &block, reader.meta());
            Ok(Input { block, reader, gone })
        };
        Ok(Some(chosen.into_iter().map(open).collect::<Result<_, BlockError>>()?))
    }

    fn candidate(
        &self,
        work: &mut Work,
        view: &View,
        block: &Block,
        meta: &BlockMeta,
        occasion: Occasion,
    ) -> Result<Candidate, BlockError> {
        let dead = work.erased_rows.dead(self, view, block, meta)?;
        let erase_within = u64::try_from(self.options.keep.erase_within.as_nanos());
        let due_unix_nanos = now_unix_nanos().saturating_sub(erase_within.unwrap_or(u64::MAX));
        let is_due = |erased: u64| occasion == Occasion::Request || erased <= due_unix_nanos;
        Ok(Candidate {
            id: block.id,
            n_rows: meta.n_spans(),
            n_traces: meta.n_traces(),
            received: meta.received_unix_nanos,
            dead_rows: dead.n_rows,
            is_due: dead.erased_unix_nanos.is_some_and(is_due),
        })
    }

    /// Writes the files of the new blocks.
    fn merge(&self, view: &View, inputs: &[Input]) -> Result<Pending, MergeError> {
        let started_at = Instant::now();
        let metas = || inputs.iter().map(|input| input.reader.meta());
        let plan = MergePlan::read(inputs)?;
        let origin = Origin {
            log_ranges: log_ranges(inputs),
            compaction_level: metas().map(|meta| meta.compaction_level + 1).max().unwrap_or(1),
            content_seq: view.state.number,
        };
        let mut outputs: Vec<BlockMeta> = Vec::new();
        for group in plan.groups() {
            let id = self.new_block_id().map_err(MergeError::Random)?;
            let output = Output {
                inputs,
                plan: &plan,
                group: &group,
                objects: &self.options.objects,
                options: &self.options.writer,
                cache_bytes_max: self.options.keep.compaction.cache_bytes_max,
                is_stopping: &|| self.keeper.is_stopping(),
            };
            match output.write(id, origin.clone()) {
                Ok(meta) => outputs.push(meta),
                Err(error) => {
                    outputs
                        .iter()
                        .map(|output| output.id)
                        .chain([id])
                        .for_each(|id| self.drop_files(id));
                    return Err(error);
                }
            }
        }
        let (rows_in, bytes_in) = metas()
            .fold((0, 0), |(rows, bytes), meta| (rows + meta.n_spans(), bytes + meta.bytes()));
        let report = CompactionReport {
            compactions: 1,
            blocks_removed: inputs.len() as u64,
            blocks_added: outputs.len() as u64,
            rows_in,
            rows_out: outputs.iter().map(BlockMeta::n_spans).sum(),
            duplicates_removed: outputs.iter().map(|meta| meta.n_duplicates_removed).sum(),
            dead_rows_removed: rows_in - plan.n_rows,
            split_traces_merged: plan.n_split_traces,
            bytes_in,
            bytes_out: outputs.iter().map(BlockMeta::bytes).sum(),
            time: started_at.elapsed(),
        };
        let add = |meta: &BlockMeta| {
            let encoded = meta.encode().map_err(WriteError::from)?;
            Ok(NewBlock { id: meta.id.uuid(), meta: encoded.into() })
        };
        let adds = outputs.iter().map(add).collect::<Result<_, MergeError>>();
        let adds =
            adds.inspect_err(|_| outputs.iter().for_each(|meta| self.drop_files(meta.id)))?;
        let removes = inputs.iter().map(|input| input.block.id).collect();
        Ok(Pending { change: Change { adds, removes, ..Change::default() }, outputs, report })
    }

    /// Makes written blocks exist, or finds out that somebody else has compacted the same ones.
    fn commit_pending(&self, work: &mut Work) -> Result<Option<CompactionReport>, KeepError> {
        let Some(pending) = &work.pending else { return Ok(None) };
        let state = match self.catalog.commit(pending.change.clone()) {
            Ok(committed) => committed.state,
            Err(CommitError::Ignored(why)) => {
                // An unknown answer may have been a good one, and later entries came since.
                let state = self.catalog.state();
                let is_known =
                    |id: Uuid| state.blocks.contains_key(&id) || state.removed.contains_key(&id);
                if pending.outputs.iter().any(|output| is_known(output.id.uuid())) {
                    state
                } else {
                    tracing::info!(%why, "somebody else has compacted the same blocks");
                    self.metrics.compaction_lost();
                    pending.outputs.iter().for_each(|output| self.drop_files(output.id));
                    work.pending = None;
                    self.install(state);
                    return Ok(None);
                }
            }
            Err(error @ CommitError::TooLarge { .. }) => {
                pending.outputs.iter().for_each(|output| self.drop_files(output.id));
                work.barred.extend(pending.change.removes.iter().copied());
                work.pending = None;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        self.install(state);
        let report = pending.report;
        work.pending = None;
        self.metrics.compacted(&report);
        tracing::info!(
            blocks_in = report.blocks_removed,
            blocks_out = report.blocks_added,
            spans = report.rows_out,
            duplicates = report.duplicates_removed,
            erased_or_expired = report.dead_rows_removed,
            split_traces = report.split_traces_merged,
            bytes = report.bytes_out,
            duration_ms = report.time.as_millis() as u64,
            "compacted blocks"
        );
        Ok(Some(report))
    }

    /// Removes the files of a block that the catalog has never named, nor ever will.
    pub(crate) fn drop_files(&self, id: BlockId) {
        if let Err(error) = self.options.objects.delete_folder(&folder(id)) {
            // They are found as orphans later.
            tracing::warn!(block = %id, %error, "cannot delete the files of a block that was given up");
        }
    }
}

/// Whether the same merge will fail in the same way.
fn is_final(error: &MergeError) -> bool {
    match error {
        MergeError::Write(error) => !matches!(
            error,
            WriteError::Object(_) | WriteError::File { .. } | WriteError::Chunks(_)
        ),
        MergeError::RowsLost { .. } => true,
        MergeError::Block(_) | MergeError::Random(_) | MergeError::Stopping => false,
    }
}

#[cfg(test)]
mod tests;
