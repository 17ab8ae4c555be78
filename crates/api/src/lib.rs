//! Everything a client can ask, on one port: HTTP/1.1, HTTP/2 and gRPC.
//!
//! In: connections. Out: Tempo's HTTP answers (`tempo.md 1`), and pages about the server itself.
//! Only this package knows what Grafana expects. Errors are short plain text, never HTML: clients
//! show them to people as they are (`grafana.md 1.2`). Nothing is received here.
//!
//! - [`router`]: which path is answered by what.
//! - [`trace_by_id`]: the two trace endpoints.
//! - [`search`]: traces that have a span like this; [`legacy_tags`]: as Tempo first asked for them.
//! - [`tags`]: names and values for editors.
//! - [`parameters`], [`time_range`]: what stands behind the `?`.
//! - [`questions`]: how many are answered at a time, and on which threads.
//! - [`accounting`]: what was done for an answer, in headers.
//! - [`answer_body`] and [`compression`]: an answer on its way out, encoded when it is asked for.
//! - [`tenancy`]: whose data a request may see.
//! - [`admin`]: what operators ask the server to do.
//! - [`about`]: readiness, metrics, versions, status pages.
//! - [`grpc`]: what a gRPC client hears.
//! - [`serve`]: connections, limits, draining.

mod about;
mod accounting;
mod admin;
mod answer_body;
mod compression;
mod error;
mod grpc;
mod legacy_tags;
mod metrics;
mod parameters;
mod questions;
mod router;
mod search;
mod serve;
mod state;
mod tags;
mod tenancy;
mod time_range;
mod trace_by_id;

pub use metrics::Metrics;
pub use questions::QueryOptions;
pub use router::router;
pub use search::question::check_search;
pub use serve::serve;
pub use state::{ApiState, BuildInfo, Options, Readiness};
pub use tenancy::Tenancy;

#[cfg(test)]
mod tests;
