//! How many traces two blocks have in common, about.
//!
//! In: two blocks. Out: an estimate: some ids of the smaller block, asked of the other's id filter.
//! It costs one look at the id column of each block and 50 ns for each id and pair; answers are
//! kept while both blocks exist.

use std::collections::HashMap;
use std::sync::Arc;

use suyuan_block::filter::{IdHash, TenantSeed};
use suyuan_block::reader::{BlockReader, ReadError};
use suyuan_ids::TraceId;
use suyuan_wal::Uuid;

use crate::Inner;
use crate::blocks::{Block, BlockError};
use crate::view::View;

/// Ids of a block that are asked of others.
const SAMPLE_IDS_MAX: u64 = 4_096;
/// Blocks whose samples are kept (32 kB each).
const SAMPLES_MAX: usize = 128;

/// What is known of blocks that may share traces.
#[derive(Default)]
pub(crate) struct Sharing {
    samples: HashMap<Uuid, Arc<Sample>>,
    /// Of the smaller block and the larger one.
    pairs: HashMap<(Uuid, Uuid), u64>,
}

struct Sample {
    ids: Vec<IdHash>,
    traces_per_id: u64,
}

impl Sharing {
    /// About how many traces have spans in both blocks.
    pub(super) fn shared_traces(
        &mut self,
        inner: &Inner,
        smaller: &Block,
        larger: &Block,
    ) -> Result<u64, BlockError> {
        if let Some(shared) = self.pairs.get(&(smaller.id, larger.id)) {
            return Ok(*shared);
        }
        let sample = self.sample(inner, smaller)?;
        let reader = larger.reader(&inner.options.objects, &inner.read_cache)?;
        let filter = reader.filter().map_err(|error| larger.judge(error))?;
        let n_hits = sample.ids.iter().filter(|id| filter.may_contain(**id)).count() as u64;
        let shared = n_hits * sample.traces_per_id;
        self.pairs.insert((smaller.id, larger.id), shared);
        Ok(shared)
    }

    fn sample(&mut self, inner: &Inner, block: &Block) -> Result<Arc<Sample>, BlockError> {
        if let Some(sample) = self.samples.get(&block.id) {
            return Ok(sample.clone());
        }
        let reader = block.reader(&inner.options.objects, &inner.read_cache)?;
        let sample = Sample::read(&reader).map_err(|error| block.judge(error))?;
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.clear();
        }
        let sample = Arc::new(sample);
        self.samples.insert(block.id, sample.clone());
        Ok(sample)
    }

    /// Forgets blocks that are gone.
    pub(crate) fn retain(&mut self, view: &View) {
        let exists = |id: &Uuid| view.blocks.contains_key(id);
        self.samples.retain(|id, _| exists(id));
        self.pairs.retain(|(one, other), _| exists(one) && exists(other));
    }
}

impl Sample {
    fn read(reader: &BlockReader) -> Result<Self, ReadError> {
        let meta = reader.meta();
        let traces_per_id = meta.n_traces().div_ceil(SAMPLE_IDS_MAX).max(1);
        let mut ids = Vec::new();
        let mut n_passed = 0;
        for (number, tenant) in (0..).zip(&meta.tenants) {
            let seed = TenantSeed::new(&tenant.tenant);
            for range in &tenant.ranges {
                let next_id = n_passed..n_passed + u64::from(range.n_traces);
                n_passed = next_id.end;
                if next_id.clone().all(|n| n % traces_per_id != 0) {
                    continue;
                }
                for (id, n) in reader.trace_ids(number, range.slice)?.iter().zip(next_id) {
                    if n % traces_per_id == 0 {
                        ids.push(seed.hash(&TraceId::from_bytes(*id)));
                    }
                }
            }
        }
        Ok(Self { ids, traces_per_id })
    }
}
