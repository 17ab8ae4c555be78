//! A server without doors: a log, a lane, a store, each step taken by hand.
//!
//! In: a disk for the log, an object store. Out: requests answered, cuts, seals, truncations and
//! compactions, one after the other, so that the steps of disk and store are the same in every run.
//! Nothing here retries, waits for a clock or looks away from an error.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use prost::Message as _;
use suyuan_ids::TraceId;
use suyuan_ingest::{Lane, LaneOptions, Metrics, Replay, Submission, Surroundings};
use suyuan_model::{Publication, Tenant};
use suyuan_objects::Objects;
use suyuan_store::{
    CompactionPolicy, CompactionStart, KeepPolicy, Options, RetentionPolicy, Store,
};
use suyuan_wal::{Disk, Position, Truncator, Verdict};
use suyuan_wire::record::{Compression, Format};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::ledger;

/// 2026-01-01 00:00:10, for everything.
const RECEIVED_UNIX_NANOS: u64 = 1_767_225_610_000_000_000;

pub(crate) struct Machine {
    pub(crate) store: Store,
    lane: Lane,
    truncator: Truncator,
    cuts: mpsc::Receiver<()>,
    runtime: Runtime,
    _live: TempDir,
}

/// Two small blocks become one; snapshots every three entries.
pub(crate) fn small(options: Options) -> Options {
    let compaction = CompactionPolicy {
        start: CompactionStart::OnRequest,
        small_blocks_min: 2,
        ..CompactionPolicy::default()
    };
    Options {
        keep: KeepPolicy {
            compaction,
            retention: RetentionPolicy::keep_all(),
            ..KeepPolicy::default()
        },
        catalog_snapshot_every: 3,
        catalog_entry_keep: Duration::from_mins(1),
        ..options
    }
}

impl Machine {
    /// Starts as the server does: the log, the catalog, what of the log is in no block.
    pub(crate) fn start(disk: Arc<dyn Disk>, objects: Arc<dyn Objects>) -> Result<Self, String> {
        let live = tempfile::tempdir().map_err(|error| error.to_string())?;
        // A segment takes a few requests.
        let options = suyuan_wal::Options {
            segment_bytes_max: 12 << 10,
            record_bytes_max: 1 << 20,
            queue_bytes_max: 1 << 20,
            reserve_bytes: 8 << 10,
        };
        let (log, mut recovered) =
            suyuan_wal::open(disk, options).map_err(|error| error.to_string())?;
        let options = small(Options::new(live.path().join("live"), objects, log.uuid()));
        let store = Store::open(options).map_err(|error| error.to_string())?;
        let (came, cuts) = mpsc::channel();
        let surroundings = StoreBehindLane { store: store.clone(), came };
        let mut replay = Replay::new(LaneOptions::default(), surroundings, Metrics::new());
        let mut broken = None;
        recovered
            .replay_from(store.sealed_to(), |position, record| {
                if let Err(error) = replay.record(position, record) {
                    broken.get_or_insert_with(|| error.to_string());
                }
                Verdict::Taken
            })
            .map_err(|error| error.to_string())?;
        assert_eq!(broken, None, "a record that was written cannot be read");
        let truncator = log.truncator();
        let lane = replay.start(log).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { store, lane, truncator, cuts, runtime, _live: live })
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn send(&self, number: u64) -> Result<(), String> {
        let request = ledger::request_of(number);
        let body = bytes::Bytes::from(request.encode_to_vec());
        let submission = Submission {
            tenant: ledger::tenant_of(number),
            format: Format::OtlpProtobuf,
            compression: Compression::None,
            sent: body.clone(),
            inflated: body,
        };
        let outcome = self.runtime.block_on(self.lane.submit(submission));
        let outcome = outcome.map_err(|refusal| refusal.to_string())?;
        assert_eq!(outcome.refused_spans, 0, "{}", outcome.message);
        Ok(())
    }

    /// Ends the window.
    pub(crate) fn cut(&self) {
        self.lane.cut();
        self.cuts.recv().expect("the lane runs and cuts");
    }

    /// Makes a block of the oldest window that ended, and shortens the log. Whether there was one.
    pub(crate) fn seal(&self) -> Result<bool, String> {
        let sealed = self.store.seal_once().map_err(|error| error.to_string())?;
        let Some(before) = sealed else { return Ok(false) };
        self.truncator.truncate(before).map_err(|error| error.to_string())?;
        Ok(true)
    }

    /// Cuts, and seals all there is.
    pub(crate) fn flush(&self) -> Result<(), String> {
        self.cut();
        while self.seal()? {}
        Ok(())
    }

    /// Merges what is to be merged. How many times.
    pub(crate) fn compact(&self) -> Result<u64, String> {
        let report = self.store.compact().map_err(|error| error.to_string())?;
        Ok(report.compactions)
    }

    /// Deletes, forgets, takes snapshots: what the keeper does between compactions.
    pub(crate) fn keep(&self) -> Result<(), String> {
        self.store.keep_once().map_err(|error| error.to_string())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.lane.close();
    }
}

struct StoreBehindLane {
    store: Store,
    came: mpsc::Sender<()>,
}

impl Surroundings for StoreBehindLane {
    fn publish(&mut self, publication: Publication) {
        self.store.publish(publication);
    }

    fn cut(&mut self, log_end: Option<Position>) {
        self.store.cut(log_end);
        // A machine that is being dropped does not listen.
        let _ = self.came.send(());
    }

    fn trace_rows(&self, tenant: &Tenant, trace_id: TraceId) -> u64 {
        self.store.live_trace_rows(tenant, trace_id)
    }

    fn now_unix_nanos(&self) -> u64 {
        RECEIVED_UNIX_NANOS
    }

    fn pressure(&self) -> Duration {
        Duration::ZERO
    }
}
