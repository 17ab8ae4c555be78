//! Receive, decode, admit, append; answers only when the log has it.

mod admission;
mod buffers;
mod codecs;
mod inflate;
mod lane;
mod metrics;
mod receive;

pub use admission::Rate;
pub use lane::{
    Ended, Lane, LaneOptions, Outcome, Refusal, Replay, ReplayError, Submission, Surroundings,
};
pub use metrics::{Metrics, Protocol};
pub use receive::{Drained, Options, Receiver, Submit, Tenancy, serve};
