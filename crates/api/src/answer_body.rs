//! An answer on its way out.
//!
//! In: the pieces of a trace. Out: frames of a response body. Each piece is encoded and compressed
//! on a thread for blocking work, one ahead of what the connection has taken: a slow reader makes
//! us wait, holds two pieces of memory and no thread.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use suyuan_wire::answer::Pieces;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::compression::{Compression, Compressor};

/// An answer below this is not worth compressing.
const COMPRESSED_BYTES_MIN: usize = 1_024;

/// The rest of an answer.
struct Work {
    pieces: Pieces,
    compressor: Compressor,
}

/// The next piece, and the work that is left; `None`: that was the last one.
type Step = io::Result<(Vec<u8>, Option<Work>)>;

impl Work {
    fn step(mut self) -> Step {
        loop {
            let Some(piece) = self.pieces.next() else {
                return Ok((self.compressor.finish()?, None));
            };
            let mut out = self.compressor.push(piece)?;
            if self.pieces.is_done() {
                out.extend_from_slice(&self.compressor.finish()?);
                return Ok((out, None));
            }
            if !out.is_empty() {
                return Ok((out, Some(self)));
            }
        }
    }
}

/// An answer whose first piece is encoded.
pub(crate) enum AnswerBody {
    /// The whole answer: its length is known.
    Whole {
        bytes: Vec<u8>,
        compression: Compression,
    },
    Streamed {
        body: StreamedBody,
        compression: Compression,
    },
}

/// Encodes as far as the first piece: for a thread that may work.
///
/// `spawn_blocking` must be callable: on a runtime's thread, its blocking ones included.
pub(crate) fn begin(mut pieces: Pieces, wanted: Compression) -> io::Result<AnswerBody> {
    let first = pieces.next().unwrap_or_default();
    let is_small = pieces.is_done() && first.len() < COMPRESSED_BYTES_MIN;
    let compression = if is_small { Compression::None } else { wanted };
    let mut compressor = Compressor::new(compression)?;
    let mut bytes = compressor.push(first)?;
    if pieces.is_done() {
        bytes.extend_from_slice(&compressor.finish()?);
        return Ok(AnswerBody::Whole { bytes, compression });
    }
    let work = Work { pieces, compressor };
    let body = StreamedBody { first: Some(bytes), next: Some(spawn_blocking(|| work.step())) };
    Ok(AnswerBody::Streamed { body, compression })
}

/// See the module.
pub(crate) struct StreamedBody {
    first: Option<Vec<u8>>,
    next: Option<JoinHandle<Step>>,
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(first.into()))));
        }
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        // A panic while encoding breaks the connection off: the client must not take what it has
        // for the whole.
        let step =
            ready!(Pin::new(next).poll(context)).unwrap_or_else(|e| Err(io::Error::other(e)));
        self.next = None;
        let (bytes, rest) = match step {
            Ok(step) => step,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        self.next = rest.map(|work| spawn_blocking(|| work.step()));
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.next.is_none()
    }
}
