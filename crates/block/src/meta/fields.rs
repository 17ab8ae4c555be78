//! Fields of a meta's messages, with errors that name them.

use suyuan_wal::Uuid;
use suyuan_wire::protobuf::{Field, Reader};

use super::check::demand;
use super::{MetaError, TEXT_BYTES_MAX};

/// A field, and the name of the message it stands in, for errors.
#[derive(Clone, Copy)]
pub(crate) struct MetaField<'a> {
    message: &'static str,
    field: Field<'a>,
}

/// Numbers of a packed field.
pub(crate) struct Packed<'a> {
    message: &'static str,
    reader: Reader<'a>,
}

/// Calls `take` for each field of a message.
pub(crate) fn each_field<'a>(
    message: &'static str,
    bytes: &'a [u8],
    mut take: impl FnMut(MetaField<'a>) -> Result<(), MetaError>,
) -> Result<(), MetaError> {
    let mut reader = Reader::new(bytes);
    let malformed = |error| MetaError::Malformed { message, error };
    while let Some(field) = reader.next_field().map_err(malformed)? {
        take(MetaField { message, field })?;
    }
    Ok(())
}

impl<'a> MetaField<'a> {
    pub(crate) fn number(self) -> u32 {
        self.field.number
    }

    pub(crate) fn u64(self) -> Result<u64, MetaError> {
        let message = self.message;
        self.field.varint().map_err(|error| MetaError::Malformed { message, error })
    }

    pub(crate) fn u32(self, name: &'static str) -> Result<u32, MetaError> {
        let problem = "goes beyond 2^32";
        u32::try_from(self.u64()?).map_err(|_| MetaError::BadValue { field: name, problem })
    }

    pub(super) fn fixed64(self) -> Result<u64, MetaError> {
        let message = self.message;
        self.field.fixed64().map_err(|error| MetaError::Malformed { message, error })
    }

    pub(super) fn fixed32(self) -> Result<u32, MetaError> {
        let message = self.message;
        self.field.fixed32().map_err(|error| MetaError::Malformed { message, error })
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], MetaError> {
        let message = self.message;
        self.field.bytes().map_err(|error| MetaError::Malformed { message, error })
    }

    pub(super) fn uuid(self, name: &'static str) -> Result<Uuid, MetaError> {
        let problem = "has not 16 bytes";
        let bytes = self.bytes()?.try_into();
        bytes.map(Uuid).map_err(|_| MetaError::BadValue { field: name, problem })
    }

    pub(super) fn text(self, name: &'static str) -> Result<&'a str, MetaError> {
        let text = self.long_text(name)?;
        demand(text.len() <= TEXT_BYTES_MAX, name, "is too long")?;
        Ok(text)
    }

    pub(crate) fn long_text(self, name: &'static str) -> Result<&'a str, MetaError> {
        let problem = "is not UTF-8";
        std::str::from_utf8(self.bytes()?).map_err(|_| MetaError::BadValue { field: name, problem })
    }

    pub(crate) fn packed(self) -> Result<Packed<'a>, MetaError> {
        Ok(Packed { message: self.message, reader: Reader::new(self.bytes()?) })
    }
}

impl Packed<'_> {
    pub(crate) fn next(&mut self, name: &'static str) -> Result<Option<u32>, MetaError> {
        if self.reader.remaining() == 0 {
            return Ok(None);
        }
        let message = self.message;
        let number =
            self.reader.varint().map_err(|error| MetaError::Malformed { message, error })?;
        let problem = "goes beyond 2^32";
        let number = u32::try_from(number);
        number.map(Some).map_err(|_| MetaError::BadValue { field: name, problem })
    }
}
