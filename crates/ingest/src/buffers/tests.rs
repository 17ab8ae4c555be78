//! Buffers come from the pool, go back to it, and never leave bytes of another request behind.

use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

use super::*;
use crate::admission::Budget;

struct Bench {
    pool: Arc<Pool>,
    budget: Arc<Budget>,
    held_bytes: Gauge,
}

fn bench(kept_bytes_max: usize) -> Bench {
    let held_bytes = Gauge::default();
    let budget = Budget::new(64 << 20, Duration::from_millis(10), held_bytes.clone());
    Bench { pool: Pool::new(kept_bytes_max), budget, held_bytes }
}

impl Bench {
    async fn buffer(&self, bytes: usize) -> Buffer {
        Buffer::reserve(&self.pool, &self.budget.reserve(), bytes).await.unwrap()
    }

    fn kept_bytes(&self) -> usize {
        let shelves = self.pool.shelves.iter();
        let kept = shelves.map(|shelf| shelf.lock().unwrap().iter().map(Vec::len).sum::<usize>());
        let kept_bytes = kept.sum();
        assert_eq!(self.pool.kept_bytes.load(Ordering::Relaxed), kept_bytes);
        kept_bytes
    }
}

#[tokio::test]
async fn last_clone_gives_back() {
    let bench = bench(1 << 20);
    let mut buffer = bench.buffer(10_000).await;
    buffer.push(b"spans", 10_000).await.unwrap();
    let (storage, bytes) = (buffer.storage.as_ptr(), buffer.freeze());
    let clone = bytes.slice(1..3);
    drop(bytes);
    assert_eq!(clone, "pa");
    assert_eq!((bench.held_bytes.get(), bench.kept_bytes()), (16_384, 0));
    drop(clone);
    assert_eq!((bench.held_bytes.get(), bench.kept_bytes()), (0, 16_384));

    let again = bench.buffer(16_384).await;
    assert_eq!(again.storage.as_ptr(), storage);
    assert!(again.as_ref().is_empty(), "nothing of the last request is seen");
    assert_eq!(bench.kept_bytes(), 0);
}

#[tokio::test]
async fn growing_keeps_what_is_there() {
    let bench = bench(1 << 20);
    let mut buffer = bench.buffer(0).await;
    let mut expected = Vec::new();
    for n in 0..300_u32 {
        let chunk = n.to_le_bytes().repeat(n as usize);
        buffer.push(&chunk, 1 << 20).await.unwrap();
        expected.extend_from_slice(&chunk);
    }
    assert_eq!(buffer.capacity(), 262_144);
    assert_eq!(bench.held_bytes.get(), 262_144, "what was outgrown is given back");
    assert!(buffer.freeze() == expected);
}

#[tokio::test]
async fn growing_stops_at_what_was_announced() {
    let bench = bench(1 << 20);
    let announced_bytes = (5 << 20) + 1;
    let mut buffer = bench.buffer(1 << 20).await;
    let chunk = vec![7; 1 << 20];
    for _ in 0..5 {
        buffer.push(&chunk, announced_bytes).await.unwrap();
    }
    buffer.push(&[7], announced_bytes).await.unwrap();
    assert_eq!(buffer.capacity(), announced_bytes);
}

#[tokio::test]
async fn pool_is_bounded() {
    let bench = bench(40 << 10);
    let mut buffers = Vec::new();
    for _ in 0..10 {
        buffers.push(bench.buffer(16 << 10).await);
    }
    buffers.push(bench.buffer(9 << 20).await);
    drop(buffers);
    assert_eq!(bench.kept_bytes(), 32 << 10);
}
