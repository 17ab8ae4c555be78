//! What every request needs, handed in by the program.
//!
//! In: a store, counters, texts. Out: [`ApiState`], cloned for each request. Nothing here is read
//! from files or the environment.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::registry::Registry;
use suyuan_store::Store;
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::questions::{QueryOptions, Questions};
use crate::tenancy::Tenancy;

/// How the API works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub tenancy: Tenancy,
    /// A request that has no answer after this long is told so; a client that takes nothing of
    /// its answer for this long is given up.
    pub request_timeout: Duration,
    /// Lookups that are read and encoded at the same time; others wait.
    pub lookups_max: usize,
    /// Large answers that are on their way at the same time, each with its rows in memory; further
    /// ones are refused.
    pub streams_max: usize,
    /// Open connections; further ones wait to be accepted.
    pub connections_max: usize,
    /// How long answers may still take when the server stops.
    pub drain_timeout: Duration,
    /// Searches, and questions about tags.
    pub query: QueryOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tenancy: Tenancy::Off,
            request_timeout: Duration::from_secs(30),
            lookups_max: 8,
            streams_max: 16,
            connections_max: 4_096,
            drain_timeout: Duration::from_secs(10),
            query: QueryOptions::default(),
        }
    }
}

const TAKEN_OVER: &str = "another server has taken over the log, so this one must be stopped";

/// Which build this is.
#[derive(Clone, Debug, Default)]
pub struct BuildInfo {
    /// Suyuan's own version.
    pub version: String,
    /// The commit it was built from; empty if unknown.
    pub revision: String,
    /// When it was built, as text; empty if unknown.
    pub build_date: String,
}

/// Whether questions are answered; set by the program, read by every request.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<RwLock<State>>);

#[derive(Clone, Debug)]
enum State {
    NotYet(Arc<str>),
    Ready,
    Failed(Arc<str>),
    Stopping,
}

impl Readiness {
    /// Not ready, because of `reason`, such as "replaying the log".
    pub fn not_yet(reason: &str) -> Self {
        Self(Arc::new(RwLock::new(State::NotYet(reason.into()))))
    }

    /// Still not ready; `reason` may say how far it is.
    pub fn set_not_yet(&self, reason: &str) {
        self.set(State::NotYet(reason.into()));
    }

    pub fn set_ready(&self) {
        self.set(State::Ready);
    }

    /// Something broke that a restart heals. Questions are still answered.
    pub fn set_failed(&self, reason: &str) {
        self.set(State::Failed(reason.into()));
    }

    /// Requests are still answered, but load balancers should look elsewhere.
    pub fn set_stopping(&self) {
        self.set(State::Stopping);
    }

    /// Why `/ready` says no.
    pub(crate) fn reason(&self) -> Option<String> {
        match self.get() {
            State::NotYet(reason) | State::Failed(reason) => Some(format!("not ready: {reason}")),
            State::Ready => None,
            State::Stopping => Some("not ready: stopping".to_owned()),
        }
    }

    /// Why answers would be incomplete.
    pub(crate) fn incomplete_because(&self) -> Option<Arc<str>> {
        match self.get() {
            State::NotYet(reason) => Some(reason),
            State::Ready | State::Failed(_) | State::Stopping => None,
        }
    }

    fn get(&self) -> State {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: State) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// What requests share.
#[derive(Clone)]
pub struct ApiState {
    pub(crate) store: Store,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    pub(crate) build: Arc<BuildInfo>,
    pub(crate) configuration: Arc<str>,
    pub(crate) options: Options,
    pub(crate) lookups: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) questions: Arc<Questions>,
}

impl ApiState {
    /// Why `/ready` says no. A server whose log belongs to another one must not get requests.
    pub(crate) fn unready_because(&self) -> Option<String> {
        let fenced = || self.store.fenced().map(|why| format!("not ready: {TAKEN_OVER}: {why}"));
        self.readiness.reason().or_else(fenced)
    }

    /// Refuses while a part of what was acknowledged cannot be seen yet.
    pub(crate) fn check_complete(&self) -> Result<(), ApiError> {
        match self.readiness.incomplete_because() {
            Some(reason) => Err(ApiError::NotReady(reason.to_string())),
            None => Ok(()),
        }
    }

    /// Nanoseconds since 1970 by this machine's clock.
    pub(crate) fn now_unix_nanos(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Starts the threads that answer questions.
    ///
    /// `registry`: everything that `/metrics` shows, `metrics` included. `configuration`: what
    /// `/status/config` shows, without secrets.
    pub fn new(
        store: Store,
        registry: Arc<Registry>,
        metrics: Metrics,
        readiness: Readiness,
        build: BuildInfo,
        configuration: &str,
        options: Options,
    ) -> io::Result<Self> {
        let questions = Questions::start(options.query, metrics.clone())?;
        Ok(Self {
            store,
            registry,
            metrics,
            readiness,
            build: Arc::new(build),
            configuration: configuration.into(),
            options,
            lookups: Arc::new(Semaphore::new(options.lookups_max)),
            streams: Arc::new(Semaphore::new(options.streams_max)),
            questions: Arc::new(questions),
        })
    }
}
