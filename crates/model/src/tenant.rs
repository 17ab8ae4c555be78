//! Whose data it is.
//!
//! In: the value of an `X-Scope-OrgID` header. Out: a name that is safe as a path segment, a label
//! and a key. With tenancy off everything belongs to [`Tenant::single`].

use std::fmt;
use std::sync::{Arc, LazyLock};

/// A tenant's name: 1 to 150 characters out of letters, digits and `!-_.*'()`, as Tempo and its
/// relatives allow them, but not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

/// Why a text is not a tenant's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    #[error("no org id")]
    Empty,
    #[error("tenant id has {bytes} bytes, at most {TENANT_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
    #[error("tenant id contains unsupported character {character:?}")]
    BadCharacter { character: char },
    #[error("tenant id must not be `.` or `..`")]
    PathSegment,
}

const TENANT_BYTES_MAX: usize = 150;

impl Tenant {
    /// The tenant of everything while tenancy is off; the name is Tempo's (`tempo.md 1.0`).
    pub fn single() -> Self {
        static SINGLE: LazyLock<Tenant> = LazyLock::new(|| Tenant(Arc::from("single-tenant")));
        SINGLE.clone()
    }

    pub fn parse(text: &str) -> Result<Self, TenantError> {
        if text.is_empty() {
            return Err(TenantError::Empty);
        }
        if text.len() > TENANT_BYTES_MAX {
            return Err(TenantError::TooLong { bytes: text.len() });
        }
        if text == "." || text == ".." {
            return Err(TenantError::PathSegment);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if let Some(character) = text.chars().find(|c| !allowed(*c)) {
            return Err(TenantError::BadCharacter { character });
        }
        Ok(Self(Arc::from(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
