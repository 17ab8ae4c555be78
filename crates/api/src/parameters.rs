//! What stands behind the `?` of a request.
//!
//! In: a query string. Out: its values by name. A value that is empty means "not given", and so
//! does a zero where a number is asked for: clients of Tempo send both (`grafana.md 1.3b`). Of a
//! name given twice the first value counts; names that nobody asks for are passed over.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;

use crate::error::ApiError;

pub(crate) type QueryPairs = Query<Vec<(String, String)>>;

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn new(query: Result<QueryPairs, QueryRejection>) -> Result<Self, ApiError> {
        let Query(pairs) =
            query.map_err(|rejection| ApiError::QueryString(rejection.body_text()))?;
        Ok(Self(pairs))
    }

    /// The value of `name`, without blanks around it.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// A whole number of 32 bits; `None`: none was given, or zero.
    pub(crate) fn count(&self, name: &'static str) -> Result<Option<u32>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let count: u32 = text
            .parse()
            .map_err(|_| ApiError::NotACount { name, value: shortened(text).to_owned() })?;
        Ok((count > 0).then_some(count))
    }

    /// As [`Self::count`], and at most `max`.
    pub(crate) fn count_up_to(
        &self,
        name: &'static str,
        max: u32,
    ) -> Result<Option<u32>, ApiError> {
        match self.count(name)? {
            Some(count) if count > max => Err(ApiError::AboveMost { name, count, max }),
            count => Ok(count),
        }
    }

    /// A depth in a tree: -1 is unlimited.
    pub(crate) fn depth(&self, name: &'static str) -> Result<Option<i32>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(depth) if depth >= -1 => Ok(Some(depth)),
            _ => Err(ApiError::NotADepth { name, value: shortened(text).to_owned() }),
        }
    }

    pub(crate) fn switch(&self, name: &'static str) -> Result<bool, ApiError> {
        match self.text(name) {
            None => Ok(false),
            Some("true" | "True" | "TRUE" | "t" | "T" | "1") => Ok(true),
            Some("false" | "False" | "FALSE" | "f" | "F" | "0") => Ok(false),
            Some(_) => Err(ApiError::NotASwitch { name }),
        }
    }
}

/// As much of a stranger's text as an error repeats.
pub(crate) fn shortened(text: &str) -> &str {
    const SHOWN_BYTES_MAX: usize = 64;
    &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)]
}
