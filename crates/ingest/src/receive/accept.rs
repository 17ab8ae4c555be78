//! Accepts connections until told to stop, then lets them finish.
//!
//! In: a listening socket. Out: one task per connection, every one of which has ended when
//! [`serve`] returns. Never accepts more connections than allowed: one too many is closed at once
//! and counted, where a backlog would leave its sender guessing.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::{Receiver, Submit, connection};
use crate::metrics::CONNECTIONS_MAX;

/// How [`serve`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had a request in flight when the time to drain was over.
    pub connections_cut: usize,
}

/// Without file descriptors `accept` fails at once, again and again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Serves OTLP, gRPC as well as HTTP, on `listener` until `shutdown` is ready. Then it accepts no
/// more, says so to the connections (GOAWAY on HTTP/2), lets requests in flight finish within
/// `drain_time_max`, cuts what is left, and returns.
pub async fn serve<S: Submit>(
    listener: TcpListener,
    receiver: Receiver<S>,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Err(error) => wait_out(&error).await,
                Ok((stream, peer)) => {
                    let Ok(permit) = receiver.0.connections.clone().try_acquire_owned() else {
                        receiver.0.metrics.refused_connection(CONNECTIONS_MAX);
                        tracing::debug!(%peer, "connection closed: connections_max is reached");
                        continue;
                    };
                    let receiver = receiver.clone();
                    let stopping = stopping.clone();
                    connections.spawn(async move {
                        connection::serve(stream, receiver, stopping).await;
                        drop(permit);
                    });
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drain = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    let drained = timeout(receiver.0.options.drain_time_max, drain).await;
    let connections_cut = if drained.is_ok() { 0 } else { connections.len() };
    connections.shutdown().await;
    Drained { connections_cut }
}

async fn wait_out(error: &io::Error) {
    // The sender has gone before we came: nothing is wrong here.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept a connection; trying again");
    sleep(ACCEPT_RETRY).await;
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
