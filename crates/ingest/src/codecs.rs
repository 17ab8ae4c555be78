//! Inflates a body that came compressed: on the thread that asks, from memory to memory.
//!
//! In: the bytes as sent and how they are compressed. Out: the bytes inside, at most a given number;
//! or why not. Receipt and replay both come here, so that what was taken once is taken again. Never
//! asks for more room on the word of a header than the format could fill.
//!
//! gzip goes to libdeflate, which inflates a whole member at once (343 MB of OTLP: 0.23 s of CPU;
//! the streaming zlib-rs is the way for the rare body of several members).

use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use libdeflater::{DecompressionError, Decompressor};
use suyuan_wire::record::Compression;
use zstd::zstd_safe::{
    DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name, get_frame_content_size,
};

use crate::admission::BudgetTaken;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InflateError {
    #[error("the body inflates to more than the limit of {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the body is not valid {codec}: {why}")]
    Damaged { codec: &'static str, why: &'static str },
    #[error(transparent)]
    BudgetTaken(#[from] BudgetTaken),
}

/// Where inflated bytes go.
pub(crate) trait Room {
    /// Where a codec writes next.
    fn unused(&mut self) -> &mut [u8];
    /// Says that a codec has filled `bytes` of it.
    fn advance(&mut self, bytes: usize);
    fn len(&self) -> usize;
    /// At least 1.
    fn capacity(&self) -> usize;
    /// Makes room for at least `bytes` in all; what is written already stays. May wait.
    fn grow(&mut self, bytes: usize) -> Result<(), BudgetTaken>;
}

/// Working memory of the codecs, to be used again and again.
pub(crate) struct Codecs {
    gzip: Decompressor,
    zstd: DCtx<'static>,
}

/// Deflate's best case: 258 bytes out of two bits, less what a block's header costs.
pub(crate) const DEFLATE_RATIO_MAX: usize = 1032;

/// The header and the trailer of a gzip member.
const GZIP_BYTES_MIN: usize = 18;
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];

/// What an honest zstd body may claim at once. Spans compress 10 to 30 times; a body that says more
/// gets its room as it fills it.
const ZSTD_RATIO_TRUSTED: usize = 64;

/// log2 of the largest window, 32 MiB: what Go's encoder declares at its best level.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

impl Codecs {
    pub(crate) fn new() -> Self {
        let mut zstd = DCtx::create();
        zstd.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
            .expect("the window is within what zstd allows");
        Self { gzip: Decompressor::new(), zstd }
    }

    /// Writes the bytes inside `sent` to `room`, which has as much of it as [`room_for`] says or
    /// more. At most `bytes_max`.
    pub(crate) fn inflate(
        &mut self,
        compression: Compression,
        sent: &[u8],
        bytes_max: usize,
        room: &mut impl Room,
    ) -> Result<(), InflateError> {
        match compression {
            Compression::None => {
                debug_assert!(false, "there is nothing to inflate");
                Ok(())
            }
            Compression::Gzip => self.inflate_gzip(sent, bytes_max, room),
            Compression::Zstd => self.inflate_zstd(sent, bytes_max, room),
        }
    }

    pub(crate) fn bytes_held(&self) -> usize {
        self.zstd.sizeof()
    }

    fn inflate_gzip(
        &mut self,
        sent: &[u8],
        bytes_max: usize,
        room: &mut impl Room,
    ) -> Result<(), InflateError> {
        let damaged = |why| InflateError::Damaged { codec: "gzip", why };
        // libdeflate stops silently after the first member. A second one would begin with the
        // magic; by chance it stands in one of 300 bodies of 50 kB.
        if memchr::memmem::find(&sent[1..], &GZIP_MAGIC).is_some() {
            return inflate_gzip_members(sent, bytes_max, room);
        }
        let expected_bytes = gzip_size_field(sent);
        match self.gzip.gzip_decompress(sent, room.unused()) {
            Ok(bytes) if bytes == expected_bytes => {
                room.advance(bytes);
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
        room: &mut impl Room,
    ) -> Result<(), InflateError> {
        let damaged = |why| InflateError::Damaged { codec: "zstd", why };
        // Frames that say their size and fit need no window: half the time of a stream. Whatever
        // else it is, the stream says.
        if let Ok(bytes) = self.zstd.decompress(room.unused(), sent)
            && bytes <= bytes_max
        {
            room.advance(bytes);
            return Ok(());
        }
        self.zstd
            .reset(ResetDirective::SessionOnly)
            .map_err(|code| damaged(get_error_name(code)))?;
        let mut input = InBuffer::around(sent);
        let mut inside_frame = false;
        while input.pos() < sent.len() || inside_frame {
            if room.unused().is_empty() {
                // One byte more than allowed shows whether there is more.
                room.grow((room.capacity() * 2).min(bytes_max + 1))?;
            }
            let unused_bytes = room.unused().len();
            let mut output = OutBuffer::around(room.unused());
            let hint = self
                .zstd
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| damaged(get_error_name(code)))?;
            let written = output.pos();
            room.advance(written);
            if room.len() > bytes_max {
                return Err(InflateError::TooLarge { bytes_max });
            }
            inside_frame = hint != 0;
            if inside_frame && input.pos() == sent.len() && written < unused_bytes {
                return Err(damaged("it is cut short"));
            }
        }
        Ok(())
    }
}

/// How much room a body gets at once: what it says it needs, as far as it can be believed.
pub(crate) fn room_for(
    compression: Compression,
    sent: &[u8],
    bytes_max: usize,
) -> Result<usize, InflateError> {
    match compression {
        Compression::None => Ok(0),
        Compression::Gzip => gzip_expected_bytes(sent, bytes_max),
        Compression::Zstd => zstd_expected_bytes(sent, bytes_max),
    }
}

fn inflate_gzip_members(
    sent: &[u8],
    bytes_max: usize,
    room: &mut impl Room,
) -> Result<(), InflateError> {
    let mut members = MultiGzDecoder::new(sent);
    loop {
        if room.unused().is_empty() {
            room.grow((room.capacity() * 2).min(bytes_max + 1))?;
        }
        let written = members.read(room.unused()).map_err(|_| InflateError::Damaged {
            codec: "gzip",
            why: "a member of it is cut short or changed on the way",
        })?;
        if written == 0 {
            return Ok(());
        }
        room.advance(written);
        if room.len() > bytes_max {
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
