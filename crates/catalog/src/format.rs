//! The bytes of entries and snapshots, version 1. `docs/formats/catalog.md` draws them; a test holds
//! the two equal.
//!
//! In: an entry or a state. Out: the bytes of its object, and back. Never touches the store.
//! Decoding is total: bytes from outside give an error that says what is wrong with them, and take
//! no more memory than they are long, a few times over.
//!
//! ```text
//! object  0   8  magic: "SYUNCATE" an entry, "SYUNCATS" a snapshot
//!         8   4  version that a reader must know
//!         12  4  must-understand bits
//!         16  4  bytes of the body
//!         20  4  CRC32C of bytes 0..20 and of the body
//!         24     body: a protobuf message
//! ```

use bytes::Bytes;
use suyuan_ids::IdError;
use suyuan_model::TenantError;
use suyuan_wire::protobuf::Malformed;

mod entry;
mod parts;
mod snapshot;

pub(crate) use entry::{decode_entry, encode_entry};
pub(crate) use snapshot::{decode_snapshot, encode_snapshot};

/// The version this program writes, and the highest that it reads.
pub(crate) const VERSION: u32 = 1;

/// Bytes before the body.
pub(crate) const HEAD_BYTES: usize = 24;

/// What an entry's body may hold at most: a block's meta has about 20 kB.
pub(crate) const ENTRY_BODY_BYTES_MAX: usize = 64 << 20;

/// Must-understand bits this program knows. None are given out yet.
const KNOWN_BITS: u32 = 0;

/// Why bytes are not an entry or a snapshot that this program can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Shorter than a head.
    #[error("has {bytes} bytes, a head alone has {HEAD_BYTES}")]
    Short {
        /// Bytes there are.
        bytes: usize,
    },
    /// Something else, or an entry where a snapshot should be.
    #[error("does not begin with `{0}`")]
    Magic(&'static str),
    /// Cut or longer than it says.
    #[error("has a body of {bytes} bytes and says that it has {said}")]
    Length {
        /// Bytes there are.
        bytes: usize,
        /// Bytes there should be.
        said: u32,
    },
    /// Damaged.
    #[error("has a checksum that does not match its bytes")]
    Checksum,
    /// Whole, but written by a program that knows more.
    #[error(
        "asks for version {version} with must-understand bits {bits:#x}, this program knows \
         version {VERSION} with bits {KNOWN_BITS:#x}: use the program that wrote it, or a later one"
    )]
    TooNew {
        /// The version that a reader must know.
        version: u32,
        /// What else it must know.
        bits: u32,
    },
    /// Whole, but says something this program must not pass over.
    #[error("has field {number} in its {message}, which must be understood: use a later program")]
    UnknownField {
        /// The message it stands in.
        message: &'static str,
        /// The field.
        number: u32,
    },
    /// Not protobuf.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// A field that must be there is not.
    #[error("has no {0}")]
    Missing(&'static str),
    /// A name of something is not 16 bytes long.
    #[error("has a uuid of {0} bytes")]
    Uuid(usize),
    /// A number is too large for what it counts.
    #[error("has a {what} of {value}")]
    TooLarge {
        /// What it counts.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// Something that there is one of is there again.
    #[error("has a {0} twice")]
    Twice(&'static str),
    /// A tombstone is of no tenant.
    #[error("names a tenant badly: {0}")]
    Tenant(#[from] TenantError),
    /// A tombstone is of no trace.
    #[error("names a trace badly: {0}")]
    Trace(#[from] IdError),
}

impl FormatError {
    /// Whether the bytes are as they were written, by a later program.
    pub fn is_too_new(&self) -> bool {
        matches!(self, Self::TooNew { .. } | Self::UnknownField { .. })
    }
}

/// What an object of the catalog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Entry,
    Snapshot,
}

impl Kind {
    fn magic(self) -> &'static str {
        match self {
            Self::Entry => "SYUNCATE",
            Self::Snapshot => "SYUNCATS",
        }
    }
}

/// An object out of its body, which was written behind [`HEAD_BYTES`] zeros.
fn frame(kind: Kind, mut object: Vec<u8>) -> Result<Bytes, TooManyBytes> {
    let Some((head, body)) = object.split_first_chunk_mut::<HEAD_BYTES>() else {
        unreachable!("a body is written behind its head");
    };
    let body_bytes = u32::try_from(body.len()).map_err(|_| TooManyBytes(body.len()))?;
    head[..8].copy_from_slice(kind.magic().as_bytes());
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..16].copy_from_slice(&0_u32.to_le_bytes());
    head[16..20].copy_from_slice(&body_bytes.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&head[..20]), body);
    head[20..].copy_from_slice(&checksum.to_le_bytes());
    Ok(object.into())
}

/// The body of an object. A whole object of a later version is told apart from a damaged one:
/// magic, length and checksum keep their places in every version.
fn unframe(kind: Kind, object: &[u8]) -> Result<&[u8], FormatError> {
    let Some((head, body)) = object.split_first_chunk::<HEAD_BYTES>() else {
        return Err(FormatError::Short { bytes: object.len() });
    };
    if &head[..8] != kind.magic().as_bytes() {
        return Err(FormatError::Magic(kind.magic()));
    }
    let [version, bits, said, checksum] = [
        [head[8], head[9], head[10], head[11]],
        [head[12], head[13], head[14], head[15]],
        [head[16], head[17], head[18], head[19]],
        [head[20], head[21], head[22], head[23]],
    ]
    .map(u32::from_le_bytes);
    if body.len() as u64 != u64::from(said) {
        return Err(FormatError::Length { bytes: body.len(), said });
    }
    if checksum != crc32c::crc32c_append(crc32c::crc32c(&head[..20]), body) {
        return Err(FormatError::Checksum);
    }
    if version > VERSION || bits & !KNOWN_BITS != 0 {
        return Err(FormatError::TooNew { version, bits });
    }
    Ok(body)
}

/// A body has more bytes than an object of its kind may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyBytes(pub(crate) usize);
