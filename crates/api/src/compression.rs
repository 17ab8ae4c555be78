//! Compresses an answer while it is encoded, on the thread that encodes it.
//!
//! In: `Accept-Encoding`, pieces of bytes. Out: compressed pieces. zstd is taken where a client
//! takes both, as Grafana's does (`grafana.md 1.3b`): it costs less and saves more.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};

/// Levels are chosen for answers that are read once: the fastest.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// The best that the client takes.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Self {
        let takes = |name: &str| {
            let values = headers.get_all(ACCEPT_ENCODING).iter();
            let mut tokens = values
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(',').map(str::trim));
            tokens.any(|token| is_wanted(token, name))
        };
        if takes("zstd") {
            Self::Zstd
        } else if takes("gzip") {
            Self::Gzip
        } else {
            Self::None
        }
    }

    /// As `Content-Encoding` says it.
    pub(crate) fn content_encoding(self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }
}

/// Whether a token such as `gzip;q=0.5` names an encoding and does not refuse it.
fn is_wanted(token: &str, name: &str) -> bool {
    let mut parts = token.split(';').map(str::trim);
    if !parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name)) {
        return false;
    }
    let weight = parts.find_map(|part| part.strip_prefix("q="));
    weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
}

pub(crate) enum Compressor {
    None,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    pub(crate) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None,
            Compression::Gzip => {
                Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))
            }
            Compression::Zstd => {
                Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?)
            }
        })
    }

    /// What comes out when a piece goes in; may be nothing yet.
    pub(crate) fn push(&mut self, piece: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(piece),
            Self::Gzip(encoder) => {
                encoder.write_all(&piece)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(&piece)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// What is left, when no more pieces come.
    pub(crate) fn finish(&mut self) -> io::Result<Vec<u8>> {
        match std::mem::replace(self, Self::None) {
            Self::None => Ok(Vec::new()),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}
