//! A socket that gives up on who takes too long over the headers of a request.
//!
//! In: a TCP stream, the bytes already read from it, and the phase its connection is in. Out: the
//! same bytes, or `TimedOut`. Bodies are not its business, `body` watches those.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

pub(super) struct Socket {
    stream: TcpStream,
    /// Read before, to be read again.
    opening: Bytes,
    watch: Option<Watch>,
}

/// What an HTTP/1.1 connection is doing; shared between the socket and the service.
#[derive(Clone, Debug)]
pub(super) struct Phase(Arc<AtomicU8>);

/// Says that a request is being answered, until it is dropped.
pub(super) struct Busy(Phase);

struct Watch {
    phase: Phase,
    watched: u8,
    deadline: Pin<Box<Sleep>>,
    header_time_max: Duration,
    idle_time_max: Duration,
}

/// No byte of the next request has come.
const IDLE: u8 = 0;
/// Some of its headers have.
const HEADERS: u8 = 1;
/// A request is being read or answered.
const REQUEST: u8 = 2;

impl Phase {
    /// A connection of which the first bytes have come.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEADERS)))
    }

    pub(super) fn enter_request(&self) -> Busy {
        self.0.store(REQUEST, Ordering::Relaxed);
        Busy(self.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.store(IDLE, Ordering::Relaxed);
    }
}

impl Socket {
    /// `times`: how long headers may take, and how long there may be no request.
    pub(super) fn watched(
        stream: TcpStream,
        opening: Bytes,
        phase: Phase,
        times: (Duration, Duration),
    ) -> Self {
        let (header_time_max, idle_time_max) = times;
        let deadline = Box::pin(sleep(header_time_max));
        let watch = Watch { phase, watched: HEADERS, deadline, header_time_max, idle_time_max };
        Self { stream, opening, watch: Some(watch) }
    }

    pub(super) fn unwatched(stream: TcpStream, opening: Bytes) -> Self {
        Self { stream, opening, watch: None }
    }
}

impl Watch {
    /// Bytes have come: if they begin a request, its headers must follow in time.
    fn saw_bytes(&mut self) {
        if self.phase.0.load(Ordering::Relaxed) == IDLE {
            self.phase.0.store(HEADERS, Ordering::Relaxed);
            self.arm(HEADERS, self.header_time_max);
        }
    }

    /// No bytes are there: ready when there should be.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let phase = self.phase.0.load(Ordering::Relaxed);
        if phase == REQUEST {
            return Poll::Pending;
        }
        if phase != self.watched {
            self.arm(IDLE, self.idle_time_max);
        }
        self.deadline.as_mut().poll(context)
    }

    fn arm(&mut self, phase: u8, time_max: Duration) {
        self.watched = phase;
        self.deadline.as_mut().reset(Instant::now() + time_max);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.opening.is_empty() {
            let n_bytes = self.opening.len().min(buffer.remaining());
            buffer.put_slice(&self.opening[..n_bytes]);
            self.opening.advance(n_bytes);
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(watch) = &mut self.watch else {
            return read;
        };
        match read {
            Poll::Ready(result) => {
                watch.saw_bytes();
                Poll::Ready(result)
            }
            Poll::Pending => {
                ready!(watch.poll_overdue(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
