//! What a span costs between a received body and a row that can be found, in CPU seconds for a
//! million spans of the shop: `cargo bench -p suyuan-server --bench ingest [SPANS]`.
//!
//! One thread, no sockets, no log: the decoder, the table and the index alone. Beside it the same
//! bodies through `opentelemetry-proto`, which is what one would use otherwise. The first round is
//! that of a fresh process, which pays for its memory; the last one is quoted.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use rustix::time::{ClockId, clock_gettime};
use suyuan_model::{Publication, TableBuilder, Tenant, UnixNanosRange};
use suyuan_objects::faulty::MemoryObjects;
use suyuan_server::shop::{Batching, Departures, Pace, ProtobufEncoder, Shop};
use suyuan_store::{Options, Store};
use suyuan_wal::Uuid;
use suyuan_wire::otlp::{self, Verdicts};
use suyuan_wire::record::{Format, Limits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHUNK_ROWS: u32 = 16_384;
const ROUNDS: usize = 4;

/// CPU time by step.
#[derive(Default)]
struct Cost {
    decode: Duration,
    freeze: Duration,
    publish: Duration,
    n_spans: u64,
}

fn main() -> anyhow::Result<()> {
    let n_spans = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let bodies = bodies(n_spans);
    let n_bytes: usize = bodies.iter().map(Vec::len).sum();
    println!("{} requests, {n_bytes} bytes", bodies.len());
    println!(
        "{:<28} {:>10} {:>10} {:>10} {:>10}",
        "CPU s/M spans", "decode", "freeze", "publish", "all"
    );
    for round in 1..=ROUNDS {
        let cost = round_of(&bodies)?;
        let per_million = |cpu: Duration| cpu.as_secs_f64() * 1e6 / cost.n_spans as f64;
        println!(
            "{:<28} {:>10.3} {:>10.3} {:>10.3} {:>10.3}",
            format!("round {round}"),
            per_million(cost.decode),
            per_million(cost.freeze),
            per_million(cost.publish),
            per_million(cost.decode + cost.freeze + cost.publish),
        );
    }
    let started_at = cpu();
    let mut n_decoded = 0u64;
    for body in &bodies {
        n_decoded += n_spans_of(&ExportTraceServiceRequest::decode(&body[..])?);
    }
    let structs = (cpu() - started_at).as_secs_f64() * 1e6 / n_decoded as f64;
    println!("{:<28} {structs:>10.3}", "opentelemetry-proto, structs");
    Ok(())
}

fn bodies(n_spans: u64) -> Vec<Vec<u8>> {
    let shop = Shop::new(7);
    let encoder = ProtobufEncoder::new(&shop);
    let pace = Pace {
        start_unix_nanos: 1_741_392_000_000_000_000,
        spans_per_second: 50_000.0,
        spans_max: Some(n_spans),
        duration_nanos_max: None,
    };
    let mut departures = Departures::new(shop, pace);
    let batching = Batching { spans_max: 1_500, wait_nanos_max: u64::MAX };
    let batches = std::iter::from_fn(|| departures.next_batch(batching, |_| ()));
    batches.map(|batch| encoder.request(&batch.spans)).collect()
}

fn round_of(bodies: &[Vec<u8>]) -> anyhow::Result<Cost> {
    let folder = tempfile::tempdir()?;
    let objects = Arc::new(MemoryObjects::new());
    let options = Options {
        resident_bytes_max: u64::MAX,
        ..Options::new(folder.path().into(), objects, Uuid([1; 16]))
    };
    let store = Store::open(options)?;
    let mut table = TableBuilder::default();
    let mut cost = Cost::default();
    let mut chunk_number = 0;
    for (place, body) in bodies.iter().enumerate() {
        let started_at = cpu();
        let limits = Limits::default();
        let decoded =
            otlp::decode(Format::OtlpProtobuf, body, &limits, Verdicts::Judge, &mut table)
                .context("the shop's requests are well-formed")?;
        cost.decode += cpu() - started_at;
        cost.n_spans += decoded.accepted_spans;
        if table.n_rows() < CHUNK_ROWS && place + 1 < bodies.len() {
            continue;
        }
        let started_at = cpu();
        let chunk = Arc::new(table.freeze());
        let visible_rows = table.n_rows();
        table.clear();
        cost.freeze += cpu() - started_at;
        let started_at = cpu();
        let tenant = Tenant::single();
        store.publish(Publication {
            tenant,
            chunk_number,
            chunk,
            visible_rows,
            received_unix_nanos: UnixNanosRange::of(0),
            is_final: true,
        });
        cost.publish += cpu() - started_at;
        chunk_number += 1;
    }
    Ok(cost)
}

fn n_spans_of(request: &ExportTraceServiceRequest) -> u64 {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len() as u64).sum()
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
