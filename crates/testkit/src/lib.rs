//! For tests: the oracle of what was sent, equality of traces, and hands for a running server.
//!
//! Knows OTLP from `opentelemetry-proto` and the product only from outside, by its bytes: code
//! that is shared with the product could not judge it. Of a query it reads the tree that `traceql`
//! makes of it, whose own tests judge that; what the tree means is written here once more.

pub mod arbitrary;
pub mod client;
pub mod corpus;
pub mod equality;
#[cfg(feature = "s3")]
pub mod fake_s3;
pub mod json;
pub mod jsonpb;
pub mod oracle;
pub mod process;
pub mod random;
pub mod sample;
pub mod traceql;
