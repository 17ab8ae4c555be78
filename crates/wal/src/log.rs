//! The log as its users hold it: a queue in front of one writer thread.
//!
//! In: records from any thread. Out: one answer each, on the log's thread, in append order. An
//! append never blocks: it computes the payload's CRC32C where the bytes are warm, and queues. The
//! thread takes everything queued as soon as the disk is free, so groups grow with the load and
//! nobody waits for an idle disk.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::disk::is_full;
use crate::quarantine::{self, QuarantineError};
use crate::recovery::{self, OpenError, Recovered};
use crate::writer::{Pending, Writer};
use crate::{Disk, Position, Truncator, Uuid};

/// How a log behaves. None of these changes what an existing log means.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size to which a segment is preallocated. A record that is larger gets a segment of its own.
    /// Default of the server: 64 MiB.
    pub segment_bytes_max: u64,
    /// The largest payload. Records already in the log may be larger.
    pub record_bytes_max: u32,
    /// The most bytes of payload that may wait for the disk, beside those being written.
    pub queue_bytes_max: u64,
    /// Size of the reserve file that lets a full disk still hold a segment header, of which that
    /// takes 4 KiB. Zero: no reserve. Default of the server: 1 MiB.
    pub reserve_bytes: u64,
}

/// Why a record is not in the log.
///
/// A record that got an error is never replayed, with the one exception of `Unsettled`.
#[derive(Clone, Debug, Error)]
pub enum AppendError {
    /// No space. The log goes on by itself when there is some.
    #[error("the disk of the log is full")]
    DiskFull,
    /// The disk failed while writing.
    #[error("the log could not be written: {0}")]
    Write(Arc<io::Error>),
    /// The disk failed while syncing. The segment is closed; the next append begins a new one.
    #[error("the log could not be synced: {0}")]
    Sync(Arc<io::Error>),
    /// As the inner error, and the log could not state it durably: if the program stops before it
    /// can, the record may be replayed.
    #[error("{0}; whether the record survives a restart is not settled")]
    Unsettled(Box<AppendError>),
    /// Larger than `record_bytes_max`.
    #[error("a record of {bytes} bytes is larger than the limit of {bytes_max}")]
    TooLarge {
        /// The record's payload.
        bytes: u64,
        /// The limit.
        bytes_max: u32,
    },
    /// More than `queue_bytes_max` wait.
    #[error("{bytes} bytes wait for the log already, the limit is {bytes_max}")]
    QueueFull {
        /// What waits.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl AppendError {
    pub(crate) fn from_write(error: io::Error) -> Self {
        if is_full(&error) { Self::DiskFull } else { Self::Write(Arc::new(error)) }
    }

    pub(crate) fn from_sync(error: io::Error) -> Self {
        if is_full(&error) { Self::DiskFull } else { Self::Sync(Arc::new(error)) }
    }

    pub(crate) fn unsettled(self) -> Self {
        Self::Unsettled(Box::new(self))
    }
}

/// Upper bounds of the buckets of `Stats::fsync_buckets`, in seconds; the last bucket has none.
pub const FSYNC_BUCKETS_SECONDS: [f64; 12] =
    [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.512, 2.048];

/// What a log did since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that are durable.
    pub records: u64,
    /// Their payloads, in bytes.
    pub bytes: u64,
    /// Fsyncs of groups, those that failed among them.
    pub fsyncs: u64,
    /// Time in these fsyncs.
    pub fsync_time: Duration,
    /// How many of them took at most `FSYNC_BUCKETS_SECONDS[i]` and more than the bound before it.
    pub fsync_buckets: [u64; FSYNC_BUCKETS_SECONDS.len() + 1],
    /// Records that got an error.
    pub failures: Failures,
    /// Segment files, those of earlier runs among them.
    pub segments: u64,
    /// What the segment files take, in bytes.
    pub disk_bytes: u64,
    /// Bytes of payload in the queue now.
    pub queue_bytes: u64,
}

/// Reads the numbers of a log; outlives it.
#[derive(Clone)]
pub struct StatsReader(Arc<Shared>);

impl StatsReader {
    /// What the log did since it was opened.
    pub fn stats(&self) -> Stats {
        let queue_bytes = self.0.queue().bytes;
        Stats { queue_bytes, ..self.0.counters.stats() }
    }
}

/// Records that got an error, by what it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// `AppendError::DiskFull`.
    pub disk_full: u64,
    /// `AppendError::Write`.
    pub write: u64,
    /// `AppendError::Sync`.
    pub sync: u64,
    /// Those of the three above that were `AppendError::Unsettled`.
    pub unsettled: u64,
    /// `AppendError::TooLarge`.
    pub too_large: u64,
    /// `AppendError::QueueFull`.
    pub queue_full: u64,
    /// `AppendError::Closed`.
    pub closed: u64,
}

/// A durable ordered log. One at a time per folder: the holder of the data directory's lock.
/// Dropping it closes it.
pub struct Log {
    uuid: Uuid,
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    options: Options,
    truncator: Truncator,
    thread: Option<JoinHandle<()>>,
}

/// Opens the log in the disk's folder, or begins one if it is empty.
///
/// Returns the log, ready for appends, and what was found, to be replayed. The two are independent:
/// a replay sees what was durable at this moment and nothing that is appended later.
pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Log, Recovered), OpenError> {
    let recovered = recovery::recover(Arc::clone(&disk))?;
    let counters = Arc::new(Counters::new(recovered.segments, recovered.disk_bytes));
    let last = recovered.last();
    let uuid = recovered.log_uuid();
    let truncator = Truncator::new(Arc::clone(&disk), Arc::clone(&counters));
    let mut writer =
        Writer::new(Arc::clone(&disk), options.clone(), uuid, last, Arc::clone(&counters));
    if let Err(error) = writer.take_reserve() {
        tracing::warn!(%error, "the log has no reserve: it takes no records before it has one");
    }
    let shared = Arc::new(Shared { queue: Mutex::default(), arrived: Condvar::new(), counters });
    let thread = thread::Builder::new().name("suyuan-wal".to_owned()).spawn({
        let shared = Arc::clone(&shared);
        move || run(&shared, writer)
    });
    let thread = Some(thread.map_err(OpenError::Thread)?);
    Ok((Log { uuid, shared, disk, options, truncator, thread }, recovered))
}

impl Log {
    /// The name of this log, which its positions belong to. A folder without any segment begins
    /// another log.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// A handle that removes what is kept elsewhere; it outlives the log.
    pub fn truncator(&self) -> Truncator {
        self.truncator.clone()
    }

    /// Queues a record whose payload is `parts`, back to back. Never blocks on the disk.
    ///
    /// `done` runs once: on the log's thread, in append order, when the record is durable or has
    /// failed; or at once on this thread if the record is refused before the queue (too large,
    /// queue full, log closed). It should be short, for the next group waits for it.
    pub fn append(
        &self,
        parts: Vec<Bytes>,
        done: impl FnOnce(Result<Position, AppendError>) + Send + 'static,
    ) {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        let bytes_max = self.options.record_bytes_max;
        let Some(payload_bytes) = u32::try_from(bytes).ok().filter(|bytes| *bytes <= bytes_max)
        else {
            return self.refuse(AppendError::TooLarge { bytes, bytes_max }, done);
        };
        let payload_checksum = (parts.iter()).fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        let record = Pending { parts, payload_bytes, payload_checksum, done: Box::new(done) };
        if let Err((error, record)) = self.shared.push(record, self.options.queue_bytes_max) {
            self.refuse(error, record.done);
        }
    }

    /// What the log did since it was opened.
    pub fn stats(&self) -> Stats {
        self.stats_reader().stats()
    }

    /// A handle on the same numbers, for who watches a log that another one writes.
    pub fn stats_reader(&self) -> StatsReader {
        StatsReader(Arc::clone(&self.shared))
    }

    /// Sets a durable record aside: its bytes and `reason` go into a file in `quarantine/`, and no
    /// later replay meets it. For a record on which a reader failed; waits for the disk.
    pub fn quarantine(&self, position: Position, reason: &str) -> Result<(), QuarantineError> {
        quarantine::set_record_aside(self.disk.as_ref(), position, reason)
    }

    /// Writes everything queued, answers it, leaves a closing mark and joins the thread. Dropping
    /// the log does the same.
    pub fn close(self) {}

    fn refuse(
        &self,
        error: AppendError,
        done: impl FnOnce(Result<Position, AppendError>) + Send + 'static,
    ) {
        self.shared.counters.failed(&error, 1);
        done(Err(error));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.queue().closing = true;
        self.shared.arrived.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log's thread panicked");
        }
    }
}

/// The life of the log's thread.
fn run(shared: &Shared, mut writer: Writer) {
    // If the writer panics, the queue still closes and what waits is answered.
    let _closed = CloseOnExit(shared);
    while let Some(group) = shared.next_group() {
        writer.commit(group);
    }
    writer.close();
}

struct CloseOnExit<'a>(&'a Shared);

impl Drop for CloseOnExit<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.closing = true;
        let left = std::mem::take(&mut queue.pending);
        drop(queue);
        for record in left {
            self.0.counters.failed(&AppendError::Closed, 1);
            (record.done)(Err(AppendError::Closed));
        }
    }
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Pending>,
    bytes: u64,
    closing: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, record: Pending, bytes_max: u64) -> Result<(), (AppendError, Pending)> {
        let mut queue = self.queue();
        if queue.closing {
            return Err((AppendError::Closed, record));
        }
        let bytes = queue.bytes;
        if bytes > 0 && bytes + u64::from(record.payload_bytes) > bytes_max {
            return Err((AppendError::QueueFull { bytes, bytes_max }, record));
        }
        queue.bytes += u64::from(record.payload_bytes);
        queue.pending.push_back(record);
        drop(queue);
        self.arrived.notify_one();
        Ok(())
    }

    /// Everything queued, as soon as there is something; `None` when the log closes and all is
    /// written.
    ///
    /// It never waits for company. What queues during one fsync is the next group, and that is
    /// enough: 16 clients make groups of 12. Waiting for the clients just answered was tried and
    /// saved a quarter of the fsyncs for eight times the median latency (`benches/append.rs`).
    fn next_group(&self) -> Option<VecDeque<Pending>> {
        let mut queue = self.queue();
        while queue.pending.is_empty() {
            if queue.closing {
                return None;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.bytes = 0;
        Some(std::mem::take(&mut queue.pending))
    }
}

/// The numbers behind `Stats`.
#[derive(Default)]
pub(crate) struct Counters {
    records: AtomicU64,
    bytes: AtomicU64,
    fsyncs: AtomicU64,
    fsync_nanoseconds: AtomicU64,
    fsync_buckets: [AtomicU64; FSYNC_BUCKETS_SECONDS.len() + 1],
    disk_full: AtomicU64,
    write: AtomicU64,
    sync: AtomicU64,
    unsettled: AtomicU64,
    too_large: AtomicU64,
    queue_full: AtomicU64,
    closed: AtomicU64,
    files: Mutex<Files>,
}

/// The segment files. Locked while one of them is cut or removed, so that no byte counts twice.
#[derive(Default)]
struct Files {
    segments: u64,
    bytes: u64,
}

impl Counters {
    pub(crate) fn new(segments: u64, disk_bytes: u64) -> Self {
        Self { files: Mutex::new(Files { segments, bytes: disk_bytes }), ..Self::default() }
    }

    pub(crate) fn appended(&self, payload_bytes: u32) {
        self.records.fetch_add(1, Relaxed);
        self.bytes.fetch_add(u64::from(payload_bytes), Relaxed);
    }

    pub(crate) fn synced(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = FSYNC_BUCKETS_SECONDS.partition_point(|bound| *bound < seconds);
        self.fsyncs.fetch_add(1, Relaxed);
        self.fsync_nanoseconds.fetch_add(time.as_nanos() as u64, Relaxed);
        if let Some(bucket) = self.fsync_buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn failed(&self, error: &AppendError, records: usize) {
        let counter = match error {
            AppendError::DiskFull => &self.disk_full,
            AppendError::Write(_) => &self.write,
            AppendError::Sync(_) => &self.sync,
            AppendError::TooLarge { .. } => &self.too_large,
            AppendError::QueueFull { .. } => &self.queue_full,
            AppendError::Closed => &self.closed,
            AppendError::Unsettled(error) => {
                self.failed(error, records);
                &self.unsettled
            }
        };
        counter.fetch_add(records as u64, Relaxed);
    }

    pub(crate) fn segment_added(&self, bytes: u64) {
        let mut files = self.files();
        files.segments += 1;
        files.bytes += bytes;
    }

    /// Counts what `shrink` does: it cuts or removes files and says by how many bytes.
    pub(crate) fn files_shrink(
        &self,
        segments_removed: u64,
        shrink: impl FnOnce() -> io::Result<u64>,
    ) -> io::Result<u64> {
        let mut files = self.files();
        let bytes = shrink()?;
        files.segments = files.segments.saturating_sub(segments_removed);
        files.bytes = files.bytes.saturating_sub(bytes);
        Ok(bytes)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> Stats {
        let mut fsync_buckets = [0; FSYNC_BUCKETS_SECONDS.len() + 1];
        for (count, bucket) in fsync_buckets.iter_mut().zip(&self.fsync_buckets) {
            *count = bucket.load(Relaxed);
        }
        let Files { segments, bytes: disk_bytes } = *self.files();
        Stats {
            records: self.records.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            fsyncs: self.fsyncs.load(Relaxed),
            fsync_time: Duration::from_nanos(self.fsync_nanoseconds.load(Relaxed)),
            fsync_buckets,
            failures: Failures {
                disk_full: self.disk_full.load(Relaxed),
                write: self.write.load(Relaxed),
                sync: self.sync.load(Relaxed),
                unsettled: self.unsettled.load(Relaxed),
                too_large: self.too_large.load(Relaxed),
                queue_full: self.queue_full.load(Relaxed),
                closed: self.closed.load(Relaxed),
            },
            segments,
            disk_bytes,
            queue_bytes: 0,
        }
    }
}
