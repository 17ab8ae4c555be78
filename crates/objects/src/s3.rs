//! Objects in an S3-style store.
//!
//! In: a bucket, and the handle of a runtime that does the network's work. Out: `Objects`. Calls
//! block the thread that makes them until the runtime has done the work. They belong on threads
//! that may wait; made from a task of a runtime they cost it a worker meanwhile, but end. Requests
//! are repeated below here, with growing pauses: reads and overwrites always, creations after a 5xx
//! and after a broken connection, so a creation may find its own object.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::HeaderValue;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    RetryConfig,
};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinHandle, block_in_place};

use crate::path::{check_folder, check_object, join};
use crate::{Created, ObjectError, ObjectInfo, ObjectWriter, Objects};

mod writer;

use writer::S3Writer;

/// Retries and time limits of single requests end a call long before; this ends one whose runtime
/// does not run.
const CALL_TIME_MAX: Duration = Duration::from_secs(300);

/// The object that is written to learn the time.
const CLOCK: &str = "clock";

/// Who says it is asking.
const USER_AGENT: &str = concat!("suyuan/", env!("CARGO_PKG_VERSION"));

/// Where the bucket is and how to reach it.
#[derive(Clone)]
pub struct S3Options {
    /// Name of the bucket. It must exist.
    pub bucket: String,
    /// Folder within the bucket; empty: all of it.
    pub prefix: String,
    /// URL of the store; without one, Amazon's of the region, or `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
    /// Without one, `AWS_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// Without one, `AWS_ACCESS_KEY_ID`, else what the machine or container is given by the cloud.
    pub access_key_id: Option<String>,
    /// Without one, `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<String>,
    /// Whether the endpoint may be plain HTTP: keys are safe then, bytes can be read underway.
    pub allow_http: bool,
    /// Whether the bucket stands in the host name instead of the path.
    pub virtual_hosted: bool,
    /// To connect.
    pub connect_timeout: Duration,
    /// For one request with its answer's body.
    pub request_timeout: Duration,
    /// How often a request is repeated.
    pub retries_max: usize,
    /// How long after its first try a request is still repeated. Its signature lasts 5 minutes.
    pub retry_time_max: Duration,
    /// Objects that are written bit by bit go in parts of so many bytes, 5 MiB at least. A store
    /// takes 10,000 parts.
    pub part_bytes: usize,
    /// So many parts are on their way at once; each, and the one being filled, is held in memory.
    pub parts_in_flight_max: usize,
}

impl S3Options {
    /// A bucket, with everything else as it should be for most.
    pub fn for_bucket(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: String::new(),
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key: None,
            allow_http: false,
            virtual_hosted: false,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            retries_max: 6,
            retry_time_max: Duration::from_secs(60),
            part_bytes: 8 * 1024 * 1024,
            parts_in_flight_max: 3,
        }
    }
}

impl fmt::Debug for S3Options {
    /// Without the secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = formatter.debug_struct("S3Options");
        text.field("bucket", &self.bucket).field("prefix", &self.prefix);
        text.field("endpoint", &self.endpoint).field("region", &self.region);
        text.finish_non_exhaustive()
    }
}

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum S3OptionsError {
    /// The prefix cannot be a folder.
    #[error("prefix of the bucket: {0}")]
    Prefix(ObjectError),
    /// A call from a task of a runtime of one thread would wait for itself.
    #[error("the object store needs a runtime of several threads")]
    OneThread,
    /// The options contradict each other or are incomplete.
    #[error("bucket `{bucket}`: {source}")]
    Unusable {
        /// Name of the bucket.
        bucket: String,
        /// What is wrong.
        source: object_store::Error,
    },
}

/// A store in a bucket. A clone is another handle to it.
#[derive(Clone)]
pub struct S3Objects {
    bucket: Bucket,
    prefix: String,
    part_bytes: usize,
    parts_in_flight_max: usize,
}

impl S3Objects {
    /// Opens no connection yet. `runtime` must have several threads, and its clock and its network
    /// enabled.
    pub fn new(options: &S3Options, runtime: Handle) -> Result<Self, S3OptionsError> {
        check_folder(&options.prefix).map_err(S3OptionsError::Prefix)?;
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return Err(S3OptionsError::OneThread);
        }
        let client = ClientOptions::new()
            .with_user_agent(HeaderValue::from_static(USER_AGENT))
            .with_allow_http(options.allow_http)
            .with_connect_timeout(options.connect_timeout)
            .with_timeout(options.request_timeout);
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: options.retries_max,
            retry_timeout: options.retry_time_max,
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&options.bucket)
            .with_virtual_hosted_style_request(options.virtual_hosted)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(client)
            .with_retry(retry);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &options.region {
            builder = builder.with_region(region);
        }
        if let Some(key) = &options.access_key_id {
            builder = builder.with_access_key_id(key);
        }
        if let Some(key) = &options.secret_access_key {
            builder = builder.with_secret_access_key(key);
        }
        let unusable = |source| S3OptionsError::Unusable { bucket: options.bucket.clone(), source };
        let store = builder.build().map_err(unusable)?;
        Ok(Self {
            bucket: Bucket { store: Arc::new(store), runtime },
            prefix: options.prefix.clone(),
            part_bytes: options.part_bytes,
            parts_in_flight_max: options.parts_in_flight_max,
        })
    }

    /// The key of an object.
    fn key(&self, path: &str) -> Result<Path, ObjectError> {
        check_object(path)?;
        Ok(Path::from(join(&self.prefix, path)))
    }

    /// What the keys of all objects of a folder begin with.
    fn folder_key(&self, folder: &str) -> Result<Option<Path>, ObjectError> {
        check_folder(folder)?;
        let key = match (self.prefix.as_str(), folder) {
            ("", "") => return Ok(None),
            (prefix, "") => prefix.to_owned(),
            (prefix, folder) => join(prefix, folder),
        };
        Ok(Some(Path::from(key)))
    }

    /// `None` if it is no object of ours: another program uses the bucket too.
    fn info(&self, meta: &ObjectMeta) -> Option<ObjectInfo> {
        let path = meta.location.as_ref();
        let path = match self.prefix.as_str() {
            "" => path,
            prefix => path.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        check_object(path).ok()?;
        let nanos = meta.last_modified.timestamp_nanos_opt().unwrap_or_default();
        let modified_unix_nanos = u64::try_from(nanos).unwrap_or_default();
        Some(ObjectInfo { path: path.to_owned(), bytes: meta.size, modified_unix_nanos })
    }

    fn metas(&self, folder: &str) -> Result<Vec<ObjectMeta>, ObjectError> {
        let key = self.folder_key(folder)?;
        let listed =
            self.bucket.wait(|store| async move { store.list(key.as_ref()).try_collect().await });
        listed.map_err(|error| ObjectError::failed("list", folder, error))
    }
}

impl Objects for S3Objects {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        let key = self.key(path)?;
        let put =
            self.bucket.wait(|store| async move { store.put(&key, bytes.into()).await.map(drop) });
        put.map_err(|error| ObjectError::failed("write", path, error))
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError> {
        let key = self.key(path)?;
        let created = self.bucket.wait(|store| async move {
            let options = PutOptions::from(PutMode::Create);
            match store.put_opts(&key, bytes.into(), options).await {
                Ok(_) => Ok(Created::New),
                Err(error) if says_exists(&error) => Ok(Created::Exists),
                Err(error) => Err(error),
            }
        });
        // Whatever the last answer was, an earlier try may have taken effect.
        created.map_err(|error| ObjectError::unsettled(path, error))
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        let key = self.key(path)?;
        Ok(Box::new(S3Writer::new(self, path.to_owned(), key)))
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError> {
        let key = self.key(path)?;
        let bytes = self.bucket.wait(|store| async move { store.get(&key).await?.bytes().await });
        absent_is_none(bytes).map_err(|error| ObjectError::failed("read", path, error))
    }

    fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ObjectError> {
        let key = self.key(path)?;
        if let Some(range) = ranges.iter().find(|range| range.start > range.end) {
            return Err(ObjectError::bad_range(path, range));
        }
        // S3 has no way to ask for nothing.
        let asked: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
        let fetched = match asked.is_empty() {
            true => Ok(Vec::new()),
            false => self.bucket.wait(|store| async move { store.get_ranges(&key, &asked).await }),
        };
        let fetched = absent_is_none(fetched)
            .map_err(|error| ObjectError::failed("read", path, error))?
            .ok_or_else(|| ObjectError::Absent { path: path.to_owned() })?;
        let mut fetched = fetched.into_iter();
        let exact = |range: &Range<u64>| {
            let bytes = if range.is_empty() { Some(Bytes::new()) } else { fetched.next() };
            bytes
                .filter(|bytes| bytes.len() as u64 == range.end - range.start)
                .ok_or_else(|| ObjectError::bad_range(path, range))
        };
        ranges.iter().map(exact).collect()
    }

    fn head(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        let key = self.key(path)?;
        let meta = self.bucket.wait(|store| async move { store.head(&key).await });
        let meta = absent_is_none(meta);
        let meta = meta.map_err(|error| ObjectError::failed("look at", path, error))?;
        Ok(meta.and_then(|meta| self.info(&meta)))
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, ObjectError> {
        let metas = self.metas(folder)?;
        let mut found: Vec<_> = metas.iter().filter_map(|meta| self.info(meta)).collect();
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        let key = self.key(path)?;
        let deleted = self.bucket.wait(|store| async move { store.delete(&key).await });
        let deleted = absent_is_none(deleted);
        deleted.map(drop).map_err(|error| ObjectError::failed("delete", path, error))
    }

    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError> {
        check_object(folder)?;
        let keys: Vec<_> = self.metas(folder)?.into_iter().map(|meta| meta.location).collect();
        let deleted = self.bucket.wait(|store| async move {
            let mut deleted = store.delete_stream(stream::iter(keys.into_iter().map(Ok)).boxed());
            while let Some(deleted) = deleted.next().await {
                match deleted {
                    Err(object_store::Error::NotFound { .. }) => {}
                    other => drop(other?),
                }
            }
            Ok(())
        });
        deleted.map_err(|error| ObjectError::failed("delete", folder, error))
    }

    fn now_unix_nanos(&self) -> Result<u64, ObjectError> {
        self.put(CLOCK, Bytes::from_static(b"the time of this object is the time\n"))?;
        let info = self.head(CLOCK)?;
        let info = info.ok_or_else(|| ObjectError::Absent { path: CLOCK.to_owned() })?;
        Ok(info.modified_unix_nanos)
    }
}

/// The store below, and who runs its requests.
#[derive(Clone)]
struct Bucket {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
}

impl Bucket {
    fn wait<T: Send + 'static, F>(
        &self,
        call: impl FnOnce(Arc<dyn ObjectStore>) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        self.start(call(Arc::clone(&self.store))).wait()
    }

    /// Starts work that goes on while the caller does something else.
    fn start<T: Send + 'static>(
        &self,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Pending<T> {
        let (sender, result) = sync_channel(1);
        let task = self.runtime.spawn(async move {
            // Nobody listens if the caller has given up.
            let _ = sender.send(work.await);
        });
        Pending { result, task }
    }
}

/// Work on the runtime. Dropped, it is given up.
struct Pending<T> {
    result: Receiver<object_store::Result<T>>,
    task: JoinHandle<()>,
}

impl<T> Pending<T> {
    fn wait(self) -> Result<T, CallError> {
        let receive = || self.result.recv_timeout(CALL_TIME_MAX);
        // On a worker of a runtime the task might be queued behind this very call: let another
        // thread take the queue over. A runtime of one thread is not ours, see `S3Objects::new`.
        let has_workers = Handle::try_current()
            .is_ok_and(|current| current.runtime_flavor() == RuntimeFlavor::MultiThread);
        match if has_workers { block_in_place(receive) } else { receive() } {
            Ok(result) => result.map_err(CallError::Store),
            Err(RecvTimeoutError::Timeout) => Err(CallError::NoAnswer),
            Err(RecvTimeoutError::Disconnected) => Err(CallError::Ended),
        }
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Store(object_store::Error),
    #[error(
        "no answer within {} seconds: the runtime of the object store is overloaded",
        CALL_TIME_MAX.as_secs()
    )]
    NoAnswer,
    #[error("the runtime of the object store has ended, or the call panicked")]
    Ended,
}

/// Whether the store said that its condition failed. `AlreadyExists` alone does not: S3 answers 409
/// where another creation is under way, which may yet fail, and that is called so too.
fn says_exists(error: &object_store::Error) -> bool {
    use object_store::Error::{AlreadyExists, NotModified, Precondition};
    let AlreadyExists { source, .. } = error else { return false };
    let refused = source.downcast_ref::<object_store::Error>();
    matches!(refused, Some(Precondition { .. } | NotModified { .. }))
}

fn absent_is_none<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(CallError::Store(object_store::Error::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}
