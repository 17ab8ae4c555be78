//! An answer on its way out.
//!
//! In: the pieces of a trace. Out: frames of a response body. Each piece is encoded and compressed
//! on a thread for blocking work, at most two ahead of what the connection has taken: a slow
//! reader holds memory for that and no thread. One that reads nothing for too long is given up,
//! and its connection breaks off: it must not take what it has for the whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use suyuan_wire::answer::Pieces;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::compression::{Compression, Compressor};

/// An answer below this is not worth compressing.
const COMPRESSED_BYTES_MIN: usize = 1_024;

/// An answer whose first piece is encoded.
pub(crate) enum Begun {
    /// The whole answer: its length is known.
    Whole {
        bytes: Vec<u8>,
        compression: Compression,
    },
    Partly {
        first: Vec<u8>,
        rest: Box<Rest>,
        compression: Compression,
    },
}

/// What is left of an answer.
pub(crate) struct Rest {
    pieces: Pieces,
    compressor: Compressor,
}

/// Encodes as far as the first piece: CPU work.
pub(crate) fn begin(mut pieces: Pieces, wanted: Compression) -> io::Result<Begun> {
    let first = pieces.next().unwrap_or_default();
    let is_small = pieces.is_done() && first.len() < COMPRESSED_BYTES_MIN;
    let compression = if is_small { Compression::None } else { wanted };
    let mut compressor = Compressor::new(compression)?;
    let mut bytes = compressor.push(first)?;
    if pieces.is_done() {
        bytes.extend_from_slice(&compressor.finish()?);
        return Ok(Begun::Whole { bytes, compression });
    }
    let rest = Box::new(Rest { pieces, compressor });
    Ok(Begun::Partly { first: bytes, rest, compression })
}

impl Rest {
    /// The next bytes, and what is left then; `None`: those were the last.
    fn step(mut self: Box<Self>) -> io::Result<(Vec<u8>, Option<Box<Self>>)> {
        loop {
            let Some(piece) = self.pieces.next() else {
                return Ok((self.compressor.finish()?, None));
            };
            let mut bytes = self.compressor.push(piece)?;
            if self.pieces.is_done() {
                bytes.extend_from_slice(&self.compressor.finish()?);
                return Ok((bytes, None));
            }
            if !bytes.is_empty() {
                return Ok((bytes, Some(self)));
            }
        }
    }
}

enum Part {
    More(Vec<u8>),
    Last(Vec<u8>),
}

/// See the module.
pub(crate) struct StreamedBody {
    parts: mpsc::Receiver<Part>,
    encoding: JoinHandle<io::Result<()>>,
    is_whole: bool,
}

impl StreamedBody {
    /// `stall_timeout`: how long a reader may take nothing. `permit` is given back when the answer
    /// is out or given up. Must be called in a runtime.
    pub(crate) fn spawn(
        first: Vec<u8>,
        rest: Box<Rest>,
        stall_timeout: Duration,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let (sender, parts) = mpsc::channel(1);
        let encoding = tokio::spawn(async move {
            let _permit = permit;
            encode(first, rest, stall_timeout, sender).await
        });
        Self { parts, encoding, is_whole: false }
    }
}

async fn encode(
    first: Vec<u8>,
    rest: Box<Rest>,
    stall_timeout: Duration,
    sender: mpsc::Sender<Part>,
) -> io::Result<()> {
    let mut part = Part::More(first);
    let mut rest = Some(rest);
    loop {
        let sent = timeout(stall_timeout, sender.send(part)).await;
        let Ok(sent) = sent else {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading"));
        };
        // Nobody listens, or everything is said.
        let (Ok(()), Some(work)) = (sent, rest) else { return Ok(()) };
        let (bytes, left) = spawn_blocking(|| work.step()).await.map_err(io::Error::other)??;
        part = if left.is_some() { Part::More(bytes) } else { Part::Last(bytes) };
        rest = left;
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_whole {
            return Poll::Ready(None);
        }
        let bytes = match ready!(self.parts.poll_recv(context)) {
            Some(Part::More(bytes)) => bytes,
            Some(Part::Last(bytes)) => {
                self.is_whole = true;
                bytes
            }
            None => {
                let ended = ready!(Pin::new(&mut self.encoding).poll(context));
                let error = match ended {
                    Ok(Ok(())) => io::Error::other("the answer was given up"),
                    Ok(Err(error)) => error,
                    Err(panic) => io::Error::other(panic),
                };
                self.is_whole = true;
                tracing::warn!(%error, "a streamed answer was broken off");
                return Poll::Ready(Some(Err(error)));
            }
        };
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_whole
    }
}

impl Drop for StreamedBody {
    fn drop(&mut self) {
        self.encoding.abort();
    }
}
