//! Connections of the asking port: accepted up to a limit, served in the protocol they speak,
//! drained at the end.
//!
//! In: a listener and a router. Out: when `shutdown` is done and every answer is out, or the time
//! for that is over, it returns. Every connection's task is owned here and ends before this does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::metrics::Metrics;
use crate::state::Options;

/// A connection that has not sent a byte after this long is closed.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(60);
/// A request head must be complete after this long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Quiet HTTP/2 connections are asked whether somebody is there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const STREAMS_PER_CONNECTION_MAX: u32 = 256;
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// After a failed accept (no file descriptors left, say) the next one waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` is done.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    metrics: Metrics,
    options: Options,
    shutdown: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(options.connections_max));
    let graceful = GracefulShutdown::new();
    let (stopping, is_stopping) = watch::channel(());
    let builder = Arc::new(builder());
    tokio::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let connection = Connection {
            builder: builder.clone(),
            router: router.clone(),
            metrics: metrics.clone(),
            watcher: graceful.watcher(),
            is_stopping: is_stopping.clone(),
            place,
        };
        connections.spawn(connection.serve(stream));
    }
    drop((listener, stopping));
    if timeout(options.drain_timeout, graceful.shutdown()).await.is_err() {
        let n_connections = connections.len();
        tracing::warn!(n_connections, "answers were cut off: the time for draining is over");
    }
    connections.shutdown().await;
}

/// A connection and the right to serve it. Clients beyond the limit wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .adaptive_window(true);
    builder
}

struct Connection {
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Router,
    metrics: Metrics,
    watcher: Watcher,
    /// Closed when the server stops.
    is_stopping: watch::Receiver<()>,
    place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream) {
        self.metrics.connections.inc();
        let gauge = self.metrics.connections.clone();
        let _leaves = OnDrop(move || _ = gauge.dec());
        let _place = self.place;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its small packets back");
        }
        // The builder finds out the protocol without a time limit of its own.
        let mut first_byte = [0];
        let has_spoken = tokio::select! {
            spoken = timeout(FIRST_BYTE_TIMEOUT, stream.peek(&mut first_byte)) => {
                matches!(spoken, Ok(Ok(1..)))
            }
            _ = self.is_stopping.changed() => false,
        };
        if !has_spoken {
            return;
        }
        let service = TowerToHyperService::new(self.router);
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = self.watcher.watch(connection.into_owned()).await {
            tracing::debug!(%error, "a connection broke off");
        }
    }
}

/// Runs when it is dropped, also when its task is aborted.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
