//! What is wrong with bytes that should be a Parquet file, before it is known where they stand.

use std::borrow::Cow;

/// One sentence without the place; [`ReadError`](super::ReadError) adds path, row group and column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) Cow<'static, str>);

impl From<&'static str> for Damage {
    fn from(what: &'static str) -> Self {
        Self(Cow::Borrowed(what))
    }
}

impl From<String> for Damage {
    fn from(what: String) -> Self {
        Self(Cow::Owned(what))
    }
}

/// `Err(Damage)`: reads better at the place where it is found.
pub(crate) fn damaged<T>(what: impl Into<Damage>) -> Result<T, Damage> {
    Err(what.into())
}
