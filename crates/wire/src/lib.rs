//! Bytes to table and back, pure: no I/O, no clock, no threads.
//!
//! - [`protobuf`]: fields out of bytes and into bytes.
//! - [`otlp`]: OTLP requests, protobuf or JSON, to rows of the table.
//! - [`key_value`]: an attribute as a message.
//! - [`record`]: what the log keeps of a request.
//! - [`answer`]: rows of the table to Tempo's answers.

pub mod answer;
pub mod key_value;
pub mod otlp;
pub mod protobuf;
pub mod record;
