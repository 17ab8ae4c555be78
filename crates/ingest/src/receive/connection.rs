//! One connection: finds out which HTTP it speaks, and serves its requests.
//!
//! In: a socket. Out: nothing but what was written to it; every task of its streams has ended when
//! [`serve`] returns or is dropped. The version is told by the first bytes, as HTTP/2 with prior
//! knowledge begins with a preface that no HTTP/1.1 request begins with.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Error, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::socket::{Phase, Socket};
use super::{Options, Receiver, Submit};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes hyper reads at once. They stay in the processor's cache until they are copied into the
/// buffer of the request.
const READ_BUFFER_BYTES: usize = 128 << 10;

/// What may be on its way on one stream and on one connection before we take it: 1 MiB at 10 ms
/// is 100 MB/s. It is the one memory that is held before the budget is asked, so no more.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const FRAME_BYTES_MAX: u32 = 64 << 10;

/// What the first bytes of a connection said.
struct Opening {
    version: HttpVersion,
    bytes: Bytes,
}

enum HttpVersion {
    Http1,
    Http2,
}

/// The tasks of an HTTP/2 connection's streams; dropping the last handle ends them.
#[derive(Clone, Default)]
struct StreamTasks(Arc<Mutex<JoinSet<()>>>);

/// One more of something as long as it lives.
struct Counted(Gauge);

pub(super) async fn serve<S: Submit>(
    mut stream: TcpStream,
    receiver: Receiver<S>,
    mut stopping: watch::Receiver<bool>,
) {
    // Answers are small and complete: nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let options = &receiver.0.options;
    let opening = tokio::select! {
        () = stopped(&mut stopping) => return,
        opening = read_opening(&mut stream, options) => opening,
    };
    let Some(Opening { version, bytes }) = opening else {
        return;
    };
    let result = match version {
        HttpVersion::Http1 => serve_http1(stream, bytes, &receiver, stopping).await,
        HttpVersion::Http2 => serve_http2(stream, bytes, &receiver, stopping).await,
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error says that the accepting side is gone, which is the same.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Reads as little as tells the version; `None` when the sender has gone or takes too long.
async fn read_opening(stream: &mut TcpStream, options: &Options) -> Option<Opening> {
    let mut bytes = [0; PREFACE.len()];
    let mut n_bytes = 0;
    let mut time_max = options.idle_time_max;
    while n_bytes < PREFACE.len() && PREFACE.starts_with(&bytes[..n_bytes]) {
        let read = timeout(time_max, stream.read(&mut bytes[n_bytes..])).await;
        match read {
            Ok(Ok(0)) | Ok(Err(_)) | Err(_) => return None,
            Ok(Ok(n)) => n_bytes += n,
        }
        time_max = options.header_time_max;
    }
    let version = if &bytes == PREFACE { HttpVersion::Http2 } else { HttpVersion::Http1 };
    Some(Opening { version, bytes: Bytes::copy_from_slice(&bytes[..n_bytes]) })
}

async fn serve_http1<S: Submit>(
    stream: TcpStream,
    opening: Bytes,
    receiver: &Receiver<S>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Error> {
    let options = &receiver.0.options;
    let _counted = Counted::one(receiver.0.metrics.connections("1.1"));
    let phase = Phase::new();
    let times = (options.header_time_max, options.idle_time_max);
    let socket = Socket::watched(stream, opening, phase.clone(), times);
    let service = service_fn(|request: Request<Incoming>| {
        let busy = phase.enter_request();
        async move {
            let reply = receiver.answer(request).await;
            drop(busy);
            Ok::<_, Infallible>(reply)
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(READ_BUFFER_BYTES.max(options.header_bytes_max))
        .max_header_size(options.header_bytes_max)
        // The socket tells an idle connection from a slow header, hyper does not.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stopped(&mut stopping) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn serve_http2<S: Submit>(
    stream: TcpStream,
    opening: Bytes,
    receiver: &Receiver<S>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Error> {
    let options = &receiver.0.options;
    let _counted = Counted::one(receiver.0.metrics.connections("2"));
    let tasks = StreamTasks::default();
    let socket = Socket::unwatched(stream, opening);
    let service = service_fn(|request: Request<Incoming>| {
        let receiver = receiver.clone();
        async move { Ok::<_, Infallible>(receiver.answer(request).await) }
    });
    let connection = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(options.streams_per_connection_max)
        .max_header_list_size(u32::try_from(options.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(options.ping_interval)
        .keep_alive_timeout(options.ping_timeout)
        .serve_connection(TokioIo::new(socket), service);
    let result = {
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    tasks.end().await;
    result
}

impl StreamTasks {
    /// Ends what is left after the connection and waits for it.
    async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

impl<F> Executor<F> for StreamTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(stream);
    }
}

impl Counted {
    fn one(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
