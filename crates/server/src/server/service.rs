//! The tasks behind some doors, which end together.
//!
//! In: listeners, and what serves one of them until it is told to stop. Out: a handle that stops
//! them all and waits until every one has ended.

use std::future::Future;
use std::pin::Pin;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Ready when the service is asked to stop, or is dropped.
pub(super) type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Service {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Service {
    pub(super) fn start<F>(
        listeners: Vec<TcpListener>,
        mut serve: impl FnMut(TcpListener, Stopped) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(serve(listener, Box::pin(stopped(stopping.clone()))));
        }
        Self { stop, tasks }
    }

    /// Asks every task to end and waits for all of them.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a door ended badly");
            }
        }
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error says that the sender is gone, and the service with it.
    let _ = stopping.wait_for(|stop| *stop).await;
}
