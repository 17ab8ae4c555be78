//! The server as a value: started from a configuration, stopped when asked.
//!
//! In: a [`Config`]. Out: open doors behind which every package does its part. The only place
//! where the packages meet. Order matters: the lock before the log, the ports before the replay,
//! the log's records before the first request, and the same backwards at the end.

mod log_metrics;
mod objects;
mod process_metrics;
mod replay;
mod service;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::registry::Registry;
use suyuan_api::{ApiState, BuildInfo, Readiness};
use suyuan_ids::TraceId;
use suyuan_ingest::{Ended, Lane, LaneOptions, Metrics, Rate, Receiver, Replay, Surroundings};
use suyuan_model::{Publication, Tenant};
use suyuan_objects::{Objects, prove_create_if_absent};
use suyuan_store::{
    CompactionPolicy, CompactionStart, KeepPolicy, LogControl, RetentionLimits, RetentionPolicy,
    SealPolicy, Store,
};
use suyuan_wal::{LocalDisk, Log, Position, Recovered, StatsReader, Truncator};
use suyuan_wire::record::Limits;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config::storage::ObjectsKind;
use crate::config::{Config, effective_toml};
use crate::doors::{self, Addresses, Door, DoorError};
use crate::lock::{DirectoryLock, LockError, lock};
use log_metrics::{LogMetrics, NotServed};
use objects::OpenedObjects;
use process_metrics::ProcessMetrics;
use service::Service;

/// The log of requests. It is what the server cannot do without.
pub(crate) const LOG_FOLDER: &str = "log";
/// Scratch files of the live window; they may be deleted while no server runs.
const LIVE_FOLDER: &str = "live";
/// Blocks and their catalog, if they are not in a bucket.
pub(crate) const OBJECTS_FOLDER: &str = "objects";

/// What the log adds to a body: its record header with the refused rows of the largest request.
const RECORD_HEADER_BYTES_MAX: u64 = 16 << 20;
/// Lets a full disk still take a segment header.
const LOG_RESERVE_BYTES: u64 = 1 << 20;
/// What is neither requests in flight nor live tables nor questions: the program, its stacks,
/// tables being filled, the index of traces, the slice of a block that is being written, caches,
/// answers on their way.
const OTHER_MEMORY_BYTES: u64 = 128 << 20;
const LIVE_MEMORY_BYTES_MIN: u64 = 16 << 20;
/// Parts of a block on their way to a bucket.
const S3_PARTS_BYTES: u64 = 32 << 20;
/// Dictionaries, filters and traces of slices of blocks, kept between questions.
const READ_CACHE_BYTES: usize = 64 << 20;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "cannot make the directory {path}: {error}; choose another data directory with \
         --data-dir",
        path = path.display()
    )]
    Directory { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error("cannot open the log in {path}: {error}", path = path.display())]
    Log { path: PathBuf, error: suyuan_wal::OpenError },
    #[error("cannot read the log in {path}: {error}", path = path.display())]
    Replay { path: PathBuf, error: suyuan_wal::ReplayError },
    #[error(transparent)]
    Store(#[from] suyuan_store::OpenError),
    #[error("cannot open the object store, {place}: {error}")]
    Objects { place: String, error: suyuan_objects::ObjectError },
    #[error("cannot use the object store: {0}")]
    S3(#[from] suyuan_objects::S3OptionsError),
    #[error("{place}: {error}")]
    NoCreateIfAbsent { place: String, error: suyuan_objects::NoCreateIfAbsent },
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error("start-up panicked: {0}; please report it")]
    Panicked(tokio::task::JoinError),
}

/// A server that answers. Dropped without [`Running::shutdown`], it answers no more, but its log
/// stays open and its directory locked until the process ends.
pub struct Running {
    addresses: Addresses,
    readiness: Readiness,
    store: Store,
    lane: Lane,
    /// Tells readiness when the lane fails.
    lane_watch: JoinHandle<()>,
    receiving: Service,
    answering: Service,
    /// Until the store writes no more: it shortens the log and commits blocks after the lane ended.
    lock: Arc<DirectoryLock>,
}

/// Starts a server; returns when every door answers and all of the log has been read. Until then
/// the answering door says that it is not ready, and requests wait in the queues of the others.
pub async fn start(config: &Config) -> Result<Running, StartError> {
    let data_dir = &config.server.data_dir;
    make_directories(data_dir)?;
    let lock = Arc::new(lock(data_dir)?);
    let doors = doors::open(config).await?;
    let addresses = doors.addresses();

    let (log, recovered) = open_log(config).await?;
    let objects = objects::open(config).await?;
    let store = open_store(config, &log, &objects).await?;
    let metrics = Metrics::new();
    let readiness = Readiness::not_yet("reading the log");
    let not_served = NotServed::default();
    let mut registry = registry(&store, &log, &not_served, &metrics);
    objects.register(&mut registry);
    let answering =
        answer(config, doors.http, registry, &store, &readiness).map_err(StartError::Thread)?;

    let surroundings = LaneSurroundings { store: store.clone(), _lock: lock.clone() };
    let (truncator, log_stats) = (log.truncator(), log.stats_reader());
    let replay = Replay::new(lane_options(config), surroundings, metrics.clone());
    let read = read_log(config, &store, log, recovered, replay, &readiness, &not_served);
    let lane = match read.await {
        Ok(lane) => lane,
        Err(error) => {
            answering.stop().await;
            return Err(error);
        }
    };
    let control = Control { lane: lane.clone(), truncator, stats: log_stats };
    store.start(Arc::new(control)).map_err(StartError::Thread)?;
    let receiving = receive(config, doors.otlp_grpc, doors.otlp_http, &lane, metrics);
    readiness.set_ready();
    let lane_watch = tokio::spawn(watch(lane.clone(), store.clone(), readiness.clone()));
    Ok(Running { addresses, readiness, store, lane, lane_watch, receiving, answering, lock })
}

impl Running {
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Spans that can be found now.
    pub fn visible_spans(&self) -> u64 {
        self.store.n_rows()
    }

    /// Closes the receiving doors, finishes what was begun, and returns when all of it is on the
    /// disk. Questions are answered until then.
    pub async fn shutdown(self) {
        self.readiness.set_stopping();
        self.receiving.stop().await;
        let lane = self.lane;
        let (store, lock) = (self.store, self.lock);
        let close = move || {
            lane.close();
            store.stop();
            drop(lock);
        };
        if let Err(error) = spawn_blocking(close).await {
            tracing::error!(%error, "the log was not closed");
        }
        if let Err(error) = self.lane_watch.await {
            tracing::error!(%error, "the watch over the ingest thread ended badly");
        }
        self.answering.stop().await;
    }
}

/// A server that can take nothing says so where load balancers look.
async fn watch(lane: Lane, store: Store, readiness: Readiness) {
    if lane.ended().await == Ended::Closed {
        return;
    }
    readiness.set_failed("the ingest thread panicked: restart the server and report it");
    // Nobody cuts any more: whoever waits for that is let go.
    if let Err(error) = spawn_blocking(move || store.stop()).await {
        tracing::error!(%error, "the store was not stopped");
    }
}

fn make_directories(data_dir: &Path) -> Result<(), StartError> {
    for folder in [LOG_FOLDER, LIVE_FOLDER, OBJECTS_FOLDER] {
        let path = data_dir.join(folder);
        fs::create_dir_all(&path)
            .map_err(|error| StartError::Directory { path: path.clone(), error })?;
    }
    Ok(())
}

/// Reads the catalog, and what it costs depends on the object store.
async fn open_store(
    config: &Config,
    log: &Log,
    objects: &OpenedObjects,
) -> Result<Store, StartError> {
    let options = store_options(config, log.uuid(), objects.objects.clone());
    let place = config.objects.place();
    let open = move || {
        prove_create_if_absent(options.objects.as_ref())
            .map_err(|error| StartError::NoCreateIfAbsent { place, error })?;
        Ok(Store::open(options)?)
    };
    spawn_blocking(open).await.map_err(StartError::Panicked)?
}

fn store_options(
    config: &Config,
    log: suyuan_wal::Uuid,
    objects: Arc<dyn Objects>,
) -> suyuan_store::Options {
    let live_directory = config.server.data_dir.join(LIVE_FOLDER);
    let compaction = CompactionPolicy {
        start: match config.compaction.enabled {
            true => CompactionStart::ByItself,
            false => CompactionStart::OnRequest,
        },
        trace_horizon: config.query.trace_horizon,
        ..CompactionPolicy::default()
    };
    let retention = RetentionLimits {
        age_max: Some(config.retention.age_max).filter(|age| !age.is_zero()),
        bytes_max: Some(config.retention.bytes_max).filter(|bytes| *bytes > 0),
    };
    suyuan_store::Options {
        resident_bytes_max: live_memory_bytes(config),
        trace_horizon: config.query.trace_horizon,
        read_cache_bytes_max: READ_CACHE_BYTES,
        seal: SealPolicy {
            rows_max: config.seal.rows_max,
            age_max: config.seal.age_max,
            log_bytes_max: config.seal.log_bytes_max,
        },
        keep: KeepPolicy {
            compaction,
            retention: RetentionPolicy { limits: retention, ..RetentionPolicy::default() },
            delete_after: config.compaction.delete_after,
            erase_within: config.compaction.erase_after,
            ..KeepPolicy::default()
        },
        ..suyuan_store::Options::new(live_directory, objects, log)
    }
}

/// What is left for live tables when everything else has its share.
fn live_memory_bytes(config: &Config) -> u64 {
    let objects_bytes = match config.objects.kind {
        ObjectsKind::Local => 0,
        ObjectsKind::S3 => config.objects.cache_bytes_max.saturating_add(S3_PARTS_BYTES),
    };
    let taken = config
        .otlp
        .in_flight_bytes_max
        .saturating_add(OTHER_MEMORY_BYTES)
        .saturating_add(config.query.memory_bytes_max)
        .saturating_add(objects_bytes);
    config.limits.memory_bytes_max.saturating_sub(taken).max(LIVE_MEMORY_BYTES_MIN)
}

/// Opening finds the end of the log, which reads much of its last segment.
async fn open_log(config: &Config) -> Result<(Log, Recovered), StartError> {
    let record_bytes_max = config.otlp.body_bytes_max.saturating_add(RECORD_HEADER_BYTES_MAX);
    let options = suyuan_wal::Options {
        segment_bytes_max: config.log.segment_bytes_max,
        record_bytes_max: u32::try_from(record_bytes_max).unwrap_or(u32::MAX),
        // Requests in flight are bounded already: this only states that the log holds no more.
        queue_bytes_max: config.otlp.in_flight_bytes_max.saturating_add(record_bytes_max),
        reserve_bytes: LOG_RESERVE_BYTES,
    };
    let path = config.server.data_dir.join(LOG_FOLDER);
    let open = move || {
        let failed = |error| StartError::Directory { path: path.clone(), error };
        let disk = LocalDisk::create(&path).map_err(failed)?;
        suyuan_wal::open(Arc::new(disk), options)
            .map_err(|error| StartError::Log { path: path.clone(), error })
    };
    spawn_blocking(open).await.map_err(StartError::Panicked)?
}

fn registry(store: &Store, log: &Log, not_served: &NotServed, metrics: &Metrics) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessMetrics));
    registry.register_collector(Box::new(LogMetrics::new(log.stats_reader(), not_served.clone())));
    store.register(&mut registry);
    metrics.register(&mut registry);
    registry
}

fn answer(
    config: &Config,
    door: Door,
    mut registry: Registry,
    store: &Store,
    readiness: &Readiness,
) -> io::Result<Service> {
    let metrics = suyuan_api::Metrics::default();
    metrics.register(&mut registry);
    let tenancy = match config.tenancy.enabled {
        true => suyuan_api::Tenancy::On,
        false => suyuan_api::Tenancy::Off,
    };
    let options = suyuan_api::Options {
        tenancy,
        drain_timeout: config.server.drain_wait_max,
        query: query_options(config),
        ..suyuan_api::Options::default()
    };
    let build = BuildInfo { version: env!("CARGO_PKG_VERSION").to_owned(), ..BuildInfo::default() };
    let state = ApiState::new(
        store.clone(),
        Arc::new(registry),
        metrics.clone(),
        readiness.clone(),
        build,
        &effective_toml(config),
        options,
    )?;
    let router = suyuan_api::router(state);
    Ok(Service::start(door.listeners, move |listener, stopped| {
        suyuan_api::serve(listener, router.clone(), metrics.clone(), options, stopped)
    }))
}

fn query_options(config: &Config) -> suyuan_api::QueryOptions {
    let defaults = suyuan_api::QueryOptions::default();
    let wide = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    suyuan_api::QueryOptions {
        concurrency: match config.query.concurrency {
            0 => defaults.concurrency,
            concurrency => wide(concurrency),
        },
        queue_max: wide(config.query.queue_max),
        timeout: config.query.timeout,
        memory_bytes_max: wide(config.query.memory_bytes_max),
        ..defaults
    }
}

async fn read_log(
    config: &Config,
    store: &Store,
    log: Log,
    recovered: Recovered,
    replay: Replay,
    readiness: &Readiness,
    not_served: &NotServed,
) -> Result<Lane, StartError> {
    let path = config.server.data_dir.join(LOG_FOLDER);
    let (readiness, not_served) = (readiness.clone(), not_served.clone());
    let store = store.clone();
    let read = move || {
        let from = store.sealed_to();
        let replay = replay::replay(&store, replay, recovered, from, &readiness, &not_served)
            .map_err(|error| StartError::Replay { path, error })?;
        replay.start(log).map_err(StartError::Thread)
    };
    spawn_blocking(read).await.map_err(StartError::Panicked)?
}

fn lane_options(config: &Config) -> LaneOptions {
    LaneOptions { limits: limits(config), ..LaneOptions::default() }
}

fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    let narrow = |limit: u64| u32::try_from(limit).unwrap_or(u32::MAX);
    Limits {
        attribute_value_bytes_max: narrow(limits.attribute_value_bytes_max),
        attributes_max: narrow(limits.attributes_per_span_max),
        events_max: narrow(limits.events_per_span_max),
        links_max: narrow(limits.links_per_span_max),
        spans_per_trace_max: narrow(limits.spans_per_trace_max),
    }
}

fn receive_options(config: &Config) -> suyuan_ingest::Options {
    let wide = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let bytes_per_second = config.limits.tenant_bytes_per_second;
    let rate = Rate { bytes_per_second, burst_bytes: bytes_per_second };
    suyuan_ingest::Options {
        request_bytes_max: wide(config.otlp.body_bytes_max),
        inflated_bytes_max: wide(config.otlp.inflated_bytes_max),
        in_flight_bytes_max: wide(config.otlp.in_flight_bytes_max),
        rate_per_tenant: (bytes_per_second > 0).then_some(rate),
        tenancy: match config.tenancy.enabled {
            true => suyuan_ingest::Tenancy::ByHeader,
            false => suyuan_ingest::Tenancy::Single,
        },
        cors_allowed_origins: config.otlp.cors_allowed_origins.clone(),
        drain_time_max: config.server.drain_wait_max,
        ..suyuan_ingest::Options::default()
    }
}

/// Both doors take both protocols.
fn receive(
    config: &Config,
    otlp_grpc: Door,
    otlp_http: Door,
    lane: &Lane,
    metrics: Metrics,
) -> Service {
    let receiver = Receiver::new(lane.clone(), receive_options(config), metrics);
    let listeners = otlp_grpc.listeners.into_iter().chain(otlp_http.listeners).collect();
    Service::start(listeners, move |listener, stopped| {
        let receiver = receiver.clone();
        async move {
            let drained = suyuan_ingest::serve(listener, receiver, stopped).await;
            if drained.connections_cut > 0 {
                tracing::warn!(
                    connections = drained.connections_cut,
                    "cut connections whose requests did not end within server.drain_wait_max_ms"
                );
            }
        }
    })
}

/// What the lane asks of the rest of the server. Holds the directory's lock too: however a server
/// ends, nobody else comes in before its log is closed.
struct LaneSurroundings {
    store: Store,
    _lock: Arc<DirectoryLock>,
}

impl Surroundings for LaneSurroundings {
    fn publish(&mut self, publication: Publication) {
        self.store.publish(publication);
    }

    fn cut(&mut self, log_end: Option<Position>) {
        self.store.cut(log_end);
    }

    fn trace_rows(&self, tenant: &Tenant, trace_id: TraceId) -> u64 {
        self.store.live_trace_rows(tenant, trace_id)
    }

    fn now_unix_nanos(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
    }

    fn pressure(&self) -> Duration {
        self.store.pressure()
    }
}

/// What the store asks of the lane and the log.
struct Control {
    lane: Lane,
    truncator: Truncator,
    stats: StatsReader,
}

impl LogControl for Control {
    fn request_cut(&self) {
        self.lane.cut();
    }

    fn truncate(&self, before: Position) {
        // What stays is skipped by the next replay, and the next seal tries again.
        if let Err(error) = self.truncator.truncate(before) {
            tracing::warn!(%error, "cannot shorten the log");
        }
    }

    fn appended_bytes(&self) -> u64 {
        self.stats.stats().bytes
    }
}

#[cfg(test)]
mod tests;
