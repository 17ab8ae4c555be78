//! An answer on its way out.
//!
//! In: the pieces of an answer. Out: frames of a response body. Each piece is encoded and compressed
//! on a thread that ingest goes before, at most two ahead of what the connection has taken: a slow
//! reader holds memory for that and no thread. One that reads nothing for too long is given up,
//! and its connection breaks off: it must not take what it has for the whole.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http_body::{Body, Frame};
use suyuan_query::Workers;
use suyuan_wire::answer::{Encoding, Pieces};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::compression::{Compression, Compressor};
use crate::error::ApiError;
use crate::state::ApiState;

/// An answer below this is not worth compressing.
const COMPRESSED_BYTES_MIN: usize = 1_024;

/// An answer that is encoded as far as it was asked for.
pub(crate) trait Encode: Send {
    /// CPU work of about a millisecond; `None`: that was all.
    fn next_piece(&mut self) -> Option<Vec<u8>>;

    /// Whether the last piece has been handed out.
    fn is_done(&self) -> bool;

    /// Memory of what is not sent yet, as far as it counts against what questions may hold.
    fn held_bytes(&self) -> usize {
        0
    }
}

impl Encode for Pieces {
    fn next_piece(&mut self) -> Option<Vec<u8>> {
        self.next()
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }
}

/// An answer that is one piece.
pub(crate) struct Whole(Option<Vec<u8>>);

impl Whole {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Some(bytes))
    }
}

impl Encode for Whole {
    fn next_piece(&mut self) -> Option<Vec<u8>> {
        self.0.take()
    }

    fn is_done(&self) -> bool {
        self.0.is_none()
    }
}

/// An answer whose first piece is encoded.
pub(crate) enum Begun {
    /// The whole answer: its length is known.
    Whole { bytes: Vec<u8>, compression: Compression },
    Partly {
        first: Vec<u8>,
        rest: Box<Rest>,
        /// As [`Encode::held_bytes`].
        held_bytes: usize,
        compression: Compression,
    },
}

/// What is left of an answer.
pub(crate) struct Rest {
    pieces: Box<dyn Encode>,
    compressor: Compressor,
}

/// Encodes as far as the first piece: CPU work.
pub(crate) fn begin(mut pieces: Box<dyn Encode>, wanted: Compression) -> io::Result<Begun> {
    let first = pieces.next_piece().unwrap_or_default();
    let is_small = pieces.is_done() && first.len() < COMPRESSED_BYTES_MIN;
    let compression = if is_small { Compression::None } else { wanted };
    let mut compressor = Compressor::new(compression)?;
    let mut bytes = compressor.push(first)?;
    if pieces.is_done() {
        bytes.extend_from_slice(&compressor.finish()?);
        return Ok(Begun::Whole { bytes, compression });
    }
    let held_bytes = pieces.held_bytes();
    let rest = Box::new(Rest { pieces, compressor });
    Ok(Begun::Partly { first: bytes, rest, held_bytes, compression })
}

impl Rest {
    /// The next bytes, and what is left then; `None`: those were the last.
    fn step(mut self: Box<Self>) -> io::Result<(Vec<u8>, Option<Box<Self>>)> {
        loop {
            let Some(piece) = self.pieces.next_piece() else {
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

/// Which encoding a client wants: by substring, in Tempo's order; whatever else is asked for is
/// answered in JSON.
pub(crate) fn encoding_for(headers: &HeaderMap) -> Encoding {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accept = values.collect::<Vec<_>>().join(",");
    if accept.contains("application/protobuf") { Encoding::Protobuf } else { Encoding::Json }
}

/// The answer that has begun, as a response.
pub(crate) fn with_body(
    begun: Begun,
    encoding: Encoding,
    state: &ApiState,
) -> Result<Response, ApiError> {
    let (body, compression) = match begun {
        Begun::Whole { bytes, compression } => (body::Body::from(bytes), compression),
        Begun::Partly { first, rest, held_bytes, compression } => {
            let streams = state.streams.clone();
            let permit = streams.try_acquire_owned().map_err(|_| ApiError::TooManyStreams)?;
            let permits = [permit, state.questions.hold(held_bytes)?];
            let stall_timeout = state.options.request_timeout;
            let encoders = state.questions.encoders();
            let streamed = StreamedBody::spawn(first, rest, stall_timeout, permits, encoders);
            (body::Body::new(streamed), compression)
        }
    };
    let content_type = match encoding {
        Encoding::Protobuf => "application/protobuf",
        Encoding::Json => "application/json",
    };
    let mut response = ([(CONTENT_TYPE, content_type)], body).into_response();
    if let Some(content_encoding) = compression.content_encoding() {
        response.headers_mut().insert(CONTENT_ENCODING, content_encoding);
    }
    Ok(response)
}

/// See the module.
pub(crate) struct StreamedBody {
    parts: mpsc::Receiver<Part>,
    encoding: JoinHandle<io::Result<()>>,
    is_whole: bool,
}

impl StreamedBody {
    /// `stall_timeout`: how long a reader may take nothing. `permits` are given back when the
    /// answer is out or given up. Must be called in a runtime.
    pub(crate) fn spawn(
        first: Vec<u8>,
        rest: Box<Rest>,
        stall_timeout: Duration,
        permits: [OwnedSemaphorePermit; 2],
        encoders: Arc<Workers>,
    ) -> Self {
        let (sender, parts) = mpsc::channel(1);
        let encoding = tokio::spawn(async move {
            let _permits = permits;
            encode(first, rest, stall_timeout, sender, &encoders).await
        });
        Self { parts, encoding, is_whole: false }
    }
}

async fn encode(
    first: Vec<u8>,
    rest: Box<Rest>,
    stall_timeout: Duration,
    sender: mpsc::Sender<Part>,
    encoders: &Workers,
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
        let (ended, end) = oneshot::channel();
        // Whoever gave the answer up hears nothing of it.
        let step = move || drop(ended.send(work.step()));
        encoders.submit(step).map_err(io::Error::other)?;
        let (bytes, left) = end.await.map_err(io::Error::other)??;
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
