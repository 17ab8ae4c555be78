//! The object store as the configuration says: a folder of the data directory, or a bucket.
//!
//! In: a [`Config`]. Out: `Objects`, with a cache before a bucket, and the cache's numbers on
//! `/metrics` as `suyuan_objects_cache_...`. Which objects there are is decided elsewhere.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use suyuan_objects::{CachedObjects, LocalObjects, Objects, S3Objects};
use suyuan_wal::LocalDisk;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::{OBJECTS_FOLDER, StartError};
use crate::config::Config;
use crate::config::storage::ObjectsKind;

/// The store, and its cache if it has one.
pub(crate) struct OpenedObjects {
    pub(crate) objects: Arc<dyn Objects>,
    cache: Option<Arc<CachedObjects>>,
}

/// Opens the store to write to it: the data directory is locked.
pub(super) async fn open(config: &Config) -> Result<OpenedObjects, StartError> {
    match config.objects.kind {
        ObjectsKind::S3 => {
            let bucket = S3Objects::new(&config.objects.s3_options(), Handle::current())?;
            let bytes_max = config.objects.cache_bytes_max;
            let cache = Arc::new(CachedObjects::new(Arc::new(bucket), bytes_max));
            Ok(OpenedObjects { objects: cache.clone(), cache: Some(cache) })
        }
        ObjectsKind::Local => {
            let path = config.server.data_dir.join(OBJECTS_FOLDER);
            let open = move || open_local(&path);
            spawn_blocking(open).await.map_err(StartError::Panicked)?
        }
    }
}

fn open_local(path: &Path) -> Result<OpenedObjects, StartError> {
    let disk = LocalDisk::create(path)
        .map_err(|error| StartError::Directory { path: path.to_owned(), error })?;
    let objects = LocalObjects::open(Arc::new(disk))
        .map_err(|error| StartError::Objects { place: path.display().to_string(), error })?;
    Ok(OpenedObjects { objects: Arc::new(objects), cache: None })
}

impl OpenedObjects {
    /// Makes the cache's numbers part of what `/metrics` shows.
    pub(super) fn register(&self, registry: &mut Registry) {
        if let Some(cache) = &self.cache {
            registry.register_collector(Box::new(CacheMetrics(cache.clone())));
        }
    }
}

struct CacheMetrics(Arc<CachedObjects>);

impl fmt::Debug for CacheMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CacheMetrics").field(&self.0.stats()).finish()
    }
}

impl Collector for CacheMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let counters = [
            ("hits", "Parts of blocks that came from memory.", None, stats.hits),
            ("misses", "Parts of blocks that the bucket was asked for.", None, stats.misses),
            ("hit", "Bytes that came from memory.", Some(Unit::Bytes), stats.hit_bytes),
            ("miss", "Bytes that came from the bucket.", Some(Unit::Bytes), stats.miss_bytes),
        ];
        for (name, help, unit, value) in counters {
            let name = format!("suyuan_objects_cache_{name}");
            let metric =
                encoder.encode_descriptor(&name, help, unit.as_ref(), MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        let (name, help) = ("suyuan_objects_cache_held", "Memory of what is kept of the bucket.");
        let metric =
            encoder.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?;
        ConstGauge::new(stats.held_bytes).encode(metric)
    }
}
