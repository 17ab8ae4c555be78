//! Inflates a body that came compressed.
//!
//! In: the bytes as sent and how they are compressed. Out: the bytes inside, at most a given
//! number, in a reserved buffer; or why not. Never allocates on the word of a header more than the
//! format could make of the bytes that are there, and never runs on a thread that serves sockets:
//! the work goes to blocking threads, as many at once as there are processors.
//!
//! gzip goes to libdeflate, which inflates a whole member at once (343 MB of OTLP: 0.23 s of CPU;
//! the streaming zlib-rs is the way for the rare body of several members).

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use libdeflater::{DecompressionError, Decompressor};
use suyuan_wire::record::Compression;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use zstd::zstd_safe::{
    DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name, get_frame_content_size,
};

use crate::admission::{BudgetTaken, Reservation};
use crate::buffers::{Buffer, Pool};
use crate::metrics::Metrics;

/// The codecs' working memory, one set per processor, used again and again.
pub(crate) struct Inflaters {
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Codecs>>,
    pool: Arc<Pool>,
    metrics: Metrics,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InflateError {
    #[error("the body inflates to more than the limit of {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the body is not valid {codec}: {why}")]
    Damaged { codec: &'static str, why: &'static str },
    #[error(transparent)]
    BudgetTaken(#[from] BudgetTaken),
}

struct Codecs {
    gzip: Decompressor,
    zstd: DCtx<'static>,
}

/// Deflate's best case: 258 bytes out of two bits, less what a block's header costs.
const DEFLATE_RATIO_MAX: usize = 1032;

/// The header and the trailer of a gzip member.
const GZIP_BYTES_MIN: usize = 18;
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];

/// What an honest zstd body may claim at once. Spans compress 10 to 30 times; a body that says more
/// gets its room as it fills it.
const ZSTD_RATIO_TRUSTED: usize = 64;

/// log2 of the largest window, 32 MiB: what Go's encoder declares at its best level.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// A context that has grown past this by a large window is not kept. The Collector's streams
/// declare windows of 8 MiB, of which only what they fill is ever touched.
const ZSTD_CONTEXT_BYTES_KEPT: usize = 10 << 20;

impl Inflaters {
    pub(crate) fn new(n_threads: usize, pool: Arc<Pool>, metrics: Metrics) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(n_threads.max(1)));
        Arc::new(Self { permits, idle: Mutex::new(Vec::new()), pool, metrics })
    }

    /// The bytes inside `sent`; `sent` itself where it is not compressed.
    pub(crate) async fn inflate(
        self: &Arc<Self>,
        compression: Compression,
        sent: Bytes,
        bytes_max: usize,
        reservation: &Arc<Reservation>,
    ) -> Result<Bytes, InflateError> {
        let expected_bytes = match compression {
            Compression::None => return Ok(sent),
            Compression::Gzip => gzip_expected_bytes(&sent, bytes_max)?,
            Compression::Zstd => zstd_expected_bytes(&sent, bytes_max)?,
        };
        let mut buffer = Buffer::reserve(&self.pool, reservation, expected_bytes).await?;
        let permit =
            self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let inflaters = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let started_at = Instant::now();
            let mut codecs = inflaters.codecs();
            match compression {
                Compression::None => unreachable!("returned above"),
                Compression::Gzip => codecs.inflate_gzip(&sent, bytes_max, &mut buffer)?,
                Compression::Zstd => codecs.inflate_zstd(&sent, bytes_max, &mut buffer)?,
            }
            inflaters.keep(codecs);
            inflaters.metrics.inflated(started_at.elapsed());
            Ok(buffer.freeze())
        });
        match task.await {
            Ok(inflated) => inflated,
            Err(_) => Err(InflateError::Damaged { codec: "stream", why: "the codec failed" }),
        }
    }

    fn codecs(&self) -> Codecs {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(Codecs::new)
    }

    /// Only after success: what a codec looks like after an error is nobody's business.
    fn keep(&self, codecs: Codecs) {
        if codecs.zstd.sizeof() <= ZSTD_CONTEXT_BYTES_KEPT {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(codecs);
        }
    }
}

impl Codecs {
    fn new() -> Self {
        let mut zstd = DCtx::create();
        zstd.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
            .expect("the window is within what zstd allows");
        Self { gzip: Decompressor::new(), zstd }
    }

    fn inflate_gzip(
        &mut self,
        sent: &[u8],
        bytes_max: usize,
        buffer: &mut Buffer,
    ) -> Result<(), InflateError> {
        let damaged = |why| InflateError::Damaged { codec: "gzip", why };
        // libdeflate stops silently after the first member. A second one would begin with the
        // magic; by chance it stands in one of 300 bodies of 50 kB.
        if memchr::memmem::find(&sent[1..], &GZIP_MAGIC).is_some() {
            return inflate_gzip_members(sent, bytes_max, buffer);
        }
        let expected_bytes = gzip_size_field(sent);
        match self.gzip.gzip_decompress(sent, buffer.unused()) {
            Ok(bytes) if bytes == expected_bytes => {
                buffer.advance(bytes);
                Ok(())
            }
            // libdeflate has held the member's own size against its own trailer.
            Ok(_) => Err(damaged("something follows the stream")),
            Err(DecompressionError::InsufficientSpace) => {
                Err(damaged("it holds more than its trailer says"))
            }
            Err(DecompressionError::BadData) => {
                Err(damaged("it is cut short, changed on the way, or something else"))
            }
        }
    }

    fn inflate_zstd(
        &mut self,
        sent: &[u8],
        bytes_max: usize,
        buffer: &mut Buffer,
    ) -> Result<(), InflateError> {
        let damaged = |why| InflateError::Damaged { codec: "zstd", why };
        // Frames that say their size and fit need no window: half the time of a stream. Whatever
        // else it is, the stream says.
        if let Ok(bytes) = self.zstd.decompress(buffer.unused(), sent)
            && bytes <= bytes_max
        {
            buffer.advance(bytes);
            return Ok(());
        }
        self.zstd
            .reset(ResetDirective::SessionOnly)
            .map_err(|code| damaged(get_error_name(code)))?;
        let mut input = InBuffer::around(sent);
        let mut inside_frame = false;
        while input.pos() < sent.len() || inside_frame {
            if buffer.unused().is_empty() {
                // One byte more than allowed shows whether there is more.
                let room = (buffer.capacity() * 2).min(bytes_max + 1);
                Handle::current().block_on(buffer.grow(room))?;
            }
            let room = buffer.unused().len();
            let mut output = OutBuffer::around(buffer.unused());
            let hint = self
                .zstd
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| damaged(get_error_name(code)))?;
            let written = output.pos();
            buffer.advance(written);
            if buffer.len() > bytes_max {
                return Err(InflateError::TooLarge { bytes_max });
            }
            inside_frame = hint != 0;
            if inside_frame && input.pos() == sent.len() && written < room {
                return Err(damaged("it is cut short"));
            }
        }
        Ok(())
    }
}

fn inflate_gzip_members(
    sent: &[u8],
    bytes_max: usize,
    buffer: &mut Buffer,
) -> Result<(), InflateError> {
    let mut members = MultiGzDecoder::new(sent);
    loop {
        if buffer.unused().is_empty() {
            let room = (buffer.capacity() * 2).min(bytes_max + 1);
            Handle::current().block_on(buffer.grow(room))?;
        }
        let written = members.read(buffer.unused()).map_err(|_| InflateError::Damaged {
            codec: "gzip",
            why: "a member of it is cut short or changed on the way",
        })?;
        if written == 0 {
            return Ok(());
        }
        buffer.advance(written);
        if buffer.len() > bytes_max {
            return Err(InflateError::TooLarge { bytes_max });
        }
    }
}

fn gzip_expected_bytes(sent: &[u8], bytes_max: usize) -> Result<usize, InflateError> {
    let damaged = |why| InflateError::Damaged { codec: "gzip", why };
    if sent.len() < GZIP_BYTES_MIN || !sent.starts_with(&GZIP_MAGIC) {
        return Err(damaged("it does not begin as gzip does"));
    }
    let expected_bytes = gzip_size_field(sent);
    if expected_bytes > sent.len() * DEFLATE_RATIO_MAX {
        return Err(damaged("its trailer says more than it can hold"));
    }
    if expected_bytes > bytes_max {
        return Err(InflateError::TooLarge { bytes_max });
    }
    Ok(expected_bytes)
}

/// The last four bytes of a gzip stream: the size of its last member, modulo 2^32.
fn gzip_size_field(sent: &[u8]) -> usize {
    let field = sent.last_chunk::<4>().copied().unwrap_or_default();
    u32::from_le_bytes(field) as usize
}

fn zstd_expected_bytes(sent: &[u8], bytes_max: usize) -> Result<usize, InflateError> {
    let damaged = |why| InflateError::Damaged { codec: "zstd", why };
    if sent.is_empty() {
        return Err(damaged("it is empty"));
    }
    let trusted_bytes = sent.len() * ZSTD_RATIO_TRUSTED;
    match get_frame_content_size(sent) {
        Err(_) => Err(damaged("it does not begin as zstd does")),
        Ok(Some(bytes)) if bytes > bytes_max as u64 => Err(InflateError::TooLarge { bytes_max }),
        Ok(Some(bytes)) => Ok((bytes as usize).min(trusted_bytes)),
        Ok(None) => Ok((sent.len() * 8).min(bytes_max)),
    }
}

#[cfg(test)]
mod tests;
