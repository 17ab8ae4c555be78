//! The walk over OTLP requests against `opentelemetry-proto`: equal rows, and never a panic.

#![no_main]

#[path = "../../crates/wire/tests/differential/judge.rs"]
mod judge;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if let Err(difference) = judge::judge(body) {
        panic!("{difference}");
    }
});
