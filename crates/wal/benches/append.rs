//! What an append costs: CPU and fsync time of the log, beside plain write and fdatasync of the
//! same bytes into a file that grows.
//!
//! `cargo bench -p suyuan-wal --bench append [FOLDER]`; the folder should be on the disk in question
//! (default: the build folder). Clients are threads that each wait for one answer before they send
//! again, as exporters do.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use suyuan_wal::{LocalDisk, Options, Verdict};

struct Case {
    records: usize,
    record_bytes: usize,
    clients: usize,
}

struct Row {
    how: String,
    fsyncs: u64,
    cpu: Duration,
    wall: Duration,
    latencies: Vec<Duration>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).filter(|arg| !arg.starts_with("--"));
    let folder = folder.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let folder = folder.join("wal-bench");
    let cases = [
        Case { records: 667, record_bytes: 512_000, clients: 1 },
        Case { records: 667, record_bytes: 512_000, clients: 2 },
        Case { records: 667, record_bytes: 512_000, clients: 16 },
        Case { records: 5_000, record_bytes: 2_000, clients: 16 },
    ];
    println!(
        "{:<44} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "fsyncs", "CPU ms", "wall ms", "p50 ms", "p99 ms", "max ms"
    );
    for case in cases {
        let bytes = Bytes::from(content(case.record_bytes));
        print(plain(&folder, &case, &bytes)?);
        print(log(&folder, &case, &bytes)?);
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Bytes that do not compress and cost nothing to make.
fn content(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut content = Vec::with_capacity(bytes + 8);
    while content.len() < bytes {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(bytes);
    content
}

fn plain(folder: &Path, case: &Case, bytes: &Bytes) -> Result<Row, Box<dyn std::error::Error>> {
    renew(folder)?;
    let mut file = File::create(folder.join("plain"))?;
    let mut latencies = Vec::with_capacity(case.records);
    let (cpu, begin) = (cpu_time(), Instant::now());
    for _ in 0..case.records {
        let begin = Instant::now();
        file.write_all(bytes)?;
        file.sync_data()?;
        latencies.push(begin.elapsed());
    }
    Ok(Row {
        how: format!("{} x {} B, plain, one writer", case.records, case.record_bytes),
        fsyncs: case.records as u64,
        cpu: cpu_time() - cpu,
        wall: begin.elapsed(),
        latencies,
    })
}

fn log(folder: &Path, case: &Case, bytes: &Bytes) -> Result<Row, Box<dyn std::error::Error>> {
    renew(folder)?;
    let options = Options {
        segment_bytes_max: 64 << 20,
        record_bytes_max: 100 << 20,
        queue_bytes_max: 64 << 20,
        reserve_bytes: 1 << 20,
    };
    let (cpu, begin) = (cpu_time(), Instant::now());
    let (log, _) = suyuan_wal::open(Arc::new(LocalDisk::create(folder)?), options.clone())?;
    let mut latencies = std::thread::scope(|scope| {
        let log = &log;
        let clients: Vec<_> = (0..case.clients)
            .map(|client| {
                let records = (client..case.records).step_by(case.clients);
                scope.spawn(move || records.map(|_| append(log, bytes)).collect::<Vec<_>>())
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect::<Vec<_>>()
    });
    latencies.sort_unstable();
    let stats = log.stats();
    log.close();
    let row = Row {
        how: format!("{} x {} B, log, {} clients", case.records, case.record_bytes, case.clients,),
        fsyncs: stats.fsyncs,
        cpu: cpu_time() - cpu,
        wall: begin.elapsed(),
        latencies,
    };
    let (log, mut recovered) = suyuan_wal::open(Arc::new(LocalDisk::create(folder)?), options)?;
    let (cpu, begin) = (cpu_time(), Instant::now());
    let report = recovered.replay(|_, _| Verdict::Taken)?;
    assert_eq!(report.records, case.records as u64, "all that was appended is replayed");
    println!(
        "    replay: {} ms, {} ms CPU; mean fsync {:.2} ms",
        begin.elapsed().as_millis(),
        (cpu_time() - cpu).as_millis(),
        stats.fsync_time.as_secs_f64() * 1e3 / stats.fsyncs as f64
    );
    log.close();
    Ok(row)
}

fn append(log: &suyuan_wal::Log, bytes: &Bytes) -> Duration {
    let begin = Instant::now();
    let (sender, receiver) = mpsc::sync_channel(1);
    log.append(vec![bytes.clone()], move |result| {
        sender.send(result).expect("the client waits");
    });
    receiver.recv().expect("the log answers").expect("the disk has room");
    begin.elapsed()
}

fn renew(folder: &Path) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    File::open(folder)?.sync_all()
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn print(mut row: Row) {
    row.latencies.sort_unstable();
    let at = |share: f64| {
        let index = ((row.latencies.len() - 1) as f64 * share) as usize;
        row.latencies[index].as_secs_f64() * 1e3
    };
    println!(
        "{:<44} {:>7} {:>8} {:>8} {:>8.2} {:>8.2} {:>8.2}",
        row.how,
        row.fsyncs,
        row.cpu.as_millis(),
        row.wall.as_millis(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
