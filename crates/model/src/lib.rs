//! What a span is: values, tenant, and the one columnar table shape.
//!
//! From decode to answer a span is a row of this table; there is no row object on any hot path
//! (`design.md 1`). In: a decoder's calls on [`TableBuilder`]. Out: [`Chunk`]s, immutable tables
//! of Arrow arrays. Nothing here knows a wire format, a file or a clock.

mod attributes;
mod batch;
mod chunk;
mod columns;
mod outline;
mod publication;
mod strings;
mod table;
mod tenant;
mod trace_rows;
mod value;

pub use attributes::{AttributeColumn, AttributeTable, Values};
pub use batch::{Batch, BatchRows, Columns, Field, RequiredText};
pub use chunk::{Chunk, Events, Links, Resources, Scopes};
pub use columns::Sparse;
pub use outline::{OutlineSorter, SpanOutline};
pub use publication::{Publication, UnixNanosRange};
pub use strings::Strings;
pub use table::{AttributeOwner, EventHead, LinkHead, Mark, SpanHead, TableBuilder};
pub use tenant::{Tenant, TenantError};
pub use trace_rows::{TracePiece, TraceRows};
pub use value::{ValueRef, ValueType};

#[cfg(test)]
mod tests;
