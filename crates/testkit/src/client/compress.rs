//! Compressed bodies, as exporters send them.

use std::io::Write as _;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
}

impl Compression {
    /// All three.
    pub const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

    /// The value of `Content-Encoding`; empty if there is none to send.
    pub fn encoding(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// The body as it travels.
pub fn compressed(body: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => body.to_vec(),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(body).expect("writing to memory does not fail");
            encoder.finish().expect("writing to memory does not fail")
        }
        Compression::Zstd => zstd::bulk::compress(body, 3).expect("level 3 compresses any bytes"),
    }
}
