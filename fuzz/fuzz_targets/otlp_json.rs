//! OTLP/JSON: never a panic, and what it is rewritten as is always a request the walk can read.

#![no_main]

use suyuan_model::TableBuilder;
use suyuan_wire::otlp::{self, RequestError, Verdicts};
use suyuan_wire::record::{Format, Limits};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let mut table = TableBuilder::default();
    let limits = Limits::default();
    let decoded = otlp::decode(Format::OtlpJson, body, &limits, Verdicts::Judge, &mut table);
    if let Err(RequestError::Protobuf { place, error }) = decoded {
        panic!("JSON became protobuf that is no request: {place} {error}");
    }
});
