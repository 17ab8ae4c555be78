//! What a reader sees: live data and blocks at one moment.
//!
//! A view never changes; what changes is which one new readers get. So a seal replaces live rows by
//! the block of the same rows at one stroke, and nobody sees them twice or not at all. Who holds an
//! old view keeps reading what it names: blocks are deleted long after they left the catalog.

use std::sync::Arc;

use suyuan_catalog::State;
use suyuan_ids::TraceId;
use suyuan_model::Tenant;
use suyuan_wal::{Position, Uuid};

use crate::blocks::{Block, BlockMap, blocks_of};
use crate::live::Live;
use crate::retention::Expired;

/// Before every record of a log.
pub(crate) const LOG_BEGIN: Position = Position { segment: 0, offset: 0 };

/// Live data and blocks that hold every span once.
#[derive(Clone)]
pub(crate) struct View {
    /// Oldest first; the last one takes rows, the others wait for their block.
    pub(crate) live: Vec<Arc<Live>>,
    pub(crate) blocks: Arc<BlockMap>,
    /// What the catalog says, blocks and erasures among it.
    pub(crate) state: Arc<State>,
    /// Rows of blocks that are too old or too much to be shown.
    pub(crate) expired: Arc<Expired>,
}

impl View {
    pub(crate) fn new(state: Arc<State>, log: Uuid) -> Self {
        let blocks = Arc::new(blocks_of(&state, &BlockMap::new()));
        let begin = state.log_end(log).unwrap_or(LOG_BEGIN);
        Self { live: vec![Arc::new(Live::new(begin))], blocks, state, expired: Arc::default() }
    }

    /// The live data that takes rows.
    pub(crate) fn open_live(&self) -> &Arc<Live> {
        self.live.last().expect("a view has live data that takes rows")
    }

    /// The view as of a later state of the catalog: live data that is in blocks now is gone.
    pub(crate) fn with_state(&self, state: Arc<State>, log: Uuid) -> Self {
        let blocks = Arc::new(blocks_of(&state, &self.blocks));
        let log_end = state.log_end(log);
        let is_live = |live: &&Arc<Live>| live.end().is_none_or(|end| log_end < Some(end));
        let live = self.live.iter().filter(is_live).cloned().collect();
        Self { live, blocks, state, expired: self.expired.clone() }
    }

    /// Whether anything of a tenant is there, hidden or not.
    pub(crate) fn has_tenant(&self, tenant: &Tenant) -> bool {
        let is_in =
            |block: &Arc<Block>| block.meta().is_some_and(|meta| meta.tenant(tenant).is_some());
        self.live.iter().any(|live| live.window(tenant).is_some())
            || self.blocks.values().any(is_in)
    }

    /// Whether what live data has of a trace was erased.
    pub(crate) fn is_erased_live(
        &self,
        tenant: &Tenant,
        id: TraceId,
        live: &Live,
        log: Uuid,
    ) -> bool {
        self.state.tombstones.values().any(|tombstone| {
            tombstone.tenant == *tenant
                && tombstone.trace.is_none_or(|trace| trace == id)
                && live.is_covered_by(tombstone, log)
        })
    }

    /// Whether all that a block has of a tenant, by its number there, has expired.
    pub(crate) fn is_expired(&self, tenant: u32, block: &Block) -> bool {
        self.expired.contains(&(block.id, tenant))
    }

    /// Whether what a block has of a trace was erased.
    pub(crate) fn is_erased(&self, tenant: &Tenant, id: TraceId, block: &Block) -> bool {
        self.state.tombstones.iter().any(|(tombstone_id, tombstone)| {
            tombstone.tenant == *tenant
                && tombstone.trace.is_none_or(|trace| trace == id)
                && block.is_covered_by(tombstone_id.number, tombstone)
        })
    }
}
